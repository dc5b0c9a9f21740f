"""The decode plot shows what was decoded, what was not, and what came of it."""

import itertools

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt

from rtbrain.view.decodes import overlays
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import montage_of
from tests.view.decodes.conftest import colours, image
from tests.view.decodes.test_words import HOP_S, INFO, NOTHING, decoding_of, detected
from tests.view.stub import row, status_event


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


def test_a_decode_between_two_invalid_ones_is_a_dot_and_a_curve_has_none(shown):
    values = [[0.1, 0.9]] * 40 + [NOTHING, [0.1, 0.9], NOTHING, NOTHING]
    plot, _ = shown(decoding_of(*values), 100.0)
    picture, lane = image(plot), plot.lanes[0][0]
    beside = round(lane.y(0.9)) + 3  # off the curve, but on a dot
    assert picture.pixelColor(round(lane.x(-2 * HOP_S)), beside - 1).name() == DARK.accent
    x_end = round(lane.x(-4 * HOP_S))
    above = {picture.pixelColor(x, beside - 5).name() for x in range(x_end - 3, x_end + 2)}
    assert DARK.accent not in above


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


@pytest.mark.parametrize("unit", ["probability", "value"])
def test_a_decoder_with_other_outputs_may_be_painted_before_it_is_drawn(shown, qtbot, unit):
    info = INFO.__class__(INFO.name, tuple("abcdef"), unit, HOP_S)
    plot, _ = shown(decoding_of(*[np.full(6, 0.2)] * 20, info=info, thresholds={}), 100.0)
    image(plot)
    for n in (1, 2, 3):
        plot.decoding.session.decode = info.__class__(f"d{n}", info.labels[:n], unit, HOP_S)
        plot.take(SessionUpdate(100.1, decodes=(row(100.1, np.full(n, 0.5)),)))
        with qtbot.captureExceptions() as failures:
            image(plot)
        assert not failures
        assert len(plot.shown) == n


def test_no_two_times_of_the_axis_touch(shown, monkeypatch):
    large_type = large(DARK)
    placed = []
    write = overlays.Canvas.text

    def note(canvas, x, y, text, ink, align=0.0):
        width = overlays.face(canvas.theme, 11).width(text)
        if text.split()[0].isdigit() or text == "now":
            placed.append((y, x - align * width, x - align * width + width))
        write(canvas, x, y, text, ink, align=align)

    monkeypatch.setattr(overlays.Canvas, "text", note)
    plot, _ = shown(decoding_of(*[[0.5, 0.5]] * 20), theme=large_type, size="low")
    plot.resize(530, 260)
    image(plot)
    times = sorted(box[1:] for box in placed if box[0] == max(one[0] for one in placed))
    assert len(times) > 3
    assert all(one[1] < other[0] for one, other in itertools.pairwise(times))


def test_without_a_decoder_the_axes_are_there_and_empty(shown):
    decoding = Decoding(decoding_of([0.5, 0.5]).session)
    decoding.session.decode = None
    plot, panel = shown(decoding)
    image(plot)
    assert plot.spans == plot.shown == []
    assert not image(panel).isNull()
