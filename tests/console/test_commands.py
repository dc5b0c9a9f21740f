"""What a session records, and how its outputs are stopped."""

import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from rtbrain.console.commands import (
    Outputs,
    cue_command,
    record_command,
    stop_outputs,
    streams_of,
    view_command,
)
from rtbrain.console.folder import Session, UsedStream
from rtbrain.errors import StreamError
from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.session import ViewSession
from tests.conftest import wait_until
from tests.console.stub import Runs


def test_the_recorder_records_every_stream_that_is_used_and_what_the_decoder_sends(tmp_path):
    session = Session(tmp_path)
    session.change(
        outlet="ward",
        streams=(
            UsedStream(name="amp", role="signal"),
            UsedStream(name="task", role="markers"),
            UsedStream(name="eye", role="record"),
        ),
    )
    words = record_command(session, session.next_name("run", ".xdf"))
    assert words[:6] == ["record", "runs/run-01.xdf", "--name", "ward-record", "--decodes", "ward"]
    assert [words[i + 1] for i, word in enumerate(words) if word == "--stream"] == [
        "amp",
        "task",
        "eye",
    ]
    assert words[words.index("--expect") + 1] == "amp"
    session._jobs["cue"] = Runs("cue")
    words = record_command(session, Path("calibration/calib-01.xdf"))
    assert words[words.index("--expect") + 1] == "amp,ward-cues"
    cues = cue_command(session, Path("calibration/calib-01.cues.yaml"), 2, False)
    assert cues[cues.index("--recorder") + 1] == "ward-record"
    assert cues[cues.index("--display") + 1] == "2"


def test_a_unit_that_was_set_reaches_the_window_and_the_console(tmp_path):
    session = Session(tmp_path)
    assert "--scale" not in view_command(session, "dark")
    session.change(streams=(UsedStream(name="amp", role="signal"),), scale=1e6, trigger="TRIG")
    words = view_command(session, "dark")
    assert words[words.index("--scale") + 1] == "1e+06"
    assert "--trigger" not in words
    assert (streams_of(session)["scale"], streams_of(session)["trigger"]) == (1e6, "TRIG")


@pytest.mark.lsl
def test_the_signal_is_shown_by_the_unit_that_was_set_and_codes_are_left_alone():
    name = f"scaled-{uuid.uuid4().hex[:12]}"
    montage = Montage(("A1", "TRIG"), ("seeg", "seeg"), 100.0)
    outlet = SignalOutlet(name, montage, source_id=name, origin="synthetic")
    session = ViewSession(stream=name, decode=None, scale=1e3, trigger="TRIG")
    chunks = []

    def sent_and_read():
        data = np.full((2, 10), 7.0, np.float32)
        outlet.push(Chunk(data, lsl_clock() + np.arange(10) / 100, 0))
        chunks.extend(session.poll().chunks)
        return chunks

    wait_until(sent_and_read)
    outlet.close()
    session.close()
    np.testing.assert_allclose(chunks[0].data[0], 7000.0)
    np.testing.assert_allclose(chunks[0].data[1], 7.0)


def with_decoder(tmp_path):
    session = Session(tmp_path)
    session._jobs["decoder"] = Runs()
    return session, session.jobs["decoder"]


def test_a_decoder_that_answers_is_stopped_and_one_that_does_not_is_killed(tmp_path):
    session, job = with_decoder(tmp_path)
    stop_outputs(session, lambda name, line: None).join()
    assert job.stopping
    assert not job.killed

    def hangs(name, line):
        threading.Event().wait(10)

    session, job = with_decoder(tmp_path)
    job.stop = lambda: setattr(job, "stopping", True)  # nor does it follow the signal
    begin = time.monotonic()
    stop_outputs(session, hangs).join()
    assert job.killed
    assert time.monotonic() - begin < 1.0  # 0.08 s, on a machine that does nothing else


def test_a_decoder_of_somebody_else_is_asked_and_nothing_is_called_stopped_before_it_is(tmp_path):
    said, answers = [], [StreamError("nobody answers"), None]

    def send(name, line):
        assert (name, line) == ("rtbrain", "stop")
        if (error := answers.pop(0)) is not None:
            raise error

    outputs = Outputs(Session(tmp_path), lambda line, icon: said.append(line), send)

    def ask():
        taken = outputs.stop()
        while len(said) % 2:
            outputs.poll(True)
        return taken

    assert ask() is True
    assert "go on: its decoder is not of this session, and does not stop" in said[1]
    assert "nobody answers" in said[1]
    assert ask() is False  # Esc closes dialogs again
    assert "which is not of this session, stopped by you at" in said[3]
    assert not any(line.startswith("Outputs stopped by you") for line in said)
