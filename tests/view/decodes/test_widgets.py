"""The plot and the panel Now look the same wherever they stand, and nothing in them jumps."""

import threading
import time
import uuid

import numpy as np
import pylsl
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QFontInfo, QFontMetricsF, QImage

from rtbrain.outlet.lsl import DecodeOutlet, DetectionOutlet, StatusOutlet
from rtbrain.types import Decode, Detection, Quality
from rtbrain.view.decodes import frame
from rtbrain.view.decodes import now as now_module
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.now import NowPanel
from rtbrain.view.decodes.plot import DecodePlot
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import montage_of
from tests.view.decodes.test_words import HOP_S, INFO, NOTHING, SPEECH, decoding_of, detected
from tests.view.stub import row, status_event

SIZES = {"1280": (952, 304, 192), "1920": (1468, 420, 264), "low": (952, 304, 152)}


@pytest.fixture
def shown(qtbot):
    """Both widgets of a decoder at a time, drawn and painted."""

    def make(decoding, at=100.2, theme=DARK, size="1280", movable=False):
        left, right, height = (round(side * theme.scale) for side in SIZES[size])
        plot, panel = DecodePlot(decoding, theme, movable=movable), NowPanel(decoding, theme)
        for widget, width in ((plot, left), (panel, right)):
            qtbot.addWidget(widget)
            widget.resize(width, height)
            widget.draw(at)
        return plot, panel

    return make


def image(widget) -> QImage:
    return widget.grab().toImage()


def colours(picture, x, y, radius=5):
    around = range(-radius, radius + 1)
    return {
        picture.pixelColor(round(x) + dx, round(y) + dy).name() for dx in around for dy in around
    }


STATES = {
    "target": ([[0.06, 0.94]], 100.2),
    "other": ([[0.91, 0.09]], 100.2),
    "old": ([[0.91, 0.09]], 102.0),
    "invalid": ([[0.5, 0.5], NOTHING], 100.2),
}


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_every_state_can_be_told_in_grey(shown, theme):
    greys = {}
    for name, (values, at) in STATES.items():
        _, panel = shown(decoding_of(*values), at, theme)
        made = image(panel).convertToFormat(QImage.Format.Format_Grayscale8)
        data = np.frombuffer(made.constBits(), np.uint8).reshape(made.height(), -1)
        greys[name] = data[:, : made.width()].astype(int)
    names = list(greys)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            apart = np.abs(greys[one] - greys[other]) > 40
            assert apart.sum() > 300, (one, other)


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_moves_when_the_state_changes(shown, monkeypatch, theme, size):
    places = {}
    for name, (values, at) in STATES.items():
        drawn = record(monkeypatch)
        plot, panel = shown(decoding_of(*values, detections=detected(99.0)), at, theme, size)
        image(panel)
        texts = {text: place for text, place, _, _ in drawn}
        first = panel.shown.first
        places[name] = (plot.area, texts["Now"], next(y for t, (_, y), *_ in drawn if t == first))
    assert len({str(one) for one in places.values()}) == 1, places


def record(monkeypatch):
    """Texts that the panel Now paints from now on: text, place, width, font."""
    drawn = []

    def paint(painter, at, width, parts, gap=0.0, middle=False):
        x = at.x()
        for text, face, _ in parts:
            drawn.append((text, (round(x), round(at.y())), at.x() + width - x, face.font))
            x += face.width(text) + gap
        return frame.paint_line(painter, at, width, parts, gap, middle)

    monkeypatch.setattr(now_module, "paint_line", paint)
    return drawn


@pytest.mark.parametrize("theme", [DARK, large(LIGHT)])
@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("label", ["speech", "left_superior_temporal_speech_attempt", "<b>é" * 30])
def test_a_long_name_shrinks_and_is_elided_and_the_number_never_is(
    shown, monkeypatch, theme, size, label
):
    drawn = record(monkeypatch)
    info = INFO.__class__(INFO.name, ("rest", label), INFO.unit, HOP_S)
    _, panel = shown(decoding_of([0.06, 0.94], info=info, thresholds={}), 100.2, theme, size)
    image(panel)
    number = next(one for one in drawn if one[0] == "0.94")
    word = next(one for one in drawn if one[0] == label and one[3].pixelSize() >= theme.px(24))
    assert QFontMetricsF(number[3]).horizontalAdvance("0.94") <= number[2]
    assert number[3].pixelSize() >= theme.px({"1280": 46, "1920": 72, "low": 30}[size])
    assert word[1][0] + word[2] < number[1][0]
    assert number[1][0] + number[2] <= panel.width()
    if label == "speech":
        assert word[3].pixelSize() == pytest.approx(0.8 * number[3].pixelSize(), abs=1.5)
        assert QFontMetricsF(word[3]).horizontalAdvance(label) <= word[2]


