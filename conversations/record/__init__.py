"""The only writer of calls, messages and conversations, and what makes them JSON again.

Imports the models and the flat modules of conversations; knows no other folder.
"""

from .calls import Call, CallRequest, Outcome, UnknownConversation
from .writes import close, is_closed_by, let_go, open, refuse

__all__ = [
    "Call",
    "CallRequest",
    "Outcome",
    "UnknownConversation",
    "close",
    "is_closed_by",
    "let_go",
    "open",
    "refuse",
]
