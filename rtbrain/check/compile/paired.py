"""Two encoders on the same windows, run as one stage, and how their results differ."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from rtbrain.encoder import EncoderModel, on_threads
from rtbrain.errors import RecordingError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.intervals import paired_jackknife, stretch_blocks
from rtbrain.learn.metrics import scores_of
from rtbrain.stage import Stage
from rtbrain.types import Decode, Embedding, Floats, Ints, Mask, Spectrogram

_NOTHING = np.zeros(0, np.float32)
_NO_CHANNELS = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class EmbeddingErrors:
    """Errors between vectors that should be equal: 1 - cosine, and the largest difference."""

    cosine_p50: float
    cosine_p99: float
    largest: float
    n_vectors: int


def embedding_errors(expected: Floats, found: Floats) -> EmbeddingErrors:
    """How far vectors [n, d] are from the expected ones, less the mean of these.

    Embeddings share most of their direction, so that the cosine of any two is near 1. Subtracting
    each set's own mean would hide an error that all vectors share.
    """
    if len(expected) < 2:
        raise RecordingError(
            f"expected 2 or more windows to compare embeddings on, got {len(expected)}: name a "
            "longer recording"
        )
    shared = expected.mean(axis=0, dtype=np.float64)
    a, b = expected - shared, found - shared
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # A vector that is the mean itself has no direction.
    cosine = (a * b).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    p50, p99 = np.percentile(1 - cosine, (50, 99)) if cosine.size else (np.nan, np.nan)
    largest = np.abs(found.astype(np.float64) - expected).max()
    return EmbeddingErrors(float(p50), float(p99), float(largest), len(expected))


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """A score before and after, and the 95 % interval of the difference."""

    before: float
    after: float
    low: float
    high: float

    @property
    def fall(self) -> float:
        """How much is lost; below 0 where something is gained."""
        return self.before - self.after

    @property
    def span(self) -> str:
        """The interval in words."""
        if np.isnan(self.low):
            return "too few stretches for an interval"
        return f"{self.low:+.4f} to {self.high:+.4f}"


def score_changes(
    before: Floats, after: Floats, labelled: Labelled, *, block_s: float
) -> dict[str, ScoreChange]:
    """Scores of a decoder before and after, with the interval of their difference.

    Both are scored on the same blocks, of `block_s` or longer: the interval is that of the
    difference, not of how hard the windows are.
    """
    targets = labelled.targets
    blocks = stretch_blocks(labelled, embargo_s=block_s)
    intervals = paired_jackknife(after, before, targets, blocks)
    scores_before, scores_after = scores_of(before, targets), scores_of(after, targets)
    return {
        name: ScoreChange(score, scores_after[name], intervals[name].low, intervals[name].high)
        for name, score in scores_before.items()
    }


def decisive(found: dict[str, ScoreChange]) -> tuple[str, ScoreChange]:
    """Name and value of the score that decides: AUC, or correlation."""
    name = "auc" if "auc" in found else "pearson_r"
    return name, found[name]


@dataclass(slots=True, eq=False)
class PairedEncoder:
    """Encoder stage that returns what `before` does, and runs `after` on the same windows."""

    before: Stage[Spectrogram, Embedding]
    after: Stage[Spectrogram, Embedding]
    exact: Callable[[Floats, Mask], tuple[Floats, Floats]]
    length_s: float
    most: int
    every: int
    from_s: float = 0.0
    population: Floats = field(default_factory=lambda: _NOTHING)
    _seen: int = 0
    _channels: list[tuple[Floats, Floats]] = field(default_factory=list)
    _populations: list[tuple[Floats, Floats]] = field(default_factory=list)

    @property
    def n_compared(self) -> int:
        """Windows compared so far."""
        return len(self._populations)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding by the first encoder."""
        if item.t_stop - self.length_s < self.from_s:
            return _left_out(item, "the encoder was calibrated on it")
        after = self.after(item)
        self.population = after.population
        if self._seen % self.every == 0 and self.n_compared < self.most:
            good = item.quality.good
            channels, population = self.exact(item.data, good)
            self._channels.append((channels[good], after.channels[good]))
            self._populations.append((population, after.population.copy()))
        self._seen += 1
        return self.before(item)

    def reset(self) -> None:
        """Reset both encoders, but not the comparison."""
        self.before.reset()
        self.after.reset()

    def differences(self) -> tuple[EmbeddingErrors, EmbeddingErrors]:
        """Errors of `after` against the eager model: of channels, and of the population."""
        populations = [np.stack(each) for each in zip(*self._populations, strict=True)]
        if not populations:
            populations = [np.empty((0, 1), np.float32)] * 2
        of_population = embedding_errors(populations[0], populations[1])
        channels = [np.concatenate(each) for each in zip(*self._channels, strict=True)]
        return embedding_errors(channels[0], channels[1]), of_population


@dataclass(slots=True, eq=False)
class PairedReadout:
    """Readout stage that returns what `before` returns, and keeps the second encoder's decodes."""

    before: Stage[Embedding, Decode]
    after: Stage[Embedding, Decode]
    encoder: PairedEncoder
    decodes: list[Decode] = field(default_factory=list)

    def __call__(self, item: Embedding) -> Decode:
        """Decode of the first encoder."""
        other = item
        if item.quality.valid:
            other = replace(item, population=self.encoder.population)
        self.decodes.append(self.after(other))
        return self.before(item)

    def reset(self) -> None:
        """Reset both; the decodes are kept."""
        self.before.reset()
        self.after.reset()


@dataclass(slots=True, eq=False)
class SpectrogramCollector:
    """Encoder stage that only keeps spectrograms, to calibrate on."""

    until_s: float
    most: int
    every: int
    windows: list[Floats] = field(default_factory=list)
    _seen: int = 0

    def __call__(self, item: Spectrogram) -> Embedding:
        """Not valid: nothing was encoded."""
        if item.t_stop <= self.until_s and len(self.windows) < self.most:
            if self._seen % self.every == 0:
                rows = np.flatnonzero(item.quality.good)
                self.windows.append(item.data[np.resize(rows, len(item.data))])
            self._seen += 1
        return _left_out(item, "kept to calibrate on")

    def reset(self) -> None:
        """Nothing to reset."""


def _left_out(item: Spectrogram, reason: str) -> Embedding:
    quality = replace(item.quality, valid=False, reason=reason)
    return Embedding(_NO_CHANNELS, _NOTHING, item.t_stop, item.t_stop, quality)


def eager_reference(
    model: EncoderModel, positions: Ints | None, *, threads: int
) -> Callable[[Floats, Mask], tuple[Floats, Floats]]:
    """The eager model in float32, as a function of spectrograms and good channels."""
    model.eval()

    def exact(spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        where = np.zeros((len(good), 3), np.int64) if positions is None else positions
        # torch warns of arrays that are read-only, as views of a stage's buffers may be.
        arrays = [np.require(array, requirements="W") for array in (spectrogram, where, good)]
        with on_threads(threads), torch.inference_mode():
            channels, population = model(*(torch.from_numpy(array) for array in arrays))
        return channels.numpy(), population.numpy()

    return exact