def test_at_two_metres_the_number_is_larger_than_all_other_text(shown, monkeypatch):
    drawn = record(monkeypatch)
    _, panel = shown(decoding_of([0.06, 0.94], detections=detected(99.0)))
    image(panel)
    others = [font.pixelSize() for text, _, _, font in drawn if text not in ("0.94", "speech")]
    assert max(others) <= 24
    assert QFontInfo(next(font for text, _, _, font in drawn if text == "0.94")).pixelSize() == 46


@pytest.mark.parametrize(("theme", "n_listed"), [(DARK, 0), (LIGHT, 5)])
def test_classes_are_listed_where_there_is_room(shown, monkeypatch, theme, n_listed):
    drawn = record(monkeypatch)
    info = INFO.__class__(INFO.name, tuple("abcdefg"), INFO.unit, HOP_S)
    values = [0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02]
    decoding = decoding_of(values, info=info, thresholds={"b": SPEECH}, detections=detected(99.0))
    _, panel = shown(decoding, 100.2, theme, "1920" if n_listed else "1280")
    image(panel)
    texts = [text for text, _, _, _ in drawn]
    assert ("3 more" in texts) == bool(n_listed)
    assert sum(text in ("0.25", "0.30", "0.20", "0.10") for text in texts) == (5 if n_listed else 1)


def test_what_is_not_valid_is_hatched_and_has_no_curve(shown):
    values = [[0.1, 0.9]] * 120 + [NOTHING] * 60 + [[0.1, 0.9]] * 40
    event = status_event("invalid", 100.0 - 100 * HOP_S, reason="an artifact on several contacts")
    plot, _ = shown(decoding_of(*values, events=(event,)), 100.0)
    picture, area = image(plot), plot.area
    lane = plot.lanes[0][0]
    assert DARK.accent in colours(picture, lane.x(-40.0), lane.y(0.9))
    assert DARK.accent not in colours(picture, lane.x(-18.0), lane.y(0.9))
    hatch = colours(picture, lane.x(-13.0), lane.y(0.3), 8)
    assert DARK.bg0 in hatch
    assert len(hatch) > 1
    (span,) = plot.spans
    assert (span.start - 100, span.stop - 100) == pytest.approx((-25.0, -10.0))
    tip = plot.tip_at(QPointF(lane.x(-18.0), area.center().y()))
    assert tip == "25.0 to 10.0 s ago: not valid: an artifact on several contacts"


def test_a_gap_says_how_long_it_was(shown):
    values = [[0.1, 0.9]] * 120 + [NOTHING] * 60 + [[0.1, 0.9]] * 40
    events = (
        status_event("gap", 75.1, lost=160),
        status_event("invalid", 75.1, reason="filling: 0.1 of 5 s"),
    )
    decoding = decoding_of(*values, events=events)
    decoding.session.montage = montage_of(2, 2000.0)
    plot, _ = shown(decoding, 100.0)
    assert "gap of 80 ms" in plot.tip_at(QPointF(plot.lanes[0][0].x(-18.0), plot.area.center().y()))


def test_decodes_that_stop_are_followed_by_a_hatch_up_to_now(shown):
    plot, _ = shown(decoding_of(*[[0.1, 0.9]] * 100), 104.0)
    (span,) = plot.spans
    assert (span.start, span.stop, span.silent) == (100.0, 104.0, True)


def test_detections_have_a_pin_and_a_bar_and_those_not_sent_are_hollow(shown):
    decoding = decoding_of(*[[0.9, 0.1]] * 100, detections=detected(90.0))
    about = {"label": "speech", "t_stop": 80.0, "t_ready": 80.2, "value": 0.9}
    decoding.take(SessionUpdate(1.0, events=(status_event("detected", 80.2, **about),)))
    plot, _ = shown(decoding, 100.0)
    picture, lane = image(plot), plot.lanes[0][0]
    y = plot.area.top() - 5 - 18 - 9 - 2  # in the upper half of a pin
    inside = {t: picture.pixelColor(round(lane.x(t)), round(y)).name() for t in (-10.0, -20.0)}
    assert inside[-10.0] == DARK.accent
    assert inside[-20.0] != DARK.accent
    bar = picture.pixelColor(round(lane.x(-9.0)), round(y + 2)).name()
    assert bar not in (DARK.accent, DARK.bg0)
    assert picture.pixelColor(round(lane.x(-5.0)), round(y + 2)).name() == DARK.bg0
    assert "not sent" in plot.tip_at(QPointF(lane.x(-20.0), y))
    assert plot.tip_at(QPointF(lane.x(-10.0), y)) == "speech detected 10.0 s ago (0.90)"


