"""Have the C library give memory back to the system once a large request is done with it.

By itself glibc keeps freed blocks of up to 32 MiB, in each of several arenas. Measured with the digits model: 119 MB
idle and 213 MB after requests of 1 to 40 MB that were refused; so told, 112 MB and 130 MB.
"""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt (malloc.h)."""

MAPPED_BYTES = 1 << 22
"""Larger blocks are mapped one by one and given back when they are freed; inputs and outputs are rarely so large."""

KEPT_BYTES = 1 << 23
"""Free memory at the end of the heap that is kept for the next request."""


def give_back() -> bool:
    """Set it, before there are threads; whether this C library could be told."""
    try:
        import ctypes

        tell = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):  # no ctypes in this image, or a C library other than glibc
        return False
    wanted = ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, MAPPED_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES))
    told = [bool(tell(name, value)) for name, value in wanted]
    return all(told)
