"""The mains hum that signals hold: at 50 Hz, at 60 Hz or neither; measured on raw contacts."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from rtbrain.signal.quality_rules import medians
from rtbrain.signal.reference import contact_rows
from rtbrain.types import Chunk, Doubles, Floats, Montage

MainsHz = Literal[50, 60]
FAMILIES_HZ: tuple[MainsHz, MainsHz] = (50, 60)
SEGMENT_S = 2.0
MAX_SEGMENTS = 30
_HARMONICS = 4  # the fifth of 60 Hz is the sixth of 50 Hz
_LINE_HZ = 0.75  # a grid strays by 0.2 Hz, a rate by 0.5 %
_NEAR_HZ, _FAR_HZ = 2.0, 6.0  # where the neighbours of a line lie
_HIGHEST_HZ = FAMILIES_HZ[1] * _HARMONICS + _FAR_HZ
_MAX_CONTACTS = 32
_SHARE = 0.75  # hum in a quarter of the contacts counts
# A line this far above its neighbours is one; more where few segments leave the power unsure.
_CLEAR_DB, _UNSURE_DB = 4.0, 8.0
_APART_DB = 6.0  # of two families, this much stronger
# A line so far below one at a half or a third of its frequency is that one's harmonic.
_SUBHARMONIC_DB = 10.0
JUDGED_AFTER = 5  # segments


@dataclass(frozen=True, slots=True)
class Mains:
    """Which hum was found, and by how much each stands out of its neighbours, dB."""

    hz: MainsHz | None
    power_db: Mapping[MainsHz, float]  # NaN where the rate is too low to hold it

    def __str__(self) -> str:
        if np.isnan([*self.power_db.values()]).all():
            return "too short, or at too low a rate, to measure it"
        powers = ", ".join(f"{hz} Hz {db:+.1f} dB" for hz, db in self.power_db.items())
        return f"{powers} over the frequencies beside"


class MainsMeter:
    """Measures the hum of up to 32 contacts on up to 30 segments of 2 s, the newest ones.

    In each segment the power spectrum; of these the median, which bursts do not move. A family
    shows at its fundamental, or at two of its first three harmonics where a filter of the amplifier
    took that out. A line at a half or a third of the fundamental that is 10 dB stronger, as the
    16.7 Hz of a railway, explains it. `measured` gives no family where neither is clear, or both.
    """

    def __init__(self, montage: Montage) -> None:
        rows = contact_rows(montage) or list(range(montage.n_channels))
        self.rows = np.asarray(rows[:: -(-len(rows) // _MAX_CONTACTS)])
        self.n_samples = max(8, round(SEGMENT_S * montage.sfreq_hz))  # of a segment
        freqs_hz = np.fft.rfftfreq(self.n_samples, 1 / montage.sfreq_hz)
        self._freqs_hz = freqs_hz[freqs_hz <= _HIGHEST_HZ]
        self._taper = scipy.signal.get_window("hann", self.n_samples)
        self._powers: deque[Doubles] = deque(maxlen=MAX_SEGMENTS)
        self._held: list[Floats] = []
        self._n_held = 0

    def take(self, chunk: Chunk) -> Iterator[Floats]:
        """Measure each segment that a chunk of the whole montage completes; these segments."""
        if chunk.gap:
            self._held, self._n_held = [], 0
        start = 0
        while start < chunk.n_samples:
            stop = min(start + self.n_samples - self._n_held, chunk.n_samples)
            self._held.append(chunk.data[self.rows, start:stop])
            self._n_held += stop - start
            start = stop
            if self._n_held == self.n_samples:
                segment = np.concatenate(self._held, axis=1)
                self._held, self._n_held = [], 0
                self.add(segment)
                yield segment

    def add(self, segment: Floats) -> None:
        """Take a segment of consecutive samples of `rows`, float32 [n_rows, n_samples], µV."""
        signal = segment.astype(np.float64)
        with np.errstate(invalid="ignore"):  # a value that is not finite spoils its own contact
            signal = (signal - signal.mean(axis=1, keepdims=True)) * self._taper
            spectrum = np.fft.rfft(signal, axis=1)[:, : self._freqs_hz.size]
            self._powers.append(np.abs(spectrum) ** 2)

    def measured(self) -> Mains:
        """What was found so far."""
        power = np.array(self._powers)
        power = power[:, np.isfinite(power).all(axis=(0, 2))] if power.size else power
        if not power.size or not power.any():
            return Mains(None, dict.fromkeys(FAMILIES_HZ, float("nan")))
        median = medians(np.moveaxis(power, 0, -1))[..., 0]  # [C, F]
        found = {hz: self._family(median, hz) for hz in FAMILIES_HZ}
        clear_db = _CLEAR_DB + _UNSURE_DB / len(power) ** 0.5
        strongest = max(FAMILIES_HZ, key=lambda hz: np.nan_to_num(found[hz], nan=-np.inf))
        others = [db for hz, db in found.items() if hz != strongest and db >= clear_db]
        clear = found[strongest] >= clear_db
        clear &= all(found[strongest] >= db + _APART_DB for db in others)
        return Mains(strongest if clear else None, found)

    def _family(self, power: Doubles, hz: int) -> float:
        fundamental = self._line(power, hz)
        if fundamental is None:
            return float("nan")
        for below in (self._line(power, hz / 2), self._line(power, hz / 3)):
            if below is None or below.over_db < _SUBHARMONIC_DB:
                continue
            if below.power >= 10 ** (_SUBHARMONIC_DB / 10) * fundamental.power:
                return 0.0
        lines = (self._line(power, k * hz) for k in range(2, _HARMONICS + 1))
        harmonics = sorted(line.over_db for line in lines if line is not None)
        return max([fundamental.over_db, *harmonics[-2:-1]])

    def _line(self, power: Doubles, hz: float) -> "_Line | None":
        """A line in spectra [C, F]; None where the rate is too low to hold it."""
        if hz + _NEAR_HZ + 1 > self._freqs_hz[-1]:
            return None
        apart = np.abs(self._freqs_hz - hz)
        beside = medians(power[:, (apart >= _NEAR_HZ) & (apart <= _FAR_HZ)])[:, 0]
        line = power[:, apart <= _LINE_HZ].max(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            over_db = np.nan_to_num(10 * np.log10(line / beside), posinf=0.0, neginf=0.0)
        return _Line(*np.quantile((over_db, line - beside), _SHARE, axis=1).tolist())


@dataclass(frozen=True, slots=True)
class _Line:
    over_db: float  # its neighbours
    power: float  # without theirs


def measure_mains(montage: Montage, n_samples: int, read: Callable[[int, int], Floats]) -> Mains:
    """Hum of a recording, on segments from its start to its end; `read` as that of a recording."""
    meter = MainsMeter(montage)
    n_whole = n_samples // meter.n_samples
    starts = np.linspace(0, n_samples - meter.n_samples, min(n_whole, MAX_SEGMENTS))
    for start in starts.astype(int).tolist():
        meter.add(read(start, start + meter.n_samples)[meter.rows])
    return meter.measured()


def contradiction(mains: Mains, removed_hz: int | None) -> str:
    """What to say where the hum is not what a recipe removes; empty where nothing contradicts."""
    if mains.hz is None or removed_hz is None or mains.hz == removed_hz:
        return ""
    return (
        f"the mains hum is at {mains.hz} Hz ({mains}), the decoder removes {removed_hz} Hz: fit it "
        f"with --mains {mains.hz}"
    )


class MainsCheck:
    """Lets chunks through, and reports where their hum is not what the decoder removes.

    Measured every 10 s of the first minute, and of that after a gap of 2 s or more. `on_event` is
    called with ``mains``, once for what was found.
    """

    def __init__(
        self, montage: Montage, removed_hz: int | None, on_event: Callable[..., None]
    ) -> None:
        self.montage = montage
        self._removed_hz, self._on_event = removed_hz, on_event
        self._reported_hz: int | None = None
        self.reset()

    def reset(self) -> None:
        """Begin to measure."""
        self._meter = MainsMeter(self.montage)
        self._n_segments = 0

    def __call__(self, chunk: Chunk) -> Chunk:
        """The same chunk."""
        if chunk.gap >= self._meter.n_samples:
            self.reset()
        if self._n_segments < MAX_SEGMENTS:
            for _ in self._meter.take(chunk):
                self._n_segments += 1
                if self._n_segments % JUDGED_AFTER == 0:
                    self._judge()
        return chunk

    def _judge(self) -> None:
        mains = self._meter.measured()
        reason = contradiction(mains, self._removed_hz)
        if reason and mains.hz != self._reported_hz:
            self._reported_hz = mains.hz
            self._on_event("mains", reason=reason)
