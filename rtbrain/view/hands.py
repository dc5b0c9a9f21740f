"""The operator's hands: marks by key, marks by word, contacts called bad."""

from collections.abc import Callable

from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QWidget,
)

from rtbrain.view.marks import MarkLabels, MarkOutlet
from rtbrain.view.session import Session, Update

__all__ = ["Hands", "labels_dialog"]

_BY_HAND = "by hand"


class Hands:
    """What the operator tells the rest of the world.

    Parameters
    ----------
    window : QWidget
        Parent of the dialogs.
    session : Session
        Which is told of contacts called bad, so that the panels show them.
    marks : MarkOutlet
        Where marks go.
    labels : MarkLabels
        Texts of F1 to F8.
    say : callable
        Takes a line for the status line.

    Attributes
    ----------
    labels : MarkLabels
        Texts of F1 to F8.
    contact : str
        Contact chosen; empty before there is one.
    on_change : callable
        Called when labels, the contact or what is bad have changed.
    """

    def __init__(
        self,
        window: QWidget,
        session: Session,
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
        return self._session.bad.get(self.contact) == _BY_HAND

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

    def take(self, update: Update) -> None:
        """Repeat the marks to a decoder that has just begun to listen, or to be heard."""
        status = next((feed for feed in self._session.feeds if feed.kind == "status"), None)
        live = status is not None and status.state == "live"
        if (live and not self._status_live) or any(told.event == "hands" for told in update.told):
            self._marks.repeat(sorted(self._session.marked))
        self._status_live = live
        if any(told.event.startswith("channel_") for told in update.told):
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
        dialog = labels_dialog(self.labels, self._window)
        dialog.accepted.connect(self.on_change)
        dialog.open()


def labels_dialog(labels: MarkLabels, parent: QWidget | None = None) -> QDialog:
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
