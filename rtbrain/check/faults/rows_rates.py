"""Rows of the matrix about rates that are no whole number, and the mains of the other frequency."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.signal import resample

from rtbrain.bundling import build_decoder
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, cut_signal, joined
from rtbrain.config import Recipe, load_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import RtbrainError
from rtbrain.learn.fit.inputs import at_mains, common_rate_hz, open_recordings
from rtbrain.recording.recording import Recording
from rtbrain.signal import Resample
from rtbrain.types import Chunk, Decode, Floats, Montage

_RATES_HZ = (160.0, 399.609756, 999.4121, 999.99, 2046.3)
_RIPPLE = 4e-3  # of the filter, SciPy's too
_SECONDS = 30.0
_NEAR_HZ, _FAR_HZ = 2046.3, 2030.0
_KNOWN_AFTER_S = 8.0  # from then on the rate of the stamps is known
_MIN_CORRELATION = 0.99


def odd_rates(rig: Rig) -> Finding:
    """Resample tones of odd rates, decode a stream of nearly the decoder's rate, mix sessions."""
    return joined(_odd_rates(rig))


def _odd_rates(rig: Rig) -> Iterator[Finding]:
    errors = [_tone_error(sfreq_hz) for sfreq_hz in _RATES_HZ]
    yield (
        f"{', '.join(f'{hz:g}' for hz in _RATES_HZ)} Hz to 2048 Hz: at most "
        f"{100 * max(errors):.2f} % off",
        max(errors) < _RIPPLE,
    )
    own, near = _decodes(rig, rig.montage.sfreq_hz), _decodes(rig, _NEAR_HZ)
    times, wanted = (np.array([at(one) for one in own]) for at in (_stop, _value))
    settled = [one for one in near if times[0] + _KNOWN_AFTER_S < one.t_stop < times[-1]]
    got = np.array([_value(one) for one in settled])
    same = np.corrcoef(np.interp([_stop(one) for one in settled], times, wanted), got)[0, 1]
    yield (
        f"decoder of 2048 Hz on {_NEAR_HZ:g} Hz: {len(settled)} decodes, correlation {same:.4f}",
        same > _MIN_CORRELATION,
    )
    try:
        _decodes(rig, _FAR_HZ)
        yield f"{_FAR_HZ:g} Hz DECODED", False
    except RtbrainError as error:
        yield f"{_FAR_HZ:g} Hz: {str(error)[:90]}", "refit" in str(error)
    notes: list[str] = []
    sessions = [
        _recording(rig.montage, 2 * hz, np.zeros((rig.montage.n_channels, 9000), "f4"))
        for hz in (1000, 999.99)
    ]
    with open_recordings(
        sessions, stream=None, sfreq_hz=None, scale=1, on_note=notes.append
    ) as all_:
        yield f"sessions: {notes[-1]}", common_rate_hz(all_) == 2000 and "counts as" in notes[-1]


def _tone_error(sfreq_hz: float) -> float:
    """Largest error of resampled tones, as a share of their amplitude."""
    freqs_hz = np.array([[0.05], [0.17], [0.31]]) * sfreq_hz
    t = np.arange(round(4 * sfreq_hz)) / sfreq_hz
    tones = np.sin(2 * np.pi * freqs_hz * t).astype(np.float32)
    stage = Resample(Montage(("A1", "A2", "A3"), ("seeg",) * 3, sfreq_hz), 2048.0)
    got = stage(Chunk(tones, t, 0))
    moments = np.arange(got.n_samples) / 2048.0
    late = moments > 20 / sfreq_hz
    wanted = np.sin(2 * np.pi * freqs_hz * moments[late])
    return float(np.abs(got.data[:, late] - wanted).max())


def _decodes(rig: Rig, sfreq_hz: float) -> list[Decode]:
    """Valid decodes of the patient as an amplifier of this rate samples him."""
    signal = rig.signal(_SECONDS)
    montage = replace(rig.montage, sfreq_hz=sfreq_hz)
    features, readout = build_decoder(read_bundle(rig.bundle("linear")), montage)
    sampled: Floats = resample(signal, round(_SECONDS * sfreq_hz), axis=1).astype(np.float32)
    windows = (w for chunk in cut_signal(sampled, [500], sfreq_hz) for w in features.cut(chunk))
    return [one for w in windows if (one := readout(features.encode(w))).quality.valid]


def _stop(decode: Decode) -> float:
    return decode.t_stop


def _value(decode: Decode) -> float:
    return float(decode.values[-1])


def _recording(montage: Montage, sfreq_hz: float, data: Floats) -> Recording:
    at_rate = replace(montage, sfreq_hz=sfreq_hz)
    return Recording(at_rate, data.shape[1], lambda start, stop: data[:, start:stop].copy())


def other_mains(rig: Rig) -> Finding:
    """Fit on hum of 50 and 60 Hz, of none and of a railway; decode hum of the other frequency."""
    return joined(_other_mains(rig))


def _other_mains(rig: Rig) -> Iterator[Finding]:
    sfreq_hz, signal = rig.montage.sfreq_hz, rig.signal(_SECONDS)
    t = np.arange(signal.shape[1]) / sfreq_hz
    rng = np.random.default_rng(41)
    calm = np.cumsum(rng.normal(0, 2, signal.shape), axis=1)
    railway = sum(
        uv * np.sin(2 * np.pi * hz * t) for hz, uv in ((50 / 3, 20), (100 / 3, 4), (50, 5))
    )
    recordings: dict[str, tuple[Floats, Literal[50, 60], int]] = {
        "the patient's, recipe of 50 Hz": (signal, 50, 60),
        "50 Hz": ((calm + 5 * np.sin(2 * np.pi * 50 * t)).astype(np.float32), 60, 50),
        "none": (calm.astype(np.float32), 50, 50),
        "a railway's": ((calm + railway).astype(np.float32), 60, 60),
    }
    for what, (data, recipe_hz, wanted_hz) in recordings.items():
        recipe = load_settings("linear", Recipe).adapt(mains_hz=recipe_hz)
        notes: list[str] = []
        source = _recording(rig.montage, sfreq_hz, data)
        adapted, _ = at_mains(recipe, "auto", [source], notes.append)
        yield f"hum {what}: {adapted.mains_hz} Hz", adapted.mains_hz == wanted_hz
    reports: list[str] = []
    features, _ = build_decoder(
        read_bundle(rig.bundle("linear")),
        rig.montage,
        on_event=lambda event, **fields: reports.append(f"{event}: {fields.get('reason')}"),
    )
    for chunk in cut_signal(recordings["50 Hz"][0], [500], sfreq_hz):
        for _ in features.cut(chunk):
            pass
    lines = [line for line in reports if line.startswith("mains: ")]
    yield (
        f"live: {' '.join(lines)}",
        len(lines) == 1 and "60 Hz: fit it with --mains 50" in lines[0],
    )


RATE_CASES = (FaultCase(40, odd_rates), FaultCase(41, other_mains))
