"""A decoder that stands by: it loads what it needs, looks for streams, and waits for its turn."""

import json
import os
import threading
import uuid
from types import SimpleNamespace

import pytest

from rtbrain.live.supervision import turn
from rtbrain.live.supervision.turn import await_turn
from rtbrain.outlet import MarkerOutlet
from rtbrain.stream.lsl.resolve import list_streams
from tests.conftest import wait_until


@pytest.fixture
def supervisor(monkeypatch):
    """The supervisor's end of this process' standard input."""
    reading, writing = os.pipe()
    monkeypatch.setattr(turn.sys, "stdin", SimpleNamespace(fileno=lambda: reading))
    monkeypatch.setattr(turn.os, "set_blocking", lambda of, blocking: None)  # the test's own
    yield writing
    os.close(writing)
    os.close(reading)


def word(restarts):
    values = {"restarts": restarts, "reason": "exit code 1", "elapsed_s": 3.5}
    return json.dumps(values).encode() + b"\n"


def test_the_first_decoder_begins_at_once_without_loading_anything(
    supervisor, monkeypatch, tmp_path
):
    monkeypatch.setattr(turn, "at_low_priority", lambda function: pytest.fail("it loads"))
    os.write(supervisor, word(0))
    mine = await_turn(tmp_path)
    assert (mine.restarts, mine.reason, mine.elapsed_s) == (0, "exit code 1", 3.5)
    os.write(supervisor, b'{"event": "record_failed", "code": 1}\n')
    news = []
    wait_until(lambda: news.extend(mine.news()) or news)
    assert news == [("record_failed", {"code": 1})]


@pytest.mark.lsl
def test_one_that_stands_by_knows_the_streams_by_the_time_it_takes_over(supervisor, tmp_path):
    name = f"there-{uuid.uuid4().hex}"
    outlet = MarkerOutlet(name, source_id=name)
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(await_turn(tmp_path / "replaced now")))
    waiting.start()
    try:
        wait_until(lambda: any(row.name == name for row in list_streams()))
    finally:
        os.write(supervisor, word(4))
        waiting.join()
    (mine,) = taken
    assert mine.restarts == 4
    assert name in {info.name() for info in mine.watcher.look()}
    outlet.close()


def test_one_whose_supervisor_has_gone_ends(supervisor, tmp_path):
    with open(os.devnull, "w") as elsewhere:
        os.dup2(elsewhere.fileno(), supervisor)  # its number stays taken
    assert await_turn(tmp_path) is None
