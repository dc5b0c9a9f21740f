"""Samples of a stream in an XDF file, read from where the index says they are.

A sample is a byte that counts the bytes of its stamp (0 or 8), the stamp, the values. Samples
without a stamp follow the one before by the nominal period.
"""

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.recording.xdf.chunks import STAMP_BYTES, read_length
from rtbrain.types import Mask, Times

_BLOCK_BYTES = 2**23
_FILLED_SAMPLES = 2**18
# A comparison this late, and this far off, is that of a clock that was set anew: seconds, and
# median absolute deviations.
_LATE_S, _LATE_MADS = 5.0, 5.0
_OFF_S, _OFF_MADS = 1.0, 10.0
# Offsets further off the line than this count by their distance, no longer by its square.
_HUBER_S = 1e-4
_ROUNDS = 1000
# Of clocks and their offsets, s: Unix time is 2e9, and some give it in milliseconds.
MAX_TIME_S = 1e13
MAX_TEXTS = 250_000  # some 50 MB; a file may hold millions of empty ones
# A recording is shorter; stamps further from the comparisons than this show another clock.
_OTHER_CLOCK_S = 1e6


@dataclass(frozen=True, slots=True)
class ChunkSamples:
    """Where the samples of one chunk lie."""

    offset: int
    n_bytes: int
    n_samples: int


