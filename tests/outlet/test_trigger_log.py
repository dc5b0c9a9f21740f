"""The trigger log: a line for each decision, whatever the disk and the listeners do."""

import errno
import json
import threading
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pylsl
import pytest

from rtbrain.errors import SettingsError
from rtbrain.outlet import trigger_log
from rtbrain.outlet.trigger_log import TriggerLog, TriggerRow
from tests.conftest import wait_until
from tests.outlet.test_triggers import detection
from tests.stream.receiving import marker_source

pytestmark = pytest.mark.lsl


def test_each_row_is_a_line_of_json_in_the_file_and_on_the_stream(tmp_path):
    name = uuid.uuid4().hex
    log = TriggerLog(name, tmp_path / "log.jsonl", lambda *_, **__: None, bundle_id="abc")
    listener = marker_source(name=f"{name}-triggers", timeout_s=30.0)
    log.push(TriggerRow(1, detection(10.0), "osc", "", 10.5, None))
    log.push(TriggerRow(2, detection(20.0, suppressed="refractory")))
    heard = []
    wait_until(lambda: heard.extend(listener.pull(0.1)) or len(heard) == 2)
    listener.close()
    log.close()
    log.close()
    about, *lines = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert about["session"]["bundle"] == "abc"
    assert abs(about["session"]["t_began"] - pylsl.local_clock()) < 60
    began = datetime.fromisoformat(about["session"]["began"])
    assert abs((datetime.now(UTC) - began).total_seconds()) < 60
    assert [json.loads(text) for _, text in heard] == lines
    assert lines[0] == {
        "label": "speech",
        "value": 0.9,
        "t_neural": 9.8,
        "t_stop": 10.0,
        "t_ready": 10.01,
        "coverage": 1.0,
        "drift": 0.1,
        "calibrated": False,
        "suppressed": "",
        "number": 1,
        "output": "osc",
        "sent": True,
        "t_sent": 10.5,
        "acknowledged": None,
        "t_acknowledged": None,
        "latency_s": 0.5,
    }
    assert lines[1]["suppressed"] == "refractory"
    assert lines[1]["t_sent"] is lines[1]["latency_s"] is None
    again = TriggerLog(name, tmp_path / "log.jsonl", lambda *_, **__: None)
    again.push(TriggerRow(1, detection(1.0)))
    again.close()
    lines = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert ["session" in line for line in lines] == [True, False, False, True, False]


def test_a_full_disk_is_reported_once_and_costs_lines_of_the_file_alone(tmp_path):
    events, name = [], uuid.uuid4().hex
    log = TriggerLog(name, tmp_path / "log.jsonl", lambda event, **_: events.append(event))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    log._file.close()
    log._file = SimpleNamespace(write=full, flush=lambda: None, close=lambda: full(None))
    listener = marker_source(name=f"{name}-triggers", timeout_s=30.0)
    for number in range(3):
        log.push(TriggerRow(number, detection(1.0)))
    heard = []
    wait_until(lambda: heard.extend(listener.pull(0.1)) or len(heard) == 3)
    listener.close()
    log.close()
    assert events == ["trigger_log_failed"] * 2  # at the first line, and how many at the end
    assert log.n_dropped == 3


def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(trigger_log, "_END_S", 0.05)
    reasons, go_on = [], threading.Event()
    log = TriggerLog("x", tmp_path / "log.jsonl", lambda _, reason: reasons.append(reason))
    log._file.close()
    log._file = SimpleNamespace(write=lambda _: go_on.wait(10.0), flush=lambda: None)
    log._rows.maxsize = 2
    thread = log._thread
    log.push(TriggerRow(0, detection(1.0)))
    wait_until(log._rows.empty)
    for number in (1, 2, 3):
        log.push(TriggerRow(number, detection(1.0)))
    log.move(tmp_path / "other.jsonl")
    log.close()
    assert reasons == [
        "it does not go on in other.jsonl",
        "the disk takes nothing; 2 rows wait for it",
        "1 rows are missing in it",
    ]
    go_on.set()
    thread.join(10.0)
    assert not thread.is_alive()


def test_where_a_recording_goes_on_in_another_file_so_does_the_log(tmp_path):
    reasons = []
    log = TriggerLog(
        "x", tmp_path / "a.jsonl", lambda _, reason: reasons.append(reason), bundle_id="abc"
    )
    moves = (tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "absent" / "c.jsonl")
    for number, path in enumerate(moves):
        log.push(TriggerRow(number, detection(1.0)))
        log.move(path)
    log.push(TriggerRow(3, detection(1.0)))
    log.close()
    found = {}
    for name in ("a", "b"):
        about, *rows = map(json.loads, (tmp_path / f"{name}.jsonl").read_text().splitlines())
        assert about["session"]["bundle"] == "abc"
        found[name] = [row["number"] for row in rows]
    assert found == {"a": [0, 1], "b": [2, 3]}
    assert reasons == ["c.jsonl: No such file or directory"]


def test_a_log_that_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"outputs\.log .*cannot be made"):
        TriggerLog("x", tmp_path / "absent" / "log.jsonl", lambda *_, **__: None)
