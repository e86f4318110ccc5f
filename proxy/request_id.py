"""The value of x-request-id: the request's own id, or its snapshot's once there is one.

The log lines of this thread carry it too.
"""

from contextvars import ContextVar

current: ContextVar[str] = ContextVar("request_id", default="")
