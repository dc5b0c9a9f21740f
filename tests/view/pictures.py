"""Pictures of the window in every state, size and theme: ``python -m tests.view.pictures FOLDER``.

What they show is made up. They are looked at, not compared. Names of states or sizes after the
folder draw these alone; each picture is there in grey too. ``QT_SCALE_FACTOR=2`` before the command
makes the size 1920 a screen of 3840 x 2160 at 200 %.
"""

import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")

from PySide6.QtCore import QSettings
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from rtbrain.apps.view import build_display_chain

from rtbrain.buffer.windows import coverage_flaw
from rtbrain.stream.lsl.decodes import (
    DecodeHeader,
    ReceivedDecode,
    ReceivedDetection,
    StatusEvent,
)
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.types import Chunk, Montage
from rtbrain.units import WrongUnit
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.window import MainWindow
from tests.conftest import brain_like
from tests.view.test_marks import RecordingOutlet

SHAFTS = {"LA": 6, "RA": 7, "RB": 9, "LB": 10}
MANY = {"IAR": 6, "IPR": 4, "AHR": 8, "AL": 8, "AR": 8, "HL": 8, "PHR": 8}
SFREQ_HZ, HOP_S, PAGE_S, NOW = 512.0, 0.25, 64.0, 1000.0
SIZES = {
    "1280": (1280, 800),
    "1920": (1920, 1080),
    "2560": (2560, 1440),
    "3840": (3840, 2160),
    "1024": (1024, 700),
    "1024-large": (1024, 700),
    "1280-large": (1280, 800),
}
THEMES = ("dark", "light")
STATES = """live replay faults amplifier recording no_signal other failed lost samples_lost old
invalid stopped_decoder unit disk markers two_alarms seen over waiting choosing no_decoder paused
log details keys three_classes regression"""
# The larger sizes show what differs there; all states are shown in the smallest.
_OUTPUTS = {
    "three_classes": ("rest", "speech", "movement"),
    "regression": ("hand speed", "grip force"),
}
_LOST = ("lost", "no_signal", "two_alarms", "seen")
FEW = ("live", "lost", "waiting", "invalid")


