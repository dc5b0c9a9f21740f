"""`rtbrain record` as a process, over real liblsl."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from rtbrain.outlet import MarkerOutlet, SignalOutlet
from rtbrain.types import Chunk
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like, montage_of, wait_until
from tests.recording.xdf.fakes import read
from tests.stream.receiving import marker_source

SFREQ_HZ = 1000.0
WITHIN_S = 30.0


class Ears:
    """Hears a recorder's status stream."""

    def __init__(self, name):
        self._source = marker_source(name=f"{name}-status", timeout_s=WITHIN_S)
        self.events = []

    def until(self, event, n_times=1):
        end = time.monotonic() + WITHIN_S
        while sum(told["event"] == event for told in self.events) < n_times:
            assert time.monotonic() < end, f"no {event}: {self.events}"
            self.events += [json.loads(text) for _, text in self._source.pull(0.1)]
        return [told for told in self.events if told["event"] == event][-1]


@pytest.fixture
def name():
    return f"rec-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def record(tmp_path):
    processes = []

    def start(*flags):
        command = [sys.executable, "-m", "rtbrain.apps", "record"]
        command += [str(tmp_path / "session.xdf"), *map(str, flags)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def push(outlet, first, n_samples, start_s=5000.0):
    """Send samples whose values and stamps follow from their numbers."""
    data = np.resize(brain_like(4, 512, SFREQ_HZ), (4, n_samples))
    outlet.push(Chunk(data, start_s + (first + np.arange(n_samples)) / SFREQ_HZ, first))
    return data


def until_clocks_are_measured(path, n_streams):
    """Wait until the file holds a clock offset of each stream: liblsl measures them for 1 s."""
    wait_until(
        lambda: sum(len(one["clock_values"]) > 0 for one in read(path.read_bytes())) == n_streams
    )


@pytest.mark.lsl
def test_a_session_is_recorded_whole_and_sigterm_ends_it_with_footers(tmp_path, name, record):
    montage = montage_of(4, SFREQ_HZ)
    flags = ("--stream", name, "--markers", f"{name}-markers", "--note", "bundle=abc")
    process = record("--name", f"{name}-rec", *flags)
    ears = Ears(f"{name}-rec")
    outlet = SignalOutlet(name, montage, source_id=name, origin="synthetic")
    ears.until("stream_added")
    assert outlet.wait_for_listeners(WITHIN_S)
    sent = [push(outlet, 1000 * second, 1000) for second in range(3)]
    # Later than the signal: added when it comes.
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")
    ears.until("stream_added", 2)
    assert markers.wait_for_listeners(WITHIN_S)
    markers.push("grün", 5000.5)
    until_clocks_are_measured(tmp_path / "session.xdf", 2)
    # The sender begins anew: the same stream goes on.
    outlet.close()
    ears.until("stream_lost")
    outlet = SignalOutlet(name, montage, source_id=name, origin="synthetic")
    assert ears.until("stream_added", 3)["again"] is True
    assert outlet.wait_for_listeners(WITHIN_S)
    sent.append(push(outlet, 9000, 1000))
    outlet.close()
    ears.until("stream_lost", 2)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0
    assert f"4000 samples of {name}, 1 samples of {name}-markers" in words
    markers.close()

    signals, texts = read((tmp_path / "session.xdf").read_bytes(), synchronize_clocks=False)
    np.testing.assert_array_equal(signals["time_series"], np.concatenate(sent, axis=1).T)
    numbers = np.concatenate([np.arange(3000), 9000 + np.arange(1000)])
    np.testing.assert_allclose(signals["time_stamps"], 5000 + numbers / SFREQ_HZ, rtol=0, atol=0)
    channels = signals["info"]["desc"][0]["channels"][0]["channel"]
    assert [channel["label"][0] for channel in channels] == list(montage.names)
    assert {channel["unit"][0] for channel in channels} == {"microvolts"}
    assert texts["time_series"] == [["grün"]]
    assert texts["time_stamps"].tolist() == [5000.5]
    assert signals["footer"]["info"]["sample_count"] == ["4000"]
    assert len(signals["clock_values"]) >= 1
    side = json.loads((tmp_path / "session.json").read_text())
    assert side["clean_end"] is True
    assert side["notes"] == {"bundle": "abc"}
    assert [stream["samples"] for stream in side["streams"]] == [4000, 1]


@pytest.mark.lsl
def test_a_recorder_ends_when_its_parent_is_gone(tmp_path, name):
    code = (
        "import subprocess, sys, os; p = subprocess.Popen([sys.executable, '-m',"
        " 'rtbrain.apps', 'record', sys.argv[1], '--stream', 'none', '--name', sys.argv[2],"
        " '--parent', str(os.getpid())]); print(p.pid, flush=True); sys.stdin.read()"
    )
    path = tmp_path / "session.xdf"
    command = [sys.executable, "-c", code, str(path), name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        child = int(parent.stdout.readline())
        Ears(name)
        parent.kill()
    end = time.monotonic() + WITHIN_S
    while Path(f"/proc/{child}").exists() and b"Z" not in _state(child):
        assert time.monotonic() < end
    assert json.loads(path.with_suffix(".json").read_text())["clean_end"] is True


@pytest.mark.lsl
def test_a_terminal_that_is_closed_ends_a_recording_as_ctrl_c_does(tmp_path, name):
    path = tmp_path / "session.xdf"
    command = [sys.executable, "-m", "rtbrain.apps", "record", str(path), "--stream", "none"]
    # A session of its own, whose terminal hangs up when the other end is closed.
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*command, "--name", name])
    ears = Ears(name)
    os.close(terminal)
    ears.until("stopped")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1  # the stream never came
    assert json.loads(path.with_suffix(".json").read_text())["clean_end"] is True


