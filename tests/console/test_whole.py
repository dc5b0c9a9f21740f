"""A whole session on a simulated patient by the keyboard alone, on real streams and processes."""

import os
import time
from pathlib import Path

import pytest
import pyxdf
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QApplication

from rtbrain.console.folder import Session
from rtbrain.console.window import SessionWindow
from rtbrain.view.marks import MarkOutlet

pytestmark = [pytest.mark.whole, pytest.mark.lsl, pytest.mark.timeout(900)]
KEY = Qt.Key
CTRL, ALT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.AltModifier
PLAN = {"classes": ["rest", "speech"], "n_per_class": 8, "duration_s": [2.0, 3.0], "seed": 3}


class Keyboard:
    """Presses keys on a window, and waits for what it shows."""

    def __init__(self, qtbot, window, pictures):
        self.qtbot, self.window, self.pictures = qtbot, window, pictures
        self.began = time.monotonic()

    def say(self, what):
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)
        if self.pictures:
            self.window.grab().save(str(Path(self.pictures) / f"{what.replace(' ', '-')}.png"))

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        target = QApplication.focusWidget() or self.window
        self.qtbot.keyClick(target, key, modifier=modifier)

    def wait(self, condition, within_s=120):
        self.qtbot.waitUntil(condition, timeout=round(1000 * within_s))

    def tab_to(self, widget):
        """Go to a control by Tab."""
        for _ in range(300):
            if QApplication.focusWidget() is widget:
                return
            self.press(KEY.Key_Tab)
        raise AssertionError(f"Tab does not reach {widget}")

    def button(self, text):
        return next((b for b in self.window.bar.buttons if b.label().startswith(text)), None)

    def enter(self, text, within_s=120):
        """Press a button of the action bar by Enter, once it can be."""
        self.wait(lambda: (b := self.button(text)) is not None and b.isEnabled(), within_s)
        self.tab_to(self.button(text))
        self.press(KEY.Key_Return)


@pytest.fixture
def keyboard(qtbot, tmp_path):
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    session = Session(tmp_path / "s")
    window = SessionWindow(session, settings, marks=MarkOutlet("whole"))
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    window.activateWindow()
    qtbot.waitActive(window).__enter__()
    yield Keyboard(qtbot, window, os.environ.get("RTBRAIN_PICTURES", ""))
    window.leave()
    for job in session.jobs.values():
        job.kill()


def test_a_whole_session_by_the_keyboard_alone(keyboard):
    window, session = keyboard.window, keyboard.window.session
    page = window.pages["setup"]
    session.change(
        plan=PLAN, classes=("rest", "speech"), target="speech", outlet="whole", recipe="linear"
    )

    keyboard.tab_to(page.ways.buttons["simulate"])
    keyboard.press(KEY.Key_Return)
    keyboard.wait(lambda: session.settings.signal is not None)
    keyboard.say("signal chosen")
    keyboard.wait(lambda: keyboard.button("Go to Calibrate").isEnabled(), 180)
    keyboard.say("set up")
    keyboard.enter("Go to Calibrate")
    if window.bar.question:
        keyboard.enter("Go on")
    keyboard.wait(lambda: window.page.step == "calibrate")

    keyboard.enter("Start")
    keyboard.wait(lambda: session.running("recorder"))
    keyboard.say("calibrating")
    keyboard.wait(lambda: session.jobs.get("cue") is not None and not session.running("cue"), 180)
    keyboard.say("cues over")
    keyboard.press(KEY.Key_End, CTRL)
    if window.bar.question:
        keyboard.enter("End")
    keyboard.wait(lambda: not session.running("recorder"))
    keyboard.say("calibrated")

    keyboard.press(KEY.Key_3, ALT)
    keyboard.enter("Fit")
    keyboard.wait(lambda: session.running("fit"))
    keyboard.wait(lambda: not session.running("fit"), 300)
    keyboard.say("fitted")
    assert session.jobs["fit"].exit_code == 0, session.jobs["fit"].output
    keyboard.enter("Use")
    if window.bar.question:  # so few blocks show little
        keyboard.enter("Run it all the same")
    keyboard.wait(lambda: session.settings.decoder is not None)

    keyboard.press(KEY.Key_4, ALT)
    keyboard.enter("Start")
    keyboard.wait(lambda: window.pages["run"].decoding.history is not None)
    keyboard.wait(lambda: window.pages["run"].decoding.history.last.valid)
    keyboard.say("running")
    keyboard.press(KEY.Key_M, CTRL)
    keyboard.qtbot.keyClicks(QApplication.focusWidget(), "movement")
    keyboard.press(KEY.Key_Return)
    keyboard.press(KEY.Key_Escape)
    keyboard.wait(lambda: not session.running("decoder"))
    keyboard.say("outputs stopped")
    assert session.running("recorder")
    keyboard.press(KEY.Key_End, CTRL)
    keyboard.enter("End")
    keyboard.wait(lambda: not session.running("recorder"))

    keyboard.press(KEY.Key_5, ALT)
    keyboard.wait(lambda: window.pages["review"].state()[0] == "fine", 180)
    keyboard.say("reported")
    keyboard.press(KEY.Key_E, CTRL)
    keyboard.wait(lambda: "Exported" in window.bar.message, 180)
    keyboard.say("exported")
    assert list(Path(window.pages["review"].out.text()).rglob("*_ieeg.vhdr"))
    streams, _ = pyxdf.load_xdf(str(session.folder / "runs/run-01.xdf"))
    texts = [
        row[0] for s in streams if s["info"]["type"][0] == "Markers" for row in s["time_series"]
    ]
    assert "movement" in texts
