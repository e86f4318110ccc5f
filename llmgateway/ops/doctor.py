"""Is everything there that the gateway stands on? Each trouble with its fix.

`manage.py doctor` says it. It never says a secret, nor what a person wrote; it changes nothing, and
asks upstreams for nothing that costs.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from conversations.database import release
from conversations.models import AuditEvent, Notice, Process, User
from conversations.people import identity
from conversations.proof import runs, sealing
from conversations.record.processes import SILENT, measure_silence
from llmgateway.demo import accounts
from proxy.faults import Fault
from proxy.models import CheckpointFeed, Upstream
from proxy.upstreams import client, endpoints, routing
from proxy.upstreams.reach import test_upstream

OK = "ok"
WARN = "warn"
FAIL = "FAIL"
OLDEST = 15  # PostgreSQL's version
BEHIND = timedelta(minutes=5)  # of the backlog's age
APART = 2.0, 30.0  # seconds between two clocks: worth a word, and too many
DAY = timedelta(days=1)
OFTEN = 20  # failed sign-ins, of which one address is worth a word
SHORT, OUT = 5 << 30, 500 << 20  # bytes that are free
# Django's own that concern us: the rest know neither our middleware nor a proxy
DEPLOYMENT = ("security.W009", "security.W020")
LOGGED = {
    "log_statement": ("none",),
    "log_min_duration_statement": ("-1",),
    "log_min_error_statement": ("fatal", "panic", "log"),
}


class Finding(NamedTuple):
    level: str
    about: str
    text: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    yield from configuration()
    if settings.READING.problems:  # the rest would be asked with values that are not meant
        return
    try:
        connection.ensure_connection()
    except Error as problem:
        yield Finding(
            FAIL,
            "database",
            f"It does not answer: {str(problem).splitlines()[0]}",
            "Start PostgreSQL, or mend DATABASE_URL.",
        )
    else:
        for part in (database, people, sign_ins, processes, proofs, listed):
            try:
                yield from part()
            except Error as problem:
                yield Finding(
                    FAIL,
                    "database",
                    f"It would not tell: {type(problem).__name__}.",
                    "Mend what is said above, and ask again.",
                )
    finally:
        release()
    yield from upstreams()
    yield from disks()


def configuration() -> Iterator[Finding]:
    messages = [
        message
        for message in checks.run_checks(include_deployment_checks=not settings.DEMO)
        if not str(message.id).startswith("security.") or message.id in DEPLOYMENT
    ]
    for message in messages:
        yield Finding(
            FAIL if message.level >= checks.ERROR else WARN,
            "settings",
            message.msg,
            message.hint or f"See {message.id} in Django's documentation.",
        )
    if (
        not settings.DEMO
        and not settings.BEHIND_TLS
        and settings.HOST not in ("127.0.0.1", "::1", "localhost")
    ):
        fix = "Put a proxy in front that ends TLS, and set BEHIND_TLS=true and TRUSTED_PROXIES."
        yield Finding(WARN, "settings", "Passwords and keys may come in without TLS.", fix)
    if not messages:
        yield Finding(OK, "settings", "In order.")


def database() -> Iterator[Finding]:
    version = connection.pg_version // 10_000  # type: ignore[attr-defined]
    loader = MigrationLoader(connection)
    missing = len(set(loader.disk_migrations or ()) - set(loader.applied_migrations or ()))
    if version < OLDEST:
        yield Finding(
            FAIL,
            "database",
            f"PostgreSQL {version} is too old.",
            f"Move to {OLDEST} or newer: manage.py backup and restore.",
        )
    if missing:
        yield Finding(
            FAIL,
            "database",
            f"{missing} migrations are not applied.",
            "Run manage.py migrate, or start the gateway again.",
        )
    if version >= OLDEST and not missing:
        yield Finding(OK, "database", f"PostgreSQL {version}, all migrations applied.")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name",
            [list(LOGGED)],
        )
        if telling := [name for name, value in cursor.fetchall() if value not in LOGGED[name]]:
            fix = "Set them as docs/operations.md says under “A PostgreSQL of your own”."
            yield Finding(
                WARN, "database", f"Its log may hold what people say: {', '.join(telling)}.", fix
            )
        began = time.time()
        cursor.execute("SELECT clock_timestamp()")
        yield clock("the database's", cursor.fetchone()[0], (began + time.time()) / 2)


def people() -> Iterator[Finding]:
    if not settings.DEMO and (count := accounts.active_demo_accounts().count()):
        yield Finding(
            FAIL,
            "accounts",
            f"{count} demo accounts are active, and their password is known to everyone.",
            "Run manage.py remove_demo.",
        )
    if settings.PSEUDONYMS:
        aliases = [identity.alias(key) for key in User.objects.values_list("pk", flat=True)]
        if alike := len(aliases) - len(set(aliases)):
            fix = "Set another PSEUDONYM_KEY: it gives every person another alias."
            yield Finding(WARN, "accounts", f"{alike} people share an alias with another.", fix)
        else:
            yield Finding(OK, "accounts", "No two have the same alias.")


def sign_ins() -> Iterator[Finding]:
    """Where all failures come from one address, it may be a proxy's that nothing knows."""
    now = timezone.now()
    failed = AuditEvent.objects.doing(AuditEvent.Action.SIGN_IN_FAILED).between(now - DAY, now)
    addresses = failed.count_by_address()
    count = sum(addresses.values())
    if len(addresses) == 1 and count >= OFTEN:
        [address] = addresses
        text = f"All {count} failed sign-ins of the last day come from {address or 'nowhere'}."
        fix = "If that is a proxy, name it in TRUSTED_PROXIES: a pause there is one for everyone."
        yield Finding(WARN, "sign-in", text, fix)


