"""The pages of the review desk, by name, as a reviewer opens them in a made-up year.

Each list, filter, search, transcript and call, the queue and the trail.

For the test that holds their queries and plans, and for benchmarks/desk.py.
"""

import re
from collections import Counter
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count
from django.urls import reverse

from conversations.models import (
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Review,
    SamplingPolicy,
    Snapshot,
    User,
)
from conversations.models.review import EPOCH, Place

Pages = dict[str, str]
SAMPLE = 2000  # messages whose words are counted


def path(name: str, *args) -> str:
    return reverse(f"admin:{name}", args=args)


def lists() -> Pages:
    """Those that have pages of their own: each has an oldest one."""
    conversations, calls, chosen_by = (
        path("conversations_conversation_changelist"),
        path("conversations_snapshot_changelist"),
        filters(),
    )
    pages = {
        f"conversations: {name}": f"{conversations}?{urlencode(query)}"
        for name, query in (chosen_by | reviews()).items()
    }
    pages |= {
        f"calls: {name}": f"{calls}?{urlencode(query)}"
        for name, query in chosen_by.items()
        if "word," not in name
    }
    trail, decisions = (
        path("conversations_auditevent_changelist"),
        path("conversations_decision_changelist"),
    )
    reviewer = User.objects.filter(pk__in=Decision.objects.values("reviewer")).latest("pk")
    read = AuditEvent.objects.filter(action="transcript").latest("id")
    for chosen, query in {
        "30 days": {},
        "all time": {"since": ""},
        "by a name": {"since": "", "who": reviewer.username},
        "by the beginning of names": {"since": "", "who": "r"},
        "searches": {"since": "", "action": "search"},
        "what was read": {"since": "", "action": "reading"},
        "exports (none)": {"since": "", "action": "export"},
        "about a conversation": {"about": read.subject},
    }.items():
        pages[f"trail: {chosen}"] = f"{trail}?{urlencode(query)}"
    for chosen, query in {
        "30 days": {},
        "all time": {"since": ""},
        "by a name": {"since": "", "reviewer": reviewer.username},
        "violations": {"since": "", "disposition": "violation"},
    }.items():
        pages[f"decisions: {chosen}"] = f"{decisions}?{urlencode(query)}"
    return pages


def filters() -> dict[str, dict[str, str]]:
    """Of calls, alone over all time, and in the usual days."""
    calls = Snapshot.objects.order_by("id")
    oldest, newest = calls.first(), calls.last()
    half = oldest.opened + (newest.opened - oldest.opened) / 2
    writers = (
        Conversation.objects.values_list("owner__username")
        .annotate(number=Count("pk"))
        .order_by("-number")
    )
    most, fewest = writers.first()[0], writers.last()[0]
    models = [
        model
        for model, _ in Snapshot.objects.values_list("model")
        .annotate(number=Count("pk"))
        .order_by("-number")
    ]
    common, middling, rare, phrase = words()
    key = Snapshot.objects.exclude(key="").latest("id").key
    everything: dict[str, str] = {"since": ""}
    found = {
        "30 days": {},
        "all time": everything,
        "a day long ago": {"since": f"{half:%Y-%m-%d}", "until": f"{half:%Y-%m-%d}"},
        "up to half a year ago": everything | {"until": f"{half:%Y-%m-%d}"},
        "who writes most": everything | {"user": most},
        "who writes least": everything | {"user": fewest},
        "many people": everything | {"user": "person00"},
        "nobody": everything | {"user": "nobody at all"},
        "a department": everything | {"department": "Research"},
        "a job title": everything | {"job_title": "Controller"},
        "a department, 30 days": {"department": "Legal"},
        "failed, a department": everything | {"status": "failed", "department": "People"},
        "the upstream of all": everything | {"upstream": newest.upstream},
        "an upstream that is none": everything | {"upstream": "nowhere"},
        "commonest model": everything | {"model": models[0]},
        "rarest model": everything | {"model": models[-1]},
        "a model that is none": everything | {"model": "no-such-model"},
        "use case (none)": everything | {"use_case": "no such use case"},
        "from pages": everything | {"source": "page"},
        "by keys": everything | {"source": "key"},
        "by one key": everything | {"source": key},
        "failed, rarest model": everything | {"status": "failed", "model": models[-1]},
        "failed, who writes most": everything | {"status": "failed", "user": most},
        "images, commonest model (none)": everything | {"kind": "image", "model": models[0]},
        "who writes least, rarest model": everything | {"user": fewest, "model": models[-1]},
        "a common word": {"q": common},
        "a common word, all time": everything | {"q": common},
        "a middling word": {"q": middling},
        "a middling word, all time": everything | {"q": middling},
        "a rare word, all time": everything | {"q": rare},
        "a word that nobody said": everything | {"q": "xylophonequartz"},
        "a phrase, all time": everything | {"q": f'"{phrase}"'},
        "a common word without another": everything | {"q": f"{common} -{middling}"},
        "two words": everything | {"q": f"{common} {rare}"},
        "a common word, who writes least": everything | {"q": common, "user": fewest},
        "a common word, who writes most": everything | {"q": common, "user": most},
        "a common word, rarest model": everything | {"q": common, "model": models[-1]},
        "a common word, failed": everything | {"q": common, "status": "failed"},
        "a middling word, a day long ago": {
            "q": middling,
            "since": f"{half:%Y-%m-%d}",
            "until": f"{half:%Y-%m-%d}",
        },
        "an id": {"q": str(newest.id)},
        "the beginning of an id": {"q": f"id:{oldest.id.hex[:8]}"},
    }
    found |= {
        f"status {status}": everything | {"status": status} for status in Snapshot.Status.values
    }
    found |= {f"kind {kind}": everything | {"kind": kind} for kind in Snapshot.Kind.values}
    found["failed, 30 days"] = {"status": "failed"}
    found["rarest model, 30 days"] = {"model": models[-1]}
    return found


