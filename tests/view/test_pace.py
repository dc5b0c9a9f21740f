"""The window draws as often as it can, and says so when that is below its target."""

import time

import pytest

from rtbrain.view.pace import DrawInterval


def test_slow_drawing_is_done_less_often_and_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    interval = DrawInterval(20.0)
    assert (interval.interval_s, interval.text) == (0.05, "")
    for _ in range(30):
        interval.drawn(0.02)
        now[0] += interval.interval_s
    assert (interval.interval_s, interval.text) == (0.05, "")
    for _ in range(60):
        interval.drawn(0.08)
        now[0] += interval.interval_s
    assert interval.interval_s == pytest.approx(0.08 / 0.7)
    assert interval.text == "drawing at 9 of 20 Hz"
