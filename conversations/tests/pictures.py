"""A message with a picture."""

import base64

from conversations.tests.calls import user

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20
URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()


# Files ----------------------------------------------------------------------------------------


def picture(text: str = "look") -> dict:
    return user([{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": URL}}])
