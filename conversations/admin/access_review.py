"""The access review: who holds which right, since when, and who gave it, as the trail has it.

It names accounts, so it is for readers who see people by name; Leads of some departments see the
accounts of these.
"""

from collections.abc import Iterator
from datetime import UTC
from itertools import groupby

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from .. import database
from ..downloads import download_headers
from ..exports.table import BOM, csv_line
from ..models import AuditEvent, User
from ..people import audit, grants
from ..people.access import holders_of, reviews_departments
from ..people.grants import Grant
from ..people.identity import hides_people
from .rights import require_rights

SHOWN = 50  # accounts of a page
AT_ONCE = 200  # accounts of a stretch of the CSV
COLUMNS = (
    "account",
    "name",
    "department",
    "right",
    "right_in_words",
    "through",
    "since",
    "granted_by",
    "self_granted",
    "on_the_trail",
)


@require_rights("view_audit")
def page(request: HttpRequest) -> HttpResponse:
    right = read_right(request)
    after = request.GET.get("after", "")[:150]
    accounts = select_accounts(request, right)
    shown = list(grants.with_sources(accounts.filter(username__gt=after))[: SHOWN + 1])
    more, shown = len(shown) > SHOWN, shown[:SHOWN]
    audit.record(request, AuditEvent.Action.LIST, User, of="access review", right=right)
    found = groupby(grants.explain(shown), key=lambda grant: grant.account)
    older = urlencode({"right": right, "after": shown[-1].username}) if more else ""
    context = {
        **admin.site.each_context(request),
        "title": _("Access review"),
        "rows": [(account, list(each)) for account, each in found],
        "rights": grants.RIGHTS.items(),
        "right": right,
        "after": after,
        "more": older,
        "csv": f"{reverse('admin:access-review-csv')}?{urlencode({'right': right})}",
    }
    return TemplateResponse(request, "admin/access_review.html", context)


@require_rights("view_audit")
def download_csv(request: HttpRequest) -> StreamingHttpResponse:
    right = read_right(request)
    accounts = select_accounts(request, right)
    audit.record(
        request, AuditEvent.Action.EXPORT, User, of="access review", right=right, format="csv"
    )
    return StreamingHttpResponse(
        write_csv(accounts),
        content_type="text/csv; charset=utf-8",
        headers=download_headers(f"access-{timezone.localtime():%Y-%m-%d-%H%M%S}.csv"),
    )


def read_right(request: HttpRequest) -> str:
    """Return the right that is asked about; none for all."""
    right = request.GET.get("right", "")
    return right if right in grants.RIGHTS else ""


def select_accounts(request: HttpRequest, right: str) -> QuerySet[User]:
    """Select the accounts that the reader may see. Raises PermissionDenied."""
    if hides_people(request.user):
        raise PermissionDenied
    accounts = holders_of(right) if right else grants.holders()
    if departments := reviews_departments(request.user):
        accounts = accounts.filter(department__in=departments)
    return accounts.order_by("username")


def write_csv(accounts: QuerySet[User]) -> Iterator[bytes]:
    """Yield a line for each right that each account holds, by each way that it has it."""
    yield BOM + csv_line(COLUMNS)
    last = ""
    while stretch := list(grants.with_sources(accounts.filter(username__gt=last))[:AT_ONCE]):
        lines = [line for grant in grants.explain(stretch) for line in _lines(grant)]
        database.release()
        yield b"".join(map(csv_line, lines))
        last = stretch[-1].username


def _lines(grant: Grant) -> Iterator[tuple[str, ...]]:
    account = grant.account
    since = grant.since.astimezone(UTC).isoformat(timespec="seconds") if grant.since else ""
    for codename, words in grant.rights or [("", "")]:
        yield (
            account.get_username(),
            account.get_full_name(),
            account.department,
            codename,
            words,
            grant.through,
            since,
            grant.by,
            "yes" if grant.is_own else "no",
            "yes" if grant.event else "no",
        )
