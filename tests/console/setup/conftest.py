"""The page Set up on a made-up amplifier and task."""

from dataclasses import replace

import pytest

from rtbrain.check.doctor.checks import judge
from rtbrain.check.doctor.network import FoundStream
from rtbrain.console.folder import Session
from rtbrain.console.setup.page import SetupPage
from rtbrain.types import Montage
from rtbrain.view.theme import DARK

AMP = FoundStream(
    *("u1", "amp", "EEG", "a", "amp-pc", 4, 512.0, False, False, True, "", ("LA1", "LA2", "TRIG")),
    *("microvolts", 3, 1, ("TRIG",), "", 16572, True, 1e-5, 8e-5, 0.0, {}, "", 0),
)
TASK = replace(
    AMP,
    uid="u2",
    name="task",
    type="Markers",
    source_id="t",
    sfreq_hz=0.0,
    is_markers=True,
    n_contacts=0,
    codes={"1": 41, "2": 40, "9": 1},
    last="2",
)
MONTAGE = Montage(("LA1", "LA2", "LA3", "TRIG"), ("seeg",) * 3 + ("stim",), 512.0)
WRONG = judge("mains", "fix", "differs", value=50, hz=50, removed=60, db=31)
YELLOW = judge("contacts", "look", "bad", bad=1, all=3, listed="LA2 flat")
FINE = judge("signal", "fine", "there", name="amp", contacts=3, rate="512")


@pytest.fixture
def page(qtbot, tmp_path, doctors):
    made = SetupPage(Session(tmp_path / "s"), DARK)
    qtbot.addWidget(made)
    made.resize(1020, 640)
    made.show()
    made.said, made.went, made.asked = [], [], []
    made.says.connect(made.said.append)
    made.go.connect(made.went.append)
    made.asks.connect(lambda *asked: made.asked.append(asked))
    made.draw_now()
    (made.doctor,) = doctors.all
    made.doctor.streams = (AMP, TASK)
    made.draw_now()
    return made


def choose(page, name, role):
    box = page.streams.line(name).role
    box.setCurrentIndex(box.findData(role))
    box.activated.emit(box.currentIndex())


def log_of(session):
    return (session.folder / "log.sh").read_text()


def used(page):
    return {one.name: one.role for one in page.session.settings.streams}