@pytest.mark.lsl
def test_the_files_of_a_recording_that_is_split_hold_every_sample_once(tmp_path, name, record):
    process = record("--name", f"{name}-rec", "--split", "1s", "--expect", f"{name},{name}-task")
    ears = Ears(f"{name}-rec")
    outlet = SignalOutlet(name, montage_of(4, SFREQ_HZ), source_id=name, origin="synthetic")
    ears.until("stream_added")
    assert outlet.wait_for_listeners(WITHIN_S)
    n_sent, n_before = 0, len(list(tmp_path.glob("*.xdf")))
    while len(list(tmp_path.glob("*.xdf"))) < n_before + 2:
        push(outlet, n_sent, 100)
        n_sent += 100
        ears.until("summary", 1 + sum(told["event"] == "summary" for told in ears.events))
    assert ears.until("expected_missing")["streams"] == [f"{name}-task"]
    process.send_signal(signal.SIGTERM)
    assert ears.until("stopped")["streams"] == {f"0 {name}": n_sent}
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    outlet.close()
    files = sorted(tmp_path.glob("*.xdf"))
    assert [file.name for file in files[:2]] == ["session_001.xdf", "session_002.xdf"]
    streams = [one for file in files for one in read(file.read_bytes(), synchronize_clocks=False)]
    numbers = np.concatenate([one["time_stamps"] for one in streams if one["time_stamps"].size])
    np.testing.assert_allclose(numbers, 5000 + np.arange(n_sent) / SFREQ_HZ, rtol=0, atol=1e-9)
    sides = [json.loads(file.with_suffix(".json").read_text()) for file in files]
    assert [side["part"] for side in sides] == list(range(1, len(files) + 1))
    assert all(side["clean_end"] for side in sides)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().split()[2]
    except OSError:
        return b"Z"


@pytest.mark.lsl
def test_a_recording_of_a_set_length_ends_by_itself_and_tells_what_never_came(tmp_path, name):
    path = tmp_path / "short.xdf"
    done = rtbrain("record", path, "--stream", "none", "--name", name, "--duration", 0.2)
    assert done.returncode == 1
    assert "waiting for none" in done.stderr
    assert "never found: none" in done.stderr
    assert read(path.read_bytes()) == []


def test_a_target_that_cannot_be_is_refused_before_anything_is_made(tmp_path):
    assert "ends in .xdf" in refused("record", tmp_path / "session.txt", "--all")
    assert "no folder" in refused("record", tmp_path / "absent" / "session.xdf", "--all")
    assert "KEY=VALUE" in refused("record", tmp_path / "a.xdf", "--all", "--note", "x")
    assert "such as 60min" in refused("record", tmp_path / "a.xdf", "--all", "--split", "60")
    assert not list(tmp_path.iterdir())


@pytest.mark.lsl
def test_neither_the_recording_nor_its_side_file_is_overwritten(tmp_path, name):
    (tmp_path / "a.xdf").write_bytes(b"precious")
    (tmp_path / "b.json").write_text("precious")
    said = refused("record", tmp_path / "a.xdf", "--all", "--name", name)
    assert "a.xdf already exists" in said
    assert "or pass --free-name" in said
    assert "b.json already exists" in refused("record", tmp_path / "b.xdf", "--all", "--name", name)
    assert sorted(os.listdir(tmp_path)) == ["a.xdf", "b.json"]
    assert (tmp_path / "a.xdf").read_bytes() == b"precious"
