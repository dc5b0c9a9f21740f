"""Periodic stimulation, such as that of the deep brain: its template, subtracted as it comes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy

from rtbrain.errors import SettingsError
from rtbrain.marks import UNSETTLED
from rtbrain.signal.reference import contact_rows
from rtbrain.types import Chunk, Doubles, Floats, Montage

_SECONDS = 4  # the period is measured on so many at most, anew every second
_STEP_S = 1 / 16  # the template follows as often, by so much:
_FOLLOWS = 1 / 64
_WITHIN = 0.02  # of the nominal rate
_LEFT, _DEVIATIONS = 0.1, 3.0  # share of the template that may be left, and of its noise
_HARMONICS, _CONTACTS, _COARSE, _FINE = 3, 8, 128, 64
# Power of the harmonics at the best period, in medians of those near it: of noise it reaches 3.
_FOUND = 8.0
_LOWEST_HZ, _FEWEST_SAMPLES = 40.0, 3.0  # slower pulses are blanked; of a period


class PeriodicTemplate:
    """Subtracts what repeats with the period of the stimulation, from contacts alone.

    As PARRM [1]_, of the past alone: what is subtracted is the part of the samples so far that
    depends on their phase in the period. It is held as the harmonics of the stimulation, those
    above half the sampling rate too, and follows within about 4 s: about each of them, 0.1 Hz of
    the signal is lost.

    Every second the period is measured on up to 4 s, within 2 % of `rate_hz`, where the power of
    its first harmonics, of the contacts that hold most of it, is highest. From the second in which
    it is found on, samples are flagged `UNSETTLED` until a template is there, after one more
    second. It is made of that alone, since the one before may be empty in part; where it is no
    longer found, nothing is subtracted. Every 1/16 s, what is left is compared with the template:
    samples are flagged `UNSETTLED` after a share of more than 0.1 (and 3 standard deviations of
    what else is left) was left or added, and after a second of this, the template is made anew.

    ``on_event("stimulation", rate_hz=...)`` reports when it is found, with 0 when no longer.
    SettingsError if a rate is too low for a template, or the sampling rate below three times that.

    .. [1] Dastin-van Rijn et al. (2021). Cell Rep Methods 1(2).
       doi:10.1016/j.crmeth.2021.100010
    """

    def __init__(
        self, montage: Montage, rate_hz: float, *, on_event: Callable[..., None] | None = None
    ) -> None:
        period = montage.sfreq_hz / rate_hz
        if not (rate_hz >= _LOWEST_HZ and period >= _FEWEST_SAMPLES):
            raise SettingsError(
                f"stimulation: periodic_hz must be {_LOWEST_HZ:g} Hz or more and at most a third "
                f"of the sampling rate of {montage.sfreq_hz:g} Hz, got {rate_hz:g} Hz: blank "
                "slower pulses, by texts or channel"
            )
        self.montage = montage
        self._on_event = on_event
        self._near_hz, self._sfreq_hz = rate_hz, montage.sfreq_hz
        self._rows = np.asarray(contact_rows(montage), np.int64)
        # Steps of the template, a whole number of them in a second.
        self._step = max(1, round(_STEP_S * montage.sfreq_hz))
        self._n_steps = max(1, round(1 / (_STEP_S)))
        self._orders = np.arange(1, 2 * int(np.ceil(period)) + 1)
        self.reset()

    def reset(self) -> None:
        """Forget the period and the template."""
        self.rate_hz: float | None = None  # measured; None without stimulation
        self._restart()

    def _restart(self) -> None:
        self._past: list[Floats] = []  # whole seconds
        self._steps: list[Floats] = []  # of the second that fills
        self._now = np.empty((self._rows.size, self._step), np.float32)  # the step that fills
        self._n_now = self._n_found = self._n_off = 0  # steps since the template is off
        self._phase, self._pace = 0.0, 0.0  # of the step's first sample; from one to the next
        self._template: Doubles | None = None  # [n_contacts, 2 n_harmonics]
        self._expected: Floats | None = None  # of this step, [n_contacts, n_samples]

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk without the stimulation."""
        if chunk.gap > 0:
            self._restart()
        if not chunk.n_samples:
            return chunk
        data = chunk.data.copy()
        flags = np.zeros(chunk.n_samples, np.uint8) if chunk.flags is None else chunk.flags.copy()
        start = 0
        while start < chunk.n_samples:
            stop = min(start + self._step - self._n_now, chunk.n_samples)
            inside = slice(self._n_now, self._n_now + stop - start)
            self._now[:, inside] = chunk.data[self._rows, start:stop]
            if self._expected is not None:
                data[self._rows, start:stop] -= self._expected[:, inside]
            if self._n_found and (self._expected is None or self._n_off):
                flags[start:stop] = np.maximum(flags[start:stop], UNSETTLED)
            self._n_now = inside.stop
            if self._n_now == self._step:
                self._advance()
            start = stop
        return replace(chunk, data=data, flags=flags if flags.any() else None)

    def _advance(self) -> None:
        """At the end of a step: let the template follow, and foresee the next step."""
        self._steps.append(self._now.copy())
        self._n_now = 0
        if self._template is not None and self._expected is not None:
            left = np.nan_to_num(self._now - self._expected).astype(np.float64)
            self._n_off = self._n_off + 1 if _is_off(left, self._expected) else 0
            self._template += _FOLLOWS * 2 / self._step * left @ self._waves(self._step)
        self._phase = (self._phase + self._step * self._pace) % 1.0
        if len(self._steps) == self._n_steps:
            self._measure()
        if self._template is not None:
            expected = self._template @ self._waves(self._step).T
            self._expected = expected.astype(np.float32)

    def _waves(self, n_samples: int) -> Doubles:
        """Cosines and sines of the harmonics from the step's first sample on: [n, 2 K]."""
        phases = self._phase + self._pace * np.arange(n_samples)
        turns = 2 * np.pi * phases[:, None] * self._orders
        return np.concatenate([np.cos(turns), np.sin(turns)], axis=1)

    def _measure(self) -> None:
        """At the end of a second: the period, and the template where it begins."""
        second = np.nan_to_num(np.concatenate(self._steps, axis=1))
        self._steps = []
        if find_rate(second, self._sfreq_hz, self._near_hz) is None:
            was_found = self._n_found > 0
            self.reset()
            if was_found and self._on_event is not None:
                self._on_event("stimulation", rate_hz=0.0)
            return
        self._past = [*self._past[1 - _SECONDS :], second]
        joined = np.concatenate(self._past, axis=1)
        self.rate_hz = find_rate(joined, self._sfreq_hz, self._near_hz) or self._near_hz
        self._pace = self.rate_hz / self._sfreq_hz
        self._n_found += 1
        if self._n_found == 1 and self._on_event is not None:
            self._on_event("stimulation", rate_hz=self.rate_hz)
        if self._n_found == 2 or self._n_off >= self._n_steps:
            waves = self._waves(second.shape[1])
            centred = second - second.mean(axis=1, keepdims=True)
            self._template = np.linalg.lstsq(waves, centred.T.astype(np.float64), rcond=1e-6)[0].T
            self._phase = (self._phase + second.shape[1] * self._pace) % 1.0
            self._n_off = 0


