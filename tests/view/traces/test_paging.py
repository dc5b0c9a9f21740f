"""More channels than can be read at once come by the page."""

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
def test_of_many_channels_as_many_are_seen_as_have_a_label_and_keys_turn_the_page(
    qtbot, panel, theme
):
    panel.restyle(theme)
    play(panel, 394, 300)
    scene, note = panel.canvas.scene, panel.controls.note
    row_px = 11.5 * theme.scale

    def lane_px():
        return panel.canvas.plot.height() / len(scene.seen)

    n_seen = len(scene.seen)
    assert row_px <= lane_px() < 1.1 * row_px
    assert note.text() in f"contacts 1 to {n_seen} of 394"
    press(qtbot, panel, QtCore.Qt.Key.Key_PageDown)
    panel.draw(105.0)
    assert note.text() in f"contacts {n_seen + 1} to {2 * n_seen} of 394"
    for _ in range(20):
        press(qtbot, panel, QtCore.Qt.Key.Key_PageDown)
    assert scene.seen == range(394 - n_seen, 394)
    panel.resize(900, 900)
    panel.draw(106.0)
    assert len(scene.seen) > n_seen
    assert scene.seen.stop == 394
    assert row_px <= lane_px() < 1.1 * row_px


@pytest.mark.parametrize(("size", "n_contacts"), [((952, 494), 32), ((1474, 680), 50)])
def test_at_the_usual_sizes_the_usual_contacts_are_one_page(qtbot, size, n_contacts):
    # The signal row of a window of 1280 x 800 and of 1920 x 1080.
    panel = shown(qtbot, TracePanel(SettableSession(montage_of(n_contacts, SFREQ_HZ)), DARK))
    panel.resize(*size)
    play(panel, n_contacts, 300)
    assert len(panel.canvas.scene.seen) == n_contacts
