"""The demo's people: accounts whose password is known to everyone.

They carry a mark, so that no other account is taken for one.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

PASSWORD = "demo"  # noqa: S105 - on purpose: it is printed at the start
API_KEY = "gw-demo-alice"
MARK = "demo:"  # begins the external id of each of them

# the others have no password and only wrote the sample conversations
SIGN_IN = (
    "alice",
    "bob",
    "rita",
    "admin",
)
ACCOUNTS: dict[str, dict[str, Any]] = {
    "alice": {
        "first_name": "Alice",
        "last_name": "Alder",
        "job_title": "Analyst",
        "department": "Finance",
    },
    "bob": {
        "first_name": "Bob",
        "last_name": "Birch",
        "job_title": "Support Engineer",
        "department": "Customer Service",
    },
    "rita": {
        "first_name": "Rita",
        "last_name": "Rowan",
        "job_title": "Compliance Officer",
        "department": "Compliance",
        "is_staff": True,
    },
    "admin": {
        "first_name": "Ada",
        "last_name": "Ash",
        "job_title": "Administrator",
        "department": "IT",
        "is_staff": True,
        "is_superuser": True,
    },
    "carla": {
        "first_name": "Carla",
        "last_name": "Cedar",
        "job_title": "HR Partner",
        "department": "People",
        "time_zone": "Europe/Madrid",
    },
    "dmitri": {
        "first_name": "Dmitri",
        "last_name": "Dogwood",
        "job_title": "Backend Developer",
        "department": "Engineering",
    },
    "emeka": {
        "first_name": "Emeka",
        "last_name": "Elder",
        "job_title": "Security Analyst",
        "department": "Security",
        "time_zone": "Africa/Lagos",
    },
    "fumiko": {
        "first_name": "Fumiko",
        "last_name": "Fir",
        "job_title": "Sales Manager",
        "department": "Sales",
        "time_zone": "Asia/Tokyo",
    },
    "greta": {
        "first_name": "Greta",
        "last_name": "Gorse",
        "job_title": "Marketing Specialist",
        "department": "Marketing",
        "time_zone": "Europe/Berlin",
    },
    "hugo": {
        "first_name": "Hugo",
        "last_name": "Hazel",
        "job_title": "Legal Counsel",
        "department": "Legal",
        "time_zone": "Europe/Paris",
    },
    "ines": {
        "first_name": "Ines",
        "last_name": "Ivy",
        "job_title": "Data Scientist",
        "department": "Research",
        "time_zone": "Europe/Lisbon",
    },
}


def accounts() -> QuerySet:
    return get_user_model().objects.filter(external_id__startswith=MARK)


def active_demo_accounts() -> QuerySet:
    """Those that may still sign in, or call, with a password or a key that is known."""
    return accounts().filter(is_active=True).order_by("username")


def strangers() -> QuerySet:
    """Other people's accounts, whatever their names."""
    return get_user_model().objects.exclude(external_id__startswith=MARK).order_by("username")
