"""Pictures of the window: where they are saved, and the error if they cannot be."""

from pathlib import Path

import pytest
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from rtbrain.errors import SettingsError
from rtbrain.view.menus import new_screenshot_path, save_screenshot


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


def test_pictures_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    first = new_screenshot_path(str(folder))
    assert first.parent == folder
    for _ in range(3):
        path = new_screenshot_path(str(folder))
        assert not path.exists()
        path.touch()
    assert len(list(folder.iterdir())) == 3
