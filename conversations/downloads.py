"""The headers of a file that a browser saves and never shows."""

from django.utils.http import content_disposition_header


def download_headers(name: str) -> dict[str, str]:
    return {
        "Content-Disposition": content_disposition_header(as_attachment=True, filename=name)
        or "attachment",
        "X-Content-Type-Options": "nosniff",
    }
