"""How large the body of a page's request may be, and which pages take files.

A view says so itself with `takes`; llmgateway.body_limit holds it before anything is parsed. Files
are kept in memory, whatever their size: the limit of the body is theirs too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, TypeVar

from django.conf import settings
from django.core.exceptions import SuspiciousMultipartForm
from django.core.files.uploadhandler import FileUploadHandler, MemoryFileUploadHandler

DRAIN_FACTOR = 4  # times the largest body: so much of a larger one is read before its refusal
V = TypeVar("V", bound=Callable[..., Any])


class InMemoryUpload(MemoryFileUploadHandler):
    """Uploads in memory, however large: the limit of the body bounds them."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


class NoUpload(FileUploadHandler):
    """Refuses a file before anything of it is kept: settings.FILE_UPLOAD_HANDLERS."""

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SuspiciousMultipartForm("This page takes no files.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> NoReturn:
        raise NotImplementedError

    def file_complete(self, file_size: int) -> None:
        return None


class BodyLimit(NamedTuple):
    """What one view takes."""

    size: int | None = 1 << 20  # bytes; None: MAX_BODY
    files: bool = False

    @property
    def bytes(self) -> int:
        return settings.MAX_BODY if self.size is None else min(self.size, settings.MAX_BODY)

    @property
    def handler(self) -> type[FileUploadHandler]:
        return InMemoryUpload if self.files else NoUpload


FORM = BodyLimit()  # of a page that says nothing
QUESTION = BodyLimit(size=None)  # of a page where a question is asked


def takes(limit: BodyLimit) -> Callable[[V], V]:
    """Mark a view with its limit; it stands above the view's other decorators."""

    def mark(view: V) -> V:
        view.body_limit = limit  # type: ignore[attr-defined]
        return view

    return mark


def limit_of(view: Callable[..., Any]) -> BodyLimit:
    found: BodyLimit = getattr(view, "body_limit", FORM)
    return found
