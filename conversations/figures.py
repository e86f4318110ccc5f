"""Numbers as pages and files write them: counts, money, durations."""

from datetime import timedelta
from decimal import Decimal


def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def dollars(value: Decimal | None) -> str:
    if value is None:
        return "–"
    if not value:
        return "$0"
    return "< $0.0001" if value < Decimal("0.0001") else f"${value:,.4f}"


def short(value: float) -> str:
    """Round to three digits: 12, 12.3k, 1.23M."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


def money(value: Decimal) -> str:
    """Round a sum to the cent, where there are cents."""
    return f"${value:,.2f}" if value >= 1 else dollars(value)


def spent(seconds: float) -> str:
    """Round hours of work: 40 s, 12 min, 3.5 h."""
    if seconds < 60:
        return f"{seconds:.0f}\xa0s"
    if seconds < 3600:
        return f"{seconds / 60:.0f}\xa0min"
    return f"{seconds / 3600:,.1f}\xa0h"


def lasting(value: timedelta | None) -> str:
    if value is None:
        return "–"
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
