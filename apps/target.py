"""Where a command writes its result: looked at before the work, written whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def refuse_target(path: Path, flag: str) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises
    ------
    SettingsError
        The folder is not there or cannot be written to, or the path is a folder.
    """
    from rtbrain.errors import SettingsError

    folder = path.parent
    if not folder.is_dir():
        raise SettingsError(f"{flag} {path}: there is no folder {folder}; make it first")
    if path.is_dir():
        raise SettingsError(f"{flag} {path} is a folder: name a file in it")
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"{flag} {path}: the folder cannot be written to")


def refuse_folder(folder: Path, flag: str) -> None:
    """Refuse a folder that is there already or could not be made, before any work is done.

    Raises
    ------
    SettingsError
        It exists, or the nearest folder above it cannot be written to.
    """
    from rtbrain.errors import SettingsError

    if folder.exists():
        raise SettingsError(f"{flag} {folder} exists already: name a new folder")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise SettingsError(f"{flag} {folder}: nothing can be written into {above}")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place, then put it there in one step."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(number, "wb") as file:
            write(file)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
