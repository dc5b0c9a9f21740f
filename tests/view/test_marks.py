"""An operator's marks are sent as markers, and exclude contacts from decoding."""

from pathlib import Path
from uuid import uuid4

import pylsl
import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from rtbrain.marks import OPERATOR_MARK
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream.lsl.markers import ManualMarks
from rtbrain.view.marks import (
    DEFAULT_LABELS,
    MarkLabels,
    MarkOutlet,
    OperatorMarks,
    mark_labels_dialog,
)
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate


class MarkedSession:
    """What the marks need of a session."""

    def __init__(self) -> None:
        self.bad: dict[str, str] = {}
        self.feeds: tuple[StreamHealth, ...] = ()

    @property
    def marked(self) -> frozenset[str]:
        return frozenset(self.bad)

    def mark(self, label: str, bad: bool) -> None:
        if bad:
            self.bad[label] = OPERATOR_MARK
        else:
            self.bad.pop(label, None)


class RecordingOutlet:
    """An outlet without LSL."""

    name = "test-marks"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def send(self, text: str) -> str:
        self.texts.append(text)
        return text

    mark_contact = MarkOutlet.mark_contact
    repeat = MarkOutlet.repeat


@pytest.fixture
def settings(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "view.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def session() -> MarkedSession:
    return MarkedSession()


@pytest.fixture
def outlet() -> RecordingOutlet:
    return RecordingOutlet()


@pytest.fixture
def marks(
    qtbot: QtBot, settings: QSettings, session: MarkedSession, outlet: RecordingOutlet
) -> OperatorMarks:
    window = QWidget()
    qtbot.addWidget(window)
    marks = OperatorMarks(window, session, outlet, MarkLabels(settings), lambda text: None)  # type: ignore[arg-type]
    marks.window = window  # type: ignore[attr-defined]  # kept alive
    return marks


def status(state: str) -> StreamHealth:
    nan = float("nan")
    return StreamHealth("rtbrain-status", "status", state, "", 0.0, nan, 0, 0, nan, nan, nan)


@pytest.mark.lsl
def test_a_decoder_hears_marks_with_their_time_and_in_one_line() -> None:
    name = f"view-{uuid4().hex}"
    events: list[str] = []
    listener = ManualMarks(f"{name}-marks", on_event=lambda event, **_: events.append(event))
    outlet = MarkOutlet(name)
    assert outlet.name == f"{name}-marks"
    try:
        (found,) = pylsl.resolve_byprop("name", outlet.name, timeout=10)
        inlet = pylsl.StreamInlet(found, recover=False)
        inlet.open_stream(10)
        while "manual_marks" not in events:
            assert listener() == []
        before = pylsl.local_clock()
        assert outlet.send("  speech\n starts  ") == "speech starts"
        assert outlet.send(" \n") == ""
        outlet.mark_contact("LA3", True)
        outlet.mark_contact("LA3", False)
        outlet.repeat(["LA4"])
        heard: list[str] = []
        while len(heard) < 5:
            heard += [mark.text for mark in listener()]
        assert heard == ["speech starts", "bad LA3", "good LA3", "bad LA4", "bad?"]
        sample, stamp = inlet.pull_sample(5)
        assert sample == ["speech starts"]
        assert before <= stamp <= pylsl.local_clock()
        assert len(outlet.send("x" * 500)) == 200
    finally:
        listener.close()


def test_the_texts_of_the_keys_are_saved_and_an_empty_one_restores_the_default(
    settings: QSettings,
) -> None:
    labels = MarkLabels(settings)
    assert tuple(labels) == DEFAULT_LABELS
    labels[2] = " stim\nleft "
    assert MarkLabels(settings)[2] == "stim left"
    labels[2] = ""
    assert labels[2] == DEFAULT_LABELS[2]


def test_the_dialog_changes_the_texts_of_the_keys(qtbot: QtBot, settings: QSettings) -> None:
    labels = MarkLabels(settings)
    dialog = mark_labels_dialog(labels)
    qtbot.addWidget(dialog)
    fields = dialog.findChildren(QLineEdit)
    fields[0].setText("drug given")
    dialog.reject()
    assert labels[0] == DEFAULT_LABELS[0]
    dialog = mark_labels_dialog(labels)
    qtbot.addWidget(dialog)
    dialog.open()
    dialog.findChildren(QLineEdit)[7].setText("drug given")
    qtbot.keyClick(dialog.findChildren(QLineEdit)[7], "\r")
    assert labels[7] == "drug given"


def test_a_contact_marked_bad_is_bad_here_and_for_decoders_until_it_is_marked_good(
    marks: OperatorMarks, outlet: RecordingOutlet
) -> None:
    changes: list[bool] = []
    marks.on_change = lambda: changes.append(marks.chosen_is_bad)
    marks.toggle_bad()
    assert outlet.texts == []
    marks.choose("A1")
    marks.toggle_bad()
    marks.toggle_bad()
    assert outlet.texts == ["bad A1", "good A1"]
    assert changes == [False, True, False]


def test_marks_are_repeated_for_a_decoder_that_begins_to_listen(
    marks: OperatorMarks, session: MarkedSession, outlet: RecordingOutlet
) -> None:
    marks.mark_contact("A2", True)
    session.feeds = (status("absent"),)
    marks.take(SessionUpdate(0.0))
    assert outlet.texts == ["bad A2"]
    session.feeds = (status("live"),)
    marks.take(SessionUpdate(0.0))
    marks.take(SessionUpdate(0.1))
    assert outlet.texts == ["bad A2", "bad A2", "bad?"]
    marks.take(
        SessionUpdate(1.2, events=(StatusEvent(1.2, "manual_marks", {"stream": "rtbrain-status"}),))
    )
    assert outlet.texts[3:] == ["bad A2", "bad?"]


def test_a_mark_in_the_operators_own_words_is_sent_when_it_is_confirmed(
    qtbot: QtBot, marks: OperatorMarks, outlet: RecordingOutlet
) -> None:
    marks.ask()
    (field,) = marks.window.findChildren(QLineEdit)  # type: ignore[attr-defined]
    qtbot.keyClicks(field, "patient asleep")
    qtbot.keyClick(field, "\r")
    marks.press(0)
    assert outlet.texts == ["patient asleep", DEFAULT_LABELS[0]]


def test_two_outlets_of_marks_may_have_one_name() -> None:
    assert MarkOutlet("twice").name == MarkOutlet("twice").name == "twice-marks"
