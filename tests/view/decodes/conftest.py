"""The plot and the panel Now of a decoder, drawn."""

import pytest
from PySide6.QtGui import QImage

from rtbrain.view.decodes.now import NowPanel
from rtbrain.view.decodes.plot import DecodePlot
from rtbrain.view.theme import DARK

SIZES = {"1280": (952, 304, 192), "1920": (1468, 420, 264), "low": (952, 304, 152)}


@pytest.fixture
def shown(qtbot):
    """Both widgets of a decoder at a time, drawn and painted."""

    def make(decoding, at=100.2, theme=DARK, size="1280", movable=False):
        left, right, height = (round(side * theme.scale) for side in SIZES[size])
        plot, panel = DecodePlot(decoding, theme, movable=movable), NowPanel(decoding, theme)
        for widget, width in ((plot, left), (panel, right)):
            qtbot.addWidget(widget)
            widget.resize(width, height)
            widget.draw(at)
        return plot, panel

    return make


def image(widget) -> QImage:
    return widget.grab().toImage()


def colours(picture, x, y, radius=5):
    around = range(-radius, radius + 1)
    return {
        picture.pixelColor(round(x) + dx, round(y) + dy).name() for dx in around for dy in around
    }
