"""A stored file on its way to a browser: never a page, a script or a style, whatever it was called when it came in."""

import logging

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404

from ..models import Attachment
from ..record import attachments

log = logging.getLogger(__name__)
RASTER = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
)  # the only types that a browser may show by itself


def file_response(attachment: Attachment) -> FileResponse:
    """The caller has checked that this person may have it. A file that storage lost is a 404."""
    digest = bytes(attachment.sha256)
    try:
        file = default_storage.open(attachments.storage_name(digest))
    except FileNotFoundError:
        log.error("attachment %s is not in the storage", attachment.pk)
        raise Http404 from None
    media_type = attachments.detect_media_type(file.read(16))
    file.seek(0)
    shown = media_type in RASTER
    name = (
        f"{digest.hex()[:12]}.{media_type.partition('/')[2]}"
        if shown or media_type == "application/pdf"
        else f"{digest.hex()[:12]}.bin"
    )
    answer = FileResponse(
        file,
        as_attachment=not shown,
        filename=name,
        content_type=media_type if shown else "application/octet-stream",
    )
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer["Cache-Control"] = "no-store"
    answer["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer
