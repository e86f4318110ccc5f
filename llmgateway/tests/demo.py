"""The demo's data, loaded by its command."""

from io import StringIO

from django.contrib.auth import get_user
from django.core.management import call_command
from django.test import Client

from conversations.models import User


def run(command, **options):
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


def signed_in(name: str, password: str) -> User | None:
    client = Client()
    client.post("/sign-in/", {"username": name, "password": password})
    user = get_user(client)
    return user if user.is_authenticated else None
