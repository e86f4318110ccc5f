"""The only writer of calls, messages and conversations, and what makes them JSON again.

Imports the models and the flat modules of conversations; knows no other folder.
"""

from .calls import Asked, Call, Outcome, UnknownConversation
from .writes import close, open, refuse

__all__ = ["Asked", "Call", "Outcome", "UnknownConversation", "close", "open", "refuse"]
