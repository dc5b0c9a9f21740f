"""Switches of what runs: each says what it is, whether it is on, and where it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from rtbrain.console.folder import Session
from rtbrain.console.running.outputs import describe_outputs
from rtbrain.stream_names import events_name
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.frame import face, paint_frame, paint_line
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, set_tip

_ROW_PX, _HEAD_PX, _FOOT_PX, _PAD = 60, 32, 30, 12


@dataclass(frozen=True, slots=True)
class SwitchState:
    """How a switch stands, and a line about it; `can` says whether it can be moved now."""

    on: bool
    line: str
    can: bool = True


def switch_states(session: Session, decoding: Decoding, *, runs: bool) -> dict[str, SwitchState]:
    """How the switches of a session stand; `runs` says whether its decoder does."""
    settings, recorder = session.settings, session.jobs.get("recorder")
    outlet, outputs = settings.outlet, settings.outputs
    file = session.growing
    heard = decoding.history is not None and not decoding.gone
    can_send = runs and heard and bool(decoding.thresholds)
    sends = can_send and decoding.sends
    there = settings.signal is not None
    ready = there and settings.decoder is not None and not session.running("decoder")
    closing = recorder is not None and recorder.stopping
    events = say("run.detections_on", name=events_name(outlet), n=decoding.n_detected)
    idle = say("run.detections_off" if can_send else "run.detections_none")
    to = say("run.trigger_to", where=describe_outputs(outputs))
    return {
        "decode": SwitchState(
            runs, say("run.decode_on" if runs else "run.decode_off", name=outlet), runs or ready
        ),
        "record": SwitchState(
            bool(file),
            say("run.record_on" if file else "run.record_off", file=file),
            not closing if session.records("run") else there and not file,
        ),
        "detections": SwitchState(sends, events if sends else idle, can_send),
        "trigger": SwitchState(
            runs and decoding.armed,
            to if outputs else say("run.trigger_none"),
            runs and bool(outputs),
        ),
    }


class Switch(QAbstractButton):
    """One switch; Enter moves it, Space does not."""

    def __init__(self, theme: Theme, name: str, call: Callable[[], object]) -> None:
        super().__init__()
        self._theme, self.name = theme, name
        self.state = SwitchState(False, "", False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.clicked.connect(lambda _=False: call())

    def show_state(self, state: SwitchState) -> None:
        """Show how it stands."""
        self.state = state
        word = say("run.on" if state.on else "run.off")
        self.setAccessibleName(f"{self.name} {word}")
        self.setEnabled(state.can)
        set_tip(self, state.line)
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size at 1280 x 800."""
        return QSize(self._theme.px(260), self._theme.px(_ROW_PX))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the switch, its name and its line."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            theme, px, on = self._theme, self._theme.px, self.state.on
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.drawLine(
                QPointF(0, self.height() - 0.5), QPointF(self.width(), self.height() - 0.5)
            )
            if self.hasFocus():
                painter.setPen(QPen(QColor(theme.accent), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(QRectF(self.rect()).adjusted(2, 2, -2, -3), 3, 3)
            box = QRectF(px(_PAD), self.height() / 2 - px(10), px(38), px(20))
            known = theme.text if self.isEnabled() else theme.faint
            painter.setPen(QPen(QColor(theme.ctl if not on else known), 1))
            painter.setBrush(QColor(known) if on else Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box, box.height() / 2, box.height() / 2)
            side = box.height() - 6
            left = box.right() - side - 3 if on else box.left() + 3
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.bg0 if on else theme.text2))
            painter.drawEllipse(QRectF(left, box.top() + 3, side, side))
            x, width = box.right() + px(12), self.width() - box.right() - px(20)
            word = say("run.on" if on else "run.off")
            parts = [
                (self.name, face(theme, 13, 600), known),
                (word, face(theme, 13, 600), known if on else theme.text2),
            ]
            paint_line(painter, QPointF(x, self.height() / 2 - px(4)), width, parts, px(5))
            line = [(self.state.line, face(theme, 12), theme.text2)]
            paint_line(painter, QPointF(x, self.height() / 2 + px(14)), width, line)


class SwitchPanel(QWidget):
    """Switches below each other, under a head and above a line."""

    def __init__(self, theme: Theme, switches: Sequence[tuple[str, Callable[[], object]]]) -> None:
        super().__init__()
        self._theme = theme
        self.switches = {key: Switch(theme, say(f"run.{key}"), call) for key, call in switches}
        self._column = QVBoxLayout(self)
        self._column.setSpacing(0)
        for switch in self.switches.values():
            self._column.addWidget(switch)
        self._column.addStretch(1)
        self.restyle(theme)

    def show_states(self, states: dict[str, SwitchState]) -> None:
        """Show how the switches stand."""
        for key, state in states.items():
            if self.switches[key].state != state:
                self.switches[key].show_state(state)

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self._column.setContentsMargins(1, theme.px(_HEAD_PX), 1, theme.px(_FOOT_PX))
        for switch in self.switches.values():
            switch.restyle(theme)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint frame, head and foot."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            theme, px = self._theme, self._theme.px
            paint_frame(painter, QRectF(self.rect()), theme)
            head = [(say("run.now"), face(theme, 12.5, 600), theme.text)]
            width = self.width() - 2 * px(_PAD)
            paint_line(painter, QPointF(px(_PAD), px(21)), width, head)
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.drawLine(QPointF(0, px(_HEAD_PX) - 1), QPointF(self.width(), px(_HEAD_PX) - 1))
            last = list(self.switches.values())[-1].geometry().bottom()
            foot = [(say("run.esc"), face(theme, 12), theme.text2)]
            paint_line(painter, QPointF(px(_PAD), last + px(20)), width, foot)
