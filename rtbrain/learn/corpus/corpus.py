"""A corpus: its description, and its sessions of windows, memory-mapped.

::

    CORPUS/
      manifest.json       settings, sessions, what was left out and why
      sessions/0003/      of the source of that number
        t_stop.npy        float64 [n_windows], s
        good.npy          bool [n_windows, n_channels]
        shard-000.npy     [n_shard_windows, n_channels, ...], and so on
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from rtbrain.encoder import lip_positions
from rtbrain.errors import MontageError, RecordingError, one_line, plain_problem
from rtbrain.files import sha256, write_atomically
from rtbrain.recording.recording import Event, map_array
from rtbrain.types import Floats, Ints, Mask, Montage, Times

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
        found = "there is none" if isinstance(error, FileNotFoundError) else one_line(error)
        raise RecordingError(
            f"{path}: {found}: expected a folder that rtbrain corpus build made"
        ) from error
    except ValidationError as error:
        raise RecordingError(
            f"{path}: {plain_problem(error.errors()[0])}: broken or of another version, "
            "build it again"
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


@dataclass(frozen=True, slots=True, eq=False)
class CorpusSession:
    """Windows of one recording, in the order of time."""

    subject: str
    session: str
    montage: Montage
    events: tuple[Event, ...]
    t_stop: Times  # float64 [n_windows]
    good: Mask  # bool [n_windows, n_channels]
    shards: Sequence[npt.NDArray[np.floating]]

    @property
    def n_windows(self) -> int:
        """Number of windows."""
        return len(self.t_stop)

    def read(self, windows: Ints, channels: Ints) -> Floats:
        """Items of these (window, channel) pairs, float32 [n, ...]."""
        starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        of = np.searchsorted(starts, windows, side="right") - 1
        out = np.empty((len(windows), *self.shards[0].shape[2:]), np.float32)
        for number in np.unique(of):
            rows = of == number
            out[rows] = self.shards[number][windows[rows] - starts[number], channels[rows]]
        return out

    def window(self, number: int) -> Floats:
        """All channels of one window, float32 [n_channels, ...]."""
        n_channels = self.montage.n_channels
        return self.read(np.full(n_channels, number), np.arange(n_channels))


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Sessions of one form, made by one recipe, in the order of the settings."""

    folder: Path
    manifest: CorpusManifest
    sessions: tuple[CorpusSession, ...]

    @property
    def form(self) -> CorpusForm:
        """Kind of item: spectrogram, waveform, patches or embedding."""
        return self.manifest.form

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one window of one channel."""
        return self.manifest.item_shape

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values of the recipe whose front end made the windows."""
        return self.manifest.recipe

    @property
    def hop_s(self) -> float:
        """Time from one window to the next, s."""
        return self.manifest.hop_s

    @property
    def subjects(self) -> tuple[str, ...]:
        """Labels, each once, in the order of the sessions."""
        return tuple(dict.fromkeys(session.subject for session in self.sessions))

    def of(self, subjects: Sequence[str]) -> tuple[CorpusSession, ...]:
        """Sessions of these subjects; RecordingError where there is no such subject."""
        missing = [subject for subject in subjects if subject not in self.subjects]
        if missing:
            some = ", ".join(self.subjects[:8]) + (", ..." if len(self.subjects) > 8 else "")
            raise RecordingError(
                f"{self.folder.name} has no subject {', '.join(missing)}: there are {some}"
            )
        return tuple(session for session in self.sessions if session.subject in set(subjects))


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus that ``rtbrain corpus build`` or ``embed`` left; its shards are memory-mapped.

    Raises
    ------
    RecordingError
        It is no corpus, is incomplete or empty, or a file is missing or has another size or shape
        than the manifest says.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not manifest.complete:
        raise RecordingError(
            f"{folder} is incomplete: run the command that started it again, and it continues"
        )
    if not manifest.sessions:
        raise RecordingError(f"{folder} holds no session: rtbrain corpus inspect shows why")
    sessions = tuple(_session(folder, manifest, entry) for entry in manifest.sessions)
    return Corpus(folder, manifest, sessions)


def _session(folder: Path, manifest: CorpusManifest, entry: SessionEntry) -> CorpusSession:
    shards = [_array(folder, file, mapped=True) for file in entry.shards]
    t_stop, good = _array(folder, entry.t_stop), _array(folder, entry.good)
    row = (len(entry.names), *manifest.item_shape)
    fits = (
        sum(shard.shape[0] for shard in shards if shard.ndim) == entry.n_windows
        and t_stop.shape == (entry.n_windows,)
        and good.shape == (entry.n_windows, len(entry.names))
        and t_stop.dtype == np.float64
        and good.dtype == np.bool_
        and all(shard.shape[1:] == row and shard.dtype == manifest.dtype for shard in shards)
    )
    if not fits:
        raise RecordingError(
            f"{folder}: session {entry.number:04d} does not have the shapes that the manifest "
            "says: build it again"
        )
    return CorpusSession(
        entry.subject, entry.session, entry.montage, entry.recorded_events, t_stop, good, shards
    )


def _array(folder: Path, entry: FileEntry, *, mapped: bool = False) -> npt.NDArray[Any]:
    path = folder / entry.file
    if not entry.whole(folder, hashed=False):
        raise RecordingError(
            f"{path} is missing or has not the {entry.n_bytes} bytes that the manifest says: "
            "copy it again, or build the corpus again"
        )
    array = map_array(path, "raise the limit of open files (ulimit -n), or build the corpus again")
    return array if mapped else np.array(array)


def placed_positions(montage: Montage) -> tuple[Ints, Mask]:
    """Positions of the contacts that have one, and which these are."""
    placed = montage.placed
    if not placed.any():
        return lip_positions(montage), placed  # raises, and says what is missing
    names = [name for name, there in zip(montage.names, placed, strict=True) if there]
    positions = np.zeros((montage.n_channels, 3), np.int64)
    positions[placed] = lip_positions(montage.pick(names))
    return positions, placed


def where_placed(session: CorpusSession, placed: Mask) -> CorpusSession:
    """The session with contacts that have no position marked as not good."""
    return session if placed.all() else replace(session, good=session.good & placed)