def _is_off(left: Doubles, expected: Floats) -> bool:
    """Whether a template [n_contacts, n_samples] is not that of the stimulation, by what is left.

    By changes from sample to sample, which hold little of the brain.
    """
    changes, of_template = np.diff(left, axis=1), np.diff(expected.astype(np.float64), axis=1)
    power = float(np.square(of_template).sum())
    if not power:
        return False
    share = float((changes * of_template).sum()) / power
    # As if all contacts had the same noise.
    noise = float(np.sqrt(np.square(changes).mean() * len(changes) / power))
    return abs(share) > _LEFT + _DEVIATIONS * noise


def find_rate(samples: Floats, sfreq_hz: float, near_hz: float) -> float | None:
    """Rate of what repeats in a signal [n_channels, n_samples], Hz; None where nothing does.

    Within 2 % of `near_hz`, to about a millionth in 4 s.
    """
    changes = np.diff(samples.astype(np.float64), axis=1)  # nearly white, but for the stimulation
    strongest = np.argsort(np.square(changes).sum(axis=1))[::-1][:_CONTACTS]
    changes = changes[strongest] * np.hanning(changes.shape[1])
    n_harmonics = max(1, min(_HARMONICS, int(sfreq_hz / 2 / (near_hz * (1 + _WITHIN)))))

    def powers(low_hz: float, high_hz: float, n: int) -> Doubles:  # [n_harmonics, n]
        bands = [[k * low_hz, k * high_hz] for k in range(1, n_harmonics + 1)]
        zooms = (
            scipy.signal.zoom_fft(changes, band, n, fs=sfreq_hz, endpoint=True) for band in bands
        )
        return np.array([np.square(np.abs(spectra)).sum(axis=0) for spectra in zooms])

    low_hz, high_hz = near_hz * (1 - _WITHIN), near_hz * (1 + _WITHIN)
    coarse = powers(low_hz, high_hz, _COARSE)
    coarse /= np.maximum(np.median(coarse, axis=1, keepdims=True), 1e-30)
    step_hz = (high_hz - low_hz) / (_COARSE - 1)
    best = int(np.argmax(coarse.sum(axis=0)))
    # One line alone may be the mains.
    n_found = np.count_nonzero(coarse[:, best] > _FOUND)
    if n_found < min(2, n_harmonics) or best in (0, _COARSE - 1):
        return None
    centre_hz = low_hz + best * step_hz
    fine = powers(centre_hz - step_hz, centre_hz + step_hz, _FINE).sum(axis=0)
    at = int(np.clip(np.argmax(fine), 1, _FINE - 2))
    left, middle, right = fine[at - 1 : at + 2]
    curve = left - 2 * middle + right
    shift = 0.5 * (left - right) / curve if curve else 0.0
    return float(centre_hz - step_hz + (at + shift) * 2 * step_hz / (_FINE - 1))
