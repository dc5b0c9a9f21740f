"""What flows between the stages: frozen records of numpy arrays, their shapes checked here.

Axes are always channels first. Signals are float32 in microvolts, times float64 in seconds on
the LSL clock of the machine that decodes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import MontageError, list_words
from rtbrain.stream_names import require_labels, require_plausible, require_regions

CONTACT_KINDS = frozenset({"seeg", "ecog", "dbs", "eeg"})
TRIGGER_KIND = "stim"  # codes, whose numbers no unit and no scale changes

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Times = npt.NDArray[np.float64]  # s
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Flags = npt.NDArray[np.uint8]


def _check(name: str, array: npt.NDArray[Any], ndim: int, dtype: type[np.generic]) -> None:
    if array.ndim != ndim or array.dtype != dtype:
        raise ValueError(
            f"{name}: expected {ndim}-dimensional {np.dtype(dtype).name}, "
            f"got shape {array.shape} {array.dtype.name}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Montage:
    """The channels of a signal, in order.

    Attributes
    ----------
    names : tuple of str
        One label per channel, unique.
    kinds : tuple of str
        One per channel, in lower case: ``seeg``, ``ecog``, ``dbs``, ``misc``, ...
    sfreq_hz : float
        Nominal sampling rate in Hz.
    positions : ndarray, float32 [n_channels, 3], or None
        Contact positions in `space`; a row of NaN where a position is unknown.
    space : str or None
        Axes and unit of `positions`, such as ``"LIP voxels"``, ``"MNI mm"``, ``"RAS mm"``.
    regions : tuple of str, or None
        One per channel, as FreeSurfer's DKT atlas names it, such as ``ctx-lh-superiortemporal`` or
        ``Left-Hippocampus``; empty where it is unknown. Other spellings become these.

    Raises
    ------
    MontageError
        Labels repeat, lengths disagree, or names of regions are unknown.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    sfreq_hz: float
    positions: Floats | None = None
    space: str | None = None
    regions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        require_plausible(len(self.names), self.sfreq_hz)
        require_labels((*self.names, *self.kinds))
        if len(set(self.names)) != len(self.names):
            twice = sorted(name for name, n in Counter(self.names).items() if n > 1)
            raise MontageError(f"channel labels repeat: {list_words(twice)}; labels must be unique")
        if len(self.kinds) != len(self.names):
            raise MontageError(f"{len(self.names)} channel labels but {len(self.kinds)} kinds")
        if self.regions is not None:
            regions = require_regions(self.regions, len(self.names))
            object.__setattr__(self, "regions", regions)
        if self.positions is None:
            return
        _check("positions", self.positions, 2, np.float32)
        if self.positions.shape != (len(self.names), 3):
            raise MontageError(
                f"positions: expected shape ({len(self.names)}, 3), got {self.positions.shape}"
            )
        if not self.space:
            raise MontageError("positions need a named space and unit, such as 'MNI mm'")

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.names)

    @property
    def placed(self) -> Mask:
        """Which channels have a position: bool [n_channels]."""
        if self.positions is None:
            return np.zeros(self.n_channels, np.bool_)
        return np.asarray(np.isfinite(self.positions).all(axis=1))

    def pick(self, names: Sequence[str]) -> "Montage":
        """Montage of these channels, in this order; a MontageError where one is not there."""
        rows = self.rows(names)
        positions = None if self.positions is None else self.positions[rows]
        kinds = tuple(self.kinds[row] for row in rows)
        regions = None if self.regions is None else tuple(self.regions[row] for row in rows)
        return replace(self, names=tuple(names), kinds=kinds, positions=positions, regions=regions)

    def rows(self, names: Sequence[str]) -> list[int]:
        """Row of each label; a MontageError where one is not there."""
        row_of = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in row_of]
        if missing:
            raise MontageError(
                f"no channel {list_words(missing)}: the channels are {list_words(self.names, 8)}"
            )
        return [row_of[name] for name in names]


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive samples, as they arrive.

    Attributes
    ----------
    data : ndarray, float32 [n_channels, n_samples]
        Microvolts.
    timestamps : ndarray, float64 [n_samples]
        Seconds, LSL clock.
    first_sample : int
        Number of the first sample at this chunk's rate since the stream began, lost ones too.
    gap : int
        Samples lost just before this chunk, at this chunk's rate.
    flags : ndarray, uint8 [n_samples], or None
        `BLANKED` and the like, as `rtbrain.marks` lists them; 0, or None: nothing.
    """

    data: Floats
    timestamps: Times
    first_sample: int = 0
    gap: int = 0
    flags: Flags | None = None

    def __post_init__(self) -> None:
        _check("chunk data", self.data, 2, np.float32)
        _check("chunk timestamps", self.timestamps, 1, np.float64)
        if self.data.shape[1] != self.timestamps.shape[0]:
            raise ValueError(
                f"chunk has {self.data.shape[1]} samples but {self.timestamps.shape[0]} timestamps"
            )

    @property
    def n_samples(self) -> int:
        """Number of samples per channel."""
        return int(self.data.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Quality of a stretch of signal, and of everything computed from it.

    Attributes
    ----------
    good : ndarray, bool [n_channels]
        Channels to use.
    lost_samples : int
        Samples lost since the stream began, at the rate of the front end's output.
    valid : bool
        Whether to act on a decode of it.
    reason : str
        Why it is not valid; else empty.
    blanked : float
        Share of the samples that were replaced, because of stimulation.
    """

    good: Mask
    lost_samples: int = 0
    valid: bool = True
    reason: str = ""
    blanked: float = 0.0

    def __post_init__(self) -> None:
        _check("good", self.good, 1, np.bool_)

    @property
    def coverage(self) -> float:
        """Share of channels that are good, 0 to 1."""
        return float(self.good.mean()) if self.good.size else 0.0


