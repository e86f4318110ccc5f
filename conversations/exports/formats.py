"""The formats of an export, by name."""

from .by_conversation import Conversations
from .calls import Classic, Figures, Turns
from .faithful import Lines
from .files import Files
from .format import Format
from .transcript import Transcripts

FORMATS: dict[str, type[Format]] = {each.name: each for each in (Turns, Conversations, Classic, Figures, Lines, Transcripts, Files)}
