"""What cuts a call from outside, and how it ends then."""

from enum import StrEnum, auto

from conversations.models import Snapshot

from .. import faults


class Cause(StrEnum):
    GONE = auto()  # the caller hung up
    STOPPED = auto()  # a person pressed Stop
    SILENT = auto()  # the upstream sent nothing for too long
    TOO_LONG = auto()
    INTERRUPTED = auto()  # this process ends


ENDINGS = {  # cause → the status that the record gets, and the caller's error
    Cause.GONE: (Snapshot.Status.CANCELLED, faults.client_gone),
    Cause.STOPPED: (Snapshot.Status.CANCELLED, faults.stopped),
    Cause.SILENT: (Snapshot.Status.FAILED, faults.silent),
    Cause.TOO_LONG: (Snapshot.Status.FAILED, faults.too_long),
    Cause.INTERRUPTED: (Snapshot.Status.INTERRUPTED, faults.gateway_stopped),
}
