"""Triggers of a live session, from the newest sample of a decode to each receiver."""

import pytest
from rich.console import Console

from rtbrain.check.loopback import live
from rtbrain.check.loopback.receivers import LoopbackPath, Receiver


@pytest.mark.lsl
def test_triggers_of_a_live_session_are_measured_from_the_newest_sample_on(monkeypatch):
    monkeypatch.setattr(live, "_CALIBRATION_S", 15.0)
    rows = live.run_live_loopback(seconds=5.0, console=Console(quiet=True))
    assert [row.path.split(",")[0] for row in rows] == ["decided", "lsl", "osc", "udp", "serial"]
    decided, lsl, *others = rows
    assert lsl.received > 0
    for row in others:
        assert row.sent == decided.sent > 0
    for row in rows:
        assert (row.lost, row.doubled) == (0, 0)
        assert 0 < row.p50_ms <= row.p99_ms <= row.max_ms
    # The decision comes before any receiver that missed none learns of it.
    whole = [row.p50_ms for row in rows[1:] if row.received == decided.sent]
    assert decided.p50_ms < min(whole, default=float("inf"))


def test_latencies_count_from_the_newest_sample_and_only_of_what_the_log_holds():
    def entry(number, output, suppressed=""):
        ready = {"t_stop": 10.0 * number, "t_ready": 10.0 * number + 0.02}
        return {"number": number, "output": output, "suppressed": suppressed, **ready}

    decided = [entry(1, "osc 127.0.0.1:9"), entry(1, "serial /dev/pts/1")]
    decided += [entry(2, "osc 127.0.0.1:9"), entry(2, "serial /dev/pts/1", "late: it would leave")]
    receivers = {path: Receiver() for path in (LoopbackPath.LSL, LoopbackPath.OSC)}
    receivers[LoopbackPath.SERIAL] = Receiver()
    receivers[LoopbackPath.LSL].received = [(3.0, 3.1), (10.02, 10.05), (20.02, 20.05)]
    receivers[LoopbackPath.OSC].received = [(1, 10.03), (1, 10.04)]
    receivers[LoopbackPath.SERIAL].received = [(1, 10.06)]
    lsl, osc, serial = live._rows(receivers, decided, 15.0)
    assert (lsl.sent, lsl.received, lsl.lost) == (1, 1, 0)
    assert lsl.p50_ms == pytest.approx(50.0)
    assert (osc.sent, osc.lost, osc.doubled) == (2, 1, 1)
    assert osc.p50_ms == pytest.approx(30.0)
    assert (serial.sent, serial.received, serial.dropped, serial.lost) == (2, 1, 1, 0)
    assert live._decided(decided).p50_ms == pytest.approx(20.0)
