"""The base of every view of the API: a method is served only to keys with the scopes it names."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.views import APIView

from conversations.models import AuditEvent, Conversation, User
from conversations.people import audit, policy

from .. import faults
from ..faults import Fault
from ..models import ApiKey
from .authentication import Caller, get_caller

Scope = ApiKey.Scope


class ScopedView(APIView):
    """A view that serves the methods in `scopes` and answers 405 to all others.

    `scopes` names for each method all that a key needs; without any, every key will do. A view that
    declares nothing serves nothing. Sessions hold every scope; what a right of the account is
    needed for, its view asks. What a key reads that another than its owner made is on the audit
    trail before it is read.
    """

    scopes: ClassVar[Mapping[str, tuple[Scope, ...]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.http_method_names = list(cls.scopes)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Judge the caller before the view's own code sees the request. Raises Fault."""
        super().initial(request, *args, **kwargs)
        needed = self.scopes.get((request.method or "").lower(), ())
        caller = get_caller(request)
        if fault := judge(caller, needed):
            raise self.refuse(request, fault) from None
        if Scope.HISTORY in needed and caller.made_elsewhere:
            record_reading(request)

    def refuse(self, request: Request, fault: Fault) -> Fault:
        """Return the fault; a view of calls records it first."""
        return fault


def judge(caller: Caller, needed: tuple[Scope, ...]) -> Fault | None:
    """Return why this caller may not do what needs these scopes; None: it may."""
    missing = [scope for scope in needed if scope not in caller.scopes]
    if missing:
        return faults.scope_missing(f"This API key may not be used for {' and '.join(missing)}.")
    asks = set(needed).intersection(ApiKey.ASKING_SCOPES)
    if asks and not caller.key and policy.pending_policy(User.objects.get(id=caller.owner)):
        return faults.policy_not_accepted(policy.ACCEPT_FIRST)
    return None


def record_reading(request: Request) -> None:
    """Record that a key which another than its owner made reads its owner's conversations."""
    caller, http = get_caller(request), request._request
    http.user = User.objects.get(id=caller.owner)
    audit.record(
        http,
        AuditEvent.Action.LIST,
        Conversation,
        via="API",
        page=http.path,
        key=caller.key,
        owner=http.user.get_username(),
        owner_id=caller.owner,
    )
