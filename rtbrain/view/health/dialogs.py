"""The log and the details of the status line, in windows that hold up nothing."""

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QPlainTextEdit, QVBoxLayout, QWidget

from rtbrain.view.alarms.model import LogLine
from rtbrain.view.health.cells import Cell
from rtbrain.view.texts import say
from rtbrain.view.theme import fill

_WIDTH_PX, _HEIGHT_PX = 720, 420


class TextDialog(QDialog):
    """A text that is shown anew as it changes, and can be selected and copied.

    One that `grows` is shown from its end on, and scrolled on where that is in sight.
    """

    def __init__(self, title: str, parent: QWidget, *, grows: bool = False) -> None:
        super().__init__(parent)
        self._grows = grows
        self.setWindowTitle(title)
        self.setModal(False)
        self.resize(_WIDTH_PX, min(_HEIGHT_PX, parent.height()))
        self.body = QPlainTextEdit(readOnly=True)
        self.body.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.body.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        fill(QVBoxLayout(self), self.body, margins=(8, 8, 8, 8))

    def toggle(self) -> None:
        """Open it, or close it again."""
        if self.isVisible():
            self.close()
        else:
            self.show()

    def show_text(self, text: str) -> None:
        """Show a text, unless a part of the one that is shown is selected, to be copied."""
        selects = self.body.textCursor().hasSelection()
        if not self.isVisible() or selects or text == self.body.toPlainText():
            return
        bar = self.body.verticalScrollBar()
        at, at_end = bar.value(), bar.value() == bar.maximum()
        self.body.setPlainText(text)
        bar.setValue(bar.maximum() if self._grows and at_end else at)


def log_lines(lines: Sequence[LogLine]) -> str:
    """The log as text, one line a happening."""
    if not lines:
        return say("log.empty")
    times = (time.strftime("%H:%M:%S", time.localtime(one.time)) for one in lines)
    return "\n".join(f"{when}  {one.text}" for when, one in zip(times, lines, strict=True))


def detail_lines(cells: Sequence[Cell], more: Sequence[str]) -> str:
    """What the cells and their tool tips say, in full, and more."""
    parts = []
    for cell in cells:
        head = f"{cell.label}: {cell.value} {cell.note}".rstrip()
        parts.append("\n".join([head, *(f"    {line}" for line in cell.tip.splitlines() if line)]))
    return "\n\n".join([*parts, *filter(None, more)])
