import threading
import time
import uuid

import numpy as np
import pylsl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QApplication

from rtbrain.outlet.lsl import DecodeOutlet
from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.types import Decode, Quality
from rtbrain.view.decodes.history import DecodeHistory, describe_decision
from rtbrain.view.decodes.panel import DecodePanel
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import montage_of
from tests.view.stub import StubSession, row, status_event

HOP_S = 0.25
INFO = DecodeHeader("x-decode", ("rest", "move"), "probability", HOP_S)
EVENTS = DecodeHeader("x-decode", ("rest", "move"), "probability", None)
FORCES = DecodeHeader("x-decode", ("grip", "wrist"), "value", HOP_S)


def rows(n, start_s=100.0, invalid=()):
    return [
        row(start_s + i * HOP_S, [np.nan] * 2 if i in invalid else [0.25, 0.75], i not in invalid)
        for i in range(n)
    ]


def history_of(many, info=INFO):
    history = DecodeHistory(info)
    for each in many:
        history.push(each)
    return history


@pytest.fixture
def panel_of(qtbot):
    def make(info=INFO, theme=DARK, size=(700, 240)):
        session = StubSession(decode=info)
        panel = DecodePanel(session, theme)
        qtbot.addWidget(panel)
        panel.resize(*size)
        panel.show()
        return panel, session

    return make


def test_no_line_is_drawn_across_missing_decodes():
    many = [each for each in rows(20) if not 101 < each.t_stop < 103]
    t, values, valid = history_of(many).page(105.0)
    (broken,) = np.flatnonzero(np.isnan(values[:, 0]))
    assert t[broken - 1] + 105 == 101
    assert t[broken + 1] + 105 == 103
    assert valid.sum() == len(many)
    np.testing.assert_array_equal(values[valid], np.stack([each.values for each in many]))


def test_what_is_not_valid_stays_nan_and_spans_it_with_its_reason():
    history = history_of(rows(40, invalid={8, 9, 10, 20}))
    history.note(status_event("invalid", 102.1, reason="window filling"))
    history.note(status_event("invalid", 105.1, reason="coverage low"))
    first, second = history.spans(110.0 - HOP_S)
    assert (first.start, first.stop, first.reason) == (101.75, 102.5, "window filling")
    assert (second.start, second.stop, second.reason) == (104.75, 105.0, "coverage low")
    _, values, _ = history.page(110.0)
    assert np.isnan(values).all(axis=1).sum() == 4


def test_silence_is_a_span_of_its_own():
    many = [each for each in rows(40) if not 101 < each.t_stop < 103]
    spans = history_of(many).spans(113.0)
    assert [(s.start, s.stop, s.silent) for s in spans] == [
        (101.0, 102.75, True),
        (109.75, 113.0, True),
    ]


@pytest.mark.parametrize("late_s", [0.0, 0.45, 0.55, 30.0])
def test_a_decode_is_old_after_twice_the_hop(late_s):
    history = history_of(rows(3))
    assert history.is_old(100.5 + late_s) == (late_s > 2 * HOP_S)
    assert history.age_s(100.5 + late_s) == pytest.approx(late_s)


def test_a_decode_stamped_in_the_future_grows_old_from_its_arrival():
    history = history_of([row(1000.0, [0.5, 0.5], t_arrived=100.0)])
    assert history.is_old(100.6)
    assert history.age_s(101.0) == pytest.approx(1.0)


def test_decodes_that_catch_up_after_a_stall_stand_in_the_order_of_time():
    taken_back = row(102.0, [np.nan] * 2, valid=False)
    t, values, _ = history_of([*rows(4), taken_back, row(101.0, [0.1, 0.9])]).page(103.0)
    assert (np.diff(t) > 0).all()
    assert np.isnan(values[-1]).all()


def test_the_history_holds_a_minute_whatever_comes():
    history = history_of(rows(5000))
    assert history.page(100 + 5000 * HOP_S)[0].size <= 60 / HOP_S + 1
    for i in range(500):
        history.note(status_event("invalid", 100.0 + i, reason=f"reason {i}"))
    assert history.reason == "reason 499"
    history.push(row(110.0, [np.nan] * 2, valid=False))
    (span, *_) = history.spans(120.0)
    assert span.reason == ""  # its own, "reason 12", was forgotten


