"""Whether search finds all that was said: each sealed call has its entries in the index."""

from collections.abc import Iterator

from ..models import Seal
from . import index

PORTION = 2000  # calls that are looked at together


def check() -> Iterator[str]:
    """Yield each sealed call that lacks an entry, in a sentence."""
    calls = Seal.objects.filter(kind="snapshot").order_by("number")
    number = 0
    while part := list(calls.filter(number__gt=number).values_list("number", "subject")[:PORTION]):
        for call in sorted(index.list_incomplete([subject for _, subject in part])):
            yield f"The snapshot {call} is not whole in the search index: search misses its words."
        number = part[-1][0]
