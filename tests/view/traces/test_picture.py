"""The picture of the traces: inks, gaps, a lost signal, markers, detections and labels."""

import time
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.stream.lsl.decodes import ReceivedDetection
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from rtbrain.view.traces import frame
from rtbrain.view.traces.frame import placed_labels
from rtbrain.view.traces.panel import TracePanel
from tests.conftest import brain_like, montage_of
from tests.view.traces.test_panel import (
    SFREQ_HZ,
    SettableSession,
    brighter,
    chain_of,
    has,
    pixels,
    play,
    shown,
    update,
    whole,
)


@pytest.fixture
def session():
    return SettableSession(montage_of(16, SFREQ_HZ))


@pytest.fixture
def panel(qtbot, session):
    return shown(qtbot, TracePanel(session, DARK, chain_of))


def test_shafts_are_drawn_in_two_inks_in_turn_over_the_page_that_has_come(panel):
    play(panel, n_samples=2560)
    picture = pixels(panel)
    half, middle = picture.shape[1] // 2, len(picture) // 2
    first, second = picture[: middle - 30], picture[middle + 30 : -60]
    # Smooth lines are the ground and their ink, mixed: the paler ink is never as bright.
    for rows, ink in ((first, DARK.trace2), (second, DARK.hatch)):
        where = np.flatnonzero(brighter(rows, ink).any(axis=0))
        assert where.min() < 9
        assert half - 9 <= where.max() <= half + 3
    cursor = slice(half - 3, half + 4)
    second[:, cursor] = 0
    assert not brighter(second, DARK.trace2).any()


def test_no_line_is_drawn_across_a_gap_and_the_gap_is_hatched(panel):
    data = brain_like(16, 3000, SFREQ_HZ)
    panel.take(update(data[:, :1000], 0))
    panel.take(update(data[:, 1000:2000], 2000, gap=1000))
    panel.draw(110.0)
    picture = pixels(panel)
    width = picture.shape[1]
    gap = picture[:, int(0.2 * width) + 4 : int(0.385 * width) - 4]
    assert brighter(picture, DARK.trace_bad).any()
    assert not brighter(gap, DARK.hatch).any()
    assert (gap == gap[:, :1]).all(axis=1).mean() < 0.2, "it is hatched"


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


@pytest.mark.parametrize("scrolling", [False, True])
def test_a_lost_signal_turns_grey_and_is_hatched_since_and_nothing_moves(panel, session, scrolling):
    panel.controls.mode.setCurrentIndex(int(scrolling))
    play(panel, n_samples=2000)
    scene, ends_at = panel.canvas.scene, 100 + 1999 / SFREQ_HZ
    geometry = panel.canvas.plot, panel.canvas.geometry(), panel.strip.geometry()
    before = whole(panel.canvas)
    session.state = "stalled"
    panel.draw(ends_at + 1.4)
    assert scene.old_s == 0
    session.state = "lost"
    panel.draw(ends_at + 3.0)
    assert (panel.canvas.plot, panel.canvas.geometry(), panel.strip.geometry()) == geometry
    after = whole(panel.canvas)
    left = int(panel.canvas.plot.left()) - 2
    np.testing.assert_array_equal(after[:, :left], before[:, :left])
    signal = pixels(panel)[:-80, : int(0.35 * panel.canvas.plot.width())]  # neither box nor line
    assert brighter(signal, DARK.grid).any()
    assert not brighter(signal, DARK.trace_bad).any()
    hatched = scene.gaps(scene.cache)
    since = hatched.nonzero()[0] / len(hatched) * 10
    ends = 7.0 if scrolling else 2000 / SFREQ_HZ
    assert since.min() == pytest.approx(ends, abs=0.02)
    assert since.max() == pytest.approx(ends + 3, abs=0.02)
    play(panel, n_samples=6000)  # more than a page: older samples lie where time goes on
    panel.draw(100 + 5999 / SFREQ_HZ + 3.0)
    top, _ = scene.ends(list(scene.seen), scene.cache, 20.0)
    assert np.isnan(top[:, scene.gaps(scene.cache)]).all()
    assert np.isfinite(top).mean() > 0.6
    session.state = "live"
    panel.take(update(brain_like(16, 200, SFREQ_HZ), 8000, gap=2000))
    panel.draw(116.1)
    assert scene.old_s == 0
    assert has(pixels(panel), DARK.trace).any()


