"""A corpus as it is read: sessions of windows, memory-mapped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.encoder import lip_positions
from rtbrain.errors import RecordingError
from rtbrain.learn.corpus.manifest import (
    CorpusForm,
    CorpusManifest,
    FileEntry,
    SessionEntry,
    read_manifest,
)
from rtbrain.recording.recording import Event
from rtbrain.types import Floats, Ints, Mask, Montage, Times


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
    """Sessions of one form, made by one recipe.

    Attributes
    ----------
    folder : Path
        Folder of its files.
    manifest : CorpusManifest
        Its description.
    sessions : tuple of CorpusSession
        In the order of the settings.
    """

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
        """Sessions of these subjects.

        Raises
        ------
        RecordingError
            There is no such subject.
        """
        missing = [subject for subject in subjects if subject not in self.subjects]
        if missing:
            some = ", ".join(self.subjects[:8]) + (", ..." if len(self.subjects) > 8 else "")
            raise RecordingError(
                f"{self.folder.name} has no subject {', '.join(missing)}: there are {some}"
            )
        return tuple(session for session in self.sessions if session.subject in set(subjects))


def open_corpus(folder: Path) -> Corpus:
    """Open a corpus; its shards are memory-mapped, not read.

    Parameters
    ----------
    folder : Path
        As ``rtbrain corpus build`` or ``rtbrain corpus embed`` left it.

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
        sum(len(shard) for shard in shards) == entry.n_windows
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
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None)
    except (OSError, ValueError) as error:
        hint = "raise the limit of open files (ulimit -n), or build the corpus again"
        raise RecordingError(f"{path}: {' '.join(str(error).split())}: {hint}") from error
    return array


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
