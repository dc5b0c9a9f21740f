"""The row of menus above the traces, and the keys that do the same."""

from collections.abc import Callable

from PySide6 import QtCore, QtGui, QtWidgets

from rtbrain.view.traces.cache import PAGES_S

REFERENCES = ("none", "car", "bipolar", "laplacian")
NOTCHES_HZ = (None, 50.0, 60.0)
_MODES = ("sweep", "scroll")
_ALL_KINDS = "all"
_PAGE = 10.0


class TraceControls(QtWidgets.QWidget):
    """Menus of the page, the view's reference and notch, the scale, and a label to find."""

    changed = QtCore.Signal()
    chain_changed = QtCore.Signal()
    scaled = QtCore.Signal(int)
    fitted = QtCore.Signal()
    asked = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.page = _menu([f"{page_s:g} s" for page_s in PAGES_S], "Length of the page ([ and ])")
        self.page.setCurrentIndex(PAGES_S.index(_PAGE))
        self.mode = _menu(_MODES, "The page is overwritten, or moves (S)")
        self.reference = _menu(
            [f"ref {name}" for name in REFERENCES], "Reference, of this view only (R)"
        )
        self.notch = _menu(
            ["notch off" if hz is None else f"notch {hz:g} Hz" for hz in NOTCHES_HZ],
            "Mains filter, of this view only (N)",
        )
        self.kind = _menu([_ALL_KINDS], "Which channels' scale is changed")
        self.wanted = QtWidgets.QLineEdit()
        self.wanted.setPlaceholderText("find a label")
        self.wanted.setToolTip("Find a channel by its label (Ctrl+F, then Enter)")
        self.wanted.setMaximumWidth(140)
        finer = _button("+", "Larger traces (+)", lambda: self.scaled.emit(-1))
        coarser = _button("−", "Smaller traces (−)", lambda: self.scaled.emit(1))
        fit = _button("fit", "Scale that fits the signal (A)", self.fitted.emit)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        menus = (self.page, self.mode, self.reference, self.notch)
        for widget in (*menus, self.kind, coarser, finer, fit, self.wanted):
            row.addWidget(widget)
        row.addStretch(1)
        for menu in (self.page, self.mode):
            menu.currentIndexChanged.connect(self.changed)
        for menu in (self.reference, self.notch):
            menu.currentIndexChanged.connect(self.chain_changed)
        self.wanted.returnPressed.connect(lambda: self.asked.emit(self.wanted.text()))

    @property
    def page_s(self) -> float:
        """Length of the page, s."""
        return PAGES_S[self.page.currentIndex()]

    @property
    def scrolling(self) -> bool:
        """Whether the page moves."""
        return self.mode.currentText() == _MODES[1]

    @property
    def chain(self) -> tuple[str, float | None]:
        """Reference, and mains frequency in Hz or None, of the view."""
        return REFERENCES[self.reference.currentIndex()], NOTCHES_HZ[self.notch.currentIndex()]

    def offer_kinds(self, kinds: tuple[str, ...]) -> None:
        """Kinds of channels that there are; one alone needs no menu."""
        self.kind.clear()
        self.kind.addItems([_ALL_KINDS, *kinds])
        self.kind.setVisible(len(kinds) > 1)

    def chosen_kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Those of these kinds whose scale is to change."""
        chosen = self.kind.currentText()
        return (chosen,) if chosen in kinds else kinds

    def without_chain(self) -> None:
        """Set both menus back, without telling."""
        for menu in (self.reference, self.notch):
            blocker = QtCore.QSignalBlocker(menu)
            menu.setCurrentIndex(0)
            blocker.unblock()

    def keys(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Name, keys and effect of what can be done by key here."""
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
            ("Find a label", "Ctrl+F", self._begin_to_find),
        ]

    def _begin_to_find(self) -> None:
        self.wanted.setFocus()
        self.wanted.selectAll()


def add_key(
    widget: QtWidgets.QWidget, name: str, keys: str, effect: Callable[[], object]
) -> QtGui.QAction:
    """Action of a widget that its window's keys set off."""
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
