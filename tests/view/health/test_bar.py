import itertools
import math

import numpy as np
import pytest
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QApplication
from rtbrain.view.health.bar import Banner, HealthBar

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.health.indicators import (
    DecoderStatus,
    LatencyHistory,
    load_indicator,
    stream_indicator,
)
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.view.stub import NEVER, StubSession, feed, row, status_event

RECORD = "x-record-status"
INFO = DecodeHeader("x-decode", ("rest", "move"), "probability", 0.25)


@pytest.fixture
def shown(qtbot):
    def make(widget_class, session, theme=DARK, width=1280):
        widget = widget_class(session, theme)
        widget.restyle(theme)
        qtbot.addWidget(widget)
        widget.resize(width, 60)
        widget.show()
        return widget

    return make


def signs(bar):
    return [cell.text() for cell in (*bar.streams, *bar.cells.values())]


def test_a_live_stream_shows_its_rates_and_its_clock():
    word = stream_indicator(feed("signal", nominal_hz=2048.0, effective_hz=2047.93))
    assert word.text == "signal 2047.9/2048 Hz, clock +0.10 ± 0.05 ms"
    assert word.severity == "good"
    assert "effective 2047.930 Hz" in word.tip


@pytest.mark.parametrize(
    ("state", "severity"),
    [("lost", "bad"), ("stalled", "bad"), ("connecting", "warn"), ("absent", "faint")],
)
def test_a_stream_that_is_not_live_says_so_in_words(state, severity):
    word = stream_indicator(feed("signal", state, nominal_hz=2048.0))
    assert (word.text, word.severity) == (f"signal {state}", severity)


def test_lost_samples_warn_and_an_ambiguous_stream_too():
    word = stream_indicator(feed("signal", nominal_hz=512.0, effective_hz=512.0, lost=64))
    assert "64 samples lost" in word.text
    assert word.severity == "warn"
    word = stream_indicator(feed("signal", "absent", problem="2 streams: a, b"))
    assert word.severity == "warn"
    assert "2 streams: a, b" in word.tip


@pytest.mark.parametrize("algorithm_s", [0.0, 0.1, 2.5])
def test_the_latency_is_split_as_it_was_made(algorithm_s):
    rng = np.random.default_rng(0)
    latency, parts = LatencyHistory(), []
    for i in range(240):
        t_stop = 100 + 0.25 * i
        transport_s, compute_s, delivery_delay_s = rng.uniform(
            [0.01, 0.02, 0.002], [0.03, 0.05, 0.02]
        )
        age_s = algorithm_s + transport_s + compute_s
        arrived = t_stop + transport_s + compute_s + delivery_delay_s
        latency.push(row(t_stop, [0, 1], age_s=age_s, compute_s=compute_s, t_arrived=arrived))
        parts.append((age_s, transport_s, compute_s))
    newest = latency.newest
    assert newest.total == pytest.approx(parts[-1][0])
    assert newest.algorithm == pytest.approx(algorithm_s, abs=0.003)
    assert newest.transport == pytest.approx(parts[-1][1], abs=0.003)
    assert newest.compute == pytest.approx(parts[-1][2])
    assert newest.algorithm + newest.transport + newest.compute == pytest.approx(newest.total)
    assert len(latency.line(160.0)) == 240


def test_an_unknown_latency_is_left_out():
    latency = LatencyHistory()
    latency.push(row(100.0, [0, 1], age_s=NEVER))
    assert math.isnan(latency.newest.total)
    assert math.isnan(latency.delivery_delay_s)
    assert latency.line(100.0) == []


def test_a_decode_that_is_withdrawn_does_not_change_the_parts():
    latency = LatencyHistory()
    for i in range(20):
        latency.push(row(100 + 0.25 * i, [0, 1], age_s=0.12, compute_s=0.01))
    before = latency.newest
    assert before.algorithm == pytest.approx(0.07)
    latency.push(row(106.0, [NEVER] * 2, valid=False, age_s=1.4, t_arrived=106.0))
    assert latency.newest.total == 1.4
    assert math.isnan(latency.newest.algorithm)
    latency.push(row(107.0, [0, 1], age_s=0.12, compute_s=0.01))
    assert latency.newest == before


def test_latencies_are_kept_for_a_minute():
    latency = LatencyHistory()
    for i in range(2000):
        latency.push(row(100 + 0.25 * i, [0, 1]))
    assert len(latency.line(100 + 0.25 * 1999)) <= 242