class Staged:
    """A session that is in one state."""

    def __init__(self, state: str, size: str) -> None:
        self.state, shafts = state, MANY if size in ("1920", "2560", "3840") else SHAFTS
        names = tuple(f"{shaft}{n + 1}" for shaft, count in shafts.items() for n in range(count))
        self.montage: Montage | None = None
        self.decode: DecodeHeader | None = None
        if state not in ("waiting", "choosing"):
            self.montage = Montage(names, ("seeg",) * len(names), SFREQ_HZ)
            if state != "no_decoder":
                self.decode = DecodeHeader(
                    "ward-decode",
                    _OUTPUTS.get(state, ("speech", "rest")),
                    "value" if state == "regression" else "probability",
                    HOP_S,
                    contacts=names,
                    mode="linear",
                    window_s=5.0,
                )
        bad = {names[2]: "flat for 4 min", names[14]: "mains for 12 s"}
        self.bad = {} if self.montage is None else bad
        self.marked: frozenset[str] = frozenset()
        row = StreamSummary("ward-amp", "EEG", "amp-1", "ward-pc", 32, 2048.0)
        other = replace(row, name="ward-amp-2", source_id="amp-2")
        self.choices = (row, other) if state == "choosing" else ()
        self.unit_judged = True
        self.wrong_unit = WrongUnit(1e6, "microvolts") if state == "unit" else None
        self.feeds = self._feeds()

    def _feeds(self) -> tuple[StreamHealth, ...]:
        state = self.state
        origin = {"replay": "replay", "faults": "fault injection", "amplifier": ""}
        lost = state in _LOST
        there = "absent" if self.montage is None else "stalled" if lost else "live"
        made_of = "" if there == "absent" else origin.get(state, "synthetic")
        n_lost = {"over": 8602, "samples_lost": 512}.get(state, 0)
        signal = StreamHealth(
            "" if there == "absent" else "ward-amp", "signal", there, made_of, 2048.0, 2048.01,
            2048, n_lost, -1e-5, 8e-5, NOW, "amp-1",
        )  # fmt: skip
        runs = "absent" if self.decode is None else "live"
        if state == "stopped_decoder":
            runs = "lost"
        decode = replace(signal, name="ward-decode", kind="decode", state=runs, nominal_hz=4.0)
        status = replace(decode, name="ward-status", kind="status", nominal_hz=0.0)
        gone = state == "amplifier"
        recorder = "lost" if gone else "absent" if state in ("replay", "waiting") else "live"
        record = replace(status, name="foo-status", kind="record", state=recorder)
        markers = replace(status, name="task-triggers", kind="markers", received=40)
        return (signal, *(replace(one, lost=0) for one in (decode, status, record, markers)))

    def choose(self, signal: object) -> None:
        pass

    def look_again(self) -> None:
        pass

    def mark(self, label: str, bad: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def poll(self) -> SessionUpdate:
        return SessionUpdate(NOW)

    def past(self) -> list[SessionUpdate]:
        """What came in the last minute, a second at a time."""
        if self.montage is None:
            return [SessionUpdate(NOW)]
        n = round(PAGE_S * SFREQ_HZ)
        signal = brain_like(len(self.montage.names), n, SFREQ_HZ)
        signal[2] = 0.0
        signal[14] += 40 * np.sin(2 * np.pi * 60 * np.arange(n) / SFREQ_HZ, dtype=np.float32)
        silent_from = {"over": NOW - 6}.get(self.state, NOW - 4 if self.state in _LOST else NOW)
        silent_to = NOW - 2 if self.state == "over" else NOW
        updates, gap = [], 0
        for second in range(round(PAGE_S)):
            start, now = NOW - PAGE_S + second, NOW - PAGE_S + second + 1
            rows = slice(round(second * SFREQ_HZ), round((second + 1) * SFREQ_HZ))
            if silent_from <= start < silent_to:
                gap += rows.stop - rows.start
                updates.append(SessionUpdate(now, recorder_events=self._recorder(now)))
                continue
            if self.state == "samples_lost" and now == NOW - 7:
                gap = round(SFREQ_HZ / 4)
                rows = slice(rows.start + gap, rows.stop)
            stamps = NOW - PAGE_S + np.arange(rows.start, rows.stop) / SFREQ_HZ
            chunk, gap = Chunk(signal[:, rows], stamps, rows.start, gap), 0
            marks = self._marks(start)
            update = SessionUpdate(
                now,
                (chunk,),
                self._decodes(start),
                self._events() if second == 0 else (),
                marks,
                marker_streams=("task-triggers",) * len(marks),
                new_montage=second == 0,
                detections=self._detections(start),
                recorder_events=self._recorder(now),
            )
            updates.append(update)
        if self.state == "invalid":
            reason = coverage_flaw(np.arange(62) < 17, 0.3)
            updates.append(SessionUpdate(NOW, events=(_event("invalid", reason=reason),)))
        return updates

    def _decodes(self, start: float) -> tuple[ReceivedDecode, ...]:
        if self.decode is None or (self.state == "old" and start > NOW - 3):
            return ()
        made = []
        for step in range(round(1 / HOP_S)):
            t = start + (step + 1) * HOP_S
            at = t - (5 if self.state == "three_classes" else 0)
            p = 0.04 + 0.9 / (1 + math.exp(-4 * math.sin(2 * math.pi * (at - NOW + 1.5) / 11) * 3))
            valid = not (self.state == "invalid" and t > NOW - 12)
            values = np.array(self._values(p, t), np.float32)
            made.append(ReceivedDecode(t, t + 0.05, values, valid, 0.94, 0.22, 0.02))
        return tuple(made)

    def _values(self, p: float, t: float) -> list[float]:
        if self.state == "three_classes":
            # Now movement is the likeliest, and was detected a moment ago.
            moves = (1 - p) / (1 + math.exp(-8 * math.sin(2 * math.pi * (t - NOW + 2.5) / 22)))
            return [1 - p - moves, p, moves]
        if self.state == "regression":
            wave = math.sin(2 * math.pi * (t - NOW) / 7)
            return [14.0 * p - 2.0, 3.5 + 3.0 * wave]
        return [p, 1 - p]

    def _detections(self, start: float) -> tuple[ReceivedDetection, ...]:
        """One as each cue of speech begins to be decoded."""
        cue, number = self._marks(start), 31 + math.floor((start - NOW + 2) / 11)
        silent = self.decode is None or (self.state == "invalid" and start > NOW - 13)
        spoken = not silent and cue and cue[0][1] == "speech"
        label, value = ("hand speed", 8.4) if self.state == "regression" else ("speech", 0.8)
        if self.state == "three_classes" and round(start - NOW) % 22 == 14:
            return (ReceivedDetection(start + 0.65, "movement", 0.6, True, number),)
        return (ReceivedDetection(start + 0.65, label, value, True, number),) if spoken else ()

    def _events(self) -> tuple[StatusEvent, ...]:
        if self.decode is None:
            return ()
        one = {"up": 0.7, "down": 0.55, "refractory_s": 2.0, "calibrated": True}
        thresholds = {"speech": one}
        if self.state == "three_classes":
            thresholds["movement"] = {**one, "up": 0.5, "down": 0.4}
        if self.state == "regression":
            thresholds = {"hand speed": {**one, "up": 8.0, "down": 5.0}}
        about = {"sends": True, "sent": 31, "thresholds": thresholds}
        ended = [_event("failed", reason="an error")] if self.state == "stopped_decoder" else []
        return (_event("live"), _event("summary", state="live", detections=about), *ended)

    def _recorder(self, now: float) -> tuple[StatusEvent, ...]:
        if self.state in ("replay", "no_decoder", "amplifier") and now < NOW:
            return ()
        names = [["task-triggers", "t"]] + [[name, name] for name in ("ward-decode", "ward-status")]
        names += [] if self.state == "other" else [["ward-amp", "amp-1"]]
        failing = "disk_full" if self.state in ("failed", "two_alarms", "seen") else ""
        free = {"free_bytes": 58_000_000_000, "minutes_left": 3660.0}
        low = {"free_bytes": 600_000_000, "floor_bytes": 700_000_000, "minutes_left": 19.0}
        summary = {
            "recording": names,
            "file": "run-03.xdf",
            "seconds": 751.0 - (NOW - now),
            "failing": failing,
            **(low if self.state == "disk" else free),
        }
        return (StatusEvent(now, "summary", {**summary, "recorder": "foo-status"}),)

    def _marks(self, start: float) -> tuple[tuple[float, str], ...]:
        second = round(start - NOW)
        cue = {9: "speech", 3: "rest"}.get(second % 11, "")
        return ((start + 0.5, cue),) if cue and self.state != "markers" else ()


def _event(name: str, **fields: object) -> StatusEvent:
    return StatusEvent(NOW - PAGE_S, name, {"stream": "ward-status", **fields})


def staged_window(state: str, size: str, theme: str, settings: QSettings) -> MainWindow:
    """Window in a state, not polled and not drawn by timers."""
    session = Staged(state, size)
    window = MainWindow(
        session,  # type: ignore[arg-type]
        RecordingOutlet(),  # type: ignore[arg-type]
        settings,
        make_chain=build_display_chain,
        theme=theme,
    )
    window.pause_timers()
    window.resize(*SIZES[size])
    window.show()
    QApplication.processEvents()
    live = replace(session.feeds[0], lost=0)
    session.feeds = (live, *session.feeds[1:])
    window.draw_all(NOW - PAGE_S)
    for number, update in enumerate(session.past()):
        if state == "over":
            silent = "live" if update.chunks else "stalled"
            lost = 8602 if update.now > NOW - 2 else 0
            session.feeds = (replace(live, state=silent, lost=lost), *session.feeds[1:])
        if state != "markers":
            heard = replace(session.feeds[-1], received=number)
            session.feeds = (*session.feeds[:-1], heard)
        window.take(update)
    session.feeds = session._feeds()
    window.take(SessionUpdate(NOW))
    window.spectra.choose(session.montage.names[17] if session.montage else "")
    for _ in range(3 * (state == "seen")):
        window._see()
    if state == "paused":
        window.draw_all(NOW)
        window._toggle_pause()
        window._paused_at = NOW - 12
    if state in ("log", "details"):
        getattr(window, state).toggle()
    window._line_at = -math.inf
    for _ in range(2):
        window.draw_all(NOW)
        QApplication.processEvents()
    return window


def save(picture: QImage, folder: Path, name: str) -> None:
    """Write a picture, and its grey twin beside it."""
    picture.save(str(folder / name))
    grey = picture.convertToFormat(QImage.Format.Format_Grayscale8)
    grey.save(str(folder / "grey" / name))


def main(folder: Path, only: list[str]) -> None:
    """Save every picture, or those of some states or sizes."""
    (folder / "grey").mkdir(parents=True, exist_ok=True)
    application = QApplication.instance() or QApplication([])
    settings = QSettings(str(folder / "view.ini"), QSettings.Format.IniFormat)
    states = [word for word in only if word not in SIZES]
    for size in [word for word in only if word in SIZES] or SIZES:
        for theme in THEMES:
            for state in states or (STATES.split() if size == "1280" else FEW):
                settings.clear()
                settings.setValue("window/large", size.endswith("-large"))
                window = staged_window(state, size, theme, settings)
                shown = window.menus.keys_dialog() if state == "keys" else window
                shown = getattr(window, state) if state in ("log", "details") else shown
                picture = shown.grab().toImage()
                name = f"{state}-{theme}-{size}.png"
                save(picture, folder, name)
                window.close()
                window.deleteLater()
                application.processEvents()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
