"""The operator's marks over LSL: what happened, and which contacts are bad."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from uuid import uuid4

import pylsl
from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QWidget,
)

from rtbrain.marks import MANUAL_MARK, REPEAT_REQUEST
from rtbrain.outlet import MarkerOutlet
from rtbrain.stream_names import manual_marks_name, window_source_id
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say

_MAX_CHARS = 200
# Whoever says again and again that it listens gets no flood of marks for an answer.
_REPEAT_EVERY_S = 1.0
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
    """The marker stream ``NAME-marks``: one string per mark, stamped when it is sent.

    ``bad LABEL`` and ``good LABEL`` exclude a contact from decoding, or include it again; ``bad?``
    asks decoders to report every contact that is marked. Any other text is a remark. `window` is
    the identity of the author of the marks, 32 hexadecimal digits; by default a new one.
    """

    def __init__(self, name: str = "rtbrain-view", window: str | None = None) -> None:
        self.name = manual_marks_name(name)
        # Two windows may send under one name: decoders listen to both.
        source_id = window_source_id(self.name, window or uuid4().hex)
        self._outlet = MarkerOutlet(self.name, source_id=source_id)

    def send(self, text: str) -> str:
        """Send a mark on one line, stamped now; returns what was sent."""
        line = " ".join(text.split())[:_MAX_CHARS]
        if line:
            self._outlet.push(line, pylsl.local_clock())
        return line

    def mark_contact(self, label: str, bad: bool) -> None:
        """Mark a contact as bad, or as good again."""
        self.send(f"{'bad' if bad else 'good'} {label}")

    def repeat(self, labels: Iterable[str]) -> None:
        """Send the bad contacts again, for a decoder that has just connected, and query it."""
        for label in labels:
            self.mark_contact(label, True)
        self.send(REPEAT_REQUEST)


def window_identity(settings: QSettings) -> str:
    """Identity of a user's windows, kept, so that one that is opened again may undo their marks."""
    kept = str(settings.value("marks/window", ""))
    if not re.fullmatch("[0-9a-f]{32}", kept):
        kept = uuid4().hex
        settings.setValue("marks/window", kept)
    return kept


class MarkLabels:
    """Texts of the keys F1 to F8, kept in the window's settings."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(DEFAULT_LABELS)))

    def __getitem__(self, number: int) -> str:
        """Text of a key, 0 for F1."""
        default = DEFAULT_LABELS[number]
        return str(self._settings.value(_key(number), default)) or default

    def __setitem__(self, number: int, text: str) -> None:
        """Give a key another text; an empty one restores the default."""
        self._settings.setValue(_key(number), " ".join(text.split())[:_MAX_CHARS])


def _key(number: int) -> str:
    return f"marks/F{number + 1}"


class OperatorMarks:
    """Sends what the operator marks, and keeps the window in step with it."""

    def __init__(
        self,
        window: QWidget,
        session: ViewSession,
        outlet: MarkOutlet,
        labels: MarkLabels,
        show_message: Callable[[str], None],
    ) -> None:
        self._window = window
        self._session = session
        self._outlet = outlet
        self._show_message = show_message
        self._status_live = False
        self._repeats, self._repeat_at = False, -math.inf
        self.labels = labels
        self.contact = ""
        self.on_change: Callable[[], None] = lambda: None

    @property
    def chosen_is_bad(self) -> bool:
        """Whether anybody marked the chosen contact as bad, in this window or another."""
        return self._session.bad.get(self.contact, "").startswith(MANUAL_MARK)

    def choose(self, label: str) -> None:
        """Choose the contact that `toggle_bad` marks."""
        self.contact = label
        self.on_change()

    def press(self, number: int) -> None:
        """Send the mark of a key, 0 for F1."""
        self.send(self.labels[number])

    def send(self, text: str) -> None:
        """Send a mark and confirm it in the status line."""
        sent = self._outlet.send(text)
        if sent:
            self._show_message(say("marks.sent", text=sent, window=self._outlet.name))

    def mark_contact(self, label: str, bad: bool) -> None:
        """Mark a contact as bad or good, in this window and for every decoder that listens."""
        self._session.mark(label, bad)
        self._outlet.mark_contact(label, bad)
        words = "marks.bad" if bad else "marks.good"
        self._show_message(say(words, contact=label, window=self._outlet.name))
        self.on_change()

    def toggle_bad(self) -> None:
        """Mark the chosen contact as bad, or as good again."""
        if self.contact:
            self.mark_contact(self.contact, not self.chosen_is_bad)

    def take(self, update: SessionUpdate) -> None:
        """Repeat the marks when a decoder's status stream appears or it starts to listen."""
        status = next((feed for feed in self._session.feeds if feed.kind == "status"), None)
        live = status is not None and status.state == "live"
        listens = any(event.event == "manual_marks" for event in update.events)
        self._repeats |= (live and not self._status_live) or listens
        if self._repeats and update.now >= self._repeat_at:
            self._repeats, self._repeat_at = False, update.now + _REPEAT_EVERY_S
            self._outlet.repeat(sorted(self._session.marked))
        self._status_live = live
        for event in update.events:
            if event.event == "mark_refused":
                bad = self._session.bad.get(str(event.fields.get("channel")), "")
                contact = event.fields.get("channel")
                self._show_message(say("marks.stays_bad", contact=contact, reason=bad))
        if any(event.event.startswith("channel_") for event in update.events):
            self.on_change()

    def ask(self) -> None:
        """Open a dialog for a text, and send it as a mark when it is confirmed."""
        dialog = QInputDialog(self._window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(say("marks.title"))
        dialog.setLabelText(say("marks.text"))
        dialog.textValueSelected.connect(self.send)
        dialog.open()

    def edit_labels(self) -> None:
        """Open the dialog that changes the texts of F1 to F8."""
        dialog = mark_labels_dialog(self.labels, self._window)
        dialog.accepted.connect(self.on_change)
        dialog.open()


def mark_labels_dialog(labels: MarkLabels, parent: QWidget | None = None) -> QDialog:
    """Dialog that changes the texts of F1 to F8, not yet shown."""
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(say("marks.labels"))
    form = QFormLayout(dialog)
    fields = [QLineEdit(text) for text in labels]
    for number, field in enumerate(fields, 1):
        form.addRow(f"F&{number}", field)
    buttons = QDialogButtonBox(
        QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
    )
    form.addRow(buttons)

    def save() -> None:
        for number, field in enumerate(fields):
            labels[number] = field.text()
        dialog.accept()

    buttons.accepted.connect(save)
    buttons.rejected.connect(dialog.reject)
    return dialog
