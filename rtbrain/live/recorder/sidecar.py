"""The side file OUT.json of a recording: written before data flow, completed at the end."""

import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pylsl

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.files import require_writable_file, write_atomically
from rtbrain.live.recorder.recorder import Recorder

_FORMAT = 1


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


class Sidecar:
    """The side file of a recording."""

    def __init__(self, recording: Path, notes: dict[str, Any]) -> None:
        self._path = sidecar_path(recording)
        self._content: dict[str, Any] = {
            "format": _FORMAT,
            "recording": recording.name,
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
            raise SettingsError(
                f"{self._path} exists already, and a recording overwrites nothing: choose "
                "recording another name"
            ) from error
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be made: {error.strerror}") from error

    def complete(self, recording: Recorder, clean_end: bool) -> None:
        """Add the streams, their counts and how it ended."""
        self._content["streams"] = [
            stream_counts(recording, number) for number in range(len(recording.entries))
        ]
        self._content["clean_end"] = clean_end
        write_atomically(self._path, self._text())

    def remove(self) -> None:
        """Delete it, where there is no recording."""
        self._path.unlink(missing_ok=True)

    def _text(self) -> str:
        return json.dumps(self._content, indent=2, ensure_ascii=False) + "\n"


def stream_counts(recording: Recorder, number: int) -> dict[str, Any]:
    """Counts of the samples of one stream of a recording."""
    entry = recording.entries[number]
    count = recording.counts[entry.stream_id]
    facts = count.facts
    duration_s = count.last_stamp - count.first_stamp
    return {
        "name": facts.name,
        "channels": facts.n_channels,
        "format": facts.value_format,
        "rate_hz": facts.sfreq_hz,
        "samples": count.n_written,
        "dropped": count.n_dropped,
        "duration_s": round(duration_s, 6) if count.n_written else 0.0,
        "clock_offsets": len(count.offsets),
        "lost_links": entry.n_lost_connections,
    }


def sidecar_path(recording: Path) -> Path:
    """Path of the side file of a recording."""
    return recording.with_suffix(".json")


def require_new_recording(out: Path) -> None:
    """Refuse a recording that could not be made or would overwrite a file."""
    if out.suffix != ".xdf":
        raise SettingsError(f"{out}: expected a recording whose name ends in .xdf")
    require_writable_file(out, "recording")
    for path in (out, sidecar_path(out)):
        if path.exists():
            raise SettingsError(
                f"{path} exists already, and a recording overwrites nothing: choose another name"
            )
