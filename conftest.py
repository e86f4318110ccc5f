"""The cast of all tests: alice owns, bob is a stranger, rita reviews, root administers."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from conversations.models import User
from conversations.tests.calls import person
from conversations.tests.cast import signed_in


@pytest.fixture
def alice(db) -> User:
    return person("alice")


@pytest.fixture
def bob(db) -> User:
    return person("bob")


@pytest.fixture
def rita(db) -> User:
    rita = User.objects.create_user("rita", is_staff=True)
    rita.groups.add(Group.objects.get(name="Reviewer"))
    return rita


@pytest.fixture
def hers(alice) -> Client:
    """A client where alice is signed in."""
    return signed_in(alice)


@pytest.fixture
def his(bob) -> Client:
    """A client where bob is signed in."""
    return signed_in(bob)


@pytest.fixture
def desk(rita) -> Client:
    """A client where rita is signed in."""
    return signed_in(rita)


@pytest.fixture
def admin(db) -> Client:
    """A client where the superuser root is signed in."""
    return signed_in(User.objects.create_superuser("root"))
