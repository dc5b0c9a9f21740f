"""A recording to rows of features: what a decoder, and each control, sees of each window."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy
import scipy.fft

from rtbrain.buffer import Windows
from rtbrain.pipeline import FeaturePipeline
from rtbrain.signal import Chain
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
_BATCH_BYTES = 2**25  # of the spectrograms that are encoded together


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
    encoders: "Mapping[str, Stage[Spectrogram, Embedding] | RandomChannelSubset]",
    *,
    raw: Mapping[str, Callable[[Window], Floats]] | None = None,
    every: int = 1,
    keep_channels: str | None = None,
    keep_spectrograms: bool = False,
) -> FeatureRows:
    """Run chunks through the live stages, and keep the features of every `every`-th valid window.

    Encoders run in their order, on some windows at a time; a `RandomChannelSubset` reads what the
    one before it gave, makers in `raw` the window itself. Memory holds the features and these
    windows, never the recording.
    """
    raw = raw or {}
    kept: dict[str, list[Floats]] = {name: [] for name in (*encoders, *raw)}
    channels: list[Floats] = []
    spectrograms: list[Floats] = []
    good, t_stop, t_neural = [], [], []
    n_invalid = 0
    windows = windows_of(chunks, pipeline)
    batch: list[Spectrogram] = []

    def encode() -> None:
        embeddings: list[Embedding] = []
        moments = [item.t_stop for item in batch]
        for name, encoder in encoders.items():
            if isinstance(encoder, RandomChannelSubset):  # of the encoder before it
                embeddings = encoder.of(embeddings)
            elif isinstance(encoder, EncodesMany):
                embeddings = encoder.many(batch)
            else:
                embeddings = [encoder(item) for item in batch]
            kept[name] += [one.population for one in embeddings]
            moments = [min(at, one.t_neural) for at, one in zip(moments, embeddings, strict=True)]
            if name == keep_channels:
                channels.extend(one.channels for one in embeddings)
        t_neural.extend(moments)
        batch.clear()

    for window, spectrogram in _spectrograms(windows, pipeline.spectrogram, every):
        if spectrogram is None:
            n_invalid += 1
            continue
        if keep_spectrograms:
            spectrograms.append(spectrogram.data.copy())
        for name, make in raw.items():
            kept[name].append(make(window))
        good.append(spectrogram.quality.good.copy())
        t_stop.append(window.t_stop)
        batch.append(spectrogram)
        if (len(batch) + 1) * spectrogram.data.nbytes > _BATCH_BYTES:
            encode()
    encode()
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


def windows_of(chunks: Iterable[Chunk], pipeline: FeaturePipeline) -> Iterator[Window]:
    """Windows of chunks; a chunk is filtered on a second core while the one before is encoded.

    Not where nothing is left to filter, nor where windows are cut at markers: these come with the
    chunks, and must not be ahead of them.
    """
    filtered = isinstance(pipeline.signal, Chain) and pipeline.signal.is_empty
    if filtered or not isinstance(pipeline.windows, Windows):
        for chunk in chunks:
            yield from pipeline.cut(chunk)
        return
    with ThreadPoolExecutor(1, "filter") as pool:
        ahead: Future[Chunk] | None = None
        for chunk in chunks:
            ready, ahead = ahead, pool.submit(pipeline.signal, chunk)
            if ready is not None:
                yield from pipeline.windows(ready.result())
        if ahead is not None:
            yield from pipeline.windows(ahead.result())


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


def fill_missing(rows: Floats) -> Floats:
    """Rows whose NaN are replaced by the mean of their feature."""
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    means = np.where(missing, 0, rows).sum(axis=0) / np.maximum((~missing).sum(axis=0), 1)
    filled: Floats = np.where(missing, means, rows).astype(np.float32)
    return filled


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


@runtime_checkable
class EncodesMany(Stage[Spectrogram, Embedding], Protocol):
    """An encoder that takes many windows at once, and a population apart from its channels."""

    def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
        """Embedding of each window in turn."""
        ...

    def population(self, channels: Floats, good: Mask) -> Floats:
        """Embeddings of the population float32 [B, P], from [B, C, D] and which are good."""
        ...


class RandomChannelSubset:
    """Embeddings of windows to those of a random share of their good channels.

    A readout that was fitted on whole montages alone fails when half of the contacts go bad: the
    population embedding of the rest lies where it had no training windows. Swap-VAE
    (arXiv:2111.02338) trains against lost units in the same way.
    """

    def __init__(
        self, population: Callable[[Floats, Mask], Floats], *, most: float = 0.7, seed: int = 0
    ) -> None:
        self._population = population
        self._most = most
        self._rng = np.random.default_rng(seed)

    def of(self, items: Sequence[Embedding]) -> list[Embedding]:
        """Embeddings of some of the good channels."""
        if not items:
            return []
        fewer = [self._some(item.quality.good) for item in items]
        channels = [
            np.where(good[:, None], item.channels, np.float32(0))
            for item, good in zip(items, fewer, strict=True)
        ]
        found = self._population(np.stack(channels), np.stack(fewer))
        return [
            replace(item, channels=of, population=one, quality=replace(item.quality, good=good))
            for item, of, one, good in zip(items, channels, found, fewer, strict=True)
        ]

    def _some(self, good: Mask) -> Mask:
        rows = np.flatnonzero(good)
        n_out = int(self._rng.uniform(0, self._most) * rows.size)
        fewer = good.copy()
        fewer[self._rng.permutation(rows)[:n_out]] = False
        return fewer