def processes() -> Iterator[Finding]:
    silent = measure_silence()
    if silent is None or silent > SILENT:
        how = "None works" if silent is None else f"It has been silent for {seconds(silent)}"
        yield Finding(
            FAIL,
            "worker",
            f"{how}: seals, search and jobs wait.",
            "Start it: manage.py serve, or its part, manage.py serve worker.",
        )
    else:
        yield Finding(OK, "worker", f"It beat {seconds(silent)} ago.")
    waiting, age = sealing.measure_backlog()
    if age > BEHIND:
        fix = "The worker's log has the reason."
        yield Finding(
            WARN,
            "worker",
            f"{waiting} rows of the record wait for their seal, the oldest for {seconds(age)}.",
            fix,
        )
    if failed := ProcrastinateJob.objects.filter(status="failed").count():
        yield Finding(
            WARN,
            "worker",
            f"{failed} jobs have failed.",
            "The worker's log names each at the time that it failed.",
        )
    if not Process.objects.filter(role=Process.Role.WEB).exists():
        yield Finding(WARN, "web", "No web process is registered.", "Start manage.py serve.")


def proofs() -> Iterator[Finding]:
    """When the record was last found whole, and whether its proofs leave this machine."""
    yield _judge_record(runs.read_standing())
    if failing := Notice.objects.failing().count():
        newest = Notice.objects.failing().order_by("-id").values_list("problem", flat=True).first()
        fix = "Mend what NOTICE_URL or NOTICE_MAIL names; they are sent again by themselves."
        yield Finding(WARN, "notices", f"{failing} could not be delivered: {newest}.", fix)
    if not settings.CHECKPOINT_URL:
        return
    feed = CheckpointFeed.objects.first()
    if feed and feed.failing_since:
        fix = "Mend the receiver, or CHECKPOINT_URL and CHECKPOINT_AUTHORIZATION."
        text = f"None was taken since {feed.failing_since:%Y-%m-%d %H:%M} UTC: {feed.problem}."
        yield Finding(FAIL, "checkpoints", text, fix)
    elif feed and feed.took:
        yield Finding(OK, "checkpoints", f"Taken up to seal {feed.number:,}.")


