"""A compiled encoder compared with the uncompiled one: embeddings, decodes, time per step."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from rtbrain.check.compile.paired import (
    EmbeddingErrors,
    PairedEncoder,
    PairedReadout,
    ScoreChange,
    score_changes,
)
from rtbrain.check.compile.sources import CheckRecording
from rtbrain.config import Recipe
from rtbrain.decoder import Bundle, Readout
from rtbrain.learn.evaluate import decode_labelled
from rtbrain.live.play import play_recording
from rtbrain.live.realtime_check import random_walk_windows
from rtbrain.pipeline import FeaturePipeline
from rtbrain.progress import show_progress
from rtbrain.stage import Stage
from rtbrain.types import Embedding, Floats, Quality, Spectrogram, Times

_MAX_COMPARED = 64  # windows: the eager model is slow
_MAX_STEPS, _MIN_STEPS, _MAX_S = 100, 5, 20.0
_MIN_STEPS_OF_P99 = 100  # with fewer, it is the slowest step


@dataclass(frozen=True, slots=True, eq=False)
class CheckResult:
    """Errors of embeddings and changes of scores after compiling."""

    channels: EmbeddingErrors
    population: EmbeddingErrors
    n_windows: int
    changes: dict[str, ScoreChange]
    n_labelled: int


@dataclass(frozen=True, slots=True)
class AlternatedTimes:
    """Median and 99 % of steps, ms: spectrogram, encoder and readout of a window."""

    before_ms: tuple[float, float | None]
    after_ms: tuple[float, float | None]
    hop_ms: float | None
    n_steps: int


class CompiledCheck:
    """Plays recordings to two encoders at once, and compares them."""

    def __init__(
        self,
        console: Console,
        bundle: Bundle,
        before: Stage[Spectrogram, Embedding],
        after: Stage[Spectrogram, Embedding],
        exact: Callable[..., tuple[Floats, Floats]],
        *,
        duration_s: float,
    ) -> None:
        window = bundle.recipe.window
        self._length_s = window.length_s
        n_windows = 1 if window.hop_s is None else int(duration_s / window.hop_s)
        self._paired = PairedEncoder(
            before,
            after,
            exact,
            length_s=window.length_s,
            most=_MAX_COMPARED,
            every=max(1, n_windows // _MAX_COMPARED),
        )
        self._console, self._bundle = console, bundle
        # Of each labelled recording: decodes before and after, targets, times.
        self._scored: list[tuple[Floats, Floats, npt.NDArray[Any], Times]] = []
        self._names: list[str] = []

    def play(self, one: CheckRecording, decoder: tuple[FeaturePipeline, Readout]) -> None:
        """Decode a recording by both encoders, from an embargo after its calibration on."""
        self._paired.reset()
        half_s = one.calibrates_until_s
        self._paired.from_s = half_s + self._length_s if half_s else 0.0
        features, readout = decoder
        decodes = PairedReadout(readout, copy.copy(readout), self._paired)
        both = (replace(features, encoder=self._paired), decodes)
        with show_progress(self._console) as on_progress:
            if one.labels is None:
                session, n_samples = one.session(), one.recording.n_samples
                play_recording(
                    self._bundle,
                    session,
                    n_samples,
                    both,
                    on_progress=on_progress,
                    what="comparing",
                )
                return
            _, valid, labelled = decode_labelled(
                self._bundle, one.recording, one.labels, both, on_progress=on_progress
            )
        others = [decode for decode in decodes.decodes if decode.quality.valid]
        before, after = (
            np.stack([found[row].values for row in labelled.rows]) for found in (valid, others)
        )
        self._scored.append((before, after, labelled.targets, labelled.t_s))
        self._names += [one.source] * labelled.rows.size

    def compare(self, windows: Sequence[Floats]) -> None:
        """Encode spectrograms by both encoders, every channel good."""
        for number, data in enumerate(windows):
            good = np.ones(len(data), np.bool_)
            # Stamped as if one window came after the other.
            self._paired(Spectrogram(data, (1 + number) * self._length_s, Quality(good)))

    def result(self) -> CheckResult:
        """Comparison over everything played."""
        channels, population = self._paired.differences()
        scores, n_labelled = {}, len(self._names)
        if n_labelled:
            before, after, targets, t_s = map(np.concatenate, zip(*self._scored, strict=True))
            block_s = 2 * self._length_s
            scores = score_changes(
                before, after, targets, t_s, block_s=block_s, recordings=self._names
            )
        return CheckResult(channels, population, self._paired.n_compared, scores, n_labelled)


def time_alternately(
    features: FeaturePipeline,
    readout: Readout,
    after: Stage[Spectrogram, Embedding],
    recipe: Recipe,
) -> AlternatedTimes:
    """Time steps on a random walk, every channel good, both encoders on each window."""
    began_s = time.perf_counter()
    durations_ms: list[tuple[float, float]] = []
    for window in random_walk_windows(features.signal.montage, recipe, _MAX_STEPS + 1):
        start_s = time.perf_counter()
        spectrogram = features.spectrogram(window)
        shared_s = time.perf_counter() - start_s
        turn = []
        for encoder in (features.encoder, after):
            start_s = time.perf_counter()
            readout(encoder(spectrogram))
            turn.append(1000 * (shared_s + time.perf_counter() - start_s))
        durations_ms.append((turn[0], turn[1]))
        late = time.perf_counter() - began_s > _MAX_S
        if late and len(durations_ms) > _MIN_STEPS:
            break
    # Stages that keep what they have seen need longer for the first window.
    before_ms, after_ms = (_summary(each) for each in np.transpose(durations_ms[1:]))
    hop_ms = None if recipe.window.hop_s is None else 1000 * recipe.window.hop_s
    return AlternatedTimes(before_ms, after_ms, hop_ms, len(durations_ms) - 1)


def _summary(durations_ms: Floats) -> tuple[float, float | None]:
    """Median and 99 %; None where there are too few steps for it."""
    p50, p99 = np.percentile(durations_ms, (50, 99))
    return float(p50), float(p99) if len(durations_ms) >= _MIN_STEPS_OF_P99 else None
