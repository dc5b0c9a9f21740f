"""Opens whatever holds a recording: files, folders, published layouts, synthetic patients."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.recording.datasets.nwb import open_nwb
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSignal
from rtbrain.types import Floats

SYNTHETIC = "synthetic:"
_DURATION_S = 600.0
_NUMBERS = {"duration_s": float, "family": int, "n_channels": int, "mains_hz": float}
_WORDS = ("difficulty", "space")


def open_dataset(
    source: str | Path, *, sfreq_hz: float | None = None, stream: str | None = None
) -> Recording:
    """Open a recording; its samples are read when they are asked for.

    Parameters
    ----------
    source : str or Path
        What `read_recording` opens (BrainVision, EDF, BDF, FIF, XDF, .npy, a BIDS-iEEG folder);
        a trial of the Brain Treebank (``sub_S_trialTTT.h5`` in its folders); an NWB file; or a
        synthetic patient, ``synthetic:SEED`` or ``synthetic:SEED,duration_s=600,difficulty=easy``.
    sfreq_hz : float, optional
        Sampling rate in Hz of what does not hold it: an .npy array, a synthetic patient.
    stream : str, optional
        Name or source id of the stream to take from an XDF file, or name of the
        ``ElectricalSeries`` of an NWB file, where there are several.

    Raises
    ------
    RecordingError
        The recording is absent, foreign, broken, empty, or one of several that could be meant;
        or it needs a library that is not installed.
    SettingsError
        `sfreq_hz` is absent where it is needed, or given where the file holds it; `stream` is
        given for what has no streams; a synthetic patient that cannot be.
    """
    if str(source).startswith(SYNTHETIC):
        _refuse(str(source), None, stream)
        return open_synthetic(str(source).removeprefix(SYNTHETIC), sfreq_hz)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in {".h5", ".hdf5", ".nwb"}:
        return read_recording(path, sfreq_hz=sfreq_hz, stream=stream)
    if not path.is_file():
        raise RecordingError(f"no file {path}: check the path")
    try:
        if suffix == ".nwb":
            _refuse(path.name, sfreq_hz, None)
            return open_nwb(path, stream)
        from rtbrain.recording.datasets.braintreebank import open_trial

        _refuse(path.name, sfreq_hz, stream)
        return open_trial(path).recording
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error


def _refuse(name: str, sfreq_hz: float | None, stream: str | None) -> None:
    if sfreq_hz is not None:
        raise SettingsError(f"{name} holds its own sampling rate: leave --sfreq out")
    if stream is not None:
        raise SettingsError(f"{name} has no streams to choose from: leave --stream out")


def open_synthetic(words: str, sfreq_hz: float | None) -> Recording:
    """Make the patient that some words describe, at a rate."""
    said = f"synthetic:{words}"
    if sfreq_hz is None:
        raise SettingsError(f"{said} has no sampling rate of its own: pass --sfreq, in Hz")
    seed, options = _parsed(words)
    duration_s = float(options.pop("duration_s", _DURATION_S))
    if not 0 < duration_s < np.inf:
        raise SettingsError(f"{said}: duration_s must be above 0, got {duration_s:g}")
    patient = Patient(seed, sfreq_hz=sfreq_hz, **options)  # type: ignore[arg-type]
    n_samples = round(duration_s * sfreq_hz)
    synthesis = SyntheticSignal(patient)
    # Windows that overlap ask for the same blocks again.
    block = lru_cache(maxsize=8)(synthesis.block)
    length = synthesis.block_samples

    def read(start: int, stop: int) -> Floats:
        first, last = start // length, (stop - 1) // length
        blocks = [block(number) for number in range(first, last + 1)]
        whole = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return whole[:, start - first * length : stop - first * length].copy()

    return Recording(
        patient.montage,
        n_samples,
        read,
        events=_states(patient, n_samples),
        notes=(f"{said} is synthetic: no brain was recorded",),
        subject=f"synthetic-{seed}",
    )


def _states(patient: Patient, n_samples: int) -> tuple[Event, ...]:
    markers = patient.markers(0, n_samples)
    ends = [*markers, (n_samples, "")]
    rate_hz = patient.sfreq_hz
    return tuple(
        Event(start / rate_hz, (stop - start) / rate_hz, text)
        for (start, text), (stop, _) in pairwise(ends)
    )


def _parsed(words: str) -> tuple[int, dict[str, int | float | str]]:
    seed, *rest = (word.strip() for word in words.split(","))
    options: dict[str, int | float | str] = {}
    try:
        for word in rest:
            key, _, value = word.partition("=")
            if key not in _NUMBERS and key not in _WORDS:
                known = ", ".join([*_NUMBERS, *_WORDS])
                raise SettingsError(f"synthetic:{words}: no property {key!r}, there are {known}")
            options[key] = _NUMBERS[key](value) if key in _NUMBERS else value
        return int(seed), options
    except ValueError as error:
        raise SettingsError(
            f"synthetic:{words}: expected synthetic:SEED[,key=value...] with numbers, as in "
            "synthetic:7,duration_s=300"
        ) from error
