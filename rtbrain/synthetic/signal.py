"""The synthetic patient's signal, as an amplifier would send it.

A 1/f background, correlated in space, whose beta and high-gamma bands follow the task near the
foci, or something else does (`TASKS`); an alpha rhythm, unrelated high-gamma bursts, blinks,
movements, mains, drift, and gains and offsets of the contacts.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.synthetic.noise import (
    FilteredNoise,
    RandomBumps,
    RandomStream,
    band_amplitude,
    kernel_response,
    power_law_amplitude,
    random_generator,
)
from rtbrain.synthetic.patient import BANDS_HZ, Patient
from rtbrain.types import Chunk, Doubles, Floats, Montage

# The noise kernels are as long as a block, which sets the lowest frequency of the background.
_BLOCK_S = 1.0
_BACKGROUND_RMS_UV = (30.0, 80.0)
_BACKGROUND_EXPONENT = (1.8, 2.2)
_FLOOR_UV = 0.03
_SHARED_VARIANCE = 0.15
_CORRELATION_MM = 8.0
_ALPHA_UV = 12.0
_ALPHA_AT_MM = ((-25.0, -85.0, 10.0), (25.0, -85.0, 10.0))
_ALPHA_FALL_MM = 40.0
_EYES_AT_MM = (0.0, 85.0, -35.0)
_EYES_FALL_MM = 40.0
_BLINK_UV = 250.0
_MOVEMENT_UV = 120.0
_MOVEMENT_HZ = 1.3
_MUSCLE_GAIN = 1.5
_MAINS_UV = 8.0
_MAINS_UP_TO_HZ = 400.0
_MAINS_WANDER_RAD = 2.0
_MAINS_WANDER_PERIOD_S = 37.0
_DRIFT_UV = 25.0
_DRIFT_PERIODS_S = (11.0, 31.0, 83.0)
_OFFSET_UV = 200.0
_GAIN_SPREAD = 0.15


class SyntheticSignal:
    """Signal of a patient, in blocks of about a second, in any order.

    `bursts`, `blinks` and `movements` are the true envelopes of what is unrelated to the task,
    `background_correlation` that of the background between contacts. `activation` replaces the
    patient's own: of a first sample and a number of samples, float32 [n_foci, n_samples].

    The task changes the background's own bands: ``x + (g_hg - 1) hg(x) + (g_beta - 1) beta(x)``,
    with gains that follow the foci. High gamma stands for the firing of a population [1]_, the
    fall of beta for its engagement [2]_; the 1/f background and its exponents follow [3]_.

    .. [1] Ray, Maunsell (2011). PLoS Biology 9(4). doi:10.1371/journal.pbio.1000610
    .. [2] Miller et al. (2007). J Neurosci 27(9). doi:10.1523/JNEUROSCI.3886-06.2007
    .. [3] Miller et al. (2009). PLoS Comput Biol 5(12). doi:10.1371/journal.pcbi.1000609

    Beta may come in bursts [4]_ whose number follows the task, or lock between contacts without a
    change of its power: ``sqrt(1 - c²) beta(x) + c beta(common)``, with c that follows the foci,
    whose signs alternate, so that a common average keeps it.

    .. [4] Sherman et al. (2016). PNAS 113(33). doi:10.1073/pnas.1604135113
    """

    def __init__(
        self, patient: Patient, activation: Callable[[int, int], Floats] | None = None
    ) -> None:
        self.patient = patient
        self._activation = activation or patient.activation
        self.block_samples = round(_BLOCK_S * patient.sfreq_hz)
        # Chunks and windows that overlap ask for the same blocks again.
        self._recent = lru_cache(maxsize=8)(self.block)
        rng = random_generator(RandomStream.HARDWARE, patient.seed)
        positions_mm = patient.implant.positions_mm
        self._responds = np.stack([focus.effect(positions_mm) for focus in patient.foci], 1)
        self._sign = np.resize(np.array([1, -1], np.float32), (len(patient.foci), 1))
        self._noise = self._background(rng, positions_mm)
        low_hz, high_hz = BANDS_HZ["alpha"]
        unit = np.sqrt(patient.sfreq_hz / 2 / (high_hz - low_hz))
        alpha = kernel_response(unit * self._band("alpha")[np.newaxis])
        one = np.ones((1, 1), np.float32)
        self._alpha = FilteredNoise(RandomStream.ALPHA, patient.seed, one, [alpha])
        self._bursts_at = np.stack([focus.effect(positions_mm) for focus in patient.burst_foci], 1)
        self.bursts = self._bumps(RandomStream.BURSTS, 0.6, (0.15, 0.6), self._bursts_at.shape[1])
        self.blinks = self._bumps(RandomStream.BLINKS, 0.15, (0.25, 0.45), 1)
        self.movements = self._bumps(RandomStream.MOVEMENTS, 1 / 90, (0.5, 1.0), 1)
        left, right = (_fall(positions_mm, at, _ALPHA_FALL_MM) for at in _ALPHA_AT_MM)
        self._alpha_uv = (_ALPHA_UV * (left + right))[:, np.newaxis]
        eyes = _fall(positions_mm, _EYES_AT_MM, _EYES_FALL_MM)
        self._blink_uv = (_BLINK_UV * eyes)[:, np.newaxis]
        n_channels = patient.n_channels
        sway = rng.lognormal(0.0, 0.4, (n_channels, 1)) * rng.choice([-1, 1], (n_channels, 1))
        self._movement_uv = (_MOVEMENT_UV * sway).astype(np.float32)
        self._gain = rng.lognormal(0.0, _GAIN_SPREAD, (n_channels, 1)).astype(np.float32)
        self._offset_uv = rng.normal(0.0, _OFFSET_UV, (n_channels, 1)).astype(np.float32)
        self._harmonics = np.arange(
            1, 1 + int(min(_MAINS_UP_TO_HZ, patient.sfreq_hz / 2 - 1) // patient.mains_hz)
        )
        self._mains_uv, self._drift_uv = self._mains(rng), self._drift(rng)
        self._slow = np.concatenate([self._mains_uv, self._drift_uv], axis=1)
        n_foci = len(patient.foci)
        # Of each focus twice a second.
        self._task_bursts = self._bumps(RandomStream.TASK_BURSTS, 2.0 * n_foci, (0.1, 0.3), n_foci)

    def samples(self, first: int, stop: int) -> Floats:
        """Samples [first, stop): float32 [n_channels, stop - first] µV, a copy."""
        length = self.block_samples
        data = np.empty((self.patient.montage.n_channels, stop - first), np.float32)
        for number in range(first // length, (stop - 1) // length + 1):
            start = number * length
            a, b = max(first, start), min(stop, start + length)
            data[:, a - first : b - first] = self._recent(number)[:, a - start : b - start]
        return data

    def block(self, number: int) -> Floats:
        """Samples from `number` x `block_samples` on: float32 [n_channels, block_samples] µV."""
        level, task = self.patient.level, self.patient.task
        first_sample = number * self.block_samples
        times_s = (first_sample + np.arange(self.block_samples)) / self.patient.sfreq_hz
        signal, beta, high_gamma = self._noise.block(number)
        activation = self._activation(first_sample, self.block_samples)
        response = np.minimum(self._responds @ activation, 1.0)
        bursts = self._bursts_at @ self.bursts.block(number)
        movement = self.movements.block(number)

        if task in ("mixed", "beta", "continuous"):
            signal += (_amplitude(-level.beta_db) - 1) * response * beta
        elif task == "slow":
            signal += level.slow_uv * (self._responds @ (self._sign * activation))
        elif task == "bursts":
            envelope = activation * self._task_bursts.block(number)
            share = np.minimum(self._responds @ envelope, 1.0)
            signal += (_amplitude(level.task_burst_db) - 1) * share * beta
        elif task == "phase":
            locked = level.coherence * response
            signal += (np.sqrt(1 - locked**2) - 1) * beta + locked * self._common.block(number)[0]
        rise = np.zeros_like(response)
        if task in ("mixed", "high_gamma", "continuous"):
            rise += (_amplitude(level.high_gamma_db) - 1) * response
        rise += (_amplitude(level.burst_db) - 1) * bursts + _MUSCLE_GAIN * movement
        signal += rise * high_gamma
        signal += self._alpha_uv * self._alpha.block(number)[0]
        signal += self._blink_uv * self.blinks.block(number)
        sway = np.sin(2 * np.pi * _MOVEMENT_HZ * times_s).astype(np.float32)
        signal += self._movement_uv * (movement * sway)
        signal *= self._gain
        if self.patient.gain_drift_db:
            signal *= 10 ** (self.patient.drift_db(RandomStream.GAIN, times_s) / 20)
        signal += self._slow @ self._oscillations(times_s)
        if self.patient.impedance_drift_db:
            signal += self._pick_up(number, times_s)
        signal += self._offset_uv
        if self.patient.stimulator is not None:
            self.patient.stimulator.add_to(signal, first_sample)
        if task == "continuous":
            value = self.patient.value_at(times_s)
            signal = np.concatenate([signal, value[np.newaxis].astype(np.float32)])
        return signal

    def _pick_up(self, number: int, times_s: Doubles) -> Floats:
        """Mains and noise that a raised impedance adds: float32 [n_channels, n_samples] µV."""
        drift_db = np.abs(self.patient.drift_db(RandomStream.IMPEDANCE, times_s))
        factor = (10 ** (drift_db / 20)).astype(np.float32)
        mains = self._mains_uv @ self._oscillations(times_s)[: self._mains_uv.shape[1]]
        rng = random_generator(RandomStream.IMPEDANCE, self.patient.seed, number + 1)
        floor_uv = _FLOOR_UV * np.sqrt(self.patient.sfreq_hz / 2)
        noise = floor_uv * rng.standard_normal(mains.shape, np.float32)
        pick_up: Floats = (factor - 1) * mains + np.sqrt(factor**2 - 1) * noise
        return pick_up

    def _background(self, rng: np.random.Generator, positions_mm: Floats) -> FilteredNoise:
        patient, n_samples = self.patient, self.block_samples
        distance_mm = np.linalg.norm(positions_mm[:, np.newaxis] - positions_mm, axis=2)
        covariance = (1 - _SHARED_VARIANCE) * np.exp(-distance_mm / _CORRELATION_MM)
        self.background_correlation = covariance + _SHARED_VARIANCE
        mixing = np.linalg.cholesky(self.background_correlation).astype(np.float32)
        broad = power_law_amplitude(
            rng.uniform(*_BACKGROUND_EXPONENT, patient.n_channels),
            rng.uniform(*_BACKGROUND_RMS_UV, patient.n_channels),
            _FLOOR_UV,
            n_samples,
            patient.sfreq_hz,
        )
        parts = [broad, broad * self._band("beta"), broad * self._band("high gamma")]
        responses = [kernel_response(part) for part in parts]
        signs = np.sign((self._responds * self._sign.T).sum(axis=1, keepdims=True))
        common = np.zeros_like(mixing)
        common[:, :1] = signs
        self._common = FilteredNoise(RandomStream.COMMON, patient.seed, common, responses[1:2])
        return FilteredNoise(RandomStream.BACKGROUND, patient.seed, mixing, responses)

    def _band(self, name: str) -> Doubles:
        return band_amplitude(BANDS_HZ[name], self.block_samples, self.patient.sfreq_hz)

    def _bumps(
        self, draw: RandomStream, rate_hz: float, length_s: tuple[float, float], n_rows: int
    ) -> RandomBumps:
        seed, sfreq_hz = self.patient.seed, self.patient.sfreq_hz
        return RandomBumps(draw, seed, rate_hz, length_s, n_rows, self.block_samples, sfreq_hz)

    def _mains(self, rng: np.random.Generator) -> Floats:
        """Weights of the sines, then cosines, of the harmonics at each contact."""
        shape = (self.patient.n_channels, self._harmonics.size)
        amplitude = _MAINS_UV * rng.lognormal(0.0, 0.5, shape) / self._harmonics**1.5
        phase = rng.normal(0.0, 0.5, shape)
        weights = [amplitude * np.cos(phase), amplitude * np.sin(phase)]
        return np.concatenate(weights, axis=1).astype(np.float32)

    def _drift(self, rng: np.random.Generator) -> Floats:
        n_waves = len(_DRIFT_PERIODS_S)
        scale = _DRIFT_UV / np.sqrt(n_waves)
        return rng.normal(0.0, scale, (self.patient.n_channels, 2 * n_waves)).astype(np.float32)

    def _oscillations(self, times_s: Doubles) -> Floats:
        """Mains, whose frequency wanders by 0.05 Hz, then drift: float32 [n, n_samples]."""
        wander = _MAINS_WANDER_RAD * np.sin(2 * np.pi * times_s / _MAINS_WANDER_PERIOD_S)
        phase = 2 * np.pi * self.patient.mains_hz * times_s + wander
        mains = self._harmonics[:, np.newaxis] * phase
        drift = 2 * np.pi * times_s / np.array(_DRIFT_PERIODS_S)[:, np.newaxis]
        waves = [np.sin(mains), np.cos(mains), np.sin(drift), np.cos(drift)]
        return np.concatenate(waves).astype(np.float32)


class SyntheticSource:
    """A patient's signal as a source of chunks, as fast as they are pulled.

    From `start_sample` on come the same samples as in a recording that starts at 0; without a
    duration it never ends. `activation` is as in `SyntheticSignal`.
    SettingsError for a chunk without samples, or a start or a duration below 0.
    """

    def __init__(
        self,
        patient: Patient,
        *,
        duration_s: float | None = None,
        chunk_samples: int = 64,
        start_sample: int = 0,
        activation: Callable[[int, int], Floats] | None = None,
    ) -> None:
        if chunk_samples < 1:
            raise SettingsError(f"a chunk has 1 sample or more, got {chunk_samples}")
        if start_sample < 0:
            raise SettingsError(f"samples count from 0, got a start at {start_sample}")
        if duration_s is not None and not 0 <= duration_s < np.inf:
            raise SettingsError(f"duration must be a number of 0 s or more, got {duration_s}")
        self.montage: Montage = patient.montage
        self._synthesis = SyntheticSignal(patient, activation)
        self._chunk_samples = chunk_samples
        self._next_sample = start_sample
        self._stop_sample = (
            None if duration_s is None else start_sample + round(duration_s * patient.sfreq_hz)
        )
        self._closed = False

    def pull(self, timeout_s: float = 0.0, at_least: int = 1) -> Chunk | None:
        """Next chunk, at once; None after the last. Stamps are sample number / rate, s."""
        first = self._next_sample
        stop = first + self._chunk_samples
        if self._stop_sample is not None:
            stop = min(stop, self._stop_sample)
        if self._closed or stop <= first:
            return None
        self._next_sample = stop
        data = self._synthesis.samples(first, stop)
        return Chunk(data, np.arange(first, stop) / self.montage.sfreq_hz, first)

    def close(self) -> None:
        """End the recording."""
        self._closed = True


def _amplitude(power_db: float) -> float:
    return float(10 ** (power_db / 20))


def _fall(positions_mm: Floats, at_mm: tuple[float, float, float], fall_mm: float) -> Floats:
    distance_mm = np.linalg.norm(positions_mm - np.array(at_mm), axis=1)
    return np.asarray(np.exp(-distance_mm / fall_mm), np.float32)