def test_the_box_says_since_when_there_is_no_signal_and_lies_on_no_old_trace(
    panel, session, monkeypatch
):
    said = {}
    monkeypatch.setattr(
        "rtbrain.view.traces.frame.paint_text",
        lambda p, box, text, *more: said.update({text: box}) or 9.0,
    )
    monkeypatch.setattr("rtbrain.view.traces.panel.time.time", lambda: 1_800_000_000.0)
    play(panel)
    session.state = "lost"
    panel.draw(100 + 1999 / SFREQ_HZ + 4.2)
    pixels(panel)
    since = time.strftime("%H:%M:%S", time.localtime(1_800_000_000.0 - 4.2))
    scene, plot = panel.canvas.scene, panel.canvas.plot
    assert not scene.scrolling
    for _ in range(2):
        box = said[f"No signal since {since}"]
        ends = (np.array([box.left(), box.right()]) - plot.left()) / plot.width()
        first, last = (ends * scene.cache.n_columns).astype(int)
        assert scene.gaps(scene.cache)[first : last + 1].all()
        panel.draw(100 + 1999 / SFREQ_HZ + 14.2)  # a page later
        since = time.strftime("%H:%M:%S", time.localtime(1_800_000_000.0 - 14.2))
        pixels(panel)
        assert said[f"No signal since {since}"].left() == pytest.approx(box.left(), abs=1)


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)])
def test_without_a_signal_the_picture_says_so_and_the_lanes_stay(qtbot, theme):
    session = SettableSession(None)
    session.state = "absent"
    panel = shown(qtbot, TracePanel(session, theme))
    panel.take(SessionUpdate(1.0))
    panel.draw(1.0)
    ink = has(pixels(panel), theme.text2)
    assert ink.any()
    assert not panel.controls.reference.isEnabled()


@pytest.mark.parametrize("theme", [DARK, large(LIGHT)])
def test_every_label_is_drawn_on_a_page_and_of_more_contacts_bad_ones_win(qtbot, theme):
    session = SettableSession(montage_of(128, SFREQ_HZ))
    panel = shown(qtbot, TracePanel(session, theme))
    panel.restyle(theme)
    play(panel, 128, 300)
    scene, canvas = panel.canvas.scene, panel.canvas
    row_px = 11.5 * theme.scale
    lane_px = canvas.plot.height() / len(scene.seen)
    assert lane_px >= row_px
    assert placed_labels(scene, lane_px, row_px) == list(scene.seen)
    panel.see(128)
    session.bad = {"C2": "flat", "C4": "flat"}
    panel.draw(101.0)
    lane_px = canvas.plot.height() / 128
    placed = placed_labels(scene, lane_px, row_px)
    assert np.diff(placed).min() * lane_px >= row_px - 0.02 * lane_px
    assert "C2" in {scene.lanes.names[lane] for lane in placed}


def test_no_marker_is_drawn_on_a_trace_and_memory_is_bounded_whatever_comes(panel, monkeypatch):
    play(panel, n_samples=2560)
    plain = pixels(panel)
    said = []
    monkeypatch.setattr(
        "rtbrain.view.traces.frame.paint_text", lambda p, b, text, *more: said.append(text) or 9.0
    )
    for number in range(68):
        panel.canvas.scene.pages.mark(100.0 + number * 5 / 68, "ripple")
    np.testing.assert_array_equal(pixels(panel), plain)
    assert sum(int(text.split("×")[1]) for text in said if "×" in text) >= 68
    pages = panel.canvas.scene.pages
    for number in range(3000):
        pages.mark(100.0 + number / 1000, f"{number}")
        pages.detect(100.0 + number / 1000, f"{number}")
    assert len(pages.markers(10.0)) <= 256
    assert len(pages.detected(10.0)) <= 256
    data = brain_like(16, 300, SFREQ_HZ)
    data[0] = np.nan
    data[1] = np.inf
    data[2] = 1e30
    panel.take(update(data, 10**9))
    panel.draw(200.0)
    panel.restyle(LIGHT)
    picture = pixels(panel)
    assert has(picture, LIGHT.bg0).any()
    assert has(picture, LIGHT.trace).any()


def test_a_detection_is_a_pin_in_its_lane_at_its_time(panel):
    play(panel, n_samples=2560)
    found = replace(
        update(np.zeros((16, 1), np.float32), 2560), detections=[ReceivedDetection(102.0, "go")]
    )
    panel.take(found)
    panel.draw(found.now)
    plot = panel.canvas.plot
    lane = whole(panel.canvas)[: int(plot.top()), int(plot.left()) :]
    where = np.flatnonzero(has(lane, DARK.accent).any(axis=0))
    assert where.mean() / plot.width() == pytest.approx(0.2, abs=0.01)


def test_in_a_shared_lane_no_pin_lies_on_the_text_of_a_marker(qtbot, session, monkeypatch):
    panel = shown(qtbot, TracePanel(session, DARK, chain_of))
    panel.window().resize(1024, 700)
    play(panel, n_samples=2560)
    now = panel.canvas.scene.pages.t_newest
    found = (ReceivedDetection(now - 1.98, "speech"), ReceivedDetection(now - 1.0, "speech"))
    panel.take(SessionUpdate(now, markers=((now - 2.0, "speech" * 40),), detections=found))
    texts, pins = [], []
    monkeypatch.setattr(frame, "paint_text", lambda p, box, text, *_: texts.append((text, box)))
    monkeypatch.setattr(frame, "paint_icon", lambda p, box, *_: pins.append(box))
    panel.draw(now)
    panel.canvas.grab()
    assert panel.canvas.shares_lane
    boxes = [box for text, box in texts if text.startswith("speech")]
    assert len(boxes) == 1
    assert len(pins) == 2
    assert not any(box.intersects(pin) for box in boxes for pin in pins)
