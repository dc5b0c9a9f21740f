"""Streams, latency and the decoder's state are said as they are."""

import math

import numpy as np
import pytest

from rtbrain.view.health.indicators import (
    DecoderStatus,
    LatencyHistory,
    decoder_state,
    latency_tip,
    stream_tip,
)
from tests.view.stub import NEVER, feed, row, status_event


def test_the_tip_of_a_stream_holds_its_rates_losses_and_clock():
    tip = stream_tip(feed("signal", nominal_hz=2048.0, effective_hz=2047.93, lost=64))
    assert "nominal 2048 Hz, effective 2047.930 Hz" in tip
    assert "64 lost" in tip
    assert "+0.10 ± 0.05 ms" in tip
    assert "2 streams: a, b" in stream_tip(feed("signal", "absent", problem="2 streams: a, b"))


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
    assert "algorithm" in latency_tip(latency)


def test_an_unknown_latency_is_left_out():
    latency = LatencyHistory()
    latency.push(row(100.0, [0, 1], age_s=NEVER))
    assert math.isnan(latency.newest.total)
    assert math.isnan(latency.delivery_delay_s)
    assert latency_tip(latency) == "No decode has arrived yet"


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


def told(*events):
    status = DecoderStatus()
    for event in events:
        status.update(event)
    return status


def state(status, decode="live", told_by="live"):
    return decoder_state(status, feed("decode", decode), feed("status", told_by))


@pytest.mark.parametrize(
    "event",
    ["waiting", "connecting", "warming", "live", "stalled", "lost", "refused", "stopping",
     "failed", "stopped"],
)  # fmt: skip
def test_the_decoder_is_in_the_state_it_reported_last(event):
    status = told(
        status_event("waiting"), status_event(event, reason="because"), status_event("gap", lost=3)
    )
    assert state(status) == event
    assert "because" in status.tip


def test_a_summary_holds_the_state_of_a_decoder():
    assert state(told(status_event("summary", state="stalled", bad={}))) == "stalled"


@pytest.mark.parametrize(
    "events",
    [
        [status_event("live"), status_event("mains", reason="hum is at 50 Hz")],
        [status_event("summary", state="live", mains="hum is at 50 Hz")],
    ],
)
def test_hum_that_the_decoder_does_not_remove_is_a_remark_that_stays(events):
    status = told(*events, status_event("summary", state="live"))
    assert status.remark == "mains"
    assert "hum is at 50 Hz" in status.tip
    # The next decoder of that name removes it.
    status.update(status_event("summary", state="live", mains=""))
    assert not status.remark


def test_a_signal_unlike_calibration_is_a_remark_until_it_is_over():
    status = told(status_event("live"), status_event("drift", reason="level 2 times: A1"))
    assert status.remark == "drift"
    assert "A1" in status.tip
    status.update(status_event("drift_over", drift=0.7))
    assert not status.remark


def test_a_decoder_that_failed_and_then_reported_its_totals_has_failed():
    status = told(status_event("failed", reason="no room"), status_event("stopped"))
    assert state(status, "lost", "lost") == "failed"


def test_a_decoder_whose_streams_are_lost_is_gone_unless_it_said_so():
    assert state(told()) == "running"
    assert state(told(), "absent", "absent") == "none"
    assert state(told(status_event("live")), "lost", "lost") == "gone"
    assert state(told(status_event("stopped")), "lost", "lost") == "stopped"
    assert state(told(), "ended", "ended") == "stopped"
