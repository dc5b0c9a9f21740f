"""Threads that come and go leave no heaps of their own behind."""

import ctypes
import subprocess
import sys

import pytest

# malloc_info writes a <heap> an arena; the blocks are too large for a thread's own cache.
_SCRIPT = """
import ctypes, sys, threading
from rtbrain.view.run import limit_malloc_arenas

if sys.argv[1] == "one":
    limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
everyone = threading.Barrier(4)

def take():
    everyone.wait()
    libc.malloc(ctypes.c_size_t(5000))
    everyone.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(stream := libc.fdopen(1, b"w")))
libc.fflush(ctypes.c_void_p(stream))
"""


def _heaps(how_many: str) -> int:
    command = [sys.executable, "-c", _SCRIPT, how_many]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("<heap")


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_info"),
    reason="only glibc has a heap a thread",
)
def test_threads_share_one_heap_once_they_are_told_to() -> None:
    assert _heaps("as usual") > 1
    assert _heaps("one") == 1