@settings(max_examples=25)
@given(st.lists(st.integers(1, 12), max_size=12))
def test_decodes_in_pieces_of_any_length_are_the_same_picture(lengths):
    many = rows(40, invalid={5, 6})
    whole, pieces, start = history_of(many), DecodeHistory(INFO), 0
    for length in [*lengths, 40]:
        for each in many[start : start + length]:
            pieces.push(each)
        start += length
        pieces.page(105.0)
    for one, other in zip(whole.page(111.0), pieces.page(111.0), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.spans(111.0) == pieces.spans(111.0)


def test_the_decision_is_the_likeliest_class_with_its_probability():
    decision = describe_decision(INFO, history_of(rows(4)), 100.8, lost=False)
    assert (decision.title, decision.detail, decision.state, decision.best) == (
        "move",
        "p = 0.75",
        "good",
        1,
    )
    assert decision.quality == ("✓ valid", "coverage 90%, latency 0.04 s")
    assert decision.legend == ((0, "rest", "0.25"), (1, "move", "0.75"))


def test_an_old_decision_says_how_old_and_a_lost_one_too():
    history = history_of(rows(4))
    assert describe_decision(INFO, history, 102.05, lost=False).detail == "1.3 s old: p = 0.75"
    assert describe_decision(INFO, history, 102.05, lost=False).state == "old"
    assert describe_decision(INFO, history, 100.8, lost=True).state == "old"


def test_an_invalid_decision_says_why():
    history = history_of(rows(4, invalid={3}))
    decision = describe_decision(INFO, history, 100.8, lost=False)
    assert (decision.title, decision.state, decision.best) == ("not valid", "invalid", -1)
    assert "before this window" in decision.detail
    history.note(status_event("invalid", 100.8, reason="coverage 0.21 is below 0.30"))
    assert (
        describe_decision(INFO, history, 100.8, lost=False).detail == "coverage 0.21 is below 0.30"
    )


def test_decodes_at_events_are_never_old_and_never_silent():
    history = history_of([row(100.0, [0.2, 0.8]), row(130.0, [np.nan] * 2, False)], EVENTS)
    assert not history.is_old(155.0)
    (span,) = history.spans(155.0)
    assert not span.silent
    assert describe_decision(EVENTS, history, 155.0, lost=False).detail.endswith("25.0 s ago")


def test_the_panel_says_what_is_missing_and_what_to_do(panel_of):
    panel, session = panel_of(None)
    session.set("decode", state="absent", name="ward")
    panel.draw(0.0)
    assert "no decode stream ward" in panel.missing.text()
    assert "rtbrain decode" in panel.missing.text()
    session.set("decode", problem="2 streams: a-decode, b-decode")
    panel.draw(0.0)
    assert "--decode" in panel.missing.text()


def test_the_panel_forgets_the_decodes_of_other_channels_and_says_why_it_shows_none(panel_of):
    panel, session = panel_of()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(8))))
    panel.draw(102.0)
    why = "x-decode reads other channels: B1 is not in this signal"
    session.decode = None
    session.set("decode", state="absent", name=why)
    panel.take(SessionUpdate(0.0, other_decoder=True))
    panel.draw(102.0)
    assert panel.missing.isVisible()
    assert why in panel.missing.text()


def test_lines_turn_grey_when_old_and_coloured_again_when_live(panel_of):
    panel, _ = panel_of()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(8))))

    def colours():
        return [curve.opts["pen"].color().name() for curve in panel.lanes[0].curves]

    for now, expected in ((101.8, list(DARK.classes[:2])), (103.1, [DARK.faint] * 2)):
        panel.draw(now)
        assert colours() == expected
    panel.take(SessionUpdate(0.0, decodes=(row(103.0, [0.25, 0.75]),)))
    panel.draw(103.1)
    assert colours() == list(DARK.classes[:2])


def hatched(panel, silent=False):
    return panel.lanes[0].hatches[silent].path().boundingRect()


def test_invalid_stretches_are_hatched_and_tell_why(panel_of):
    panel, _ = panel_of()
    event = status_event("invalid", 102.1, reason="window filling")
    panel.take(
        SessionUpdate(0.0, decodes=tuple(rows(160, invalid=set(range(8, 60)))), events=(event,))
    )
    panel.draw(140.0)
    where = hatched(panel)
    assert (where.left(), where.right()) == pytest.approx((-38.25, -25.25))
    assert hatched(panel, silent=True).isEmpty()
    assert "window filling" in panel.canvas.toolTip()
    image = panel.canvas.grab().toImage()
    at = panel.lanes[0].plot.vb.mapViewToScene

    def shades(t):
        corner = at(QPointF(t, 0.5)).toPoint()
        return {
            image.pixelColor(corner.x() + dx, corner.y() + dy).name()
            for dx in range(8)
            for dy in range(8)
        }

    assert len(shades(-32.0)) > 1
    assert shades(-50.0) == {DARK.background}


def test_what_is_not_there_is_hatched_as_silence(panel_of):
    panel, _ = panel_of()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(40))))
    panel.draw(120.0)
    where = hatched(panel, silent=True)
    assert (where.left(), where.right()) == pytest.approx((-10.25, 0.0))


