"""The frame of the console: steps, actions, questions and errors, with pages made for the test."""

import pytest
from PySide6.QtCore import QSettings, Qt

from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.page import STEPS, Action
from rtbrain.console.window import SessionWindow
from rtbrain.errors import SettingsError
from rtbrain.view.streams.session import SessionUpdate

KEY = Qt.Key
CTRL = Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier


class Streams:
    """The streams of a session: it notes how it was opened, and whether it was closed."""

    made: list["Streams"] = []  # noqa: RUF012

    def __init__(self, **named):
        self.named, self.closed, self.feeds, self.bad, self.montage = named, False, (), {}, None
        self.wrong_amplitude = ""
        Streams.made.append(self)

    def poll(self):
        return SessionUpdate(1.0)

    def close(self):
        self.closed = True


@pytest.fixture
def window(qtbot, tmp_path):
    Streams.made.clear()
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    made = SessionWindow(Session(tmp_path / "s"), settings, connect=Streams)
    qtbot.addWidget(made)
    made.show()
    return made


def test_alt_and_a_number_show_each_step(qtbot, window):
    for number, step in enumerate(STEPS, 1):
        qtbot.keyClick(window, str(number), modifier=ALT)
        assert window.page.step == step
        assert window.page.isVisible()
        assert sum(page.isVisible() for page in window.pages.values()) == 1


def test_streams_are_opened_when_a_signal_is_chosen_and_again_for_another(window):
    window.poll()
    assert not Streams.made
    window.session.change(streams=(UsedStream(name="amp", source_id="x", role="signal"),))
    window.poll()
    window.poll()
    assert [made.named["stream"] for made in Streams.made] == ["amp"]
    assert window.pages["run"].live is Streams.made[0]
    window.session.change(
        streams=(
            UsedStream(name="amp-2", role="signal"),
            UsedStream(name="task", role="markers"),
        )
    )
    window.poll()
    assert Streams.made[0].closed
    assert (Streams.made[1].named["stream"], Streams.made[1].named["markers"]) == ("amp-2", "task")


def test_an_action_has_a_button_and_a_key_and_says_in_one_line_why_it_failed(qtbot, window):
    page, done = window.page, []

    def fails():
        raise SettingsError("no room")

    page.primary = Action("Go", lambda: done.append("go"), "Ctrl+End", reason="in a moment")
    page.buttons = [Action("Fail", fails, "Ctrl+F"), Action("Not now", done.clear, enabled=False)]
    page.changed.emit()
    qtbot.keyClick(window, KEY.Key_End, modifier=CTRL)
    assert done == ["go"]
    qtbot.keyClick(window, KEY.Key_F, modifier=CTRL)
    assert window.bar.message == "no room"
    assert [button.label() for button in window.bar.buttons] == ["Fail", "Not now", "Go"]
    assert [button.isEnabled() for button in window.bar.buttons] == [True, False, True]
    window.bar.buttons[-1].click()
    assert done == ["go", "go"]
    assert not window.bar.message


def test_a_question_takes_the_place_of_the_actions_until_it_is_answered(window):
    page, done = window.page, []
    page.primary = Action("Go", lambda: None)
    page.changed.emit()
    page.asks.emit("End it?", [Action("End", lambda: done.append("end")), Action("Go on", list)])
    page.changed.emit()
    assert window.bar.question == "End it?"
    assert [button.label() for button in window.bar.buttons] == ["End", "Go on"]
    assert window.focusWidget() is window.bar.buttons[1]
    window.bar.buttons[0].click()
    assert done == ["end"]
    assert not window.bar.question
    assert [button.label() for button in window.bar.buttons] == ["Go"]
