"""Buttons that show their key, the action bar, where questions are asked too, and keys."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import (
    QCoreApplication,
    QEvent,
    QObject,
    QPointF,
    QRectF,
    QSize,
    Qt,
    QUrl,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QDesktopServices,
    QFontMetricsF,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStyle,
    QStyleOptionButton,
    QVBoxLayout,
    QWidget,
)

from rtbrain.console.page import Action
from rtbrain.view.icons import icon_pixmap
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label, set_tip

_BUTTON_PX, _ROW_PX = 36, 30
_PAD_PX, _GAP_PX, _KEY_PX = 16, 8, 20

_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_PRESSES = (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)


def _always() -> bool:
    return True


class KeyButton(QPushButton):
    """Button with its key in a box at the right; `icon_kind` is painted at the left."""

    def __init__(self, theme: Theme, height_px: int = _BUTTON_PX, icon_kind: str = "") -> None:
        super().__init__()
        self._theme, self._height_px, self._icon_kind = theme, height_px, icon_kind
        self._label, self._key = "", ""
        self.call: Callable[[], object] = lambda: None

    def show_action(self, action: Action, *, primary: bool = False) -> None:
        """Show an action; the button keeps its place and the focus."""
        self._label = action.text
        self._key = QKeySequence(action.key).toString().replace("+", " ") if action.key else ""
        self.call = action.call
        self.setAccessibleName(action.text)
        self.setEnabled(action.enabled)
        set_tip(self, action.reason)
        if self.property("primary") != primary:
            self.setProperty("primary", primary)
            self.style().unpolish(self)
            self.style().polish(self)
        self.updateGeometry()
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.updateGeometry()

    def label(self) -> str:
        """Its text, without the key."""
        return self._label

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for icon, text and key."""
        width = 2 * _PAD_PX + self._width(self._label, 13.5, 600)
        if self._key:
            width += _GAP_PX + self._width(self._key, 11) + 10
        if self._icon_kind:
            width += 16 + _GAP_PX
        return QSize(round(width), self._theme.px(self._height_px))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As much: no text is cut."""
        return self.sizeHint()

    def _width(self, text: str, px: float, weight: int = 400) -> float:
        return QFontMetricsF(self._theme.font(px, weight)).horizontalAdvance(text)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint frame, icon, text and key."""
        theme = self._theme
        with QPainter(self) as painter:
            option = QStyleOptionButton()
            self.initStyleOption(option)
            self.style().drawControl(
                QStyle.ControlElement.CE_PushButtonBevel, option, painter, self
            )
            primary = bool(self.property("primary")) and self.isEnabled()
            ink = theme.on_accent if primary else theme.text if self.isEnabled() else theme.faint
            wanted = self.sizeHint().width() - 2 * _PAD_PX
            x = max(float(_PAD_PX), (self.width() - wanted) / 2)
            middle = self.height() / 2
            if self._icon_kind:
                pixmap = icon_pixmap(self._icon_kind, 16, theme, self.devicePixelRatioF(), ink)
                painter.drawPixmap(QPointF(x, middle - 8), pixmap)
                x += 16 + _GAP_PX
            painter.setPen(QColor(ink))
            painter.setFont(theme.font(13.5, 600))
            width = self._width(self._label, 13.5, 600)
            painter.drawText(
                QRectF(x, 0, width + 2, self.height()), Qt.AlignmentFlag.AlignVCenter, self._label
            )
            if self._key:
                box = QRectF(x + width + _GAP_PX, middle - 9, self._width(self._key, 11) + 10, 18)
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(QColor(ink), 1))
                painter.drawRoundedRect(box, 3, 3)
                painter.setFont(theme.font(11))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._key)


