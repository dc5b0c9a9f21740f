"""A session of a corpus as it is written: windows appended to bounded .npy files."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.offline.corpus.manifest import SessionEntry, file_entry
from rtbrain.stream.recording import Event
from rtbrain.types import Floats, Mask, Montage

__all__ = ["SessionWriter"]

# A rank of a large training reads whole shards; a small machine maps a few at a time.
_MOST_SHARD_BYTES = 256 * 2**20
_SHARD = "shard-{:03d}.npy"
_FLOAT16_MAX = float(np.finfo(np.float16).max)


class _Shard:
    """An .npy file that grows by rows: its header is written again when their number is known."""

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
    """Windows of one session, appended to shards; gone if it is left by an exception.

    Parameters
    ----------
    folder : Path
        Of the corpus.
    number : int
        Of the source.
    dtype : str
        ``float16`` or ``float32``.
    """

    def __init__(self, folder: Path, number: int, dtype: str) -> None:
        self._corpus = folder
        self._part = folder / "sessions" / f"{number:04d}.part"
        self._folder = folder / "sessions" / f"{number:04d}"
        self._dtype: np.dtype[np.floating] = np.dtype(dtype)
        self._shards: list[_Shard] = []
        self._good: list[Mask] = []
        self._t_stop: list[float] = []
        self._item_shape: tuple[int, ...] = ()

    def __enter__(self) -> "SessionWriter":
        self._part.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for shard in self._shards:
            shard.close()
        shutil.rmtree(self._part, ignore_errors=True)

    @property
    def n_windows(self) -> int:
        """Windows so far."""
        return len(self._t_stop)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Of one window of one channel; empty before the first."""
        return self._item_shape

    @property
    def good(self) -> Mask:
        """Channels that were believed, bool [n_windows, n_channels]."""
        return np.array(self._good, bool)

    def add(self, items: Floats, good: Mask, t_stop: float) -> None:
        """Append a window.

        Parameters
        ----------
        items : ndarray, float32 [n_channels, ...]
            Of all channels.
        good : ndarray, bool [n_channels]
            Whether a channel may be believed.
        t_stop : float
            End of the window, s.

        Raises
        ------
        RecordingError
            An item that may be believed is not finite, or too large for float16.
        """
        self._refuse(items, good, t_stop)
        self._item_shape = items.shape[1:]
        n_bytes = items.size * self._dtype.itemsize
        most = max(1, _MOST_SHARD_BYTES // n_bytes)
        if not self._shards or self._shards[-1].n_rows >= most:
            if self._shards:
                self._shards[-1].close()
            path = self._part / _SHARD.format(len(self._shards))
            self._shards.append(_Shard(path, items.shape, self._dtype))
        # What is not good may be anything, too large for float16 as well.
        with np.errstate(over="ignore", invalid="ignore"):
            self._shards[-1].append(items.astype(self._dtype))
        self._good.append(good.copy())
        self._t_stop.append(t_stop)

    def _refuse(self, items: Floats, good: Mask, t_stop: float) -> None:
        believed = items[good]
        if not np.isfinite(believed).all():
            raise RecordingError(f"a value that should be good is not finite at {t_stop:.3f} s")
        if self._dtype != np.float16 or not believed.size:
            return
        highest = float(np.abs(believed).max())
        if highest > _FLOAT16_MAX:
            raise RecordingError(
                f"a value of {highest:g} at {t_stop:.3f} s, float16 ends at {_FLOAT16_MAX:g}: "
                "set dtype to float32, or the source's scale where its unit is wrong"
            )

    def finish(
        self,
        *,
        number: int,
        source: str,
        subject: str,
        session: str,
        montage: Montage,
        events: Sequence[Event] = (),
        notes: Sequence[str] = (),
    ) -> SessionEntry:
        """Put the session in its place, whole.

        Returns
        -------
        SessionEntry
            For `CorpusWriter.commit`.
        """
        good = self.good.reshape(self.n_windows, montage.n_channels)
        for shard in self._shards:
            shard.close()
        np.save(self._part / "t_stop.npy", np.array(self._t_stop, np.float64))
        np.save(self._part / "good.npy", good)
        os.replace(self._part, self._folder)
        # By count: sorted by name, shard 1000 would come before shard 101.
        shards = [self._folder / _SHARD.format(k) for k in range(len(self._shards))]
        return SessionEntry(
            number=number,
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
