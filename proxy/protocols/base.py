"""What the relay asks of a protocol whose answers come as events."""

from typing import Any, Protocol

from conversations.shape import Json

from .merge import Channel


class StreamedReply(Protocol):
    """What a stream amounts to so far."""

    done: bool  # its own end mark was seen
    bad: bool  # something came that is no event of it
    error: Any  # what an event says went wrong
    answered: bool  # the first piece of an answer came
    waiting: int  # bytes since the growth was last taken
    held: bytes  # events that leave once the record is closed

    def feed(self, piece: bytes) -> bytes:
        """Take whole events in. Return those that the caller gets now."""

    @property
    def ended(self) -> bool:
        """Whether nothing that follows belongs to the answer."""

    @property
    def begun(self) -> bool:
        """Whether something of an answer was read."""

    @property
    def finished(self) -> bool:
        """Whether the answer says that it is whole."""

    @property
    def complete(self) -> bool:
        """Whether all came that was asked for, though no end mark did."""

    @property
    def end(self) -> bytes:
        """The mark that ends a good answer for the caller."""

    def finish(self) -> None:
        """Take in that nothing more comes."""

    def take(self) -> list[tuple[Channel, str]]:
        """Return what each string has grown by since the last time, and where it stands."""

    def whole(self) -> Json | None:
        """Return the JSON that one document would have been; None where nothing came."""


class StreamProtocol(Protocol):
    """A module of this folder, or an object like one."""

    def new_reply(self) -> StreamedReply:
        """Begin a stream."""

    def problem(self, error: Json) -> bytes:
        """Write an event that says why the answer ends here."""

    def as_stream(self, answer: Json) -> bytes:
        """Turn a JSON reply into the stream that the caller wanted."""

    def as_document(self, answer: Json, model: str, name: str, /) -> Json:
        """Turn what a stream amounted to into the JSON that the caller wanted.

        `model` and `name` stand in for a model and for ids that are missing.
        """
