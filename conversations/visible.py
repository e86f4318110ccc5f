"""Text that a reviewer can trust.

Characters that hide or reorder what stands beside them are named instead of obeyed.
"""

import re

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

# Controls but tab and newline, formatting (bidi, zero width, tags), separators, blanks that are
# letters, and variation selectors, which can carry a message of their own (a single U+FE0F after a
# character is how emoji are written).
HIDDEN = re.compile(
    "([\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U00013440"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<=\ufe0f)\ufe0f)"
)


def show_hidden(text: str) -> SafeString:
    """Escape text as HTML in which each hidden character reads ‹U+202E›.

    The mark is an element of its own, so that no text can imitate it.
    """
    pieces = HIDDEN.split(text.replace("\r\n", "\n"))
    return format_html_join(
        "", "{}", ((_mark(piece) if i % 2 else piece,) for i, piece in enumerate(pieces))
    )


def _mark(character: str) -> SafeString:
    return SafeString(f'<span class="gw-hidden">‹U+{ord(character):04X}›</span>')
