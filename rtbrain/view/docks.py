"""Where the window's panels are at first."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = ["add_docks", "place_docks"]

_FIXED = QDockWidget.DockWidgetFeature.NoDockWidgetFeatures
_TOP = Qt.DockWidgetArea.TopDockWidgetArea
_RIGHT = Qt.DockWidgetArea.RightDockWidgetArea
_BOTTOM = Qt.DockWidgetArea.BottomDockWidgetArea


def add_docks(window: QMainWindow, panels: dict[str, QWidget]) -> dict[str, QDockWidget]:
    """Dock for each panel, by name; the banner cannot be closed or moved.

    Parameters
    ----------
    panels : dict of str to QWidget
        ``banner``, ``health``, ``decodes``, ``spectra``, ``electrodes``.
    """
    docks = {}
    for name, panel in panels.items():
        dock = QDockWidget(name.capitalize(), window)
        dock.setObjectName(name)  # by which the layout is remembered
        dock.setWidget(panel)
        if name in ("banner", "health"):
            dock.setTitleBarWidget(QWidget(dock))
        if name == "banner":
            dock.setFeatures(_FIXED)
        docks[name] = dock
    # The lower corner on the right belongs to the decodes, the upper ones to the banner.
    window.setCorner(Qt.Corner.BottomRightCorner, _BOTTOM)
    place_docks(window, docks)
    return docks


def place_docks(window: QMainWindow, docks: dict[str, QDockWidget]) -> None:
    """Every panel in its first place: faults above, decodes right, spectra and map below."""
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
