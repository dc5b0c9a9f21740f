"""A recording to rows of features: what a decoder, and each control, sees of each window."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
import scipy.fft

from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Stage
from rtbrain.types import Chunk, Embedding, Floats, Mask, Montage, Spectrogram, Times, Window

# Between training and test, however short the window: states of the brain last for seconds.
LEAST_EMBARGO_S = 5.0
# Windows with a hop below the first are subsampled to about the second: neighbours that overlap
# more cost time and add nothing.
_OFTEN_S, _APART_S = 0.1, 0.25
STFT_FRAME_S = 0.25  # 512 samples at 2048 Hz
_OVERLAP = 4  # a frame begins every quarter of its length
_HIGHEST_HZ = 150.0


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """Features of the valid windows, by the name of their maker."""

    rows: dict[str, Floats]  # dict of str to ndarray, float32 [n_windows, n_features]
    channels: Floats  # float32 [n_windows, n_channels, n_features]; empty where not kept
    spectrograms: Floats  # float32 [n_windows, n_channels, n_frames, n_freqs]; likewise
    good: Mask  # bool [n_windows, n_channels]
    t_stop: Times  # float64 [n_windows], s
    t_neural: Times  # float64 [n_windows], s: the moment that each window's features describe
    n_invalid: int


def gather(
    chunks: Iterable[Chunk],
    pipeline: FeaturePipeline,
    encoders: Mapping[str, Stage[Spectrogram, Embedding]],
    *,
    raw: Mapping[str, Callable[[Window], Floats]] | None = None,
    every: int = 1,
    keep_channels: str | None = None,
    keep_spectrograms: bool = False,
) -> FeatureRows:
    """Run chunks through the live stages, and keep the features of every `every`-th valid window.

    Encoders run in their order; makers in `raw` read the window itself. Memory holds the features
    and a window, never the recording.
    """
    raw = raw or {}
    kept: dict[str, list[Floats]] = {name: [] for name in (*encoders, *raw)}
    channels: list[Floats] = []
    spectrograms: list[Floats] = []
    good, t_stop, t_neural = [], [], []
    n_invalid = 0
    windows = (window for chunk in chunks for window in pipeline.cut(chunk))
    for window, spectrogram in _spectrograms(windows, pipeline.spectrogram, every):
        if spectrogram is None:
            n_invalid += 1
            continue
        moment = window.t_stop
        if keep_spectrograms:
            spectrograms.append(spectrogram.data.copy())
        for name, encoder in encoders.items():
            embedding = encoder(spectrogram)
            kept[name].append(embedding.population)
            moment = min(moment, embedding.t_neural)
            if name == keep_channels:
                channels.append(embedding.channels)
        for name, make in raw.items():
            kept[name].append(make(window))
        good.append(spectrogram.quality.good.copy())
        t_stop.append(window.t_stop)
        t_neural.append(moment)
    n_windows = len(t_stop)
    return FeatureRows(
        {name: _stacked(rows) for name, rows in kept.items()},
        _stacked(channels),
        _stacked(spectrograms),
        np.array(good, bool).reshape(n_windows, -1 if n_windows else 0),
        np.array(t_stop),
        np.array(t_neural),
        n_invalid,
    )


def _spectrograms(
    windows: Iterable[Window], make: Stage[Window, Spectrogram], every: int
) -> Iterator[tuple[Window, Spectrogram | None]]:
    """Every `every`-th valid window with its spectrogram, and all that are not valid.

    Of the windows between, only those are transformed whose frames the next one does not hold, or
    judges otherwise: the statistics are fed as if each were, with a fraction of the calls.
    """
    n_valid = 0
    last: Window | None = None  # that was transformed
    skipped: Window | None = None  # the newest that was not
    for window in windows:
        if skipped is not None and last is not None:
            n_samples = window.first_sample - last.first_sample
            known, now = skipped.quality, window.quality
            if (
                not 0 < n_samples <= _reach_samples(make)
                or not now.valid
                or now.lost_samples != known.lost_samples
                or (now.good != known.good).any()
            ):
                make(skipped)
                last = skipped
        skipped = None
        if window.quality.valid and n_valid % every and last is not None:
            n_valid += 1
            skipped = window
            continue
        made = make(window) if window.quality.valid else None
        if made is None or not made.quality.good.any():
            yield window, None
            continue
        n_valid += 1
        last = window
        yield window, made
    if skipped is not None:
        make(skipped)


def _reach_samples(spectrogram: Any) -> float:
    """Samples by which a window may come after the one before and still hold all frames between."""
    centres = spectrogram.grid.centres_samples
    return float(centres.size * (centres[1] - centres[0])) if centres.size > 1 else 0.0


def windows_apart(hop_s: float) -> int:
    """Number of sliding windows of which one is kept for a fit."""
    return round(_APART_S / hop_s) if hop_s < _OFTEN_S else 1


def join_features(parts: list[FeatureRows]) -> FeatureRows:
    """Features of several recordings, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return FeatureRows(
        {name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows},
        np.concatenate([part.channels for part in parts]),
        np.concatenate([part.spectrograms for part in parts]),
        np.concatenate([part.good for part in parts]),
        np.concatenate([part.t_stop for part in parts]),
        np.concatenate([part.t_neural for part in parts]),
        sum(part.n_invalid for part in parts),
    )


