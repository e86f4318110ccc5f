"""What x-request-id will carry: the request's own id, and its snapshot's once there is one. This thread's log lines carry it too."""

from contextvars import ContextVar

current: ContextVar[str] = ContextVar("request_id", default="")
