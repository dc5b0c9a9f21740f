"""Recordings that are a plain array in microvolts."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.stream.recording import Recording
from rtbrain.types import Floats, Montage

__all__ = ["read_npy"]


def read_npy(path: Path, sfreq_hz: float | None) -> Recording:
    """Open an .npy array: one channel, or [n_channels, n_samples], in µV.

    Parameters
    ----------
    path : Path
        The file; it is mapped, not loaded.
    sfreq_hz : float or None
        Sampling rate in Hz.

    Raises
    ------
    SettingsError
        The rate is not given.
    RecordingError
        The file is no array of real numbers with one or two axes.
    """
    if sfreq_hz is None:
        raise SettingsError(f"{path.name} does not hold its sampling rate: pass --sfreq, in Hz")
    if not (np.isfinite(sfreq_hz) and sfreq_hz > 0):
        raise SettingsError(f"--sfreq: expected a rate above 0 Hz, got {sfreq_hz:g}")
    n_channels, n_samples = np.atleast_2d(_array(path)).shape

    def read(start: int, stop: int) -> Floats:
        # Mapped anew: a mapping that stays keeps every page that was ever read in memory.
        return np.array(np.atleast_2d(_array(path))[:, start:stop], np.float32, order="C")

    notes = [f"{path.name} names no channels: numbered from 1, taken as sEEG in microvolts"]
    if n_channels > n_samples:
        notes.append(
            f"{path.name} has {n_channels} channels of {n_samples} samples: the axes must be "
            "[channels, samples]"
        )
    names = tuple(str(number) for number in range(1, n_channels + 1))
    montage = Montage(names, ("seeg",) * n_channels, float(sfreq_hz))
    return Recording(montage, n_samples, read, notes=tuple(notes))


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise RecordingError(
            f"{path} is no array of numbers: it is truncated, foreign or a pickle"
        ) from error
    if (
        not isinstance(array, np.ndarray)
        or array.ndim not in {1, 2}
        or array.dtype.kind not in "fiu"
    ):
        got = f"{array.ndim} axes of {array.dtype}" if isinstance(array, np.ndarray) else "several"
        raise RecordingError(
            f"{path}: expected real numbers, one channel or [channels, samples], got {got}"
        )
    return array
