"""The action bar: the buttons of a page, one line of what happened, and questions."""

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from rtbrain.console.frame.controls import KeyButton
from rtbrain.console.page import Action
from rtbrain.view.icons import icon_pixmap
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label

_MARGIN_PX, _GAP_PX = 20, 10
_Row = tuple[list[QWidget], list[QWidget]]


def _always() -> bool:
    return True


def _width(row: Sequence[QWidget]) -> int:
    """Of widgets beside each other."""
    return sum(one.sizeHint().width() + _GAP_PX for one in row) - _GAP_PX


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
        self._message = plain_label(wordWrap=True)
        self._message_icon = QLabel()
        self._reason = plain_label()
        self._reason.setObjectName("quiet")
        self._left: list[KeyButton] = []
        self._right: list[KeyButton] = []
        self.buttons: list[KeyButton] = []
        self._made: list[KeyButton] = []
        self.field = QLineEdit()
        for part in (self._reason, self.field):
            part.setParent(self)
        self.field.returnPressed.connect(lambda: self._enter())
        self._enter: Callable[[], object] = lambda: None
        self._rows: list[QHBoxLayout] = []
        self._planned: list[_Row] = []
        self._column = QVBoxLayout()
        fill(self._column, margins=(_MARGIN_PX, 10, _MARGIN_PX, 10), spacing=_GAP_PX)
        self._line = QWidget()
        said = (self._message_icon, self._message)
        line = QHBoxLayout(self._line)
        margins = (_MARGIN_PX, 6, _MARGIN_PX, 0)
        fill(line, *said, stretched=self._message, margins=margins, spacing=8)
        fill(QVBoxLayout(self), self._line, self._column)
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
        self._arrange()
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
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Take as many rows as it needs."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """All in one row; else the reason above the buttons, and these in as many as they need."""
        rows = self._plan()
        if rows == self._planned:
            return
        self._planned = rows
        self._reason.setWordWrap(self._reason in rows[0][0])
        for layout in self._rows:
            while layout.takeAt(0) is not None:
                pass
        while len(self._rows) < len(rows):
            self._rows.append(QHBoxLayout())
            self._column.addLayout(self._rows[-1])
        for layout, (left, right) in zip(self._rows, rows, strict=False):
            fill(layout, *left, spacing=_GAP_PX)
            if self._reason not in left:
                layout.addStretch(1)
            fill(layout, *right, stretched=self._reason if self._reason in left else None)
            layout.setSpacing(_GAP_PX)

    def _plan(self) -> list[_Row]:
        """What stands in each row, at the left and at the right."""
        room, reason = self.width() - 2 * _MARGIN_PX, self._reason
        field: list[QWidget] = [] if self.field.isHidden() else [self.field]
        words: list[QWidget] = [] if reason.isHidden() else [reason]
        left: list[QWidget] = [*self._left]
        right: list[QWidget] = [*self._right]
        needed = reason.fontMetrics().horizontalAdvance(reason.text()) + 3 * _GAP_PX
        if _width([*left, *field, *right]) + needed <= room:
            return [(left, [*words, *field, *right])]
        rows: list[_Row] = [(words, field)] if words or field else []
        rows.append(([], []))
        for button in left:
            if rows[-1][0] and _width([*rows[-1][0], button]) > room:
                rows.append(([], []))
            rows[-1][0].append(button)
        if _width([*rows[-1][0], *right]) > room:
            rows.append(([], []))
        rows[-1][1].extend(right)
        return rows

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
            button.setParent(self)
            button.clicked.connect(partial(self._press, button))
            self._made.append(button)
        self.buttons = self._made[: len(left) + len(right)]
        for spare in self._made[len(self.buttons) :]:  # kept: other threads collect garbage too
            spare.hide()
        self._left, self._right = self.buttons[: len(left)], self.buttons[len(left) :]
        for button, action in zip(self.buttons, [*left, *right], strict=True):
            button.show_action(action, primary=action is primary)
            button.show()
        self._reason.setText(reason)
        self._reason.setVisible(bool(reason))
        self._arrange()
