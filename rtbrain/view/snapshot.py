"""Pictures of the window: by key, and without a screen."""

from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QStandardPaths
from PySide6.QtWidgets import QWidget

from rtbrain.errors import SettingsError

__all__ = ["new_picture_path", "save_picture"]


def save_picture(widget: QWidget, path: Path) -> None:
    """Save what a widget shows as a PNG.

    Raises
    ------
    SettingsError
        The file cannot be written.
    """
    if not widget.grab().save(str(path), "PNG"):
        raise SettingsError(
            f"expected to write a picture, could not write {path}: is the folder there, writable "
            "and the disk not full?"
        )


def new_picture_path(folder: str) -> Path:
    """Path for a picture of now, in a folder or, where that is empty, among the user's pictures.

    Two pictures of one second are told apart by a number.
    """
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    home = Path(folder or pictures or Path.home())
    home.mkdir(parents=True, exist_ok=True)
    stem = f"rtbrain-view-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = home / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = home / f"{stem}-{number}.png"
    return path
