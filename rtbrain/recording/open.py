"""A recording by its path: the reader that its suffix names, loaded when it is needed."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.recording.bids import find_recording
from rtbrain.recording.recording import MNE_SUFFIXES, Recording
from rtbrain.types import CONTACT_KINDS, Floats, Montage
from rtbrain.units import amplitude_uv, find_wrong_unit

SYNTHETIC = "synthetic:"
# By suffix: a module of this package, its function, and the option that it takes.
_READERS = {
    **dict.fromkeys(MNE_SUFFIXES, ("mne", "read_mne", "")),
    ".xdf": ("xdf.read", "read_xdf", "stream"),
    ".npy": ("open", "read_npy", "sfreq_hz"),
    ".nwb": ("datasets.nwb", "open_nwb", "stream"),
    **dict.fromkeys((".h5", ".hdf5"), ("datasets.braintreebank", "read_trial", "")),
}
_LOOKED_AT_S = 10.0


def read_recording(
    source: str | Path, *, sfreq_hz: float | None = None, stream: str | None = None
) -> Recording:
    """Open a recording; its samples are read when they are needed.

    Parameters
    ----------
    source : str or Path
        BrainVision (.vhdr), EDF or BDF, FIF, XDF, NWB, an .npy array in µV, a BIDS-iEEG folder, a
        trial of the Brain Treebank (``sub_S_trialTTT.h5`` in its folders), or a synthetic patient,
        ``synthetic:SEED`` or ``synthetic:SEED,duration_s=600,difficulty=easy``.
    sfreq_hz : float, optional
        Sampling rate in Hz of an .npy array or a synthetic patient, which have none of their own.
    stream : str, optional
        Name or source id of the stream of an XDF file, or name of the ``ElectricalSeries`` of an
        NWB file, where there are several.

    Raises
    ------
    RecordingError
        The recording is absent, foreign, broken, empty, or one of several that could be meant.
    SettingsError
        `sfreq_hz` is missing where it is needed, or given where the file holds it; `stream` is
        given for a file that has no streams; a synthetic patient cannot be made.
    """
    if str(source).startswith(SYNTHETIC):
        _check_options(str(source), "sfreq_hz", sfreq_hz, stream)
        words = str(source).removeprefix(SYNTHETIC)
        return reader_of("datasets.synthetic", "open_synthetic")(words, sfreq_hz)
    path = Path(source)
    if not path.exists():
        raise RecordingError(f"no file or folder {path}: check the path")
    if path.is_dir():
        path = find_recording(path)
    module, function, option = _reader(path)
    _check_options(path.name, option, sfreq_hz, stream)
    options = {"sfreq_hz": (sfreq_hz,), "stream": (stream,)}.get(option, ())
    try:
        recording = reader_of(module, function)(path, *options)
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error
    if recording.n_samples == 0 or recording.montage.n_channels == 0:
        recording.close()
        raise RecordingError(
            f"{path} holds {recording.montage.n_channels} channels of {recording.n_samples} "
            "samples: there is nothing to play"
        )
    return recording


def _reader(path: Path) -> tuple[str, str, str]:
    suffix = path.suffix.lower()
    if suffix in _READERS:
        return _READERS[suffix]
    header = path.with_suffix(".vhdr")
    if suffix in {".eeg", ".vmrk"} and header.exists():
        raise RecordingError(f"{path.name} is one part of a BrainVision recording: name {header}")
    raise RecordingError(
        f"{path}: a recording is one of {' '.join(_READERS)}, or a BIDS folder, got "
        f"{suffix or 'a file without suffix'}"
    )


def _check_options(name: str, option: str, sfreq_hz: float | None, stream: str | None) -> None:
    if sfreq_hz is not None and option != "sfreq_hz":
        raise SettingsError(f"{name} holds its own sampling rate: leave --sfreq out")
    if stream is not None and option != "stream":
        raise SettingsError(f"{name} has no streams to choose from: leave --stream out")


def reader_of(module: str, function: str) -> Callable[..., Recording]:
    """A reader of this package, loaded when it is needed: mne takes a second."""
    reader: Callable[..., Recording] = getattr(
        importlib.import_module(f"rtbrain.recording.{module}"), function
    )
    return reader


def amplitude_note(recording: Recording, *, scale: float = 1.0) -> str | None:
    """Warning where the signal is not of a size that a brain makes.

    The measure is the median over brain channels of 1.4826 median absolute deviations over the
    first 10 s: neither offsets, nor artefacts, nor a dead channel move it.
    """
    kinds = recording.montage.kinds
    rows = [row for row, kind in enumerate(kinds) if kind in CONTACT_KINDS]
    size_uv = abs(scale) * amplitude_uv(_beginning(recording)[rows or slice(None)])
    if size_uv == 0:
        return "the signal is flat: most channels do not change over the first seconds"
    found = find_wrong_unit(size_uv)
    if found is None:
        return None
    text, factor = found
    return f"{text}, try --scale {scale * factor:g}"


def missing_note(recording: Recording) -> str | None:
    """Warning where values are missing (NaN) in the first 10 s; None where none are."""
    rows = np.flatnonzero(np.isnan(_beginning(recording)).any(axis=1))
    names = [recording.montage.names[row] for row in rows]
    if not names:
        return None
    return f"values are missing (NaN) and are played as they are in: {', '.join(names)}"


def _beginning(recording: Recording) -> Floats:
    n_samples = round(_LOOKED_AT_S * recording.montage.sfreq_hz)
    return recording.read(0, min(max(n_samples, 2), recording.n_samples))


def read_npy(path: Path, sfreq_hz: float | None) -> Recording:
    """Open an .npy array: one channel, or [n_channels, n_samples], in µV."""
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