def test_a_decode_between_two_invalid_ones_is_a_dot(panel_of):
    panel, _ = panel_of()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(9, invalid={3, 5}))))
    panel.draw(102.1)
    x, y = panel.lanes[0].dots[1].getData()
    np.testing.assert_allclose(x, [101.0 - 102.1])
    np.testing.assert_allclose(y, [0.75])


def test_outputs_of_a_regression_have_their_own_scales(panel_of):
    panel, _ = panel_of(FORCES, size=(900, 400))
    many = [row(100 + i * HOP_S, [50 * np.sin(i / 9), 0.01 * i]) for i in range(100)]
    panel.take(SessionUpdate(0.0, decodes=tuple(many)))
    panel.draw(125.0)
    (_, (low, high)), (_, (wrist_low, wrist_high)) = (
        lane.plot.vb.viewRange() for lane in panel.lanes
    )
    assert -60 < low < -50
    assert 50 < high < 60
    assert wrist_low < 0
    assert 0.98 < wrist_high < 1.2


def test_another_decoder_begins_anew(panel_of):
    panel, session = panel_of()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(8))))
    session.decode = DecodeHeader("x-decode", ("a", "b", "c"), "probability", HOP_S)
    panel.take(SessionUpdate(0.0, decodes=(row(102.0, [0.5, 0.5]), row(103.0, [0.1, 0.2, 0.7]))))
    panel.draw(103.1)
    assert panel.card.shown.title == "c"
    assert len(panel.lanes[0].curves) == 3


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)])
@pytest.mark.parametrize("size", [(300, 500), (380, 260), (1200, 700)])
def test_card_and_plot_share_any_room_without_overlap(panel_of, theme, size):
    panel, _ = panel_of(DecodeHeader("x", tuple("abcdefghi"), "probability", HOP_S), size=size)
    panel.restyle(theme)
    panel.take(SessionUpdate(0.0, decodes=(row(100.0, np.full(9, 1 / 9)),)))
    panel.draw(100.1)
    panel.grab()
    assert not panel.card.geometry().intersects(panel.canvas.geometry())
    assert panel.card.width() >= panel.card.minimumSizeHint().width()


def test_a_card_above_the_plot_grows_with_what_it_says(panel_of):
    panel, _ = panel_of(size=(300, 500))
    panel.take(SessionUpdate(0.0))
    panel.draw(0.0)
    QApplication.processEvents()
    height = panel.card.height()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(4))))
    panel.draw(100.8)
    QApplication.processEvents()
    assert panel.card.height() == panel.card.sizeHint().height() > height


def test_a_long_or_strange_label_is_shown_as_it_is(panel_of):
    panel, _ = panel_of(DecodeHeader("x", ("<b>é" * 30, "ß"), "probability", HOP_S))
    panel.take(SessionUpdate(0.0, decodes=(row(100.0, [0.9, 0.1]),)))
    panel.draw(100.1)
    panel.grab()
    assert panel.card.shown.title == "<b>é" * 30


@pytest.mark.lsl
def test_a_real_decode_stream_that_ends_turns_grey(panel_of, qtbot, monkeypatch):
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    name = uuid.uuid4().hex
    outlet = DecodeOutlet(
        name, ("rest", "move"), hop_s=HOP_S, montage=montage_of(2, 512.0), bundle_id="b",
        source_id=name,
    )  # fmt: skip
    session = ViewSession(stream=name, decode=name)
    panel = DecodePanel(session, DARK)
    qtbot.addWidget(panel)
    quality, pause = Quality(np.ones(2, np.bool_)), threading.Event()
    sent_at, end = 0.0, time.monotonic() + 15

    def until(condition, sending):
        nonlocal sent_at
        while not condition():
            assert time.monotonic() < end
            if sending and time.monotonic() > sent_at + HOP_S:
                sent_at, now = time.monotonic(), pylsl.local_clock()
                values = np.array([0.2, 0.8], np.float32)
                outlet.push(Decode(values, now, now, quality, now, now))
            panel.take(session.poll())
            panel.draw(pylsl.local_clock())
            pause.wait(0.02)

    until(lambda: panel.card.shown.state == "good", sending=True)
    assert panel.card.shown.title == "move"
    outlet.close()
    until(lambda: panel.card.shown.state == "old", sending=False)
    session.close()


def test_a_feed_that_is_connecting_is_named(panel_of):
    panel, session = panel_of(None)
    session.set("decode", state="connecting", name="ward-decode")
    panel.draw(0.0)
    assert "Connecting to the decodes ward-decode" in panel.missing.text()
