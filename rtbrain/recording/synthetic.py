"""A synthetic patient as a recording, described in a few words: ``synthetic:SEED,key=value``."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.recording.recording import Event, Recording
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSignal
from rtbrain.types import Floats

_DURATION_S = 600.0
_NUMBERS = {"duration_s": float, "family": int, "n_channels": int, "mains_hz": float}
_WORDS = ("difficulty", "space")


def open_synthetic(words: str, sfreq_hz: float | None) -> Recording:
    """Synthetic patient by its seed and what differs from the defaults, at a sampling rate."""
    name = f"synthetic:{words}"
    if sfreq_hz is None:
        raise SettingsError(f"{name} has no sampling rate of its own: pass --sfreq, in Hz")
    seed, options = _parsed(words)
    duration_s = float(options.pop("duration_s", _DURATION_S))
    if not 0 < duration_s < np.inf:
        raise SettingsError(f"{name}: duration_s must be above 0, got {duration_s:g}")
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
        notes=(f"{name} is synthetic: no brain was recorded",),
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
