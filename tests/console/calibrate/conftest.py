"""A page Calibrate on a session whose jobs are no processes."""

import numpy as np
import pytest

from rtbrain.console.calibrate import calibration
from rtbrain.console.calibrate.page import CalibratePage
from rtbrain.console.folder import Session, UsedStream
from rtbrain.errors import SettingsError
from rtbrain.marks import BREAK
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.types import Chunk
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK
from tests.conftest import montage_of
from tests.view.stub import StubSession

AMP = UsedStream(name="amp", source_id="x", role="signal")
TASK = UsedStream(name="task", role="markers")


class Job:
    """A job that runs until the test ends it."""

    def __init__(self, name, argv):
        self.name, self.argv, self.running = name, tuple(argv), True
        self.stopping = self.earlier = False
        self.progress, self.t_start, self.output, self.exit_code = {}, 0.0, (), None


class Jobs(Session):
    """A session whose jobs are no processes."""

    def start(self, job, argv):
        if self.running(job):
            raise SettingsError(f"{job} runs already: end it first")
        self._jobs[job] = Job(job, argv)
        return self._jobs[job]

    def stop(self, job, note=""):
        if job in self._jobs:
            self._jobs[job].running = False


@pytest.fixture
def session(tmp_path):
    made = Jobs(tmp_path / "s")
    made.change(streams=(AMP,))
    return made


@pytest.fixture
def commands(monkeypatch):
    sent = []
    monkeypatch.setattr(calibration, "send_command", lambda name, line, what: sent.append(line))
    return sent


@pytest.fixture
def page(qtbot, session, commands):
    made = CalibratePage(session, DARK)
    qtbot.addWidget(made)
    made.live = StubSession(montage_of(4, 100.0))
    made.resize(1000, 600)
    made.show()
    return made


def action(page, text):
    """The action of a button, a key or the primary, by the beginning of its text."""
    known = [*page.buttons, *page.keys, *([page.primary] if page.primary else [])]
    (found,) = [one for one in known if one.text.startswith(text)]
    return found


def recorder_events(page, t, names=None):
    """What the recorder of a page says: that it has these streams, by default all."""
    names = {"amp", page.model.marker_stream} if names is None else names
    fields = {"recorder": "rtbrain-record-status", "recording": [[name, "x"] for name in names]}
    return [StatusEvent(t, "summary", fields)]


def run(page, now, markers=(), signal=None, gap=0):
    """Pass on markers and, of a span of time, the signal, while a recorder has both."""
    chunks = []
    if signal is not None:
        n = round(100 * (signal[1] - signal[0]))
        stamps = signal[0] + np.arange(n) / 100
        chunks = [Chunk(np.zeros((4, n), np.float32), stamps, round(100 * signal[0]), gap)]
    names = [page.model.marker_stream] * len(markers)
    others = [(now, "rest"), (now, "speech")]  # marks of a person, or of another program
    names += ["rtbrain-view-marks", "amp-markers"]
    events = recorder_events(page, signal[0] if signal else now)
    texts = [*markers, *others]
    update = SessionUpdate(now, chunks, markers=texts, marker_streams=names, recorder_events=events)
    page.take(update)
    page.draw(now)


def record_blocks(page, n, t=100.0):
    """So many blocks of each class, 8 s each."""
    run(page, t, signal=(t, t + 0.1))
    for number in range(2 * n):
        name = ("rest", "speech")[number % 2]
        run(page, t + 10, [(t + 1, name), (t + 9, BREAK)], (t + 0.1, t + 10))
        t += 10
    run(page, t + 2)