class NumericSamples:
    """Values and stamps of a numeric stream; the values stay in the file.

    Memory grows with the stamps, 8 bytes a sample, and with the runs: stretches of samples that
    all have a stamp, or all have none.
    """

    def __init__(
        self, path: Path, pieces: list[ChunkSamples], n_channels: int, dtype: str, period_s: float
    ) -> None:
        self._path = path
        self._n_channels = n_channels
        self._dtype = np.dtype(dtype)
        self._value_bytes = n_channels * self._dtype.itemsize
        least = 1 + self._value_bytes
        sound = [piece for piece in pieces if piece.n_samples * least <= piece.n_bytes]
        self.stamps = np.full(sum(piece.n_samples for piece in sound), np.nan)
        self.n_broken = len(pieces) - len(sound)
        self.n_odd_stamps = 0
        runs: list[tuple[int, int, int]] = []  # first byte, bytes a stamp, samples
        n_samples = 0
        with path.open("rb") as file:
            for piece in sound:
                found = list(self._runs(file, piece, self.stamps[n_samples:]))
                if sum(n for _, _, n in found) == piece.n_samples:
                    runs += found
                    n_samples += piece.n_samples
                else:
                    self.n_broken += 1
                    self.stamps[n_samples : n_samples + piece.n_samples] = np.nan
        self.stamps = self.stamps[:n_samples]
        _fill(self.stamps, period_s)
        table = np.array(runs, np.int64).reshape(-1, 3)
        self._offsets, self._stamp_bytes = table[:, 0], table[:, 1]
        self._edges = np.concatenate([[0], np.cumsum(table[:, 2])])

    def _runs(
        self, file: BinaryIO, piece: ChunkSamples, stamps: Times
    ) -> Iterator[tuple[int, int, int]]:
        """Runs of a piece, in order, as far as its bytes are samples; their stamps are taken."""
        at, end, n_left = piece.offset, piece.offset + piece.n_bytes, piece.n_samples
        while n_left:
            surplus = end - at - n_left * (1 + self._value_bytes)
            if surplus == 0:
                # No byte is left for a stamp: nothing need be read.
                yield at, 0, n_left
                return
            # One stamp to come is most likely the first sample's: the others need not be read.
            one = 1 + STAMP_BYTES + self._value_bytes
            n_read = one if surplus == STAMP_BYTES else max(_BLOCK_BYTES, one)
            file.seek(at)
            block = file.read(min(end - at, n_read))
            n_stamp_bytes = block[0] if block else -1
            length = 1 + n_stamp_bytes + self._value_bytes
            n_fit = min(len(block) // length, n_left) if n_stamp_bytes in {0, STAMP_BYTES} else 0
            if n_fit == 0:
                return
            counts = np.ndarray((n_fit,), np.uint8, block, strides=(length,))
            differ = np.flatnonzero(counts != n_stamp_bytes)
            n = int(differ[0]) if differ.size else n_fit
            if n_stamp_bytes:
                done = piece.n_samples - n_left
                stated = np.ndarray((n,), "<f8", block, 1, (length,))
                self.n_odd_stamps += int((~(np.abs(stated) < MAX_TIME_S)).sum())
                stamps[done : done + n] = stated
            yield at, n_stamp_bytes, n
            at, n_left = at + n * length, n_left - n

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Values [stop - start, n_channels] of these samples, in the file's own format."""
        values = np.empty((stop - start, self._n_channels), self._dtype)
        run = int(np.searchsorted(self._edges, start, side="right")) - 1
        at = start
        with self._path.open("rb") as file:
            while at < stop:
                first, last = int(self._edges[run]), int(self._edges[run + 1])
                n = min(stop, last) - at
                head = 1 + int(self._stamp_bytes[run])
                length = head + self._value_bytes
                file.seek(int(self._offsets[run]) + (at - first) * length)
                block = file.read(n * length)
                if len(block) < n * length:
                    raise RecordingError(f"{self._path} has become shorter while it was read")
                strides = (length, self._dtype.itemsize)
                shape = (n, self._n_channels)
                values[at - start : at - start + n] = np.ndarray(
                    shape, self._dtype, block, head, strides
                )
                at, run = at + n, run + 1
        return values


def _fill(stamps: Times, period_s: float) -> None:
    """Give samples without a stamp the one before plus the period, in place, block by block."""
    # Before the first stamp of a stream, readers count from 0.
    latest_s = 0.0
    for start in range(0, stamps.size, _FILLED_SAMPLES):
        block = stamps[start : start + _FILLED_SAMPLES]
        known = np.abs(block) < MAX_TIME_S  # nor is NaN
        if not known.all():
            numbers = np.arange(block.size)
            latest = np.maximum.accumulate(np.where(known, numbers, -1))
            base_s = np.where(latest >= 0, block[latest.clip(0)], latest_s)
            block[:] = base_s + (numbers - latest) * period_s
        latest_s = float(block[-1])


def read_texts(
    path: Path, pieces: list[ChunkSamples], n_channels: int, period_s: float
) -> tuple[list[tuple[float, str]], int]:
    """Stamps and first texts of a string stream, and how many chunks were broken."""
    samples: list[tuple[float, str]] = []
    n_broken = 0
    latest_s = 0.0
    with path.open("rb") as file:
        for piece in pieces:
            file.seek(piece.offset)
            found = _texts(io.BytesIO(file.read(piece.n_bytes)), piece.n_samples, n_channels)
            if found is None:
                n_broken += 1
                continue
            for stamp, text in found:
                latest_s = latest_s + period_s if stamp is None else stamp
                samples.append((latest_s, text))
            if len(samples) >= MAX_TEXTS:
                return samples[:MAX_TEXTS], n_broken
    return samples, n_broken


def _texts(
    block: BinaryIO, n_samples: int, n_channels: int
) -> list[tuple[float | None, str]] | None:
    found: list[tuple[float | None, str]] = []
    for _ in range(n_samples):
        n_stamp_bytes = block.read(1)
        stamp = block.read(STAMP_BYTES) if n_stamp_bytes == b"\x08" else b""
        if n_stamp_bytes not in {b"\x00", b"\x08"} or len(stamp) not in {0, STAMP_BYTES}:
            return None
        texts = []
        for _ in range(n_channels):
            n_bytes = read_length(block)
            text = None if n_bytes is None else block.read(n_bytes)
            if text is None or len(text) != n_bytes:
                return None
            texts.append(text.decode(errors="replace"))
        found.append((_time(stamp), texts[0]))
    return found


def _time(stamp: bytes) -> float | None:
    """Stamp of a sample; None where it has none, or one that is no time."""
    time_s = struct.unpack("<d", stamp)[0] if stamp else math.nan
    return time_s if abs(time_s) < MAX_TIME_S else None


def to_recorder_clock(stamps: Times, times_s: list[float], offsets_s: list[float]) -> None:
    """Add the clock's offset to stamps, in place."""
    if not (stamps.size and times_s):
        return
    times, offsets = np.array(times_s), np.array(offsets_s)
    edges = [0, *(np.flatnonzero(_set_anew(times, offsets)) + 1).tolist(), times.size]
    at = 0
    for first, stop in pairwise(edges):
        end = stamps.size
        if stop < times.size:
            # A stamp belongs to the clock whose comparison is nearer.
            to_this = np.abs(stamps[at:] - times[stop - 1])
            further = np.flatnonzero(to_this >= np.abs(stamps[at:] - times[stop]))
            end = at + int(further[0]) if further.size else stamps.size
        origin_s, level_s, slope = _line(times[first:stop], offsets[first:stop])
        if at < end and abs(stamps[at] - origin_s) > _OTHER_CLOCK_S:
            slope = 0.0  # the stamps are not of the clock that was compared
        # Step by step: of a long recording even the stamps are large.
        added_s = stamps[at:end] - origin_s
        added_s *= slope
        added_s += level_s
        stamps[at:end] += added_s
        at = end


def _set_anew(times: Times, offsets: Times) -> Mask:
    """Whether a clock was set between each comparison and the next, bool [n - 1]."""
    if times.size < 2:
        return np.zeros(0, np.bool_)
    late = _outlying(np.diff(times), _LATE_S, _LATE_MADS)
    off = _outlying(np.diff(offsets), _OFF_S, _OFF_MADS)
    back: Mask = np.diff(times) < 0
    return back | (late & off)


def _outlying(values: Times, least: float, least_mads: float) -> Mask:
    distance = np.abs(values - np.median(values))
    mad = np.median(distance) + np.finfo(np.float64).eps
    outlying: Mask = (distance > least) & (distance > least_mads * mad)
    return outlying


def _line(times: Times, offsets: Times) -> tuple[float, float, float]:
    """Huber fit: origin in s, offset there in s, slope; the alternating directions of Boyd."""
    middle_s = float(times.min() + times.max()) / 2
    half_s = float(times.max() - times.min()) / 2
    if half_s == 0:
        return middle_s, float(np.median(offsets)), 0.0
    design = np.stack([np.ones(times.size), (times - middle_s) / half_s], 1)
    solve = np.linalg.pinv(design)
    wanted = offsets / _HUBER_S
    residual = np.zeros(times.size)
    dual = np.zeros(times.size)
    fit = np.zeros(2)
    for _ in range(_ROUNDS):
        fit = solve @ (wanted + residual - dual)
        proposed = design @ fit - wanted + dual
        beyond = np.sign(proposed) * np.maximum(np.abs(proposed) - 2, 0)
        residual = (proposed + beyond) / 2
        dual = proposed - residual
    return middle_s, float(fit[0]) * _HUBER_S, float(fit[1]) * _HUBER_S / half_s
