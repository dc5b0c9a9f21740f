"""Memory of the window's process: one heap, so that it stays level while streams come and go."""

import ctypes
import sys

__all__ = ["keep_to_one_heap"]

_M_ARENA_MAX = -8  # glibc's malloc.h


def keep_to_one_heap() -> None:
    """Have glibc give every thread memory from one heap; elsewhere nothing is done.

    By default threads get heaps of their own, eight a core. Those of liblsl, which come and go
    with each stream on the network, leave holes in all of them, and none is given back: resident
    memory rises though nothing more is used. To be called before there are other threads: a heap
    that is there stays in use.
    """
    # Other C libraries of Linux have no such call.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
