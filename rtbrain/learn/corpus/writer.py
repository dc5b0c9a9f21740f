"""A corpus as it is written: session by session, so that an interrupted build can continue."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.files import claim_output
from rtbrain.learn.corpus.corpus import (
    MANIFEST,
    CorpusManifest,
    LeftOut,
    SessionEntry,
    file_entry,
    read_manifest,
    write_manifest,
)
from rtbrain.recording.recording import Event
from rtbrain.types import Floats, Mask, Montage

# A rank of a large training reads whole shards; a small machine maps a few at a time.
_MAX_SHARD_BYTES = 256 * 2**20
_SHARD = "shard-{:03d}.npy"
_FLOAT16_MAX = float(np.finfo(np.float16).max)
EntryT = TypeVar("EntryT", SessionEntry, LeftOut)


class _Shard:
    """An .npy file that grows by rows; its header is rewritten when their number is known."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype[np.floating]):
        self.n_rows = 0
        self._row_shape, self._dtype = row_shape, dtype
        self._file: BinaryIO = path.open("wb")
        self._header()

    def _header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self.n_rows, *self._row_shape),
            },
        )

    def append(self, row: npt.NDArray[np.floating]) -> None:
        self._file.write(np.ascontiguousarray(row).data)
        self.n_rows += 1

    def close(self) -> None:
        if not self._file.closed:
            self._file.seek(0)  # numpy's header has room for the longest count
            self._header()
            self._file.close()


