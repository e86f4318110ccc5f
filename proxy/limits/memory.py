"""Freed memory goes back to the system: glibc keeps it, above all after large requests."""

import ctypes
import platform

MMAP_THRESHOLD = -3  # mallopt's name for it
LARGE = 1 << 20  # bytes; blocks of this size go back as they are freed

_glibc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def keep_little() -> None:
    """Keep the threshold fixed: glibc raises it to the largest block that was ever freed."""
    if _glibc:
        _glibc.mallopt(MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give back what is free between blocks in use. Takes milliseconds, without Python's lock."""
    if _glibc:
        _glibc.malloc_trim(0)