@pytest.mark.parametrize(
    ("event", "severity"),
    [("waiting", "warn"), ("connecting", "warn"), ("warming", "warn"), ("live", "good"),
     ("stalled", "bad"), ("lost", "bad"), ("refused", "bad"), ("stopping", "warn"),
     ("failed", "bad"), ("stopped", "faint")],
)  # fmt: skip
def test_the_decoder_is_in_the_state_it_reported_last(event, severity):
    status = DecoderStatus()
    status.update(status_event("waiting"))
    status.update(status_event(event, reason="because"))
    status.update(status_event("stopped", stream=RECORD))
    status.update(status_event("gap", lost=3))
    word = status.indicator(feed("decode"), feed("status"))
    assert (word.text, word.severity) == (f"decoder: {event}", severity)
    assert "because" in word.tip


def test_a_summary_holds_the_state_of_a_decoder():
    status = DecoderStatus()
    status.update(status_event("summary", state="stalled", bad={}))
    assert status.indicator(feed("decode"), feed("status")).text == "decoder: stalled"


@pytest.mark.parametrize(
    "events",
    [
        [status_event("live"), status_event("mains", reason="hum is at 50 Hz")],
        [status_event("summary", state="live", mains="hum is at 50 Hz")],
    ],
)
def test_hum_that_the_decoder_does_not_remove_is_a_warning_that_stays(events):
    status = DecoderStatus()
    for event in (*events, status_event("summary", state="live")):
        status.update(event)
    word = status.indicator(feed("decode"), feed("status"))
    assert (word.text, word.severity) == ("decoder: live, mains hum not removed", "warn")
    assert "hum is at 50 Hz" in word.tip
    status.update(status_event("lost", reason="away"))
    assert status.indicator(feed("decode"), feed("status")).text == "decoder: lost"
    # The next decoder of that name removes it.
    status.update(status_event("summary", state="live", mains=""))
    assert status.indicator(feed("decode"), feed("status")).text == "decoder: live"


def test_a_decoder_that_failed_and_then_reported_its_totals_has_failed():
    status = DecoderStatus()
    status.update(status_event("failed", reason="no room"))
    status.update(status_event("stopped"))
    assert (
        status.indicator(feed("decode", "lost"), feed("status", "lost")).text == "decoder: failed"
    )


def test_a_decoder_whose_status_is_lost_is_gone_unless_it_said_so():
    status = DecoderStatus()
    assert status.indicator(feed("decode"), feed("status")).text == "decoder: running"
    status.update(status_event("live"))
    assert status.indicator(feed("decode"), feed("status", "lost")).text == "decoder: gone"
    status.update(status_event("stopped"))
    assert status.indicator(feed("decode"), feed("status", "lost")).text == "decoder: stopped"


def test_a_high_load_is_a_warning_and_an_unknown_one_is_not():
    assert load_indicator(0.4).text == "CPU 40%"
    assert load_indicator(0.95).severity == "warn"
    assert load_indicator(NEVER).severity == "faint"


def test_the_load_is_read_every_two_seconds(shown, monkeypatch):
    loads = iter([0.0, 25.0, 50.0])
    monkeypatch.setattr("psutil.cpu_percent", lambda: next(loads))
    bar = shown(HealthBar, StubSession())
    for now, text in ((100.0, "CPU 25%"), (101.5, "CPU 25%"), (102.1, "CPU 50%")):
        bar.draw(now)
        assert text in bar.cells["cpu"].text()


def test_every_indicator_has_a_symbol_and_a_tip(shown):
    bar = shown(HealthBar, StubSession(decode=INFO, feeds=[feed("signal", "lost")]))
    bar.take(SessionUpdate(0.0, decodes=(row(100.0, [0, 1]),), events=(status_event("live"),)))
    bar.draw(100.1)
    for cell in (*bar.streams, *bar.cells.values()):
        assert any(sign in cell.text() for sign in "●▲✖○")
        assert cell.toolTip()
    assert "✖" in bar.streams[0].text()
    assert "signal lost" in bar.streams[0].text()
    assert "algorithm" in bar.cells["latency"].text()
    assert bar.spark.isVisible()


def test_an_old_decode_is_shown_in_the_bar(shown):
    bar = shown(HealthBar, StubSession(decode=INFO))
    bar.take(SessionUpdate(0.0, decodes=(row(100.0, [0, 1]),)))
    bar.draw(103.05)
    assert "no decode for 3.0 s" in bar.cells["latency"].text()


def test_what_a_decoder_of_other_channels_reported_is_forgotten(shown):
    session = StubSession(decode=INFO)
    bar = shown(HealthBar, session)
    bar.take(SessionUpdate(0.0, decodes=(row(100.0, [0, 1]),), events=(status_event("refused"),)))
    bar.draw(100.1)
    assert "decoder: refused" in bar.cells["decoder"].text()
    session.decode = None
    session.set("decode", state="absent")
    bar.take(SessionUpdate(0.0, other_decoder=True))
    bar.draw(101.0)
    assert "decoder: unknown" in bar.cells["decoder"].text()
    assert not bar.spark.isVisible()


