"""The demo's accounts and sample conversations, once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management import BaseCommand, CommandError
from django.db import connection, transaction

from conversations.models import SamplingPolicy, UsagePolicy, User
from llmgateway.demo import accounts, samples
from proxy.models import ApiKey

POLICY = settings.BASE_DIR / "fixtures" / "usage_policy.md"  # of the demo; a company writes its own
LOCK = 0x67775EDE  # of PostgreSQL's advisory locks: two starts at once load one demo


class Command(BaseCommand):
    help = (
        "Loads the demo's accounts and sample conversations into a database that holds no others. "
        "A second run changes nothing."
    )

    def handle(self, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError(
                "The passwords of these accounts are known to everyone: "
                "this command runs with DEMO=1 only."
            )
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            answer = load()
        if options["verbosity"]:
            self.stdout.write(answer)


def load() -> str:
    if stranger := accounts.strangers().first():
        raise CommandError(
            f"This database holds other people's users, such as {stranger}. "
            "Give the demo a VAR_DIR or DATABASE_URL of its own."
        )
    if accounts.accounts().exists():
        if not accounts.active_demo_accounts().exists():
            raise CommandError(
                "The demo was removed from this database. "
                "Give it a VAR_DIR or DATABASE_URL of its own."
            )
        return "The demo is loaded already. Nothing was changed."
    password = make_password(accounts.PASSWORD)
    users = {}
    for name, fields in accounts.ACCOUNTS.items():
        users[name] = User.objects.create(
            username=name,
            external_id=accounts.MARK + name,
            email=f"{name}@example.com",
            password=password if name in accounts.SIGN_IN else make_password(None),
            **fields,
        )
    users["rita"].groups.add(*Group.objects.filter(name__in=["Reviewer", "Lead"]))
    now = datetime.now(UTC)
    # The worker draws from the samples as it seals them.
    SamplingPolicy.objects.create(
        percent=25, seed=b"the demo's draw", made=now - timedelta(days=365), made_by=users["rita"]
    )
    UsagePolicy(text=POLICY.read_text("utf-8")).publish()
    own = list(ApiKey.OWN_SCOPES)  # what there is to be tried
    ApiKey.make(users["alice"], "Demo key", secret=accounts.API_KEY, scopes=own)
    # What the samples' programs called with; their secrets are kept nowhere.
    keys = {
        name: ApiKey.make(users[name], key)[0].prefix
        for name, key in (("dmitri", "Build scripts"), ("ines", "Notebooks"))
    }
    count = samples.write({name: user.pk for name, user in users.items()}, keys, now)
    samples.assess(now)
    samples.order_seals()
    return (
        f"Loaded {len(users)} demo accounts and {count} sample conversations. "
        f"The password of {', '.join(accounts.SIGN_IN)} is: {accounts.PASSWORD}"
    )
