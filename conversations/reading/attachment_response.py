"""The response that sends a stored file: never a page, a script or a style, whatever its name."""

import logging
from io import BytesIO

from django.http import FileResponse, Http404

from ..models import Attachment
from ..record import attachments

log = logging.getLogger(__name__)
# The only types that a browser may show by itself.
RASTER = ("image/png", "image/jpeg", "image/gif", "image/webp")


def file_response(attachment: Attachment) -> FileResponse:
    """Send the file to a person whose access the caller has checked.

    A file that is lost, or was replaced by another, is a 404.
    """
    digest = bytes(attachment.sha256)
    try:
        data = attachments.read_file(digest.hex())
    except FileNotFoundError:
        log.error("attachment %s is not in the storage", attachment.pk)
        raise Http404 from None
    media_type = attachments.detect_media_type(data)
    inline = media_type in RASTER
    has_known_type = inline or media_type == "application/pdf"
    suffix = media_type.partition("/")[2] if has_known_type else "bin"
    response = FileResponse(
        BytesIO(data),
        as_attachment=not inline,
        filename=f"{digest.hex()[:12]}.{suffix}",
        content_type=media_type if inline else "application/octet-stream",
    )
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "no-store"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    return response