class SessionWriter:
    """Windows of one session, appended to shards; deleted if an exception leaves the block."""

    def __init__(self, folder: Path, number: int, dtype: str) -> None:
        self._corpus = folder
        self._number = number
        self._part = folder / "sessions" / f"{number:04d}.part"
        self._folder = folder / "sessions" / f"{number:04d}"
        self._dtype: np.dtype[np.floating] = np.dtype(dtype)
        self._shards: list[_Shard] = []
        self._good: list[Mask] = []
        self._t_stop: list[float] = []
        self.item_shape: tuple[int, ...] = ()  # of a window of a channel; empty before the first

    def __enter__(self) -> "SessionWriter":
        self._part.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        for shard in self._shards:
            shard.close()
        shutil.rmtree(self._part, ignore_errors=True)

    @property
    def n_windows(self) -> int:
        """Windows so far."""
        return len(self._t_stop)

    @property
    def good(self) -> Mask:
        """Good channels, bool [n_windows, n_channels]."""
        return np.array(self._good, bool)

    def add(self, items: Floats, good: Mask, t_stop: float) -> None:
        """Append a window."""
        self._refuse(items, good, t_stop)
        self.item_shape = items.shape[1:]
        n_bytes = items.size * self._dtype.itemsize
        most = max(1, _MAX_SHARD_BYTES // n_bytes)
        if not self._shards or self._shards[-1].n_rows >= most:
            if self._shards:
                self._shards[-1].close()
            path = self._part / _SHARD.format(len(self._shards))
            self._shards.append(_Shard(path, items.shape, self._dtype))
        # Items that are not good may hold anything, even values too large for float16.
        with np.errstate(over="ignore", invalid="ignore"):
            self._shards[-1].append(items.astype(self._dtype))
        self._good.append(good.copy())
        self._t_stop.append(t_stop)

    def _refuse(self, items: Floats, good: Mask, t_stop: float) -> None:
        valid = items[good]
        if not np.isfinite(valid).all():
            raise RecordingError(f"a value that should be good is not finite at {t_stop:.3f} s")
        if self._dtype != np.float16 or not valid.size:
            return
        highest = float(np.abs(valid).max())
        if highest > _FLOAT16_MAX:
            raise RecordingError(
                f"a value of {highest:g} at {t_stop:.3f} s, float16 ends at {_FLOAT16_MAX:g}: "
                "set dtype to float32, or the source's scale where its unit is wrong"
            )

    def finish(
        self,
        *,
        source: str,
        subject: str,
        session: str,
        montage: Montage,
        events: Sequence[Event] = (),
        notes: Sequence[str] = (),
    ) -> SessionEntry:
        """Move the session to its place, complete."""
        good = self.good.reshape(self.n_windows, montage.n_channels)
        for shard in self._shards:
            shard.close()
        np.save(self._part / "t_stop.npy", np.array(self._t_stop, np.float64))
        np.save(self._part / "good.npy", good)
        os.replace(self._part, self._folder)
        # By count: sorted by name, shard 1000 would come before shard 101.
        shards = [self._folder / _SHARD.format(k) for k in range(len(self._shards))]
        return SessionEntry(
            number=self._number,
            source=source,
            subject=subject,
            session=session,
            sfreq_hz=montage.sfreq_hz,
            names=montage.names,
            kinds=montage.kinds,
            space=montage.space,
            positions=_positions(montage),
            events=tuple((e.onset_s, e.duration_s, e.text) for e in events),
            notes=tuple(notes),
            n_windows=self.n_windows,
            n_items=int(good.sum()),
            t_stop=file_entry(self._corpus, self._folder / "t_stop.npy"),
            good=file_entry(self._corpus, self._folder / "good.npy"),
            shards=tuple(file_entry(self._corpus, path) for path in shards),
        )


def _positions(montage: Montage) -> tuple[tuple[float, float, float] | None, ...] | None:
    if montage.positions is None:
        return None
    return tuple(
        (float(row[0]), float(row[1]), float(row[2])) if np.isfinite(row).all() else None
        for row in montage.positions
    )


class CorpusWriter:
    """A corpus in the making: starts one in a new folder, or continues an interrupted build.

    `header` is the manifest without sessions; `manifest` is always as on disk.
    """

    def __init__(self, folder: Path, header: CorpusManifest) -> None:
        claim_output(folder, "--out")
        self.folder = folder
        self.manifest = header
        if (folder / MANIFEST).exists():
            self.manifest = self._continued(header)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingsError(
                f"--out {folder} holds something other than a corpus: name another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, self.manifest)
        self._clean()

    def _continued(self, header: CorpusManifest) -> CorpusManifest:
        found = read_manifest(self.folder)
        if found.complete:
            raise SettingsError(
                f"--out {self.folder} is complete already: see rtbrain corpus inspect, "
                "or name another folder"
            )
        if not found.sessions:
            return header  # nothing is lost by starting again, even with other settings
        if found.settings_sha256 != header.settings_sha256:
            raise SettingsError(
                f"--out {self.folder} was started with other settings: use those to continue, or "
                "name another folder"
            )
        whole = [
            session
            for session in found.sessions
            if all(entry.whole(self.folder, hashed=True) for entry in session.files)
        ]
        broken = {session.number for session in found.sessions} - {s.number for s in whole}
        left_out = tuple(entry for entry in found.left_out if entry.number not in broken)
        return found.model_copy(update={"sessions": tuple(whole), "left_out": left_out})

    def _clean(self) -> None:
        """Remove the unfinished sessions of an interrupted build."""
        kept = {f"{session.number:04d}" for session in self.manifest.sessions}
        for path in (self.folder / "sessions").glob("*"):
            if path.name not in kept:
                shutil.rmtree(path)

    def session(self, number: int) -> SessionWriter:
        """Writer of the session of a source."""
        return SessionWriter(self.folder, number, self.manifest.dtype)

    def commit(self, entry: SessionEntry | None, left_out: Sequence[LeftOut]) -> None:
        """Record a source as finished."""
        update: dict[str, object] = {"left_out": _in_order((*self.manifest.left_out, *left_out))}
        if entry is not None:
            update["sessions"] = _in_order((*self.manifest.sessions, entry))
        self.manifest = self.manifest.model_copy(update=update)
        write_manifest(self.folder, self.manifest)

    def expect_shape(self, item_shape: tuple[int, ...]) -> None:
        """Record the shape of an item, and refuse another shape in later sessions."""
        if self.manifest.item_shape not in ((), item_shape):
            raise RecordingError(
                f"its items have shape {list(item_shape)}, those of other sessions "
                f"{list(self.manifest.item_shape)}: resample all sources to one rate"
            )
        self.manifest = self.manifest.model_copy(update={"item_shape": item_shape})

    def finish(self) -> None:
        """Record the corpus as complete."""
        self.manifest = self.manifest.model_copy(update={"complete": True, "settings_sha256": ""})
        write_manifest(self.folder, self.manifest)


def _in_order(entries: tuple[EntryT, ...]) -> tuple[EntryT, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.number))
