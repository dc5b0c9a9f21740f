import math

import numpy as np
import pytest
from PySide6 import QtCore, QtGui, QtWidgets

from rtbrain.errors import MontageError
from rtbrain.marks import OPERATOR_MARK
from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from rtbrain.view.traces.paint import placed_labels
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


def pixels(panel):
    """Colours, uint32 [height, width], of the inside of the axes."""
    image = panel.canvas.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1)
    plot = panel.canvas.plot.toAlignedRect()
    inside = flat[plot.top() + 1 : plot.bottom(), plot.left() + 1 : plot.right()]
    return inside & 0xFFFFFF


def has(picture, colour):
    return picture == int(colour.lstrip("#"), 16)


def test_each_shaft_is_drawn_in_its_colour_over_the_page_that_has_come(panel):
    play(panel, n_samples=2560)
    picture = pixels(panel)
    half = picture.shape[1] // 2
    for colour in DARK.classes[:2]:
        where = np.flatnonzero(has(picture, colour).any(axis=0))
        assert where.min() < 3
        assert half - 6 <= where.max() <= half + 3
    assert not has(picture, DARK.classes[2]).any()


def test_no_line_is_drawn_across_a_gap_and_the_gap_is_hatched(panel):
    data = brain_like(16, 3000, SFREQ_HZ)
    panel.take(update(data[:, :1000], 0))
    panel.take(update(data[:, 1000:2000], 2000, gap=1000))
    panel.draw(110.0)
    picture = pixels(panel)
    width = picture.shape[1]
    gap = picture[:, int(0.2 * width) + 4 : int(0.385 * width) - 4]
    blue = DARK.classes[1]  # the other shaft's colour is also that of the hatching
    assert has(picture, blue).any()
    assert not has(gap, blue).any()
    assert has(gap, DARK.warn).mean() > 0.05


def test_a_short_gap_and_the_sweep_break_every_trace(panel):
    data = brain_like(16, 6000, SFREQ_HZ)
    panel.take(update(data[:, :5000], 0))
    panel.take(update(data[:, 5000:], 5001, gap=1))
    panel.draw(112.0)
    scene = panel.canvas.scene
    cache = scene.cache
    for scrolling in (False, True):
        scene.scrolling = scrolling
        after = scene.place(cache.column_of(5001), cache)
        oldest = scene.place(cache.newest - cache.n_columns + 1, cache)
        assert set(np.flatnonzero(~scene.joined(cache))) == {after, oldest}
    scene.scrolling = False
    top, _ = scene.ends([0, 1], cache, 20.0)
    newest = scene.place(cache.newest, cache)
    ahead = (newest + 1 + np.arange(12)) % cache.n_columns
    assert np.isnan(top[:, ahead]).all()
    assert np.isfinite(top).sum() >= 2 * (cache.n_columns - 20)


def test_a_lost_signal_turns_grey_and_says_how_old_it_is(panel, session):
    play(panel)
    session.state = "lost"
    panel.draw(100 + 2000 / SFREQ_HZ + 7)
    assert "lost" in panel.canvas.scene.stale
    assert "7 s ago" in panel.canvas.scene.stale
    picture = pixels(panel)
    assert not has(picture, DARK.classes[1]).any()
    assert has(picture, DARK.faint).any()
    session.state = "live"
    panel.draw(112.0)
    assert panel.canvas.scene.stale == ""


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)])
def test_without_a_signal_the_picture_says_what_it_waits_for(qtbot, theme):
    session = SettableSession(None)
    session.state = "absent"
    panel = shown(qtbot, TracePanel(session, theme))
    panel.take(SessionUpdate(1.0))
    panel.draw(1.0)
    assert panel.canvas.scene.stale == "waiting for a signal: amp"
    assert has(pixels(panel), theme.warn).any()
    assert not panel.controls.reference.isEnabled()


def test_a_click_on_a_label_marks_the_channel_bad_and_another_takes_it_back(qtbot, panel, session):
    play(panel)
    lane_px = panel.canvas.plot.height() / 16
    at = QtCore.QPoint(5, int(panel.canvas.plot.top() + 2.5 * lane_px))
    for bad in (True, False):
        with qtbot.waitSignal(panel.marked) as emitted:
            qtbot.mouseClick(panel.canvas, QtCore.Qt.MouseButton.LeftButton, pos=at)
        assert emitted.args == ["A3", bad]
        panel.draw(105.0)
        assert (OPERATOR_MARK in panel.canvas.tip(2)) == bad
        assert has(pixels(panel), DARK.grid)[10:].any()
        assert ("A3" in panel.canvas.scene.bad) == bad


def test_a_tip_shows_why_a_channel_is_bad(qtbot, panel, session):
    play(panel)
    session.bad = {"B2": "flat"}
    panel.draw(105.0)
    assert "B2 (seeg), bad: flat" in panel.canvas.tip(9)
    assert "A1 (seeg), good" in panel.canvas.tip(0)
    place = panel.canvas.rect().center()
    tip = panel.canvas.tip(panel.canvas.lane_at(place.y()))
    help_event = QtGui.QHelpEvent(QtCore.QEvent.Type.ToolTip, place, place)
    QtWidgets.QApplication.sendEvent(panel.canvas, help_event)
    assert tip in QtWidgets.QToolTip.text()
    assert "1 bad" in panel.canvas.scene.message


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
    assert scene.highlighted in scene.seen
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
    qtbot.keyClick(controls.search, key.Key_Return)
    assert scene.highlighted is None


def test_reference_and_notch_change_the_view_and_begin_a_new_page(qtbot, session):
    chains = []

    def chain_kept(*args):
        chains.append(chain_of(*args))
        return chains[-1]

    panel = shown(qtbot, TracePanel(session, DARK, chain_kept))
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
    play(panel)
    assert "no contact has two neighbours" in scene.message
    assert np.nanmax(scene.cache.high) == pytest.approx(doubled / 2)
    press(qtbot, panel, QtCore.Qt.Key.Key_N)
    assert panel.controls.chain == ("none", 50.0)
    play(panel)
    assert np.nanmax(scene.cache.high) == pytest.approx(doubled)
    assert scene.message == "1 s per division"


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


def test_labels_never_touch_and_each_shaft_has_one(qtbot):
    session = SettableSession(montage_of(128, SFREQ_HZ))
    panel = shown(qtbot, TracePanel(session, DARK))
    play(panel, 128, 300)
    panel.see(128)
    scene = panel.canvas.scene
    lane_px = panel.canvas.plot.height() / 128
    text_px = panel.canvas.fontMetrics().height() * 0.9
    placed = placed_labels(scene, lane_px, text_px)
    assert np.diff(placed).min() * lane_px >= text_px
    assert {scene.lanes.shafts[lane] for lane in placed} == set(scene.lanes.shafts)


def test_markers_are_named_lines_and_memory_is_bounded_whatever_comes(panel):
    play(panel, n_samples=2560, markers=[(102.0, "go"), (103.0, "a" * 300)])
    assert has(pixels(panel), DARK.warn).any()
    for number in range(3000):
        panel.canvas.scene.pages.mark(100.0 + number / 1000, f"{number}")
    assert len(panel.canvas.scene.pages.markers(10.0)) <= 256
    data = brain_like(16, 300, SFREQ_HZ)
    data[0] = np.nan
    data[1] = np.inf
    data[2] = 1e30
    panel.take(update(data, 10**9))
    panel.draw(200.0)
    panel.restyle(LIGHT)
    picture = pixels(panel)
    assert has(picture, LIGHT.background).any()
    assert has(picture, LIGHT.classes[0]).any()
