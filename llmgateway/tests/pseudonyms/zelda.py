"""A person whose name stands wherever one can, and a search for it."""

import re

from django.test import Client
from django.urls import reverse

from conversations.models import AuditEvent, Snapshot
from llmgateway.tests.paths import paths

WHO = "zelda7q4"
MARKS = re.compile(rb"zelda7q4|198\.51\.100\.77|gw-zelda", re.IGNORECASE)
PERSONAL = {
    "first_name": f"F{WHO}",
    "last_name": f"L{WHO}",
    "email": f"{WHO}@firm.example",
    "job_title": f"J{WHO}",
    "department": f"D{WHO}",
    "external_id": f"X{WHO}",
}
CONVERSATIONS, CALLS = "/admin/conversations/conversation/", "/admin/conversations/snapshot/"
ACTION = AuditEvent.Action


def swept(call: Snapshot) -> list[str]:
    """Every path of the clearance sweep, and each list by what a reviewer may choose by alias."""
    more = [
        reverse("admin:usage-csv", args=[panel])
        for panel in ("people", "history", "departments", "job-titles")
    ]
    lists = [
        reverse(f"admin:conversations_{name}_changelist")
        for name in ("conversation", "snapshot", "auditevent", "decision")
    ]
    queue = [
        f"/admin/queue/?of={which}" for which in ("free", "mine", "overdue", "escalated", "all")
    ]
    more += [f"/api/export.{of}?purpose=sweep" for of in ("csv", "jsonl")] + [
        f"/api/export.csv?purpose=sweep&of={of}" for of in ("figures", "classic")
    ]
    return [
        *paths(call),
        *more,
        *queue,
        *(f"{path}csv/?since=" for path in lists),
        *(f"{path}?q=invoices&since=" for path in lists[:2]),
    ]


def finds(client: Client, path: str) -> bool:
    response = client.get(path)
    return bool(
        MARKS.search(
            b"".join(
                [
                    response.getvalue(),
                    *(f"{name}: {value}".encode() for name, value in response.headers.items()),
                ]
            )
        )
    )


def transcript_of(call: Snapshot) -> str:
    return reverse("admin:conversations_conversation_change", args=[call.conversation_id])


def shows(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.getvalue().decode()


# Searching ----------------------------------------------------------------------------------------


def found(client: Client, **chosen: str) -> list[str]:
    """Whom the list of calls shows, or why it shows nothing."""
    listed = client.get(CALLS, {"since": "", **chosen}).context["cl"]
    return [error for errors in listed.filter.errors.values() for error in errors] or sorted(
        {row.names.name(row.owner) for row in listed.result_list}
    )
