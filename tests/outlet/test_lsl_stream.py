"""One LSL stream that several threads send on."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest

from rtbrain.outlet import StatusOutlet

pytestmark = pytest.mark.lsl


def test_threads_that_report_at_once_push_one_after_the_other(monkeypatch):
    status, both = StatusOutlet("s", source_id=uuid.uuid4().hex), threading.Barrier(2)
    overlapped, pushed = [], []

    def push_sample(values, _):
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
            overlapped.append(values)
        pushed.append(values)

    with monkeypatch.context() as patch:
        patch.setattr(status._stream, "_outlet", SimpleNamespace(push_sample=push_sample))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(status.emit, ("a", "b")))
    assert (len(pushed), overlapped) == (2, [])
    status.close()
    status.close()
    status.emit("dropped")  # as a thread may that outlives the session
