"""Windows, before any reference, to the features of every front end: the work is done once.

References, like frames, are sums of samples: they are taken of the products of each frame with its
cosines and sines, so that every frame is transformed once for all references.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rtbrain.config import BandSettings, SignalStep
from rtbrain.learn.fit.front_end.names import FrontEnd
from rtbrain.signal import build_signal
from rtbrain.spectrogram.bands import LEAST_MAGNITUDE, band_basis
from rtbrain.stage import SignalStage
from rtbrain.types import Chunk, Floats, Ints, Montage, Window

_MOST_DEVIATIONS = 5.0  # that a frame feeds, as in RunningZScore
Halves = npt.NDArray[np.float16]


class SharedSpectra:
    """Features of a window by every front end, to choose among them.

    They are z-scores as a decoder has them, but for two shortcuts: the statistics are fed with all
    frames of a window together, and its mean magnitude is normalised, not each frame. Where a
    contact turns bad within a frame, a reference misses that frame.
    """

    def __init__(
        self,
        montage: Montage,
        front_ends: Sequence[FrontEnd],
        *,
        length_samples: int,
        hop_samples: int,
        time_constant_s: float,
    ) -> None:
        bands = {band for one in front_ends for band in one.bands}
        wide = [band for band in bands if not any(_holds(other, band) for other in bands)]
        self._bases = {band: band_basis(band, montage.sfreq_hz, []) for band in wide}
        self._starts, n_bins = {}, 0
        for band, basis in self._bases.items():
            self._starts[band] = n_bins
            n_bins += basis.freqs_hz.size
        self._n_bins = n_bins
        self._hop = hop_samples
        longest = max(basis.frame_samples for basis in self._bases.values())
        self._n_frames = (length_samples - longest) // hop_samples + 1
        self._pools = list(dict.fromkeys(one.n_pooled or self._n_frames for one in front_ends))
        self._frames_s = time_constant_s * montage.sfreq_hz / hop_samples
        self._references: dict[str, SignalStage] = {
            name: build_signal(
                () if name == "as_given" else (SignalStep.model_validate({"reference": name}),),
                montage,
            )
            for name in dict.fromkeys(one.reference for one in front_ends)
        }
        self._rows: dict[str, list[Halves]] = {name: [] for name in self._references}
        self.reset()

    @property
    def row_bytes(self) -> int:
        """Memory that the features of a window take, of all front ends."""
        n_channels = sum(stage.montage.n_channels for stage in self._references.values())
        return 2 * len(self._pools) * n_channels * 2 * self._n_bins

    def reset(self) -> None:
        """Forget the statistics, as for the next recording; the rows stay."""
        self._statistics = {
            name: np.zeros((2, stage.montage.n_channels, 2 * self._n_bins), np.float32)
            for name, stage in self._references.items()
        }
        self._n_fed = 0
        self._last: int | None = None

    def add(self, window: Window) -> None:
        """Keep a row of every front end's features of a window."""
        since = (window.first_sample - (self._last or 0)) // self._hop
        n_new = min(self._n_frames, since) if self._last is not None else self._n_frames
        if n_new > 0:
            self._last, self._n_fed = window.first_sample, self._n_fed + n_new
        weight = n_new / min(self._n_fed, self._frames_s + n_new)
        products = self._transform(window.data)
        stamps = np.zeros(products[0].size)
        for name, stage in self._references.items():
            parts = stage(Chunk(products.reshape(len(products), -1), stamps)).data
            values = self._magnitudes(parts.reshape(-1, self._n_frames, 2, self._n_bins))
            mean, variance = self._statistics[name]
            # NaN is a value here, of its own channel alone.
            with np.errstate(invalid="ignore", over="ignore"):
                if n_new > 0:
                    _feed(mean, variance, values[:, self._n_frames - n_new :], weight)
                deviation = np.sqrt(variance)
                deviation[deviation == 0] = 1
                pooled = [values[:, -n:].mean(axis=1) for n in self._pools]
                z_scores = (np.stack(pooled) - mean) / deviation
                self._rows[name].append(z_scores.astype(np.float16))

    def features(self, front_end: FrontEnd) -> Floats:
        """Features of all windows, float32 [n_windows, n_features]; NaN where a contact is bad."""
        pool = self._pools.index(front_end.n_pooled or self._n_frames)
        columns = self._columns(front_end)
        rows = [row[pool][:, columns].ravel() for row in self._rows[front_end.reference]]
        return np.array(rows, np.float32)

    def _columns(self, front_end: FrontEnd) -> Ints:
        """Which values of each channel a front end reads."""
        found = []
        for band in front_end.bands:
            wide = next(one for one in self._bases if one == band or _holds(one, band))
            n_bins = self._bases[wide].freqs_hz.size
            bins = np.arange(band.bins.start, band.bins.stop) - wide.bins.start
            found.append(self._starts[wide] + bins[bins < n_bins])
        return np.concatenate(found) + (self._n_bins if front_end.scale == "log" else 0)

    def _transform(self, data: Floats) -> Floats:
        """Products of all frames with cosines and sines, [n_channels, n_frames, 2, n_bins]."""
        out = np.empty((len(data), self._n_frames, 2, self._n_bins), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            for index in range(self._n_frames):
                stop = data.shape[1] - (self._n_frames - 1 - index) * self._hop
                for band, basis in self._bases.items():
                    parts = data[:, stop - basis.frame_samples : stop] @ basis.basis
                    first, n_bins = self._starts[band], basis.freqs_hz.size
                    out[:, index, :, first : first + n_bins] = parts.reshape(-1, 2, n_bins)
        return out

    def _magnitudes(self, parts: Floats) -> Floats:
        """Magnitudes, then their logarithms: [n_channels, n_frames, 2 * n_bins]."""
        out = np.empty_like(parts)
        magnitude, logarithm = out[:, :, 0], out[:, :, 1]
        with np.errstate(invalid="ignore", over="ignore"):
            np.multiply(parts[:, :, 0], parts[:, :, 0], out=magnitude)
            magnitude += parts[:, :, 1] * parts[:, :, 1]
            np.sqrt(magnitude, out=magnitude)
            np.log(np.maximum(magnitude, np.float32(LEAST_MAGNITUDE)), out=logarithm)
        return out.reshape(len(out), self._n_frames, -1)


def _feed(mean: Floats, variance: Floats, frames: Floats, weight: float) -> None:
    """Update statistics [n_channels, n_bins] in place with frames [n_channels, n, n_bins]."""
    delta = frames - mean[:, None]
    known = variance > 0
    if known.any():
        bound = np.where(known, _MOST_DEVIATIONS * np.sqrt(variance), np.float32(np.inf))[:, None]
        np.clip(delta, -bound, bound, out=delta)
    finite = np.isfinite(delta).all(axis=(1, 2))
    step = np.where(finite[:, None], weight * delta.mean(axis=1), 0)
    squares = np.einsum("cnf,cnf->cf", delta, delta) / frames.shape[1]
    squares[~finite] = variance[~finite]
    mean += step
    variance += weight * (squares - variance) - step * step


def _holds(wide: BandSettings, band: BandSettings) -> bool:
    """Whether a band has all bins of another, of the same frames, and more."""
    inside = wide.bins.start <= band.bins.start and band.bins.stop <= wide.bins.stop
    return wide.frame_s == band.frame_s and inside and len(wide.bins) > len(band.bins)
