import itertools
import math

import numpy as np
import pytest
from PySide6 import QtCore, QtGui, QtWidgets

from rtbrain.errors import MontageError
from rtbrain.marks import OPERATOR_MARK
from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK
from rtbrain.view.traces.panel import TracePanel
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 512.0
NAN = math.nan


class SettableSession:
    """A session that a test sets."""

    def __init__(self, montage):
        self.montage, self.bad, self.marked, self.state = montage, {}, frozenset(), "live"

    @property
    def feeds(self):
        return (
            StreamHealth("amp", "signal", self.state, "", SFREQ_HZ, NAN, 0, 0, NAN, NAN, NAN),
            StreamHealth("", "decode", "absent", "", 0.0, NAN, 0, 0, NAN, NAN, NAN),
        )

    def mark(self, label, bad):
        self.marked = self.marked | {label} if bad else self.marked - {label}
        self.bad = dict.fromkeys(self.marked, OPERATOR_MARK)


@pytest.fixture
def session():
    return SettableSession(montage_of(16, SFREQ_HZ))


@pytest.fixture
def panel(qtbot, session):
    return shown(qtbot, TracePanel(session, DARK, chain_of))


def shown(qtbot, made):
    qtbot.addWidget(made)
    made.resize(900, 500)
    with qtbot.waitActive(made):
        made.show()
        made.activateWindow()
    return made


class Chain:
    """Doubles the signal; keeps every second channel for a bipolar reference."""

    def __init__(self, montage, step):
        self.montage = montage.pick(montage.names[::step])
        self.step, self.n_resets = step, 0

    def __call__(self, chunk):
        return Chunk(2 * chunk.data[:: self.step], chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self):
        self.n_resets += 1


def chain_of(reference, notch_hz, montage):
    if reference == "laplacian":
        raise MontageError("no contact has two neighbours: use another reference")
    return Chain(montage, 2 if reference == "bipolar" else 1)


def update(data, first, gap=0, new_montage=False, markers=()):
    stamps = 100 + (first + np.arange(data.shape[1])) / SFREQ_HZ
    chunk = Chunk(np.ascontiguousarray(data), stamps, first, gap)
    return SessionUpdate(
        float(stamps[-1]), (chunk,), new_montage=new_montage, markers=tuple(markers)
    )


def play(panel, n_channels=16, n_samples=2000, **kwargs):
    brought = update(brain_like(n_channels, n_samples, SFREQ_HZ), 0, **kwargs)
    panel.take(brought)
    panel.draw(brought.now)


def press(qtbot, panel, key, modifier=QtCore.Qt.KeyboardModifier.NoModifier):
    qtbot.keyClick(panel.canvas, key, modifier)


def whole(widget):
    """Colours of a widget, uint32 [height, width]."""
    image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB32)
    return np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1) & 0xFFFFFF


def pixels(panel):
    """Colours of the inside of the axes."""
    plot = panel.canvas.plot.toAlignedRect()
    inside = slice(plot.top() + 1, plot.bottom()), slice(plot.left() + 1, plot.right())
    return whole(panel.canvas)[inside]


def has(picture, colour):
    return picture == int(colour.lstrip("#"), 16)


def brighter(picture, colour):
    """Where a picture is brighter than a colour in green."""
    return (picture >> 8 & 0xFF) > int(colour[3:5], 16)


def test_a_click_on_a_label_chooses_the_channel_and_a_right_click_marks_it(qtbot, panel, session):
    play(panel)
    lane_px = panel.canvas.plot.height() / 16
    at = QtCore.QPoint(5, int(panel.canvas.plot.top() + 2.5 * lane_px))
    left, right = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.MouseButton.RightButton
    with qtbot.waitSignal(panel.chosen) as emitted, qtbot.assertNotEmitted(panel.marked):
        qtbot.mouseClick(panel.canvas, left, pos=at)
    assert emitted.args == ["A3"]
    assert has(whole(panel.canvas)[:, :50], DARK.accent).any()
    for bad in (True, False):
        with qtbot.waitSignal(panel.marked) as emitted:
            qtbot.mouseClick(panel.canvas, right, pos=at)
        assert emitted.args == ["A3", bad]
        panel.draw(105.0)
        assert ("bad, by hand." in panel.canvas.tip(2)) == bad
        assert has(pixels(panel), DARK.trace_bad).any() == bad
        assert [one.name for one in panel.strip.bad] == ["A3"] * bad