def _stacked(rows: list[Floats]) -> Floats:
    """Rows as one array; each is released as it is copied, so that memory is not doubled."""
    if not rows:
        return np.empty((0, 0), np.float32)
    out = np.empty((len(rows), *rows[0].shape), np.float32)
    for number in range(len(rows)):
        out[number] = rows[number]
        rows[number] = rows[number][:0]
    return out


class LinearStft:
    """Window to features that a linear model reads: no encoder, no memory.

    Magnitudes of Hann frames of 0.25 s, or all where that is less, with 75 % overlap, up to 150 Hz,
    averaged over a stretch of the window; frames lie against its end, so that the newest sample
    counts. On the public benchmark a linear model on such magnitudes beats pretrained encoders.

    References
    ----------
    Zahorodnii et al. 2025, Neuroprobe, arXiv:2509.21671.
    """

    def __init__(self, montage: Montage, *, length_samples: int, n_newer_samples: int = 0) -> None:
        self._frame = min(round(STFT_FRAME_S * montage.sfreq_hz), length_samples)
        self._length = length_samples
        self._newer = n_newer_samples
        self._hop = max(1, self._frame // _OVERLAP)
        freqs = np.arange(self._frame // 2 + 1) * montage.sfreq_hz / self._frame
        self._n_freqs = int(np.searchsorted(freqs, _HIGHEST_HZ, side="right"))
        self._taper = scipy.signal.get_window("hann", self._frame).astype(np.float32)

    def __call__(self, item: Window) -> Floats:
        """Mean magnitudes, float32 [n_channels * n_freqs], µV; bad channels as they are."""
        stop = item.data.shape[1] - self._newer
        read = item.data[:, max(stop - self._length, 0) : stop]
        frames = np.lib.stride_tricks.sliding_window_view(read, self._frame, axis=1)
        newest_first = frames[:, :: -self._hop]
        magnitudes = np.abs(scipy.fft.rfft(newest_first * self._taper, axis=-1))
        mean: Floats = magnitudes[..., : self._n_freqs].mean(axis=1, dtype=np.float32)
        return mean.reshape(-1)


class RandomChannelSubset:
    """Stage from Spectrogram to the embedding of a random share of its good channels.

    A readout that was fitted on whole montages alone fails when half of the contacts go bad: the
    population embedding of the rest lies where it had no training windows. Swap-VAE
    (arXiv:2111.02338) trains against lost units in the same way.
    """

    def __init__(
        self, encoder: Stage[Spectrogram, Embedding], *, most: float = 0.7, seed: int = 0
    ) -> None:
        self._encoder = encoder
        self._most = most
        self._seed = seed
        self._rng = np.random.default_rng(seed)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of some of the good channels."""
        good = np.flatnonzero(item.quality.good)
        n_out = int(self._rng.uniform(0, self._most) * good.size)
        fewer = item.quality.good.copy()
        fewer[self._rng.permutation(good)[:n_out]] = False
        return self._encoder(replace(item, quality=replace(item.quality, good=fewer)))

    def reset(self) -> None:
        """Draw from the start."""
        self._rng = np.random.default_rng(self._seed)
        self._encoder.reset()