def test_cues_are_boxes_as_long_as_they_last(shown):
    markers = ((60.0, "speech"), (70.0, "rest"))
    plot, _ = shown(decoding_of(*[[0.9, 0.1]] * 300, markers=markers), 100.0)
    picture, lane = image(plot), plot.lanes[0][0]
    y = plot.area.top() - 5 - 9
    assert DARK.bg2 in colours(picture, lane.x(-32.0), y, 1)
    assert colours(picture, lane.x(-25.0), y, 1) == {DARK.bg0}


def test_drift_is_marked_along_the_top(shown):
    decoding = decoding_of([0.5, 0.5])
    drifting = tuple(row(80.0 + i * HOP_S, [0.9, 0.1], drift=1.2) for i in range(80))
    decoding.take(SessionUpdate(1.0, decodes=drifting))
    plot, _ = shown(decoding, 100.0)
    picture, lane = image(plot), plot.lanes[0][0]
    assert DARK.warn in colours(picture, lane.x(-10.0), plot.area.top() + 2)
    assert DARK.warn not in colours(picture, lane.x(-30.0), plot.area.top() + 2)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_two_classes_are_one_curve_and_of_many_there_are_four(shown, n):
    info = INFO.__class__(INFO.name, tuple("abcdefg"[:n]), INFO.unit, HOP_S)
    decoding = decoding_of(*[np.full(n, 1 / n)] * 8, info=info, thresholds={})
    plot, _ = shown(decoding)
    image(plot)
    ((_, outputs),) = plot.lanes
    assert len(outputs) == {2: 1, 3: 3, 7: 4}[n]


def test_outputs_of_a_regression_have_their_own_scales(shown):
    info = INFO.__class__(INFO.name, ("grip", "wrist"), "value", HOP_S)
    many = [[50 * np.sin(i / 9), 0.01 * i] for i in range(100)]
    plot, _ = shown(decoding_of(*many, info=info, thresholds={}), 100.0)
    image(plot)
    (grip, _), (wrist, _) = plot.lanes
    assert -60 < grip.low < -50 < 50 < grip.high < 60
    assert -0.2 < wrist.low < 0 < 0.98 < wrist.high < 1.2
    assert grip.box.bottom() < wrist.box.top()


def test_decodes_at_events_are_dots(shown):
    info = INFO.__class__(INFO.name, INFO.labels, INFO.unit, None)
    decoding = Decoding(decoding_of([0.1, 0.9], info=info).session)
    decoding.take(SessionUpdate(1.0, decodes=(row(80.0, [0.1, 0.9]), row(90.0, [0.1, 0.9]))))
    plot, _ = shown(decoding, 100.0)
    picture, lane = image(plot), plot.lanes[0][0]
    assert DARK.accent in colours(picture, lane.x(-20.0), lane.y(0.9))
    assert DARK.accent not in colours(picture, lane.x(-15.0), lane.y(0.9))


@pytest.mark.parametrize("movable", [True, False])
def test_the_threshold_can_be_dragged_in_the_console_alone(shown, qtbot, movable):
    decoding = decoding_of(*[[0.5, 0.5]] * 20)
    plot, _ = shown(decoding, 100.2, movable=movable)
    moved, chosen = [], []
    plot.threshold_moved.connect(moved.append)
    plot.threshold_chosen.connect(chosen.append)
    lane = plot.lanes[0][0]

    def at(value):
        return QPoint(round(lane.box.right() + 12), round(lane.y(value)))

    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=at(0.7))
    qtbot.mouseMove(plot, at(0.8))
    qtbot.mouseMove(plot, at(1.4))
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=at(1.4))
    if not movable:
        assert not moved + chosen
        return
    assert moved == [pytest.approx(0.8, abs=0.01), 0.99]
    assert chosen == [0.99]
    assert plot.preview == (0.99, pytest.approx(0.84))
    event = status_event("threshold", label="speech", up=0.99, down=0.84, refractory_s=2.0)
    plot.take(SessionUpdate(2.0, events=(event,)))
    plot.draw(100.3)
    assert plot.preview is None


