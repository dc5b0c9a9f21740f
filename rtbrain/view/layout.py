"""Where the window's parts go: docks for the panels, and a layout that wraps like text."""

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QDockWidget, QLayout, QLayoutItem, QMainWindow, QWidget

_FIXED = QDockWidget.DockWidgetFeature.NoDockWidgetFeatures
_TOP = Qt.DockWidgetArea.TopDockWidgetArea
_RIGHT = Qt.DockWidgetArea.RightDockWidgetArea
_BOTTOM = Qt.DockWidgetArea.BottomDockWidgetArea


class FlowLayout(QLayout):
    """Widgets in lines, wrapped like words, so that none is clipped."""

    def __init__(self, parent: QWidget, gap_px: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap_px = gap_px
        self.setContentsMargins(6, 2, 6, 2)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: N802
        """Append an item."""
        self._items.append(item)

    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """Item by index; None past the end."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """Remove an item by index; None past the end."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:  # noqa: N802
        """Neither."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """True: a narrower layout has more lines."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Height at a width, px."""
        return self._place(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802
        """Place every item."""
        super().setGeometry(rect)
        self._place(rect, move=True)

    def sizeHint(self) -> QSize:  # noqa: N802
        """The minimum size."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: N802
        """Size of the widest item, on one line."""
        size = QSize()
        for item in self._shown():
            size = size.expandedTo(item.minimumSize())
        margins = self.contentsMargins()
        return size + QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _place(self, rect: QRect, move: bool) -> int:
        margins = self.contentsMargins()
        inside = rect.marginsRemoved(margins)
        x, y, line_px = inside.x(), inside.y(), 0
        for item in self._shown():
            hint = item.sizeHint()
            if x > inside.x() and x + hint.width() > inside.right() + 1:
                x, y, line_px = inside.x(), y + line_px + 1, 0
            if move:
                width = min(hint.width(), inside.width())
                item.setGeometry(QRect(QPoint(x, y), QSize(width, hint.height())))
            x += hint.width() + self._gap_px
            line_px = max(line_px, hint.height())
        return y + line_px + margins.bottom() - rect.y()


def add_docks(window: QMainWindow, panels: dict[str, QWidget]) -> dict[str, QDockWidget]:
    """Dock of each panel, by name; the banner cannot be closed or moved."""
    docks = {}
    for name, panel in panels.items():
        dock = QDockWidget(name.capitalize(), window)
        dock.setObjectName(name)  # under which Qt saves the layout
        dock.setWidget(panel)
        if name in ("banner", "health"):
            dock.setTitleBarWidget(QWidget(dock))
        if name == "banner":
            dock.setFeatures(_FIXED)
        docks[name] = dock
    # The bottom docks keep the lower right corner; the banner keeps the upper ones.
    window.setCorner(Qt.Corner.BottomRightCorner, _BOTTOM)
    place_docks(window, docks)
    return docks


def place_docks(window: QMainWindow, docks: dict[str, QDockWidget]) -> None:
    """Put every panel in its default place: health on top, decodes right, spectra and map below."""
    places = {
        "banner": _TOP,
        "health": _TOP,
        "decodes": _RIGHT,
        "spectra": _BOTTOM,
        "electrodes": _BOTTOM,
    }
    for name, area in places.items():
        window.removeDockWidget(docks[name])
        window.addDockWidget(area, docks[name])
    window.splitDockWidget(docks["banner"], docks["health"], Qt.Orientation.Vertical)
    window.splitDockWidget(docks["spectra"], docks["electrodes"], Qt.Orientation.Horizontal)
    for name in places:
        docks[name].show()
    width, height = window.width(), window.height()
    window.resizeDocks([docks["decodes"]], [round(0.3 * width)], Qt.Orientation.Horizontal)
    window.resizeDocks(
        [docks["spectra"], docks["electrodes"]],
        [round(0.64 * width), round(0.36 * width)],
        Qt.Orientation.Horizontal,
    )
    window.resizeDocks(
        [docks["spectra"], docks["electrodes"]],
        [round(0.31 * height)] * 2,
        Qt.Orientation.Vertical,
    )
