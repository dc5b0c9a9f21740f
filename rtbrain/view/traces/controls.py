"""The toolbar of the traces, with its keys."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QWidget,
)

from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label, set_tip, set_type
from rtbrain.view.traces.pages import PAGES_S

REFERENCES = ("none", "car", "bipolar", "laplacian")
NOTCHES_HZ = (None, 50.0, 60.0)
_MODES = ("sweep", "scroll")
_PAGE_S = 10.0
_HEIGHT_PX, _BUTTON_PX, _FIND_PX, _SIDE_PX, _GAP_PX = 30, 26, 96, 10, 8
_SHRUNK_PX, _WIDE_PX = 52, 840


class TraceControls(QWidget):
    """Menus for page, display filters and scale, and a field to find a contact."""

    changed = Signal()
    chain_changed = Signal()
    scaled = Signal(int)
    fitted = Signal()
    searched = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.title = plain_label(say("signal.title"))
        self.page = _menu([f"{page_s:g} s" for page_s in PAGES_S], say("signal.tip.page"))
        self.page.setCurrentIndex(PAGES_S.index(_PAGE_S))
        self.mode = _menu([say(f"signal.mode.{mode}") for mode in _MODES], say("signal.tip.mode"))
        references = [say(f"signal.reference.{name}") for name in REFERENCES]
        self.reference = _menu(references, say("signal.tip.reference"))
        off, on = say("signal.notch_off"), [f"{hz:g}" for hz in NOTCHES_HZ if hz]
        self.notch = _menu(
            [off, *(say("signal.notch", hz=hz) for hz in on)], say("signal.tip.notch")
        )
        self.kind = _menu([say("signal.all_kinds")], say("signal.tip.kind"))
        self.kind.hide()  # until there are two
        self.search = QLineEdit(placeholderText=say("signal.find"))
        set_tip(self.search, say("signal.tip.find"))
        self.scale = plain_label(alignment=Qt.AlignmentFlag.AlignCenter)
        coarser = _button("\u2212", say("signal.tip.smaller"), lambda: self.scaled.emit(1))
        finer = _button("+", say("signal.tip.larger"), lambda: self.scaled.emit(-1))
        fit = _button(say("signal.fit"), say("signal.tip.fit"), self.fitted.emit)
        self._narrow = (coarser, finer)
        # What is left out, the last first; for those of the first row menus are elided before.
        self._kept = ((self.mode,), self._narrow)
        self._droppable = ((self.search,), (fit,), (self.title,))
        self.note, self.is_narrow, self._wide_px = plain_label(), False, _WIDE_PX
        self.setMinimumWidth(1)  # else all its parts would be, and so would hold the panel open
        row = QHBoxLayout(self)
        menus = (self.page, self.mode, self.reference, self.notch, self.kind)
        scale = (coarser, self.scale, finer, fit, self.search)
        fill(row, self.title, *menus, *scale, margins=(_SIDE_PX, 0, _SIDE_PX, 0), spacing=_GAP_PX)
        row.addStretch(1)
        row.addWidget(self.note)
        for menu in (self.page, self.mode):
            menu.currentIndexChanged.connect(self.changed)
        for menu in (self.reference, self.notch):
            menu.currentIndexChanged.connect(self.chain_changed)
        self.search.returnPressed.connect(lambda: self.searched.emit(self.search.text()))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Leave out what has no room; each has a key."""
        super().resizeEvent(event)
        self._drop()

    def describe(self, note: str, scale: str) -> None:
        """Say which contacts are shown, and at which scale."""
        if (note, scale) != (self.note.text(), self.scale.text()):
            self.note.setText(note)
            self.scale.setText(scale)
            self._drop()

    def _drop(self) -> None:
        room = self.width() - 2 * _SIDE_PX
        self.is_narrow = room < self._wide_px
        always = [self.page, self.scale, self.note]
        always += [self.kind] if self.kind.count() > 2 else []
        room -= sum(map(_wide, always))
        shrinking = (self.reference, self.notch)
        spare = sum(_wide(menu) - menu.minimumWidth() - _GAP_PX for menu in shrinking)
        room -= sum(map(_wide, shrinking))
        for parts in (*self._kept, *self._droppable):
            needed = sum(map(_wide, parts))
            fits = needed <= room + (spare if parts in self._kept else 0)
            for part in parts:
                part.setVisible(fits)
            room -= needed if fits else 0

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.setFixedHeight(theme.px(_HEIGHT_PX))
        self.setStyleSheet(
            f"QWidget {{ background: transparent; font-size: {theme.px(12)}px; }}"
            f"QComboBox, QLineEdit, QPushButton {{ background: {theme.bg0}; min-height: 0px;"
            f"height: {theme.px(20)}px; padding: 0px {theme.px(6)}px; }}"
            f"QComboBox QAbstractItemView {{ background: {theme.bg0}; }}"
        )
        set_type(self.title, theme, 12.5, 600)
        set_type(self.scale, theme, 12, 600)
        set_type(self.note, theme, 12, ink=theme.text2)
        for button in self._narrow:
            button.setFixedWidth(theme.px(_BUTTON_PX))
        self.search.setFixedWidth(theme.px(_FIND_PX))
        self.reference.setMinimumWidth(theme.px(_SHRUNK_PX))
        self.notch.setMinimumWidth(theme.px(_SHRUNK_PX))
        self._wide_px = theme.px(_WIDE_PX)
        self._drop()

    @property
    def page_s(self) -> float:
        """Length of the page, s."""
        return PAGES_S[self.page.currentIndex()]

    @property
    def scrolling(self) -> bool:
        """Whether the page scrolls."""
        return self.mode.currentIndex() == 1

    @property
    def chain(self) -> tuple[str, float | None]:
        """Reference, and mains frequency in Hz or None, of the display."""
        return REFERENCES[self.reference.currentIndex()], NOTCHES_HZ[self.notch.currentIndex()]

    def offer_kinds(self, kinds: tuple[str, ...]) -> None:
        """Offer these kinds of channels; one alone needs no menu."""
        self.kind.clear()
        self.kind.addItems([say("signal.all_kinds"), *kinds])
        self.kind.setVisible(len(kinds) > 1)
        self._drop()

    def chosen_kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Kinds whose scale to change, of those there are."""
        chosen = self.kind.currentText()
        return (chosen,) if chosen in kinds else kinds

    def reset_chain(self) -> None:
        """Reset reference and notch, without a signal."""
        for menu in (self.reference, self.notch):
            with QSignalBlocker(menu):
                menu.setCurrentIndex(0)

    def keys(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Name, shortcut and effect of each key."""
        return [
            (say("signal.key.longer"), "]", lambda: _turn(self.page, 1, around=False)),
            (say("signal.key.shorter"), "[", lambda: _turn(self.page, -1, around=False)),
            (say("signal.key.mode"), "S", lambda: _turn(self.mode, 1, around=True)),
            (say("signal.key.reference"), "R", lambda: _turn(self.reference, 1, around=True)),
            (say("signal.key.notch"), "N", lambda: _turn(self.notch, 1, around=True)),
            (say("signal.key.larger"), "+", lambda: self.scaled.emit(-1)),
            (say("signal.key.larger"), "=", lambda: self.scaled.emit(-1)),
            (say("signal.key.smaller"), "-", lambda: self.scaled.emit(1)),
            (say("signal.key.fit"), "A", self.fitted.emit),
            (say("signal.key.find"), "Ctrl+F", self._start_search),
        ]

    def _start_search(self) -> None:
        self.search.show()
        self.search.setFocus()
        self.search.selectAll()


class _Menu(QComboBox):
    """A menu whose text is elided in its middle where it has no room; Qt's own cuts letters."""

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        with QPainter(self) as painter:
            style.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option, painter, self)
            box = style.subControlRect(
                QStyle.ComplexControl.CC_ComboBox,
                option,
                QStyle.SubControl.SC_ComboBoxEditField,
                self,
            )
            option.currentText = self.fontMetrics().elidedText(
                option.currentText, Qt.TextElideMode.ElideMiddle, box.width()
            )
            style.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option, painter, self)


def _menu(texts: Sequence[str], tip: str) -> QComboBox:
    menu = _Menu()
    menu.addItems(texts)
    set_tip(menu, tip)
    menu.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return menu


def _button(text: str, tip: str, effect: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    set_tip(button, tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.clicked.connect(lambda: effect())
    return button


def _wide(part: QWidget) -> int:
    """Width that a part takes, with the gap behind it, px."""
    return max(part.sizeHint().width(), part.minimumWidth()) + _GAP_PX


def _turn(menu: QComboBox, by: int, *, around: bool) -> None:
    to = menu.currentIndex() + by
    menu.setCurrentIndex(to % menu.count() if around else min(max(to, 0), menu.count() - 1))