class ActionBar(QWidget):
    """Buttons of a page; above them one line of what happened, in their place a question."""

    done = Signal(object)
    """A button was pressed: its call."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._page: tuple[Sequence[Action], Action | None] = ((), None)
        self._question = ""
        self._still: Callable[[], bool] = _always
        self._message = plain_label()
        self._message_icon = QLabel()
        self._reason = plain_label()
        self._reason.setObjectName("quiet")
        self._left, self._right = QHBoxLayout(), QHBoxLayout()
        for side in (self._left, self._right):
            fill(side, spacing=10)
        self.buttons: list[KeyButton] = []
        self._made: list[KeyButton] = []
        self.field = QLineEdit()
        self.field.returnPressed.connect(lambda: self._enter())
        self._enter: Callable[[], object] = lambda: None
        row = QHBoxLayout()
        fill(row, self._left, margins=(20, 10, 20, 10), spacing=10)
        row.addStretch(1)
        fill(row, self._reason, self.field, self._right, margins=(20, 10, 20, 10), spacing=10)
        self._line = QWidget()
        said = (self._message_icon, self._message)
        line = QHBoxLayout(self._line)
        fill(line, *said, stretched=self._message, margins=(20, 6, 20, 0), spacing=8)
        fill(QVBoxLayout(self), self._line, row)
        self._line.hide()
        self.field.hide()
        self.setObjectName("actionbar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.restyle(theme)

    @property
    def question(self) -> str:
        """The question that waits for an answer; empty if none does."""
        return self._question

    @property
    def message(self) -> str:
        """The line of what happened."""
        return self._message.text()

    def show_page(self, actions: Sequence[Action], primary: Action | None) -> None:
        """Show the actions of a page, unless a question waits."""
        self._page = actions, primary
        if not self._question:
            reason = "" if primary is None else primary.reason
            self._set(actions, primary, reason)

    def ask(
        self, question: str, answers: Sequence[Action], still: Callable[[], bool] = _always
    ) -> None:
        """Ask in place of the actions; the last answer leaves everything as it is.

        `still` says whether the question concerns what is: `look` withdraws it otherwise.
        """
        self._question, self._still = question, still
        self.field.hide()
        self._set((), None, question, [Action(a.text, self._answer(a), a.key) for a in answers])
        self.buttons[-1].setFocus()

    def look(self) -> None:
        """Withdraw a question whose matter is over."""
        if self._question and not self._still():
            self.drop_question()

    def ask_text(
        self,
        question: str,
        given: str,
        call: Callable[[str], object],
        still: Callable[[], bool] = _always,
    ) -> None:
        """Ask for a text in place of the actions; Enter passes on what was given, or typed."""

        def enter() -> None:
            text = self.field.text()
            self.drop_question()
            self.done.emit(lambda: call(text))

        self.ask(
            question,
            [Action(say("session.enter"), enter), Action(say("session.cancel"), lambda: None)],
            still,
        )
        self.field.setText(given)
        self.field.selectAll()
        self.field.show()
        self.field.setFocus()
        self._enter = enter

    def drop_question(self) -> None:
        """Show the actions again."""
        self._question, self._still = "", _always
        self.field.hide()
        self.show_page(*self._page)

    def show_message(self, text: str, icon: str = "know") -> None:
        """Show what happened, until the next time; empty hides the line."""
        self._message.setText(text)
        self._message_icon.setPixmap(icon_pixmap(icon, 16, self._theme, self.devicePixelRatioF()))
        self._line.setVisible(bool(text))

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.setStyleSheet(
            f"#actionbar {{ border-top: 1px solid {theme.line}; }}"
            f"#quiet {{ color: {theme.text2}; }}"
        )
        for button in self._made:
            button.restyle(theme)

    def _press(self, button: KeyButton, checked: bool = False) -> None:
        self.done.emit(button.call)

    def _answer(self, action: Action) -> Callable[[], object]:
        def call() -> None:
            self.drop_question()
            action.call()

        return call

    def _set(
        self,
        actions: Sequence[Action],
        primary: Action | None,
        reason: str,
        answers: Sequence[Action] = (),
    ) -> None:
        left = [a for a in actions if not a.right]
        right = [
            *(a for a in actions if a.right),
            *answers,
            *([] if primary is None else [primary]),
        ]
        while len(self._made) < len(left) + len(right):
            button = KeyButton(self._theme)
            button.clicked.connect(partial(self._press, button))
            self._made.append(button)
        self.buttons = self._made[: len(left) + len(right)]
        for spare in self._made[len(self.buttons) :]:  # kept: other threads collect garbage too
            spare.hide()
        for button, action in zip(self.buttons, [*left, *right], strict=True):
            (self._left if action in left else self._right).addWidget(button)
            button.show_action(action, primary=action is primary)
            button.show()
        self._reason.setText(reason)


class ConsoleKeys(QObject):
    """A filter over all windows of the console, dialogs and menus too.

    Parameters
    ----------
    escape : callable
        Stops outputs; returns whether there were any. Where there were none, Esc closes what it
        closes elsewhere.
    """

    def __init__(self, parent: QObject, escape: Callable[[], bool]) -> None:
        super().__init__(parent)
        self._escape = escape
        self._taken = False  # an Esc that Qt has offered as a shortcut, and has yet to press
        application = QCoreApplication.instance()
        if application is not None:
            application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take Esc before anything else does, and Space and Enter on buttons."""
        if event.type() not in _PRESSES or not isinstance(event, QKeyEvent):
            return False
        if event.key() == Qt.Key.Key_Escape:
            # What it stopped as a shortcut may have stopped by the time it is pressed.
            taken = self._escape() or self._taken
            self._taken = taken and event.type() != QEvent.Type.KeyPress
            return taken
        if not isinstance(watched, QAbstractButton):
            return False
        if event.key() == Qt.Key.Key_Space:
            return True
        if event.key() in _ENTER and event.type() == QEvent.Type.KeyPress:
            if not event.isAutoRepeat():
                watched.click()
            return True
        return False


def open_in_desktop(path: Path) -> None:
    """Open a file or folder as the desktop does."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