def test_without_decodes_the_latency_is_the_signals(shown):
    bar = shown(HealthBar, StubSession())
    bar.draw(100.02)
    assert "signal 0.02 s old" in bar.cells["latency"].text()
    assert not bar.spark.isVisible()


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(LIGHT)])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_bar_is_as_high_as_its_indicators_need_and_none_overlap(shown, theme, width):
    session = StubSession(decode=INFO, feeds=[feed("signal", nominal_hz=2048.0)])
    bar = shown(HealthBar, session, theme, width)
    bar.take(SessionUpdate(0.0, decodes=(row(100.0, [0, 1]),)))
    bar.draw(100.1)
    QApplication.processEvents()
    cells = (*bar.streams, *bar.cells.values(), bar.spark)
    where = [QRect(cell.mapTo(bar, cell.rect().topLeft()), cell.size()) for cell in cells]
    assert not any(one.intersects(other) for one, other in itertools.combinations(where, 2))
    assert all(bar.rect().contains(one) for one in where)
    for cell in bar.streams:
        assert cell.width() >= cell.sizeHint().width()
    if width == 1280 and not theme.large:
        assert len({one.top() for one in where if one.height() == where[0].height()}) == 2


def test_one_more_stream_gets_one_more_indicator(shown):
    session = StubSession()
    bar = shown(HealthBar, session)
    bar.draw(0.0)
    session.feeds += (feed("markers"), feed("markers", name="x-marks"))
    bar.draw(1.0)
    assert "markers live" in bar.streams[-2].text()
    assert "manual marks live" in bar.streams[-1].text()


def test_marks_of_several_windows_are_one_indicator(shown):
    session = StubSession()
    bar = shown(HealthBar, session)
    session.feeds += (feed("markers", name="x-marks"),) * 3
    bar.draw(1.0)
    assert [cell.text() for cell in bar.streams].count(bar.streams[-1].text()) == 1


def test_names_cannot_mark_up_the_bar(shown):
    bar = shown(HealthBar, StubSession())
    bar.take(
        SessionUpdate(0.0, events=(status_event("recording", stream=RECORD, file="<b>x" * 50),))
    )
    bar.draw(0.0)
    assert "<b>x" not in bar.cells["recording"].text()
    assert len(bar.cells["recording"].text()) < 1000


def test_an_amplitude_that_no_brain_has_is_written_across_the_window(shown):
    session = StubSession()
    banner = shown(Banner, session)
    session.wrong_amplitude = "the signal's standard deviation is 3e-05 µV"
    banner.draw(0.0)
    assert "3e-05 µV" in banner.amplitude.text()
    assert banner.height() > 30
    session.wrong_amplitude = ""
    banner.draw(1.0)
    assert not banner.amplitude.isVisible()


@pytest.mark.parametrize(
    ("origin", "words"),
    [("replay", "REPLAY"), ("synthetic", "SYNTHETIC"), ("fault injection", "FAULT INJECTION"),
     ("phantom", "PHANTOM")],
)  # fmt: skip
def test_a_signal_that_is_not_a_patients_has_a_band(shown, origin, words):
    session = StubSession(feeds=[feed("signal", origin=origin)])
    banner = shown(Banner, session)
    banner.draw(0.0)
    assert words in banner.origin.text()
    assert banner.height() > 30
    assert not banner.gone.isVisible()


def test_a_patients_signal_has_no_band(shown):
    banner = shown(Banner, StubSession())
    banner.draw(0.0)
    assert banner.height() == 0
    assert not banner.origin.isVisible()


def test_a_lost_signal_says_since_when_until_it_is_back(shown):
    session = StubSession()
    banner = shown(Banner, session)
    banner.take(SessionUpdate(100.0, chunks=(None,)))
    for state, words in (("lost", "SIGNAL LOST 3.2 s ago"), ("stalled", "SIGNAL STALLED 3.2 s")):
        session.set("signal", state=state)
        banner.draw(103.2)
        assert words in banner.gone.text()
    session.set("signal", state="live")
    session.set("decode", state="lost", t_last=NEVER)
    banner.draw(103.2)
    assert "DECODES LOST" in banner.gone.text()
    session.set("decode", state="live")
    banner.draw(103.3)
    assert banner.height() == 0


def test_a_signal_unlike_calibration_is_a_warning_until_it_is_over():
    status = DecoderStatus()
    for event in (status_event("live"), status_event("drift", reason="level 2 times: A1")):
        status.update(event)
    word = status.indicator(feed("decode"), feed("status"))
    assert (word.text, word.severity) == ("decoder: live, SIGNAL UNLIKE CALIBRATION", "warn")
    assert "A1" in word.tip
    status.update(status_event("drift_over", drift=0.7))
    assert status.indicator(feed("decode"), feed("status")).text == "decoder: live"
