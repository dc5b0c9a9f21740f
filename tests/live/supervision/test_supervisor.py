"""`rtbrain decode --restart`: what is started again, when, and that nothing else is lost."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rtbrain.bundling import build_decoder
from rtbrain.config import DecodeSettings, OutletSettings, StreamSettings
from rtbrain.live import run
from rtbrain.live.supervision import supervisor
from rtbrain.live.supervision.state import SavedState
from rtbrain.live.supervision.supervisor import Backoff, KeptDecoder, KeptRecorder
from rtbrain.live.supervision.turn import Turn
from rtbrain.stream.lsl.inlet import lsl_clock
from tests.apps.program import refused
from tests.conftest import wait_until
from tests.live.amplifier import MONTAGE, SFREQ_HZ
from tests.live.supervision.test_metrics import free_port
from tests.live.test_recorder_process import WITHIN_S, children_of, runs
from tests.recording.xdf.fakes import read
from tests.test_live_equals_offline import bundle_of


def test_a_process_that_ran_is_started_at_once_and_one_that_keeps_ending_ever_later():
    backoff = Backoff()
    assert [backoff.wait_s(3.0) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.wait_s(11.0) == 0
    assert [backoff.wait_s(3.0) for _ in range(2)] == [0, 1]


def test_an_end_in_order_leaves_no_state_also_while_the_decoder_is_down(tmp_path, monkeypatch):
    class Absent:
        def __init__(self, *arguments):
            return

        def poll(self):
            return None

        def end(self):
            (tmp_path / "ended").touch()

    monkeypatch.setattr(supervisor, "KeptDecoder", Absent)
    monkeypatch.setattr(supervisor, "stop_on_signals", lambda: lambda: True)
    state = tmp_path / "a.state"
    state.touch()
    plan = {"arguments": [], "out": None, "flags": [], "state": str(state)}
    assert supervisor.run(json.dumps(plan)) == 0
    assert (tmp_path / "ended").exists()
    assert not state.exists()
    assert supervisor.run(json.dumps(plan | {"state": str(tmp_path)})) == 0  # cannot be removed


class FakeDecoder:
    made: "list[FakeDecoder]"

    def __init__(self, arguments, *, spare=False):
        self.spare, self.ended, self.seconds, self.turn = spare, None, 60.0, None
        self.found = self.frozen = False
        self.told = []
        self.made.append(self)

    def begin(self, **turn):
        self.turn = turn

    def hangs(self):
        return self.frozen

    def kill(self):
        self.ended = -signal.SIGKILL

    def write(self, words):
        self.told.append(words)


@pytest.fixture
def kept(monkeypatch):
    """A decoder that is kept, its processes and what was said, at a time that a test sets."""
    now = [0.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(supervisor, "DecoderProcess", FakeDecoder)
    monkeypatch.setattr(supervisor, "_at_a_terminal", lambda: False)
    FakeDecoder.made, said = [], []
    decoder = KeptDecoder(["decode"], said.append)

    def poll(at_s):
        now[0] = at_s
        return decoder.poll()

    assert poll(0.0) is None
    return poll, FakeDecoder.made, said


def test_the_spare_that_stands_by_takes_over_from_a_decoder_that_crashed(kept):
    poll, made, said = kept
    assert [one.spare for one in made] == [False]
    first = {"restarts": 0, "reason": "", "terminal": False, "recording": None, "elapsed_s": 0.0}
    assert made[0].turn == first
    poll(4.0)
    assert len(made) == 1  # a spare would hold up the start
    poll(6.0)
    assert [one.spare for one in made] == [False, True]
    made[0].ended = -signal.SIGKILL
    poll(60.0)
    poll(60.05)
    again = {"restarts": 1, "reason": "signal SIGKILL", "elapsed_s": 60.05}
    assert made[1].turn == first | again
    assert said == ["the decoder has crashed (signal SIGKILL); it is started again now, restart 1"]


def test_a_decoder_that_hangs_is_ended_and_started_again(kept):
    poll, made, said = kept
    made[0].frozen = True
    for at_s in (60.0, 60.1, 60.2):
        poll(at_s)
    assert made[1].turn["reason"] == "signal SIGKILL"
    assert said[0] == "the decoder hangs, and is ended"


def test_the_recorder_begins_once_the_stream_is_found_and_its_end_is_in_the_status(monkeypatch):
    made, polls, names = [], [], []

    class Decoder(KeptDecoder):
        def __init__(self, *of):
            super().__init__(*of)
            made.append(self)
            self._current = FakeDecoder([])

        def poll(self):
            polls.append(len(recorders))
            self.found = len(polls) > 3
            names.append(self.recording)
            return 0 if len(polls) > 6 else None

        def end(self):
            return

    class Recorder:
        def __init__(self, out, flags, report):
            self.report, self.path = report, out.with_stem("s-2")

        def poll(self):
            recorders.append(self)
            self.report("record_failed", code=-9)
            self.report("record_started", file="s-3.xdf")

        def end(self):
            return

    recorders, FakeDecoder.made = [], []
    monkeypatch.setattr(supervisor, "KeptDecoder", Decoder)
    monkeypatch.setattr(supervisor, "KeptRecorder", Recorder)
    monkeypatch.setattr(supervisor, "stop_on_signals", lambda: lambda: False)
    plan = {"arguments": [], "out": "s.xdf", "flags": [], "state": "absent.state"}
    assert supervisor.run(json.dumps(plan)) == 0
    assert polls[:5] == [0, 0, 0, 0, 1]
    assert made[0]._current.told[:2] == [
        {"event": "record_failed", "code": -9},
        {"event": "record_started", "file": "s-3.xdf"},
    ]
    # So that what a decoder logs has the name of the recording.
    assert names == ["s-2.xdf"] * 4 + ["s-3.xdf"] * 3


def test_a_spare_that_ends_is_replaced_later_and_missed_by_nobody(kept):
    poll, made, _ = kept
    poll(6.0)
    made[1].ended = 1
    poll(7.0)
    assert len(made) == 2
    made[0].ended = 1
    poll(8.0)
    poll(8.1)
    assert made[2].turn["restarts"] == 1
    assert not made[2].spare


def test_an_end_that_was_asked_for_and_a_users_mistake_are_final(kept):
    poll, made, _ = kept
    for code in (0, 2):
        made[0].ended = code
        assert poll(1.0) == code


def test_after_a_restart_a_missing_amplifier_is_no_users_mistake_and_is_waited_for(kept):
    poll, made, said = kept
    made[0].ended, made[0].seconds = 1, 2.0
    poll(2.0)
    poll(2.1)
    made[1].ended, made[1].seconds = 2, 3.0
    assert poll(5.0) is None
    assert "2 times in a row (exit code 2); it is started again in 1 s" in said[-1]
    poll(5.5)
    assert len(made) == 2
    poll(6.1)
    assert made[2].turn["restarts"] == 2


def test_a_recorder_that_ends_is_followed_by_another_with_a_file_of_its_own(tmp_path, monkeypatch):
    made = []

    class FakeRecorder:
        def __init__(self, out, flags, report):
            out.touch()
            made.append((out.name, flags[1:], self))
            self.ended, self.closed = None, False

        def poll(self):
            assert not self.closed

        def end(self):
            self.closed = True

    monkeypatch.setattr(supervisor, "RecorderProcess", FakeRecorder)
    kept = KeptRecorder(tmp_path / "s.xdf", ["--all"], print)
    for code in (None, -signal.SIGKILL, None, 0):
        kept.poll()
        made[-1][2].ended = code
        kept.poll()
    kept.poll()
    assert [(name, flags) for name, flags, _ in made] == [
        ("s.xdf", []),
        ("s-2.xdf", ["--note", "continues=s.xdf"]),
    ]
    assert made[0][2].closed  # 0: somebody asked the second one to end
    kept.end()
    assert made[1][2].closed


@pytest.mark.lsl
def test_a_killed_decoder_is_started_again_where_it_was_and_its_recording_goes_on(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path, log = tmp_path / "s.xdf", tmp_path / "log"
    settings = DecodeSettings(stream=StreamSettings(name=name), outlet=OutletSettings(name=name))
    bundle = bundle_of("linear", MONTAGE, tmp_path / "bundle")
    saved = SavedState(settings, bundle, print, Turn())
    saved.path.parent.mkdir(parents=True)
    # As if a supervisor had been killed a moment ago.
    saved.write(build_decoder(bundle, MONTAGE)[0].spectrogram.statistics)
    command = [sys.executable, "-m", "rtbrain.apps", "decode", "--restart"]
    command += ["--bundle", str(tmp_path / "bundle"), "--stream", name, "--name", name]
    command += ["--record", str(path), "--metrics", str(port := free_port())]
    with log.open("w") as output, subprocess.Popen(command, stderr=output) as process:
        try:
            wait_until(lambda: "decodes are valid" in log.read_text())
            wait_until(lambda: n_valid(path, name, since_s=0.0) > 5)
            assert "libscipy" not in Path(f"/proc/{process.pid}/maps").read_text()
            assert "where it was" in log.read_text()
            os.kill(child_of(process, "decode"), signal.SIGKILL)
            killed_s = lsl_clock()
            wait_until(lambda: log.read_text().count("decodes are valid") == 2)
            wait_until(lambda: n_valid(path, name, since_s=killed_s) > 5)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                counted = answer.read().decode().splitlines()
            assert "rtbrain_restarts_total 1" in counted
            assert 'rtbrain_state{state="live"} 1' in counted
            assert 'rtbrain_latency_seconds_count{part="total"} 0' not in counted
            children = children_of(process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(WITHIN_S) == 0
            assert not any(map(runs, children))
        finally:
            process.kill()
    stamps = recorded(path, name)[0]
    np.testing.assert_allclose(np.diff(stamps), 1 / SFREQ_HZ, atol=1e-6)
    assert json.loads(path.with_suffix(".json").read_text())["clean_end"] is True
    assert "the decoder has crashed (signal SIGKILL); it is started again now" in log.read_text()
    assert not saved.path.exists()


def recorded(path, name):
    """Stamps and values of a stream of a recording that may be in progress."""
    content = path.read_bytes() if path.exists() else b""
    if content.startswith(b"XDF:") and len(content) > 4:
        for stream in read(content, synchronize_clocks=False):
            if stream["info"]["name"] == [name]:
                return stream["time_stamps"], stream["time_series"]
    return np.zeros(0), np.zeros((0, 6))


def n_valid(path, name, *, since_s):
    stamps, values = recorded(path, f"{name}-decode")
    return sum(values[stamps > since_s, 2] == 1) if stamps.size else 0


def child_of(process, command):
    for child in children_of(process.pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if command.encode() in words and b"--spare" not in words:
            return child
    raise AssertionError(f"no {command} runs")


@pytest.mark.parametrize("restarts", [0, 1])
def test_after_a_crash_outputs_are_armed_by_hand_alone(restarts, monkeypatch, tmp_path):
    given = {}

    def session(settings, bundle, **options):
        given.update(options)
        return SimpleNamespace(run=lambda: None)

    monkeypatch.setattr(run, "LiveSession", session)
    monkeypatch.setattr(run, "read_bundle", lambda folder: None)
    monkeypatch.setattr(run, "stop_on_signals", lambda: lambda: False)
    settings = DecodeSettings(stream=StreamSettings(name="amp"), bundle=tmp_path)
    turn = Turn(restarts=restarts, elapsed_s=4.0, supervised=True, recording="s-2.xdf")
    run.decode_on_screen(settings, 10.0, tmp_path / "s.xdf", False, True, turn)
    assert given["arm"] is (restarts == 0)
    assert given["allow_late"] is (restarts > 0)
    assert given["duration_s"] == 6.0
    assert given["record"] == tmp_path / "s-2.xdf"


def test_a_signal_that_is_no_lsl_stream_is_said_not_to_be_recorded(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "supervise", lambda arguments, recording, state: None)
    bundle_of("linear", MONTAGE, tmp_path / "bundle")
    settings = DecodeSettings(
        stream=StreamSettings(fieldtrip="localhost:1972"), bundle=tmp_path / "bundle"
    )
    run.supervise_decoder(settings, tmp_path / "s.xdf")
    assert "only decodes and status are recorded" in capsys.readouterr().err


def test_a_users_mistake_ends_the_supervisor_with_one_line(tmp_path):
    absent = str(tmp_path / "absent")
    assert "absent" in refused("decode", "--restart", "--stream", "x", "--bundle", absent)
