"""The files of a recording: side files, notes, and parts where it is split."""

import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pylsl

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.files import EXISTS, require_writable_file, write_atomically
from rtbrain.recording.xdf.writer import XdfWriter, open_xdf

_SIDE_FORMAT = 1
_SECONDS_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}
MIN_SPLIT_S = 1.0


class Sidecar:
    """The side file of a recording."""

    def __init__(self, recording: Path, notes: dict[str, Any], part: int | None = None) -> None:
        self._path = recording.with_suffix(".json")
        self._content: dict[str, Any] = {
            "format": _SIDE_FORMAT,
            "recording": recording.name,
            **({} if part is None else {"part": part}),
            "rtbrain": rtbrain.__version__,
            "python": platform.python_version(),
            "pylsl": pylsl.__version__,
            "liblsl": pylsl.library_version() / 100,
            "notes": notes,
            "streams": [],
            "clean_end": False,
        }
        try:
            with self._path.open("x", encoding="utf-8") as file:
                file.write(self._text())
        except FileExistsError as error:
            raise SettingsError(f"{self._path} {EXISTS}: choose another name") from error
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be made: {error.strerror}") from error

    def complete(self, streams: list[dict[str, Any]], clean_end: bool) -> None:
        """Add the counts of the streams and how it ended."""
        self._content |= {"streams": streams, "clean_end": clean_end}
        write_atomically(self._path, self._text())

    def _text(self) -> str:
        return json.dumps(self._content, indent=2, ensure_ascii=False) + "\n"


def parse_notes(notes: Sequence[str]) -> dict[str, Any]:
    """Notes KEY=VALUE; a value that is JSON is taken as such."""
    parsed: dict[str, Any] = {}
    for note in notes:
        key, equals, text = note.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--note {note!r}: expected KEY=VALUE")
        if key in parsed:
            raise SettingsError(f"--note: {key!r} is repeated")
        try:
            parsed[key] = json.loads(text)
        except json.JSONDecodeError:
            parsed[key] = text
        # Settings hold names of streams, which may have any sign in them.
        if isinstance(parsed[key], str) and re.search(r"[/\\]", parsed[key]):
            raise SettingsError(
                f"--note {key}: {text!r} looks like a path, and recordings are shared: "
                "use a plain word"
            )
    return parsed


class RecordingFiles:
    """The files of a recording: OUT.xdf, or OUT_001.xdf and so on where it is split.

    Raises a SettingsError where the first cannot be made, or would overwrite a file.
    """

    def __init__(self, out: Path, notes: dict[str, Any], *, split: bool) -> None:
        require_new_recording(out, split=split, other="choose another name, or pass --free-name")
        self._out, self._notes, self._split = out, notes, split
        self._n_parts = 0
        self.path = out
        self.side: Sidecar

    def open_next(self) -> XdfWriter:
        """Make the next file, and the side file beside it; a SettingsError where that fails."""
        part = self._n_parts + 1
        # Of names that somebody took since the start, the next free one is used.
        while self._n_parts and part_of(self._out, part).exists():
            part += 1
        path = part_of(self._out, part) if self._split else self._out
        writer = open_xdf(path)
        try:
            side = Sidecar(path, self._notes, part if self._split else None)
        except SettingsError:
            writer.close()
            path.unlink()
            raise
        self._n_parts, self.path, self.side = part, path, side
        return writer


def part_of(out: Path, part: int) -> Path:
    """Path of a part of a recording that is split, from 1."""
    return out.with_stem(f"{out.stem}_{part:03d}")


def parse_duration(text: str, flag: str) -> float:
    """Seconds of a duration such as ``90s``, ``60min`` or ``2h``."""
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|h)\s*", text)
    seconds = float(found[1]) * _SECONDS_PER[found[2]] if found else 0.0
    if seconds < MIN_SPLIT_S:
        raise SettingsError(
            f"{flag} {text!r}: expected a duration of {MIN_SPLIT_S:g} s or more, such as 60min, "
            "90s or 2h"
        )
    return seconds


def require_new_recording(
    out: Path, *, split: bool = False, other: str = "choose another name"
) -> None:
    """Refuse a recording that could not be made or would overwrite a file."""
    if out.suffix != ".xdf":
        raise SettingsError(f"{out}: expected a recording whose name ends in .xdf")
    require_writable_file(out, "recording")
    files = [out, out.with_suffix(".json")]
    if split:
        parts = re.compile(re.escape(out.stem) + r"_\d{3,}\.(xdf|json)")
        files = sorted(path for path in out.parent.iterdir() if parts.fullmatch(path.name))
    for path in files:
        if path.exists():
            raise SettingsError(f"{path} {EXISTS}: {other}")
