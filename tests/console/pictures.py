"""Pictures of the console, each step empty and full: ``python -m tests.console.pictures FOLDER``.

What they show is made up. They are looked at, not compared. Names of steps or sizes after the
folder draw these alone; each picture is there in grey too.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from rtbrain.check.doctor.checks import in_order
from rtbrain.console import watch
from rtbrain.console.calibrate import calibration
from rtbrain.console.folder import UsedStream
from rtbrain.console.page import STEPS
from rtbrain.console.setup.page import SetupPage
from rtbrain.console.window import SessionWindow
from rtbrain.learn.session.page import write_report
from rtbrain.learn.session.report import session_report
from rtbrain.view.streams.session import SessionUpdate
from tests.console.calibrate.conftest import Jobs, action, record_blocks
from tests.console.conftest import StubDoctor
from tests.console.fitting.reports import DETECTIONS, add_calibration, add_decoder
from tests.console.setup.conftest import AMP, FINE, TASK, WRONG, YELLOW
from tests.console.stub import Runs
from tests.learn.session.run_by_hand import markers, write_run
from tests.view.pictures import NOW, SIZES, THEMES, Staged, save

USED = (
    UsedStream(name="ward-amp", source_id="amp-1", role="signal"),
    UsedStream(name="task-triggers", source_id="t", role="markers"),
)
FIRST = ("1280", "1024-large", "1920", "3840")


class Streams(Staged):
    """The streams of a session, which pass on a minute at once."""

    def __init__(self, **named: object) -> None:
        super().__init__("live", "1280")
        self._past: Iterator[SessionUpdate] = iter(self.past())

    def poll(self) -> SessionUpdate:
        return next(self._past, SessionUpdate(NOW))


def staged_console(step: str, full: bool, size: str, theme: str, folder: Path) -> SessionWindow:
    """The console at a step, before anything is there or with all that it shows."""
    session = Jobs(folder / "session")
    settings = QSettings(str(folder / "session.ini"), QSettings.Format.IniFormat)
    settings.setValue("large", size.endswith("-large"))
    if full:
        session.change(classes=("rest", "speech"), target="speech", mains_hz=50, streams=USED)
        session.change(markers={"1": "rest", "2": "speech", "9": "ignore"})
    if full and step in ("fit", "run", "review"):
        add_calibration(session, [""] * 40)
        session.change(decoder=add_decoder(session, detect=DETECTIONS))
    if full and step == "review":
        run = write_run(session.folder / "runs/run-01.xdf", markers("rtbrain-view-marks", []))
        write_report(session_report(run), session.folder / "reports/run-01.html", run)
    if full and step == "run":
        for name, argv in (("decoder", ["decode"]), ("recorder", ["record", "runs/run-01.xdf"])):
            session._jobs[name] = Runs(name)  # type: ignore[assignment]
            session._jobs[name].argv = tuple(argv)
    window = SessionWindow(session, settings, theme=theme, connect=Streams)  # type: ignore[arg-type]
    window._timer.stop()
    window.resize(*SIZES[size])
    window.show()
    window.show_step(step)
    if full and step == "setup":
        window.poll()
        doctor = window.pages["setup"]._doctor
        doctor.streams = (AMP, TASK)
        doctor.found = in_order([FINE, YELLOW, WRONG])
    if full and step == "calibrate":
        action(window.page, "Start").call()
        record_blocks(window.page, 8)
    for _ in range(70 if full else 2):
        window.poll()
    QApplication.processEvents()
    window.poll()
    return window


def main(folder: Path, only: list[str]) -> None:
    """Save every picture, or those of some steps or sizes."""
    (folder / "grey").mkdir(parents=True, exist_ok=True)
    application = QApplication.instance() or QApplication([])
    SetupPage.make_doctor = staticmethod(StubDoctor)  # type: ignore[method-assign,assignment]
    watch.lsl_clock = lambda: NOW
    calibration.send_command = lambda name, line, what: {}  # type: ignore[assignment]
    for size in [word for word in only if word in SIZES] or FIRST:
        for theme in THEMES:
            for step in [word for word in only if word in STEPS] or STEPS:
                for full in (False, True):
                    name = f"{step}-{'full' if full else 'empty'}-{theme}-{size}.png"
                    window = staged_console(step, full, size, theme, folder / name[:-4])
                    save(window.grab().toImage(), folder, name)
                    window.leave()
                    window.deleteLater()
                    application.processEvents()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
