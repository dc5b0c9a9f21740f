"""A link that is slower than the data, with every number known."""

import numpy as np

from rtbrain.stream.supervise.link_speed import LinkSpeed
from rtbrain.types import Chunk

SFREQ_HZ, N_CHANNELS, STEP_S = 1000.0, 64, 0.1
DATA_MBIT_S = 8e-6 * (64 * 4 + 9) * SFREQ_HZ


def reports_of(share, duration_s=60.0, late_s=0.0, all_read=True):
    """What is reported while this share of the signal arrives."""
    speed, reports, n_sent = LinkSpeed(N_CHANNELS, "float32", SFREQ_HZ), [], 0
    for now_s in np.arange(0.0, duration_s, STEP_S):
        stop = round(share * now_s * SFREQ_HZ)
        if stop > n_sent:
            stamps = np.arange(n_sent, stop) / SFREQ_HZ - late_s
            chunk = Chunk(np.zeros((N_CHANNELS, stop - n_sent), np.float32), stamps)
            if (report := speed(chunk, now_s)) is not None:
                reports.append((now_s, report))
        n_sent = stop
        if all_read:
            speed.nothing_waits()
    return reports


def test_a_link_that_lets_a_quarter_through_is_reported_with_both_rates_every_30_s():
    reports = reports_of(0.25)
    assert len(reports) == 2
    assert reports[0][0] < 16
    for now_s, report in reports:
        np.testing.assert_allclose(report["data_mbit_s"], DATA_MBIT_S, rtol=1e-3)
        np.testing.assert_allclose(report["link_mbit_s"], 0.25 * DATA_MBIT_S, rtol=0.05)
        np.testing.assert_allclose(report["latency_s"], 0.75 * now_s, atol=0.2)


def test_a_link_that_keeps_up_is_not_reported_however_late_the_signal():
    assert not reports_of(1.0)
    assert not reports_of(1.0, late_s=20.0)


def test_a_backlog_that_waits_here_is_not_the_links():
    assert not reports_of(0.25, all_read=False)


def test_a_signal_that_is_less_than_a_second_behind_is_not_reported():
    assert not reports_of(0.9, duration_s=9.0)


def test_a_cut_of_a_second_at_the_end_of_a_span_is_no_slow_link():
    speed, n_sent, reports = LinkSpeed(N_CHANNELS, "float32", SFREQ_HZ), 0, []
    for now_s in np.arange(0.0, 20.0, STEP_S):
        if not 8.8 < now_s < 10.3:
            # The backlog of a cut of 1.5 s takes 0.5 s.
            stop = round(min(now_s, n_sent / SFREQ_HZ + 0.4) * SFREQ_HZ)
            stamps = np.arange(n_sent, stop) / SFREQ_HZ
            chunk = Chunk(np.zeros((N_CHANNELS, stop - n_sent), np.float32), stamps)
            reports.append(speed(chunk, now_s) if n_sent < stop else None)
            n_sent = stop
        speed.nothing_waits()
    assert not any(reports)
