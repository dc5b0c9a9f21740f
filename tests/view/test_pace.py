"""The window draws as often as it can, and says so when that is below its target."""

import time
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.pace import DrawInterval
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.window import MainWindow
from tests.view.playing import Playing
from tests.view.test_marks import RecordingOutlet


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


def test_a_panel_that_fails_stops_neither_the_others_nor_alarms_and_marks(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = QSettings(str(tmp_path / "view.ini"), QSettings.Format.IniFormat)
    window = MainWindow(Playing(lsl_clock), RecordingOutlet(), settings, make_chain=None)  # type: ignore[arg-type]
    qtbot.addWidget(window)
    window.pause_timers()
    done: list[str] = []
    for name, panel in window.panels.items():
        for call in ("take", "draw"):
            monkeypatch.setattr(panel, call, lambda *_, what=f"{call} {name}": done.append(what))
    for part, call, what in ((window.alarms, "update", "alarms"), (window.marks, "take", "marks")):
        monkeypatch.setattr(part, call, lambda *_, what=what: done.append(what))
    with qtbot.captureExceptions() as failures:
        decode = window.panels["decode"]
        for part, call in ((window.health, "take"), (decode, "take"), (decode, "draw")):
            monkeypatch.setattr(part, call, lambda *_: 1 / 0)
        window.take(SessionUpdate(1.0))
        window.draw_all(1.0)
    assert len(failures) == 3
    took, drew = ([f"{c} {name}" for name in list(window.panels)[1:]] for c in ("take", "draw"))
    assert done == ["alarms", *took, "marks", *drew]
