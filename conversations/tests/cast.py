"""Clients of the people in tests; the people themselves stand in conftest.py."""

from typing import Any

from django.contrib.auth.models import Group
from django.test import Client

from conversations.models import User


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def client_of(name: str, *groups: str, **fields: Any) -> Client:
    """A client of a new member of staff."""
    someone = User.objects.create_user(name, is_staff=True, **fields)
    someone.groups.set(Group.objects.filter(name__in=groups))
    return signed_in(someone)
