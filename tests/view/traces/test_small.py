"""The small signal shows five good contacts, and which are bad."""

import numpy as np
import pytest
from PySide6 import QtGui

from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from rtbrain.view.traces import small as module
from rtbrain.view.traces.small import SmallSignal, five_good
from tests.conftest import brain_like, montage_of
from tests.view.stub import StubSession
from tests.view.traces.test_panel import has, whole

SFREQ_HZ = 512.0
MONTAGE = montage_of(16, SFREQ_HZ)
SIGNAL = brain_like(16, 3000, SFREQ_HZ)


def update(first, stop, new_montage=False):
    stamps = 100 + np.arange(first, stop) / SFREQ_HZ
    chunk = Chunk(SIGNAL[:, first:stop], stamps, first)
    return SessionUpdate(float(stamps[-1]), (chunk,), new_montage=new_montage)


def test_five_good_contacts_are_spread_and_stay_until_one_turns_bad():
    names = MONTAGE.names
    first = five_good(MONTAGE, {}, [])
    assert len(first) == 5
    assert {names[row][0] for row in first} == {"A", "B"}
    bad = {names[first[2]]: "flat"}
    then = five_good(MONTAGE, bad, first)
    assert len(then) == 5
    assert set(first) - set(then) == {first[2]}
    assert len(five_good(montage_of(3, SFREQ_HZ), {}, [])) == 3
    assert five_good(MONTAGE, dict.fromkeys(names, "flat"), []) == first


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)])
def test_it_shows_the_signal_then_that_it_is_old_and_does_not_change_its_size(qtbot, theme):
    session = StubSession()
    small = SmallSignal(session, DARK)
    qtbot.addWidget(small)
    small.restyle(theme)
    small.draw(0.0)
    size = small.sizeHint()
    small.resize(theme.px(196), size.height())
    small.show()
    session.montage = MONTAGE
    small.take(update(0, 2600, new_montage=True))
    small.draw(105.0)
    inks = (theme.trace, theme.trace2)
    assert all(has(whole(small), ink).any() for ink in inks)
    session.bad = {"A3": "flat", "B1": "mains"}
    small.take(update(2600, 2700))
    small.draw(105.3)
    assert [one.short for one in small.bad] == ["flat", "mains"]
    assert not {"A3", "B1"} & set(small.scene.lanes.names)
    session.set("signal", state="lost")
    small.draw(107.0)
    assert not any(has(whole(small)[24:], ink).any() for ink in (theme.trace,))
    assert small.sizeHint() == size


def test_what_a_check_found_is_shown_like_what_the_decoder_reports(qtbot):
    session = StubSession(MONTAGE)
    small = SmallSignal(session, DARK)
    qtbot.addWidget(small)
    small.take(update(0, 600))
    small.judge({"A5": "mains"})
    small.draw(102.0)
    assert [str(one) for one in small.bad] == ["A5 mains"]
    assert QtGui.QImage(small.grab().toImage()).height() > 100


@pytest.mark.parametrize("theme", [DARK, large(DARK)], ids=["small", "large"])
def test_labels_of_five_letters_are_not_elided(qtbot, monkeypatch, theme):
    names = ("RA10", "LPH12", "RB2", "LA3", "WOM10")
    small = SmallSignal(StubSession(Montage(names, ("seeg",) * 5, SFREQ_HZ)), theme)
    qtbot.addWidget(small)
    small.take(update(0, 600))
    small.draw(102.0)
    cut = []

    def note(painter, box, text, *rest):
        if (
            text in names
            and QtGui.QFontMetricsF(painter.font()).horizontalAdvance(text) > box.width()
        ):
            cut.append(text)

    monkeypatch.setattr(module, "paint_text", note)
    small.grab()
    assert not cut


def test_it_is_drawn_five_times_a_second_and_paints_only_the_traces_anew(qtbot, monkeypatch):
    small = SmallSignal(StubSession(MONTAGE), DARK)
    qtbot.addWidget(small)
    small.take(update(0, 1000))
    drawn, written = [], []
    monkeypatch.setattr(small, "update", lambda: drawn.append(1))
    for step in range(60):
        small.draw(102.0 + step / 30)
    assert len(drawn) == 10
    monkeypatch.setattr(module, "paint_text", lambda *args: written.append(args[2]))
    small.grab()
    n_written = len(written)
    assert n_written > 5
    small.take(update(1000, 1100))
    small.draw(104.1)
    small.grab()
    assert len(written) == n_written
    assert small.scene.cache.n_columns <= small.width()
