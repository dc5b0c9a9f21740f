"""A tour of the five steps on a simulated patient: what each is for, and what to press."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QWidget

from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.page import STEPS
from rtbrain.stream_names import markers_name
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label

PATIENT, CLASSES = "tour-patient", ("rest", "speech")


def tour_folder() -> Path:
    """New folder for the session of a tour."""
    return Path(tempfile.mkdtemp(prefix="rtbrain-tour-"))


def set_up_tour(session: Session) -> None:
    """Start a simulated patient, and choose its streams where none are chosen."""
    if not session.running("player"):
        session.start("player", ["simulate", "--name", PATIENT, "--seed", "7", "--channels", "32"])
    if session.settings.signal is None:
        session.change(
            streams=(
                UsedStream(name=PATIENT, role="signal"),
                UsedStream(name=markers_name(PATIENT), role="markers"),
            ),
            markers={name: name for name in CLASSES},
            classes=CLASSES,
            target=CLASSES[-1],
            code="tour",
            task="speech",
        )


class TourBar(QWidget):
    """One line a step below the transport bar; Next shows the next step."""

    def __init__(self, show_step: Callable[[str], object], theme: Theme) -> None:
        super().__init__()
        self._show_step, self._step = show_step, STEPS[0]
        self.text = plain_label(wordWrap=True)
        self.next = QPushButton(say("tour.next"))
        self.end = QPushButton(say("tour.end"))
        self.next.clicked.connect(lambda: self._next())
        self.end.clicked.connect(self.hide)
        self.setObjectName("tour")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row = (self.text, self.next, self.end)
        fill(QHBoxLayout(self), *row, stretched=self.text, margins=(20, 8, 20, 8), spacing=10)
        self.restyle(theme)
        self.show_step(self._step)

    def show_step(self, step: str) -> None:
        """Say what a step is for."""
        self._step = step
        number = STEPS.index(step) + 1
        self.text.setText(say("tour.line", n=number, total=len(STEPS), text=say(f"tour.{step}")))
        self.next.setEnabled(number < len(STEPS))

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.setStyleSheet(
            f"#tour {{ background: {theme.bg2}; border-bottom: 1px solid {theme.line}; }}"
            f"#tour QLabel {{ background: {theme.bg2}; }}"
        )

    def _next(self) -> None:
        self._show_step(STEPS[STEPS.index(self._step) + 1])
