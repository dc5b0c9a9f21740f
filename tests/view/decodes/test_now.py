"""The panel Now can be read from afar, told in grey, and nothing in it jumps."""

import threading
import time
import uuid

import numpy as np
import pylsl
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontInfo, QFontMetricsF, QImage

from rtbrain.outlet.lsl import DecodeOutlet, DetectionOutlet, StatusOutlet
from rtbrain.types import Decode, Detection, Quality
from rtbrain.view.decodes import frame
from rtbrain.view.decodes import now as now_module
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import montage_of
from tests.view.decodes.conftest import SIZES, colours, image
from tests.view.decodes.test_words import HOP_S, INFO, NOTHING, SPEECH, decoding_of, detected

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


drawn, elided = [], []


def record(monkeypatch):
    """Texts that the panel Now paints from now on: text, place, width, font."""
    drawn.clear()
    elided.clear()

    def paint(painter, at, width, parts, gap=0.0, middle=False):
        x = at.x()
        for text, face, _ in parts:
            room = at.x() + width - x
            # As `paint_line` elides it, at its end or in its middle.
            mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
            elided.append(face.metrics.elidedText(text, mode, room))
            drawn.append((text, (round(x), round(at.y())), room, face.font))
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
    shown_word = elided[drawn.index(word)]
    assert (shown_word[:2], shown_word[-2:]) == (label[:2], label[-2:])
    if label == "speech":
        assert word[3].pixelSize() == pytest.approx(0.8 * number[3].pixelSize(), abs=1.5)
        assert QFontMetricsF(word[3]).horizontalAdvance(label) <= word[2]


def test_an_old_decode_has_a_hatched_bar_and_none_in_the_accent(shown):
    grounds = {}
    for name in ("target", "old"):
        values, at = STATES[name]
        _, panel = shown(decoding_of(*values), at)
        grounds[name] = colours(image(panel), 100, 98, 10)
    assert DARK.accent in grounds["target"]
    assert DARK.accent not in grounds["old"]
    assert len(grounds["old"] - {DARK.bg0}) > 1


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
    sent_at, end, detections = 0.0, time.monotonic() + 40, {"speech": SPEECH}

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
