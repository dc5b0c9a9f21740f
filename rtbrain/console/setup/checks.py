"""The checks, the most urgent first: what was found, what follows, and the one button each."""

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from rtbrain.check.doctor.checks import Check, Fix
from rtbrain.console.setup.panel import Panel, embolden, styled
from rtbrain.view.icons import icon_pixmap
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

_ICON_PX = 18
_WIDTH_PX, _LEAST_PX, _NARROW_PX = 456, 300, 360
_SHOWN = ("fine", "look", "fix")


class CheckList(Panel):
    """All checks; `mend` passes on the fix whose button was pressed."""

    mend = Signal(object)
    least_px = 200

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, say("setup.checks"))
        self._counts = {state: (QLabel(), styled("", "quiet")) for state in _SHOWN}
        for icon, count in reversed(self._counts.values()):
            self.head.insertWidget(1, count)
            self.head.insertWidget(1, icon)
        self.note.show_text(say("setup.all_the_time"))
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.rows: list[_Row] = []
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        fill(self._column)
        self._column.addStretch(1)
        self.add_scrolled(inner)
        self.setMinimumWidth(_LEAST_PX)

    def sizeHint(self) -> QSize:  # noqa: N802
        """As wide as a finding in one line; narrower where the window is."""
        return QSize(_WIDTH_PX, super().sizeHint().height())

    def show_checks(self, checks: Sequence[Check]) -> None:
        """Show checks in this order."""
        while len(self.rows) < len(checks):
            row = _Row(self.theme)
            row.button.clicked.connect(lambda _=False, row=row: self.mend.emit(row.fix))
            self._column.insertWidget(len(self.rows), row)
            embolden(row, self.theme)
            self.rows.append(row)
        for row, check in zip(self.rows, checks, strict=False):
            row.show_check(check)
        for row in self.rows[len(checks) :]:
            row.hide()
        for state, (icon, count) in self._counts.items():
            icon.setPixmap(icon_pixmap(state, 14, self.theme, self.devicePixelRatioF()))
            count.setText(str(sum(check.state == state for check in checks)))

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        self.setMaximumWidth(theme.px(_WIDTH_PX))
        for row in self.rows:
            row.restyle(theme)


class _Row(QFrame):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("row")
        self._theme = theme
        self._check: Check | None = None
        self._at: tuple[int, int] | None = None
        self._icon, self._name = QLabel(), styled("", "strong")
        self._finding, self._advice = styled("", "words"), styled("", "small")
        self.button = QPushButton()
        self._finding.setWordWrap(True)
        self._advice.setWordWrap(True)
        first, words = QHBoxLayout(), QVBoxLayout()
        fill(first, self._name, self._finding, stretched=self._finding, spacing=5)
        fill(words, first, self._advice, spacing=1)
        words.insertStretch(0, 1)  # so that a finding is in line with its name
        words.addStretch(1)
        self._row = QGridLayout(self)
        self._row.addWidget(self._icon, 0, 0)
        self._row.addLayout(words, 0, 1)
        self._row.setColumnStretch(1, 1)
        self._row.setHorizontalSpacing(10)
        self._row.setVerticalSpacing(4)
        self._place_button()
        first.setAlignment(self._name, Qt.AlignmentFlag.AlignTop)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._place_button()

    def _place_button(self) -> None:
        """Beside the words, or below them where these would have too little room."""
        at = (1, 1) if self.width() < self._theme.px(_NARROW_PX) else (0, 2)
        if at != self._at:
            self._at = at
            start = Qt.AlignmentFlag.AlignLeft
            self._row.addWidget(self.button, *at, *((start,) if at[0] else ()))

    @property
    def fix(self) -> Fix | None:
        """What its button does."""
        return None if self._check is None else self._check.fix

    def restyle(self, theme: Theme) -> None:
        self._theme = theme
        check, self._check = self._check, None
        if check is not None:
            self.show_check(check)

    def show_check(self, check: Check) -> None:
        self.show()
        if check == self._check:
            return
        self._check = check
        urgent = check.state in ("fix", "look")
        self._row.setContentsMargins(12, *((8, 11, 8) if urgent else (4, 11, 4)))
        pixmap = icon_pixmap(check.state, _ICON_PX, self._theme, self.devicePixelRatioF())
        self._icon.setPixmap(pixmap)
        self._name.setText(check.name)
        self._finding.setText(check.finding)
        self._advice.setText(check.advice)
        self._advice.setVisible(urgent and bool(check.advice))
        self.button.setText("" if check.fix is None else check.fix.text)
        self.button.setVisible(check.fix is not None)
        self.setAccessibleName(
            f"{check.name}: {say(f'setup.state.{check.state}')}, {check.finding}"
        )
