"""Marks by hand out over LSL: what happened, and which contacts are bad."""

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from uuid import uuid4

import pylsl
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QWidget,
)

from rtbrain.stream_names import manual_marks_name
from rtbrain.types import OPERATOR_MARK
from rtbrain.view.streams.records import SessionUpdate
from rtbrain.view.streams.session import ViewSession

_HELD = 360  # hundreds of marks kept for a listener that stopped reading
_LONGEST = 200
REPEAT_REQUEST = "bad?"
DEFAULT_LABELS = (
    "event",
    "seizure",
    "artefact",
    "movement",
    "speech",
    "stimulation",
    "task",
    "rest",
)


class MarkOutlet:
    """The marker stream ``NAME-marks``: one string a mark, stamped when it was made.

    ``bad LABEL`` and ``good LABEL`` tell decoders that a contact is not to be believed, or is
    again; ``bad?`` asks them to tell all that are bad by hand. Any other text is a remark.
    """

    def __init__(self, name: str = "rtbrain-view") -> None:
        self.name = manual_marks_name(name)
        # Two windows may send under one name: decoders listen to both.
        info = pylsl.StreamInfo(
            self.name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"{self.name}-{uuid4().hex}"
        )
        channel = info.desc().append_child("channels").append_child("channel")
        for key, value in (("label", "mark"), ("unit", "text"), ("type", "MARKER")):
            channel.append_child_value(key, value)
        ours = info.desc().append_child("rtbrain")
        ours.append_child_value("origin", "window")
        ours.append_child_value("version", version("rtbrain"))
        self._outlet = pylsl.StreamOutlet(info, max_buffered=_HELD)

    def send(self, text: str) -> str:
        """Send a mark, stamped now."""
        line = " ".join(text.split())[:_LONGEST]
        if line:
            self._outlet.push_sample([line], pylsl.local_clock())
        return line

    def call(self, label: str, bad: bool) -> None:
        """Call a contact bad, or good again."""
        self.send(f"{'bad' if bad else 'good'} {label}")

    def repeat(self, labels: Iterable[str]) -> None:
        """Tell a decoder that has just begun to listen which contacts are bad, and ask it."""
        for label in labels:
            self.call(label, True)
        self.send(REPEAT_REQUEST)


class MarkLabels:
    """Texts of the keys F1 to F8, kept in the settings of the window."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(DEFAULT_LABELS)))

    def __getitem__(self, number: int) -> str:
        """Text of a key, 0 for F1."""
        default = DEFAULT_LABELS[number]
        return str(self._settings.value(_key(number), default)) or default

    def __setitem__(self, number: int, text: str) -> None:
        """Give a key another text; an empty one gives the first text back."""
        self._settings.setValue(_key(number), " ".join(text.split())[:_LONGEST])


def _key(number: int) -> str:
    return f"marks/F{number + 1}"


class OperatorMarks:
    """What the operator tells the rest of the world."""

    def __init__(
        self,
        window: QWidget,
        session: ViewSession,
        marks: MarkOutlet,
        labels: MarkLabels,
        say: Callable[[str], None],
    ) -> None:
        self._window = window
        self._session = session
        self._marks = marks
        self._say = say
        self._status_live = False
        self.labels = labels
        self.contact = ""
        self.on_change: Callable[[], None] = lambda: None

    @property
    def chosen_is_bad(self) -> bool:
        """Whether the contact chosen was called bad by hand, here or in another window."""
        return self._session.bad.get(self.contact) == OPERATOR_MARK

    def choose(self, label: str) -> None:
        """Take the contact that `toggle_bad` is about."""
        self.contact = label
        self.on_change()

    def press(self, number: int) -> None:
        """Send the mark of a key, 0 for F1."""
        self.send(self.labels[number])

    def send(self, text: str) -> None:
        """Send a mark, and say so."""
        sent = self._marks.send(text)
        if sent:
            self._say(f"marked: {sent}  ({self._marks.name})")

    def call(self, label: str, bad: bool) -> None:
        """Call a contact bad or good again: here, and to every decoder that listens."""
        self._session.mark(label, bad)
        self._marks.call(label, bad)
        self._say(f"{label} called {'bad' if bad else 'good'} by hand  ({self._marks.name})")
        self.on_change()

    def toggle_bad(self) -> None:
        """Call the contact chosen bad, or good again."""
        if self.contact:
            self.call(self.contact, not self.chosen_is_bad)

    def take(self, update: SessionUpdate) -> None:
        """Repeat the marks to a decoder that has just begun to listen, or to be heard."""
        status = next((feed for feed in self._session.feeds if feed.kind == "status"), None)
        live = status is not None and status.state == "live"
        if (live and not self._status_live) or any(
            event.event == "manual_marks" for event in update.events
        ):
            self._marks.repeat(sorted(self._session.marked))
        self._status_live = live
        if any(event.event.startswith("channel_") for event in update.events):
            self.on_change()

    def ask(self) -> None:
        """Ask for a text and send it as a mark, stamped when it is sent."""
        dialog = QInputDialog(self._window)
        dialog.setWindowTitle("Mark")
        dialog.setLabelText("Text of the mark")
        dialog.textValueSelected.connect(self.send)
        dialog.open()

    def edit_labels(self) -> None:
        """Let the operator change the texts of F1 to F8."""
        dialog = mark_labels_dialog(self.labels, self._window)
        dialog.accepted.connect(self.on_change)
        dialog.open()


def mark_labels_dialog(labels: MarkLabels, parent: QWidget | None = None) -> QDialog:
    """Dialog that changes the texts of F1 to F8, not yet shown."""
    dialog = QDialog(parent)
    dialog.setWindowTitle("Texts of F1 to F8")
    form = QFormLayout(dialog)
    fields = [QLineEdit(text) for text in labels]
    for number, field in enumerate(fields, 1):
        form.addRow(f"F&{number}", field)
    buttons = QDialogButtonBox(
        QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
    )
    form.addRow(buttons)

    def keep() -> None:
        for number, field in enumerate(fields):
            labels[number] = field.text()
        dialog.accept()

    buttons.accepted.connect(keep)
    buttons.rejected.connect(dialog.reject)
    return dialog
