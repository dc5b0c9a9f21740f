"""Where a recording goes: looked at before anything is made."""

from pathlib import Path

from .target import refuse_target


def side_path(recording: Path) -> Path:
    """Where the side file of a recording is."""
    return recording.with_suffix(".json")


def refuse_recording(out: Path) -> None:
    """Refuse a recording that could not be made or would overwrite a file.

    Raises
    ------
    SettingsError
        Its name does not end in .xdf, it or its side file exists, or its folder cannot be
        written to.
    """
    from rtbrain.errors import SettingsError

    if out.suffix != ".xdf":
        raise SettingsError(f"{out}: expected a recording whose name ends in .xdf")
    refuse_target(out, "recording")
    for path in (out, side_path(out)):
        if path.exists():
            raise SettingsError(
                f"{path} exists already, and a recording overwrites nothing: give another name"
            )