def test_a_tip_shows_why_a_channel_is_bad(qtbot, panel, session):
    play(panel)
    session.bad = {"B2": "flat"}
    panel.draw(105.0)
    assert "B2 (seeg): bad, flat" in panel.canvas.tip(9)
    assert "A1 (seeg): good" in panel.canvas.tip(0)
    place = panel.canvas.plot.center().toPoint()
    tip = panel.canvas.tip(panel.canvas.lane_at(place.y()))
    help_event = QtGui.QHelpEvent(QtCore.QEvent.Type.ToolTip, place, place)
    QtWidgets.QApplication.sendEvent(panel.canvas, help_event)
    assert tip in QtWidgets.QToolTip.text()


def test_every_key_does_what_its_tip_says(qtbot, panel):
    play(panel)
    scene, controls, key = panel.canvas.scene, panel.controls, QtCore.Qt.Key
    press(qtbot, panel, key.Key_BracketRight)
    assert scene.page_s == 20
    press(qtbot, panel, key.Key_BracketLeft)
    press(qtbot, panel, key.Key_BracketLeft)
    press(qtbot, panel, key.Key_BracketLeft)
    assert scene.page_s == 5
    press(qtbot, panel, key.Key_S)
    assert scene.scrolling
    before = scene.scales_uv["seeg"]
    press(qtbot, panel, key.Key_Plus)
    assert scene.scales_uv["seeg"] < before
    press(qtbot, panel, key.Key_Minus)
    assert scene.scales_uv["seeg"] == before
    scene.scales_uv["seeg"] = 1e5
    press(qtbot, panel, key.Key_A)
    assert 50 <= scene.scales_uv["seeg"] <= 1000
    shift = QtCore.Qt.KeyboardModifier.ShiftModifier
    press(qtbot, panel, key.Key_PageDown, shift)
    assert (len(scene.seen), panel.scrollbar.isVisible()) == (8, True)
    press(qtbot, panel, key.Key_PageDown)
    assert scene.seen == range(8, 16)
    press(qtbot, panel, key.Key_PageUp)
    press(qtbot, panel, key.Key_Down)
    assert scene.seen == range(1, 9)
    press(qtbot, panel, key.Key_Up)
    press(qtbot, panel, key.Key_Up)
    assert scene.seen == range(0, 8)
    assert panel.find_label("b3")
    assert scene.chosen in scene.seen
    with qtbot.waitSignal(panel.marked) as emitted:
        press(qtbot, panel, key.Key_B)
    assert emitted.args == ["B3", True]
    press(qtbot, panel, key.Key_PageUp, shift)
    assert len(scene.seen) == 16
    press(qtbot, panel, key.Key_PageDown, shift)
    press(qtbot, panel, key.Key_Home)
    assert len(scene.seen) == 16
    press(qtbot, panel, key.Key_F, QtCore.Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(controls.search.hasFocus)
    qtbot.keyClicks(controls.search, "zz")
    before = scene.chosen
    qtbot.keyClick(controls.search, key.Key_Return)
    assert scene.chosen == before
    assert "border" in controls.search.styleSheet()


def test_reference_and_notch_change_the_view_and_begin_a_new_page(qtbot, session):
    chains = []

    def chain_kept(*args):
        chains.append(chain_of(*args))
        return chains[-1]

    panel = shown(qtbot, TracePanel(session, DARK, chain_kept))
    refused = []
    panel.refused.connect(refused.append)
    play(panel)
    press(qtbot, panel, QtCore.Qt.Key.Key_R)
    scene = panel.canvas.scene
    assert panel.controls.chain == ("car", None)
    assert scene.cache is None
    play(panel)
    doubled = np.nanmax(scene.cache.high)
    press(qtbot, panel, QtCore.Qt.Key.Key_R)
    assert panel.controls.chain == ("bipolar", None)
    assert len(scene.lanes.rows) == 8
    play(panel, n_samples=100)
    panel.take(update(brain_like(16, 100, SFREQ_HZ), 150, gap=50))
    assert chains[-1].n_resets == 1
    press(qtbot, panel, QtCore.Qt.Key.Key_R)
    assert panel.controls.chain == ("none", None)
    assert refused == ["no contact has two neighbours: use another reference"]
    play(panel)
    assert panel.controls.note.text() == "contacts 1 to 16 of 16"
    assert np.nanmax(scene.cache.high) == pytest.approx(doubled / 2)
    press(qtbot, panel, QtCore.Qt.Key.Key_N)
    assert panel.controls.chain == ("none", 50.0)
    play(panel)
    assert np.nanmax(scene.cache.high) == pytest.approx(doubled)
    assert panel.controls.note.text() == "contacts 1 to 16 of 16"


def test_of_a_pair_its_first_contact_is_chosen_and_none_is_marked(qtbot, session):
    def pairs(reference, notch_hz, montage):
        names = tuple(map("-".join, itertools.pairwise((*montage.names, montage.names[0]))))
        chain = Chain(montage, 1)
        chain.montage = Montage(names, ("seeg",) * len(names), SFREQ_HZ)
        return chain

    panel = shown(qtbot, TracePanel(session, DARK, pairs))
    panel.controls.reference.setCurrentIndex(2)
    play(panel)
    lane = panel.canvas.scene.lanes.names.index("A4-A5")
    with qtbot.waitSignal(panel.chosen) as emitted:
        panel._click(lane, False)
    assert emitted.args == ["A4"]
    panel.choose("A4")  # as the window answers
    assert panel.canvas.scene.chosen == lane
    with qtbot.waitSignal(panel.refused) as emitted, qtbot.assertNotEmitted(panel.marked):
        panel.toggle_bad(lane)
    assert "A4-A5 is a pair" in emitted.args[0]
    panel.choose("A6")
    assert panel.canvas.scene.lanes.names[panel.canvas.scene.chosen] == "A6-A7"


def test_a_frozen_page_stays_whatever_comes_and_is_repainted_in_any_scale(panel):
    play(panel, n_samples=1000)
    frozen = pixels(panel)
    panel.freeze(True)
    panel.take(update(brain_like(16, 1500, SFREQ_HZ), 1000, markers=[(101.0, "go")]))
    assert (pixels(panel) == frozen).all()
    panel.controls.scaled.emit(-1)
    assert (pixels(panel) != frozen).any()
    panel.controls.scaled.emit(1)
    assert (pixels(panel) == frozen).all()
    panel.freeze(False)
    assert (pixels(panel) != frozen).any()


def test_another_montage_begins_anew_with_a_scale_a_kind(panel, session):
    play(panel)
    names = ("C1", "C2", "Fz", "ECG")
    session.montage = Montage(names, ("seeg", "seeg", "eeg", "misc"), SFREQ_HZ)
    data = brain_like(4, 2000, SFREQ_HZ)
    data[3] *= 100
    panel.take(update(data, 0, new_montage=True))
    panel.draw(104.0)
    panel.fit_scale()
    scene = panel.canvas.scene
    assert set(scene.scales_uv) == {"seeg", "eeg", "misc"}
    assert scene.scales_uv["misc"] >= 20 * scene.scales_uv["seeg"]
    assert scene.lanes.names == names
    panel.controls.kind.setCurrentText("misc")
    seeg = scene.scales_uv["seeg"]
    panel.controls.scaled.emit(1)
    assert scene.scales_uv["seeg"] == seeg
    pixels(panel)
