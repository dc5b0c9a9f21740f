"""The transport bar of every step: recording, disk, signal, age, and the button that stops."""

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from rtbrain.console.frame.controls import KeyButton
from rtbrain.console.page import Action
from rtbrain.console.watch import Watch
from rtbrain.view.health.line import LineText, StatusLine
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

TRANSPORT_PX = 56


class Transport(QWidget):
    """The line that becomes the alarm line, and beside it always ``Stop outputs``."""

    def __init__(self, watch: Watch, stop: Callable[[], object], theme: Theme) -> None:
        super().__init__()
        self._watch, self._stop = watch, stop
        self.line = StatusLine(theme)
        self.line.seen.connect(watch.alarms.see)
        self.line.turned.connect(watch.alarms.turn)
        self.button = KeyButton(theme, icon_kind="stop")
        self.button.clicked.connect(lambda: stop())
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._shown: bool | None = None
        self.setObjectName("transport")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        beside = QHBoxLayout()
        fill(beside, self.button, margins=(8, 8, 8, 8))
        fill(QHBoxLayout(self), self.line, beside, stretched=self.line)
        self.restyle(theme)

    def draw(self, outputs_on: bool) -> None:
        """Show the situation."""
        watch, alarms = self._watch, self._watch.alarms
        now = watch.update()
        self.line.show_text(
            LineText(
                now.recording.state,
                watch.cells(now),
                alarms.shown,
                tuple(alarms.waiting),
                alarms.over(now.now),
                elapsed=watch.elapsed(now),
            )
        )
        if outputs_on != self._shown:
            self._shown = outputs_on
            text = say("session.stop_outputs")
            self.button.show_action(Action(text, self._stop, "Esc", enabled=outputs_on))

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.setFixedHeight(theme.px(TRANSPORT_PX))
        self.setStyleSheet(
            f"#transport {{ background: {theme.bg2}; border-bottom: 1px solid {theme.line}; }}"
        )
        self.line.restyle(theme)
        self.button.restyle(theme)
