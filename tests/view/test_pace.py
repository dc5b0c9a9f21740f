"""The window draws as often as it can, and says when that is too seldom."""

import time

import pytest

from rtbrain.view.window import DrawInterval


def test_where_drawing_is_slow_it_is_done_less_often_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = DrawInterval(20.0)
    assert (pace.interval_s, pace.text) == (0.05, "")
    for _ in range(30):
        pace.drawn(0.02)
        now[0] += pace.interval_s
    assert (pace.interval_s, pace.text) == (0.05, "")
    for _ in range(60):
        pace.drawn(0.08)
        now[0] += pace.interval_s
    assert pace.interval_s == pytest.approx(0.08 / 0.7)
    assert pace.text == "drawing at 9 of 20 Hz"
