"""A picture is of something; threads that come and go leave no heaps of their own behind."""

import ctypes
import gc
import subprocess
import sys
import threading

import pytest
from pytestqt.qtbot import QtBot

from rtbrain.view.run import collect_garbage_here, what_is_missing
from tests.view.stub import feed

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


def test_a_picture_without_the_signal_that_was_named_says_what_is_missing() -> None:
    seen, absent = feed("signal", received=1), feed("signal", "absent", name="")
    decodes = feed("decode", received=1)
    assert what_is_missing([seen, feed("decode")], "amp", 7) == ""
    assert what_is_missing([seen, feed("decode")], None, 7) == ""
    assert what_is_missing([absent, decodes], None, 7) == ""
    missing = what_is_missing([absent, decodes], "amp", 7)
    assert missing == "stream 'amp' was not found within 7 s: start its sender"
    assert "a signal was not found" in what_is_missing([absent, feed("decode")], None, 7)
    silent = what_is_missing([feed("signal"), feed("decode")], "amp", 7)
    assert "sent no sample within 7 s" in silent
    refused = feed("signal", "absent", problem="stream 'amp' has no regular rate")
    assert "no regular rate" in what_is_missing([refused, decodes], "amp", 7)


def test_garbage_goes_in_the_thread_of_the_window_whichever_thread_makes_objects(
    qtbot: QtBot,
) -> None:
    ended_in: list[int] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            ended_in.append(threading.get_ident())

    made: list[list[int]] = []
    gc.enable()  # tests of windows begin without
    with collect_garbage_here():
        Cycle()
        worker = threading.Thread(target=lambda: made.extend([] for _ in range(100_000)))
        worker.start()
        worker.join()
        assert ended_in == []
        qtbot.waitUntil(lambda: bool(ended_in), timeout=30_000)
    assert ended_in == [threading.get_ident()]
