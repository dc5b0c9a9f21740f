"""A keyboard that drives the console as a person does: by Tab, keys and typed words alone."""

import os
import time
from pathlib import Path

from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QApplication

from rtbrain.console.folder import open_session
from rtbrain.console.window import SessionWindow
from rtbrain.view.marks import MarkOutlet

KEY = Qt.Key
CTRL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier


class Keyboard:
    """Presses keys on the window of a session, and waits for what it shows.

    Pictures of each stage are saved in the folder that ``RTBRAIN_PICTURES`` names.
    """

    def __init__(self, qtbot, folder):
        settings = QSettings(str(folder.with_suffix(".ini")), QSettings.Format.IniFormat)
        self.qtbot, self.session = qtbot, open_session(folder)
        self.window = SessionWindow(self.session, settings, marks=MarkOutlet("whole"))
        qtbot.addWidget(self.window)
        self.window.resize(1280, 800)
        self.window.show()
        self.window.activateWindow()
        self.wait(self.window.isActiveWindow)
        self.began, self.pictures = time.monotonic(), os.environ.get("RTBRAIN_PICTURES", "")

    def say(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)
        if self.pictures:
            name = f"{self.session.folder.name}-{what.replace(' ', '-')}.png"
            self.window.grab().save(str(Path(self.pictures) / name))

    def page(self, step):
        return self.window.pages[step]

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.qtbot.keyClick(QApplication.focusWidget() or self.window, key, modifier=modifier)
        QApplication.processEvents()  # no hand is faster than the window

    def wait(self, condition, within_s=300):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=round(1000 * within_s))

    def tab_to(self, widget):
        """Go to a control by Tab."""
        passed = {}
        for _ in range(300):
            if (focus := QApplication.focusWidget()) is widget:
                return
            passed[str(focus)] = focus is not None and focus.accessibleName()
            self.press(KEY.Key_Tab)
        raise AssertionError(f"Tab does not reach {widget}, but {passed}")

    def write(self, text):
        """Type over what the control with the focus holds."""
        self.press(KEY.Key_A, CTRL)
        self.qtbot.keyClicks(QApplication.focusWidget(), text)

    def fill(self, field, text):
        """Type a text into a field."""
        self.tab_to(field)
        self.write(text)
        self.press(KEY.Key_Return)

    def in_dialog(self, text):
        """Type a text into the dialog that opens, and close it."""
        self.wait(lambda: QApplication.focusWidget().window() is not self.window)
        self.write(text)
        self.press(KEY.Key_Return)
        self.window.activateWindow()  # as the desktop does, which is not there
        self.wait(self.window.isActiveWindow)

    def choose(self, widget, value):
        """Choose a value of a list by the arrow keys; `widget` is asked again, for lines move."""
        self.tab_to(widget())
        for _ in range(widget().count()):
            at, wanted = widget().currentIndex(), widget().findData(value)
            if at == wanted:
                return
            self.press(KEY.Key_Up if wanted < at else KEY.Key_Down)
        assert widget().currentData() == value

    def enter(self, text, within_s=300):
        """Press a button of the action bar by Enter, once it can be."""

        def button():
            shown = self.window.bar.buttons
            return next((one for one in shown if one.label().startswith(text)), None)

        self.wait(lambda: button() is not None and button().isEnabled(), within_s)
        self.tab_to(button())
        self.press(KEY.Key_Return)

    def answer(self, text):
        """Answer a question, if one is asked."""
        if self.window.bar.question:
            self.enter(text)

    def go_on(self):
        """From Set up, once all is checked, to Calibrate."""
        self.enter("Go to Calibrate")
        self.answer("Go on")
        self.wait(lambda: self.window.page.step == "calibrate")

    def go_to(self, number):
        """To a step by its key; a busy machine is a check that Set up asks about."""
        self.press(getattr(KEY, f"Key_{number}"), ALT)
        self.answer("Go on")

    def end(self):
        """End what is recorded."""
        self.press(KEY.Key_End, CTRL)
        self.answer("End")
        self.wait(lambda: not self.session.running("recorder"))

    def fit_and_use(self):
        """Fit, and run what was fitted, however little it shows."""
        self.go_to(3)
        self.enter("Fit")
        self.wait(lambda: self.session.running("fit"))
        self.wait(lambda: not self.session.running("fit"), 900)
        assert self.session.jobs["fit"].exit_code == 0, self.session.jobs["fit"].output
        self.say("fitted")
        self.enter("Use")
        self.answer("Run it all the same")
        self.wait(lambda: self.session.settings.decoder is not None)

    def run_with_detections(self):
        """Start a run with a threshold, switch detections on, lower it, and wait for some."""
        run = self.page("run")
        self.go_to(4)
        self.tab_to(run.threshold.slider)
        self.press(KEY.Key_Left)
        self.enter("Start")
        self.wait(lambda: (of := run.decoding.history) and of.last and of.last.valid)
        self.wait(lambda: run.switches.switches["detections"].isEnabled())
        assert not run.decoding.sends
        self.tab_to(run.switches.switches["detections"])
        self.press(KEY.Key_Return)
        self.wait(lambda: run.decoding.sends)
        before = run.decoding.threshold.up
        self.tab_to(run.threshold.slider)
        self.press(KEY.Key_Left)
        self.wait(lambda: run.decoding.threshold.up < before)
        self.wait(lambda: run.decoding.n_detected > 0)
        self.say("detected")

    def review_and_export(self):
        """Wait for the report of the run, and export everything; the folder of the dataset."""
        self.go_to(5)
        self.wait(lambda: self.page("review").state()[0] == "fine")
        self.say("reported")
        self.press(KEY.Key_E, CTRL)
        self.wait(lambda: "Exported" in self.window.bar.message)
        self.say("exported")
        return Path(self.page("review").out.text())

    def leave(self):
        """Close the window, and end all that it started."""
        self.window.leave()
        for job in self.session.jobs.values():
            job.kill()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.leave()
