"""The description of a corpus, ``manifest.json``, read before anything else of it.

::

    CORPUS/
      manifest.json       settings, sessions, what was left out and why
      sessions/0003/      of the source of that number
        t_stop.npy        float64 [n_windows], s
        good.npy          bool [n_windows, n_channels]
        shard-000.npy     [n_shard_windows, n_channels, ...], and so on
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from rtbrain.errors import MontageError, RecordingError
from rtbrain.files import sha256, write_atomically
from rtbrain.recording.recording import Event
from rtbrain.types import Montage

MANIFEST = "manifest.json"
CorpusForm = Literal["spectrogram", "waveform", "patches", "embedding"]
CorpusDtype = Literal["float16", "float32"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Entry):
    """A file, its path relative to the corpus."""

    file: str
    n_bytes: int
    sha256: str

    def whole(self, folder: Path, *, hashed: bool) -> bool:
        """Whether the file is there with this size and, if `hashed`, this hash."""
        path = folder / self.file
        if not path.is_file() or path.stat().st_size != self.n_bytes:
            return False
        return not hashed or file_entry(folder, path) == self


class LeftOut(_Entry):
    """A part of a source that is not in the corpus, and why."""

    number: int
    source: str
    what: str
    why: str


class SessionEntry(_Entry):
    """A session of the corpus and its files."""

    number: int
    source: str
    subject: str
    session: str
    sfreq_hz: float
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    space: str | None
    positions: tuple[tuple[float, float, float] | None, ...] | None
    events: tuple[tuple[float, float, str], ...]
    notes: tuple[str, ...]
    n_windows: int
    n_items: int
    t_stop: FileEntry
    good: FileEntry
    shards: tuple[FileEntry, ...]

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All of them."""
        return (self.t_stop, self.good, *self.shards)

    @property
    def montage(self) -> Montage:
        """Channels behind the signal chain."""
        positions = None
        if self.positions is not None:
            rows = [(np.nan,) * 3 if row is None else row for row in self.positions]
            positions = np.array(rows, np.float32).reshape(len(rows), 3)
        return Montage(self.names, self.kinds, self.sfreq_hz, positions, self.space)

    @property
    def recorded_events(self) -> tuple[Event, ...]:
        """Events, s since the recording's first sample."""
        return tuple(Event(*event) for event in self.events)


class CorpusManifest(_Entry):
    """All of a corpus."""

    format_version: Literal[1] = 1
    complete: bool = False
    form: CorpusForm
    dtype: CorpusDtype
    item_shape: tuple[int, ...] = ()
    hop_s: float
    recipe: dict[str, Any]
    settings: dict[str, Any]
    settings_sha256: str = ""
    sessions: tuple[SessionEntry, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the sources that are finished."""
        sessions = {session.number for session in self.sessions}
        return frozenset(sessions | {left_out.number for left_out in self.left_out})


def file_entry(folder: Path, path: Path) -> FileEntry:
    """Size and hash of a file of a corpus."""
    return FileEntry(
        file=path.relative_to(folder).as_posix(), n_bytes=path.stat().st_size, sha256=sha256(path)
    )


def hash_settings(values: dict[str, Any]) -> str:
    """Hash of plain values, whatever the order of their keys."""
    return sha256(json.dumps(values, sort_keys=True))


def read_manifest(folder: Path) -> CorpusManifest:
    """Manifest of a folder."""
    path = folder / MANIFEST
    try:
        manifest = CorpusManifest.model_validate_json(path.read_bytes())
        for session in manifest.sessions:
            _ = session.montage
    except OSError as error:
        raise RecordingError(
            f"{path}: {error.strerror}: expected a folder that rtbrain corpus build made"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordingError(
            f"{path}: {key or 'file'}: {first['msg']}: broken or of another version, build it again"
        ) from error
    except MontageError as error:
        raise RecordingError(f"{path}: {error}: build it again") from error
    for entry in (entry for session in manifest.sessions for entry in session.files):
        parts = Path(entry.file).parts
        if Path(entry.file).is_absolute() or ".." in parts:
            raise RecordingError(f"{path}: {entry.file} is outside of the corpus: not read")
    return manifest


def write_manifest(folder: Path, manifest: CorpusManifest) -> None:
    """Write the manifest, whole or not at all."""
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
