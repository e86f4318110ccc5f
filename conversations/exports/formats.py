"""The formats of an export, by name."""

from .by_conversation import ConversationsFormat
from .calls import ClassicFormat, FiguresFormat, TurnsFormat
from .faithful import LinesFormat
from .files import FilesFormat
from .format import Format
from .transcript import TranscriptsFormat

FORMATS: dict[str, type[Format]] = {
    each.name: each
    for each in (
        TurnsFormat,
        ConversationsFormat,
        ClassicFormat,
        FiguresFormat,
        LinesFormat,
        TranscriptsFormat,
        FilesFormat,
    )
}