def _judge_record(standing: runs.Standing) -> Finding:
    last = standing.newest
    fix = "Look at /admin/checks/, or run manage.py verify."
    if last is None:
        return Finding(WARN, "record", "It was never checked.", fix)
    when = f"The check of {last.ended:%Y-%m-%d %H:%M} UTC"
    if last.problem:
        return Finding(FAIL, "record", f"{when} found a problem.", fix)
    if standing.is_old:
        return Finding(WARN, "record", f"{when} was the last: none is newer.", fix)
    if not last.is_whole:
        fix = "A worker signs checkpoints: does it run, and can it write CHECKPOINT_FILE?"
        return Finding(WARN, "record", f"{when} found no checkpoint that confirms it.", fix)
    return Finding(OK, "record", f"{when} found it whole.")


def listed() -> Iterator[Finding]:
    """The upstreams that the admin lists."""
    for row in Upstream.objects.filter(enabled=True).order_by("name"):
        try:
            yield Finding(OK, f"upstream {row.name}", test_upstream(routing.make_route(row)))
        except Fault as fault:
            yield Finding(
                FAIL,
                f"upstream {row.name}",
                fault.text,
                "Mend its address or its credential in the admin, or switch it off there.",
            )


def upstreams() -> Iterator[Finding]:
    asked = set()
    for name, where in places():
        try:
            url = urlsplit(where)
        except ValueError:
            continue  # the settings' own check says so
        if url[:2] in asked:
            continue
        asked.add(url[:2])
        about = f"upstream {url.netloc.rpartition('@')[2]}"
        try:
            reply = client.get(where, client.make_environment_headers(), timeout=5)
        except Fault as fault:
            yield Finding(
                FAIL,
                about,
                fault.text,
                f"Is {name} right, and may this machine reach it "
                "(a firewall, LLM_PROXY, LLM_CA_BUNDLE)?",
            )
            continue
        reply.close()
        if reply.status_code in (401, 403, 407):
            yield Finding(
                FAIL,
                about,
                "It refuses the gateway's credentials.",
                "Mend LLM_API_AUTHORIZATION, and restart.",
            )
        elif reply.status_code >= 500:
            yield Finding(WARN, about, f"It answers {reply.status_code}.", "Ask its operator.")
        else:
            yield Finding(OK, about, "It answers.")
        with contextlib.suppress(ValueError):  # a server without a clock
            yield clock(
                f"{url.hostname}'s",
                parsedate_to_datetime(reply.headers.get("date", "")),
                time.time(),
                slack=1,
            )


def places() -> Iterator[tuple[str, str]]:
    """Each setting, with an address that can be asked without cost.

    It is the list of models where there is one, since that wants the credentials.
    """
    with contextlib.suppress(Fault):
        yield "LLM_ENDPOINT", endpoints.models_url()
    for name in ("LLM_GATEWAY_URL", "LLM_IMG_ENDPOINT", "LLM_EMBEDDINGS_ENDPOINT"):
        if address := getattr(settings, name):
            yield name, address


def disks() -> Iterator[Finding]:
    for about, folder in (
        ("VAR_DIR", settings.VAR_DIR),
        ("ATTACHMENTS_DIR", Path(settings.MEDIA_ROOT)),
    ):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                free = shutil.disk_usage(folder).free
        except OSError as problem:
            yield Finding(
                FAIL,
                about,
                f"{folder} cannot be written: {problem.strerror}.",
                "Give it to the gateway's account, or name another folder.",
            )
            continue
        text = f"{free / (1 << 30):,.1f} GB are free."
        if free >= SHORT:
            yield Finding(OK, about, text)
            continue
        fix = "Make room: where nothing can be recorded, nothing passes."
        yield Finding(FAIL if free < OUT else WARN, about, text, fix)


def clock(whose: str, theirs: datetime, here: float, slack: float = 0) -> Finding:
    apart = max(0.0, abs(theirs.timestamp() - here) - slack)
    worth, many = APART
    if apart <= worth:
        return Finding(OK, "clock", f"It agrees with {whose}.")
    fix = "Let a time service run on both, such as chrony."
    return Finding(
        FAIL if apart > many else WARN, "clock", f"It is {apart:,.0f} s apart from {whose}.", fix
    )


def seconds(long: timedelta) -> str:
    return f"{long.total_seconds():,.0f} s"
