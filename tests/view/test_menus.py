"""Pictures of the window: where they are saved, and the error if they cannot be."""

from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QDialog, QLabel
from pytestqt.qtbot import QtBot

from rtbrain.errors import SettingsError
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.menus import new_screenshot_path, save_screenshot
from rtbrain.view.window import MainWindow
from tests.view.pictures import staged_window
from tests.view.playing import Playing
from tests.view.test_window import opened


@pytest.fixture
def live(qtbot: QtBot, tmp_path: Path) -> MainWindow:
    """A window that shows a signal."""
    playing = Playing(lsl_clock)
    made = opened(qtbot, playing, QSettings(str(tmp_path / "a.ini"), QSettings.Format.IniFormat))
    playing.start()
    qtbot.waitUntil(lambda: made.panels["signal"].isVisible() and made.spectra.contact == "A1")
    return made


def test_a_picture_is_a_png_of_the_widgets_pixels(qtbot: QtBot, tmp_path: Path) -> None:
    label = QLabel("rtbrain")
    qtbot.addWidget(label)
    label.resize(320, 200)
    save_screenshot(label, tmp_path / "a.png")
    picture = QImage(str(tmp_path / "a.png"))
    assert (picture.width(), picture.height()) == (320, 200)


def test_a_picture_that_cannot_be_written_is_an_error(qtbot: QtBot, tmp_path: Path) -> None:
    label = QLabel("rtbrain")
    qtbot.addWidget(label)
    with pytest.raises(SettingsError, match=r"could not write .*none/a\.png"):
        save_screenshot(label, tmp_path / "none" / "a.png")


@pytest.mark.parametrize("key", [Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_keys_press_the_button_that_has_the_focus_and_elsewhere_are_commands(
    qtbot: QtBot, live: MainWindow, key: Qt.Key
) -> None:
    power = live.panels["contacts"].choice.button(1)
    power.setFocus()
    qtbot.keyClick(power, key)
    assert power.isChecked()
    assert not live.paused
    live.setFocus()
    qtbot.keyClick(live, Qt.Key.Key_Space)
    assert live.paused


def test_keys_turn_the_menu_that_has_the_focus(qtbot: QtBot, live: MainWindow) -> None:
    page = live.panels["signal"].controls.page
    page.setFocus()
    before = page.currentIndex()
    qtbot.keyClick(page, Qt.Key.Key_Down)
    assert page.currentIndex() == before + 1
    qtbot.keyClick(page, Qt.Key.Key_Space)
    assert not live.paused
    qtbot.waitUntil(page.view().isVisible)
    page.hidePopup()


def test_the_picture_of_lost_samples_shows_how_many(tmp_path: Path, qtbot: QtBot) -> None:
    settings = QSettings(str(tmp_path / "a.ini"), QSettings.Format.IniFormat)
    made = staged_window("samples_lost", "1280", "dark", settings)
    qtbot.addWidget(made)
    (signal,) = [cell for cell in made.line.shown.cells if cell.key == "signal"]
    assert "512 lost" in f"{signal.value} {signal.note}"


def test_pictures_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    first = new_screenshot_path(str(folder))
    assert first.parent == folder
    for _ in range(3):
        path = new_screenshot_path(str(folder))
        assert not path.exists()
        path.touch()
    assert len(list(folder.iterdir())) == 3


def test_a_dialog_that_was_closed_is_gone(qtbot: QtBot, live: MainWindow) -> None:
    before = set(live.findChildren(QDialog))
    for command in ("keys", "about", "labels", "free"):
        live.menus.actions[command].trigger()
        (dialog,) = set(live.findChildren(QDialog)) - before
        dialog.reject()
        qtbot.waitUntil(lambda: set(live.findChildren(QDialog)) == before)