def empty_chunk(n_channels: int, first_sample: int = 0) -> Chunk:
    """Chunk of no sample."""
    return Chunk(np.empty((n_channels, 0), np.float32), np.empty(0), first_sample)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A stretch of signal of fixed length that ends at `t_stop`.

    Attributes
    ----------
    data : ndarray, float32 [n_channels, n_samples]
        Microvolts; read-only, valid until the next window is cut. NaN where none has arrived.
    t_stop : float
        Time stamp of the last sample, s.
    first_sample, flags
        As those of a chunk.
    """

    data: Floats
    t_stop: float
    first_sample: int
    quality: Quality
    flags: Flags | None = None

    def __post_init__(self) -> None:
        _check("window data", self.data, 2, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrogram:
    """Spectrogram of a window.

    Attributes
    ----------
    data : ndarray, float32 [n_channels, n_frames, n_freqs]
        Z-scores.
    t_stop : float
        End of the window, s.
    first_sample : int
        Number of the window's first sample.
    """

    data: Floats
    t_stop: float
    quality: Quality
    first_sample: int = 0

    def __post_init__(self) -> None:
        _check("spectrogram data", self.data, 3, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Embedding of a spectrogram.

    Attributes
    ----------
    channels : ndarray, float32 [n_channels, n_features]
        One vector per channel; zeros where a channel is not good.
    population : ndarray, float32 [n_population_features]
        One vector for all channels, which the readout reads.
    t_neural : float
        Moment of the brain that it describes, s: the middle of the pooled frames.
    t_stop, drift : float
        As of a `Decode`.
    """

    channels: Floats
    population: Floats
    t_neural: float
    t_stop: float
    quality: Quality
    drift: float = float("nan")

    def __post_init__(self) -> None:
        _check("channel embeddings", self.channels, 2, np.float32)
        _check("population embedding", self.population, 1, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """A decision, with its latency and quality.

    ``latency = (t_stop - t_neural) + (t_received - t_stop) + (t_ready - t_received)``: the
    algorithmic, transport and compute parts.

    Attributes
    ----------
    values : ndarray, float32 [n_outputs]
        A probability per class, or a value per output; NaN where the window was not decoded.
    t_neural : float
        Moment of the brain that it describes, s.
    t_stop : float
        End of the window, s.
    t_received : float
        When the window's last sample arrived, s; NaN offline.
    t_ready : float
        When the values were ready, s; NaN offline.
    drift : float
        How unlike the calibration the window is: 1 at the threshold of a flag; NaN where unknown.
    """

    values: Floats
    t_neural: float
    t_stop: float
    quality: Quality
    t_received: float = float("nan")
    t_ready: float = float("nan")
    drift: float = float("nan")

    def __post_init__(self) -> None:
        _check("decode values", self.values, 1, np.float32)

    @property
    def age_s(self) -> float:
        """Latency: seconds from the moment described to the moment the values were ready."""
        return self.t_ready - self.t_neural

    @property
    def compute_s(self) -> float:
        """Seconds from the arrival of the last sample to the values."""
        return self.t_ready - self.t_received


@dataclass(frozen=True, slots=True)
class Detection:
    """An event that a decoder detected, and whether anything is sent of it.

    Attributes
    ----------
    label : str
        Output that rose above its threshold.
    value : float
        What it was when it was decided.
    t_neural : float
        Moment of the brain that the deciding decode describes, s.
    t_stop : float
        End of its window, s.
    t_ready : float
        When it was decided, s; NaN offline.
    coverage, drift : float
        Of the decode.
    suppressed : str
        Why nothing is sent; empty where it is.
    calibrated : bool
        Whether held-out time says how often its thresholds are wrong.
    """

    label: str
    value: float
    t_neural: float
    t_stop: float
    t_ready: float
    coverage: float
    drift: float
    suppressed: str = ""
    calibrated: bool = False
