"""The plot of the probabilities has as many numbers as it has room for."""

import pytest
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QApplication

from rtbrain.view.decodes.panel import DecodePanel
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, large
from tests.view.decodes.test_panel import INFO, rows
from tests.view.stub import StubSession


@pytest.mark.parametrize("theme", [DARK, large(DARK)])
@pytest.mark.parametrize("height", [130, 260, 500])
def test_numbers_and_name_of_the_probability_have_room(qtbot, theme, height):
    panel = DecodePanel(StubSession(decode=INFO), theme)
    qtbot.addWidget(panel)
    panel.resize(1200, height)
    panel.show()
    panel.take(SessionUpdate(0.0, decodes=tuple(rows(8))))
    for _ in range(2):  # the plot has its room once it was laid out
        panel.draw(102.0)
        panel.grab()
        QApplication.processEvents()
    panel.draw(102.0)
    (lane,) = panel.lanes
    axis, room_px = lane.plot.getAxis("left"), lane.plot.vb.height()
    metrics = QFontMetricsF(axis.label.font())
    assert room_px / (len(lane.ticks) - 1) > 1.4 * metrics.height()
    assert (lane.ticks[0], lane.ticks[-1]) == (0.0, 1.0)
    assert metrics.horizontalAdvance(axis.labelText) < room_px
    assert axis.labelText == ("probability" if height == 500 else axis.labelText)
