"""More channels than are legible come by the page."""

import pytest
from PySide6 import QtCore

from rtbrain.view.theme import DARK, LIGHT, large
from rtbrain.view.traces.panel import TracePanel
from tests.conftest import montage_of
from tests.view.traces.test_panel import SFREQ_HZ, SettableSession, play, press, shown


@pytest.fixture
def panel(qtbot):
    return shown(qtbot, TracePanel(SettableSession(montage_of(394, SFREQ_HZ)), DARK))


@pytest.mark.parametrize("theme", [DARK, large(LIGHT)])
def test_of_many_channels_as_many_are_seen_as_are_legible_and_keys_turn_the_page(
    qtbot, panel, theme
):
    panel.restyle(theme)
    play(panel, 394, 300)
    scene = panel.canvas.scene

    def lane_px():
        return panel.canvas.plot.height() / len(scene.seen)

    n_seen = len(scene.seen)
    letter_px = panel.canvas.fontMetrics().height()
    assert 0.5 * letter_px <= lane_px() < 0.55 * letter_px
    assert scene.message.startswith(f"contacts 1-{n_seen} of 394")
    press(qtbot, panel, QtCore.Qt.Key.Key_PageDown)
    panel.draw(105.0)
    assert scene.message.startswith(f"contacts {n_seen + 1}-{2 * n_seen} of 394")
    for _ in range(10):
        press(qtbot, panel, QtCore.Qt.Key.Key_PageDown)
    assert scene.seen == range(394 - n_seen, 394)
    panel.resize(900, 900)
    panel.draw(106.0)
    assert len(scene.seen) > n_seen
    assert scene.seen.stop == 394
    assert 0.5 * letter_px <= lane_px() < 0.55 * letter_px


def test_channels_that_are_nearly_legible_all_at_once_are_one_page(qtbot):
    panel = shown(qtbot, TracePanel(SettableSession(montage_of(70, SFREQ_HZ)), DARK))
    play(panel, 70, 300)
    assert len(panel.canvas.scene.seen) == 70
    assert "of 70" not in panel.canvas.scene.message
