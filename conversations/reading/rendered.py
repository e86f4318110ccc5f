"""A cache of rendered Markdown: answers do not change, and most pages show the same ones again."""

import threading
from collections import OrderedDict
from hashlib import sha256

from django.utils.safestring import SafeString

from . import markdown

MOST = 16_000_000  # characters of HTML that a process keeps


class RenderedCache:
    """HTML by its text's digest, the most recently used.

    A process lives no longer than its renderer, so another version of that finds nothing here.
    """

    def __init__(self, most: int) -> None:
        self.most = most  # characters
        self.size = 0
        self.lock = threading.Lock()
        self.pages: OrderedDict[bytes, SafeString] = OrderedDict()

    def html(self, text: str) -> SafeString:
        key = sha256(text.encode(errors="surrogatepass")).digest()
        with self.lock:
            if key in self.pages:
                self.pages.move_to_end(key)
                return self.pages[key]
        html = markdown.html(text)
        if not html.startswith("<pre"):  # plain text: too long to keep, or too slow this time
            with self.lock:
                self.size += len(html) - len(self.pages.pop(key, ""))
                self.pages[key] = html
                while self.size > self.most:
                    self.size -= len(self.pages.popitem(last=False)[1])
        return html


html = RenderedCache(MOST).html
