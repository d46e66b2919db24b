"""Memory that arrays leave is kept for the next ones, where the C library would give it back at once.

glibc returns free memory at the top of its heap beyond some hundred kilobytes to the system, which then clears every
page of the next array anew: measured, that is more than half of the time of a sweep whose arrays fit a cache.
"""

from __future__ import annotations

import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt (glibc, malloc.h)."""
KEPT = 256 << 20
"""Free memory that is kept [B]."""
LARGEST = 32 << 20
"""Arrays up to this size come from the heap [B]: the most that glibc takes."""


@cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory, once a process; return whether it takes such advice."""
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, LARGEST))
