"""A receiver of submissions, and a feed to it that is switched on."""

import pytest
from django.test import override_settings

from conversations.models import Seal
from conversations.proof import sealing
from proxy.models import Submission, SubmissionFeed
from proxy.tests.conftest import made_database
from proxy.tests.wire import Wire


@pytest.fixture(scope="module")
def committed(django_db_blocker, worker_id):
    """All that is closed is sealed, and may be due: here that is what these tests leave."""
    with django_db_blocker.unblock(), made_database(f"test_sent_{worker_id}") as made:
        yield made


@pytest.fixture(autouse=True)
def feed(database):
    """Switched on, with nothing to do."""
    while sealing.seal():
        pass
    Submission.objects.all().delete()
    SubmissionFeed.objects.all().delete()
    head = Seal.objects.order_by("-number").first()
    yield SubmissionFeed.objects.create(pk=1, number=head.number if head else 0)
    Submission.objects.all().delete()
    SubmissionFeed.objects.all().delete()


@pytest.fixture
def receiver():
    with Wire() as receiver:
        yield receiver


@pytest.fixture
def on(receiver):
    """This process delivers; what failed waits until `later`."""
    with override_settings(
        ENABLE_SUBMISSIONS_API=True,
        SUBMISSIONS_API_URL=f"{receiver.url}/submissions",
        SUBMISSIONS_TIMEOUT=5,
        SUBMISSIONS_PAUSE=3600,
        SUBMISSIONS_LONGEST_PAUSE=3600,
    ):
        yield