def test_what_stands_still_is_painted_again_when_anything_of_it_changes(shown):
    decoding = decoding_of(*[[0.5, 0.5]] * 20)
    plot, _ = shown(decoding, 100.0)
    image(plot)
    before = plot._picture.cacheKey()
    plot.draw(101.0)
    image(plot)
    assert plot._picture.cacheKey() == before
    changes = [
        lambda: setattr(plot, "band_s", 10.0),
        lambda: plot.restyle(LIGHT),
        lambda: plot.resize(900, 264),
        lambda: setattr(decoding, "page_s", 120.0),
        lambda: decoding.take(SessionUpdate(3.0, markers=((99.0, "speech"),))),
        lambda: decoding.take(SessionUpdate(4.0, detections=detected(99.0))),
    ]
    for number, change in enumerate(changes):
        change()
        plot.draw(102.0 + number)
        image(plot)
        assert plot._picture.cacheKey() != before, number
        before = plot._picture.cacheKey()


def test_the_plot_follows_a_clock_that_jumps_and_a_decoder_that_comes_and_goes(shown):
    decoding = decoding_of(*[[0.5, 0.5]] * 20)
    plot, _ = shown(decoding, 100.0)
    info, decoding.session.decode = decoding.session.decode, None
    plot.take(SessionUpdate(3.0))
    plot.draw(100.01)
    assert plot.shown == []
    decoding.session.decode = info
    plot.take(SessionUpdate(4.0, decodes=(row(40.0, [0.5, 0.5]),)))
    plot.draw(41.0)  # a minute back
    assert plot.shown == [1, 0]


def test_without_a_decoder_the_axes_are_there_and_empty(shown):
    decoding = Decoding(decoding_of([0.5, 0.5]).session)
    decoding.session.decode = None
    plot, panel = shown(decoding)
    image(plot)
    assert plot.spans == plot.shown == []
    assert not image(panel).isNull()


@pytest.mark.lsl
def test_a_real_decoder_is_shown_with_its_detections_and_turns_old_when_it_ends(shown, monkeypatch):
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    name = uuid.uuid4().hex
    about = {"mode": "linear", "window_s": "5"}
    decodes = DecodeOutlet(
        name, ("rest", "speech"), hop_s=HOP_S, montage=montage_of(2, 512.0), bundle_id="b",
        source_id=f"{name}-d", about=about, delay_s=0.25,
    )  # fmt: skip
    status = StatusOutlet(name, source_id=f"{name}-s")
    events = DetectionOutlet(name, source_id=f"{name}-e", bundle_id="b")
    session = ViewSession(stream=name, decode=name)
    plot, panel = shown(Decoding(session))
    quality, pause = Quality(np.ones(2, np.bool_)), threading.Event()
    sent_at, end, detections = 0.0, time.monotonic() + 20, {"speech": SPEECH}

    def until(condition, sending=True):
        nonlocal sent_at
        while not condition():
            assert time.monotonic() < end, (panel.shown, session.feeds)
            if sending and time.monotonic() > sent_at + HOP_S:
                sent_at, now = time.monotonic(), pylsl.local_clock()
                values = np.array([0.2, 0.8], np.float32)
                decodes.push(Decode(values, now - 0.25, now, quality, now, now))
            update = session.poll()
            for widget in (plot, panel):
                widget.take(update)
                widget.draw(pylsl.local_clock())
            pause.wait(0.02)

    until(lambda: panel.shown.state == "valid" and "events" in session._inlets)
    until(lambda: session.feeds[2].state == "live")
    status.emit("summary", detections={"thresholds": detections, "sent": 30, "sending": True})
    until(lambda: panel.shown.threshold == "threshold 0.70")
    assert panel.shown.decoder == f"decoder {name}, linear"
    events._n_sent = 30
    now = pylsl.local_clock()
    events.push(Detection("speech", 0.8, now - 0.25, now, now + 0.1, 1.0, np.nan, calibrated=True))
    until(lambda: panel.shown.pin)
    assert panel.shown.count == "31 this run"
    (pin,) = plot.decoding.detections
    assert pin.t == pytest.approx(now, abs=0.02)
    decodes.close()
    until(lambda: panel.shown.icon == "fix", sending=False)
    assert panel.shown.detail[1] == "Start it again, or look at the log."
    for outlet in (status, events):
        outlet.close()
    session.close()
