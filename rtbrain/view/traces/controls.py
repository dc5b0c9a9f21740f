"""The menus above the traces, and their keys."""

from collections.abc import Callable

from PySide6 import QtCore, QtGui, QtWidgets

from rtbrain.view.traces.cache import PAGES_S

REFERENCES = ("none", "car", "bipolar", "laplacian")
NOTCHES_HZ = (None, 50.0, 60.0)
_MODES = ("sweep", "scroll")
_ALL_KINDS = "all"
_PAGE = 10.0


class TraceControls(QtWidgets.QWidget):
    """Menus for page, display filters and scale, and a field to find a label."""

    changed = QtCore.Signal()
    chain_changed = QtCore.Signal()
    scaled = QtCore.Signal(int)
    fitted = QtCore.Signal()
    searched = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.page = _menu([f"{page_s:g} s" for page_s in PAGES_S], "Length of the page ([ and ])")
        self.page.setCurrentIndex(PAGES_S.index(_PAGE))
        self.mode = _menu(_MODES, "Overwrite the page, or scroll it (S)")
        self.reference = _menu(
            [f"ref {name}" for name in REFERENCES], "Reference, in this view only (R)"
        )
        self.notch = _menu(
            ["notch off" if hz is None else f"notch {hz:g} Hz" for hz in NOTCHES_HZ],
            "Mains filter, in this view only (N)",
        )
        self.kind = _menu([_ALL_KINDS], "Channels whose scale to change")
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText("find a label")
        self.search.setToolTip("Find a channel by its label (Ctrl+F, then Enter)")
        self.search.setMaximumWidth(140)
        finer = _button("+", "Larger traces (+)", lambda: self.scaled.emit(-1))
        coarser = _button("−", "Smaller traces (−)", lambda: self.scaled.emit(1))
        fit = _button("fit", "Scale that fits the signal (A)", self.fitted.emit)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        menus = (self.page, self.mode, self.reference, self.notch)
        for widget in (*menus, self.kind, coarser, finer, fit, self.search):
            row.addWidget(widget)
        row.addStretch(1)
        for menu in (self.page, self.mode):
            menu.currentIndexChanged.connect(self.changed)
        for menu in (self.reference, self.notch):
            menu.currentIndexChanged.connect(self.chain_changed)
        self.search.returnPressed.connect(lambda: self.searched.emit(self.search.text()))

    @property
    def page_s(self) -> float:
        """Length of the page, s."""
        return PAGES_S[self.page.currentIndex()]

    @property
    def scrolling(self) -> bool:
        """Whether the page scrolls."""
        return self.mode.currentText() == _MODES[1]

    @property
    def chain(self) -> tuple[str, float | None]:
        """Reference, and mains frequency in Hz or None, of the display."""
        return REFERENCES[self.reference.currentIndex()], NOTCHES_HZ[self.notch.currentIndex()]

    def offer_kinds(self, kinds: tuple[str, ...]) -> None:
        """Offer these kinds of channels; one alone needs no menu."""
        self.kind.clear()
        self.kind.addItems([_ALL_KINDS, *kinds])
        self.kind.setVisible(len(kinds) > 1)

    def chosen_kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Kinds whose scale to change, of those there are."""
        chosen = self.kind.currentText()
        return (chosen,) if chosen in kinds else kinds

    def reset_chain(self) -> None:
        """Reset reference and notch, without a signal."""
        for menu in (self.reference, self.notch):
            blocker = QtCore.QSignalBlocker(menu)
            menu.setCurrentIndex(0)
            blocker.unblock()

    def keys(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Name, shortcut and effect of each key."""
        return [
            ("Longer page", "]", lambda: _turn(self.page, 1, around=False)),
            ("Shorter page", "[", lambda: _turn(self.page, -1, around=False)),
            ("Sweep or scroll", "S", lambda: _turn(self.mode, 1, around=True)),
            ("Next reference of the view", "R", lambda: _turn(self.reference, 1, around=True)),
            ("Next notch of the view", "N", lambda: _turn(self.notch, 1, around=True)),
            ("Larger traces", "+", lambda: self.scaled.emit(-1)),
            ("Larger traces", "=", lambda: self.scaled.emit(-1)),
            ("Smaller traces", "-", lambda: self.scaled.emit(1)),
            ("Scale that fits", "A", self.fitted.emit),
            ("Find a label", "Ctrl+F", self._start_search),
        ]

    def _start_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()


def add_key(
    widget: QtWidgets.QWidget, name: str, keys: str, effect: Callable[[], object]
) -> QtGui.QAction:
    """Action of a widget, triggered by a key in its window."""
    action = QtGui.QAction(name, widget)
    action.setShortcut(QtGui.QKeySequence(keys))
    action.triggered.connect(lambda: effect())
    widget.addAction(action)
    return action


def _menu(texts: list[str] | tuple[str, ...], tip: str) -> QtWidgets.QComboBox:
    menu = QtWidgets.QComboBox()
    menu.addItems(list(texts))
    menu.setToolTip(tip)
    menu.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
    return menu


def _button(text: str, tip: str, effect: Callable[[], object]) -> QtWidgets.QToolButton:
    button = QtWidgets.QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
    button.clicked.connect(lambda: effect())
    return button


def _turn(menu: QtWidgets.QComboBox, by: int, *, around: bool) -> None:
    to = menu.currentIndex() + by
    menu.setCurrentIndex(to % menu.count() if around else min(max(to, 0), menu.count() - 1))
