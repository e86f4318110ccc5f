"""A receiver of submissions, and a feed to it that is switched on."""

import pytest
from django.test import override_settings

from conversations.models import Seal
from conversations.proof import sealing
from proxy.models import Submission, SubmissionFeed
from proxy.tests.wire import Wire


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