def reviews() -> dict[str, dict[str, str]]:
    """Of conversations alone."""
    states = ("none", "waiting", "new", "decided", "violation", "no_issue")
    found = {f"review {state}": {"since": "", "review": state} for state in states} | {
        "review decided, 30 days": {"review": "decided"}
    }
    found |= {f"with {whom}": {"since": "", "assignee": whom} for whom in ("me", "nobody")}
    return found | {
        "violations of who writes in Research": {
            "since": "",
            "review": "violation",
            "department": "Research",
        }
    }


def words() -> tuple[str, str, str, str]:
    """A common one, a middling one, a rare one, and a phrase, of what was said last."""
    texts = list(
        Message.objects.filter(role="assistant")
        .order_by("-conversation_id", "-id")
        .values_list("text", flat=True)[:SAMPLE]
    )
    counted = [
        word
        for word, _ in Counter(
            word for text in texts for word in {*re.findall(r"[a-z]{4,}", text)}
        ).most_common()
    ]
    return (
        counted[0],
        counted[len(counted) // 10],
        counted[-1],
        " ".join(re.findall(r"\w+", texts[0])[1:4]),
    )


def others() -> Pages:
    """Those that are one page each."""
    longest = Conversation.objects.order_by("-turns", "-id")[0]
    branchy = (
        Message.objects.values("conversation")
        .annotate(versions=Count("snapshot") - Count("depth", distinct=True))
        .order_by("-versions")[0]["conversation"]
    )
    waiting, decided = (
        Review.objects.filter(state=state).latest("conversation").conversation_id
        for state in Review.State.values
    )
    image = Snapshot.objects.filter(kind="image").latest("id")
    last, first = longest.snapshots.latest("id"), longest.snapshots.earliest("id")
    failed, refused = (
        Snapshot.objects.filter(status=status).latest("id") for status in ("failed", "refused")
    )
    conversation, call = "conversations_conversation_change", "conversations_snapshot_change"
    pages = {
        "home": path("index"),
        "transcript: longest": path(conversation, longest.id),
        "transcript: longest, its last page": path(conversation, longest.id) + f"?call={last.id}",
        "transcript: longest, its first call": path(conversation, longest.id) + f"?call={first.id}",
        "transcript: longest, from a search": path(conversation, longest.id)
        + f"?_changelist_filters=q%3D{words()[0]}",
        "transcript: most branches": path(conversation, branchy),
        "transcript: waits for a review": path(conversation, waiting),
        "transcript: decided": path(conversation, decided),
        "transcript: an image": path(conversation, image.conversation_id),
        "call: last of the longest": path(call, last.id),
        "call: failed": path(call, failed.id),
        "call: refused": path(call, refused.id),
        "call: an image": path(call, image.id),
        "trail: one event": path(
            "conversations_auditevent_change", AuditEvent.objects.latest("id").id
        ),
        "decisions: one": path("conversations_decision_change", Decision.objects.latest("id").id),
        "users": path("conversations_user_changelist"),
        "users: search": path("conversations_user_changelist") + "?q=person01",
        "users: staff": path("conversations_user_changelist") + "?is_staff__exact=1",
        "users: one": path("conversations_user_change", longest.owner_id),
        "groups": path("auth_group_changelist"),
        "sampling policies": path("conversations_samplingpolicy_changelist"),
        "API keys": path("proxy_apikey_changelist"),
        "reviewers' report": path("reviewers"),
        "other names": path("conversations_othername_changelist"),
    }
    pages |= {
        f"queue: {which}": path("review-queue") + f"?of={which}"
        for which in ("free", "mine", "overdue", "escalated", "all")
    }
    beginning = Place(Review.Severity.HIGH, EPOCH, UUID(int=0))
    pages |= {
        f"queue: {name}": path("review-queue") + f"?of=all&{urlencode(query)}"
        for name, query in {
            "after a place": {"after": str(beginning)},
            "a department": {"department": "Research"},
            "who writes most": {"user": longest.owner.username},
            "grave, due today": {"severity": "3", "due": "today"},
            "a policy": {"policy": SamplingPolicy.objects.latest("pk").pk},
        }.items()
    }
    pages["cases"] = path("cases")
    today = Snapshot.objects.latest("id").opened.date()
    pages |= {
        f"usage report: {days} days": path("usage-report")
        + f"?since={today - timedelta(days=days - 1)}&until={today}"
        for days in (30, 365)
    }
    return pages
