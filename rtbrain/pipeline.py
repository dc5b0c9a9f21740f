"""The loop: pull samples, cut windows, decode, push. Offline code uses its first half alone."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rtbrain.stage import SignalStage, Sink, Source, Stage
from rtbrain.types import Chunk, Decode, Embedding, Spectrogram, Window

_NO_CHANNELS = np.zeros((0, 0), np.float32)
_NO_FEATURES = np.zeros(0, np.float32)
_PULL_S = 0.1  # longest wait in one pull: how soon a stop is seen
_MOST_PULLS = 1000  # in one drain of a backlog, so that a stop is seen then too
_STALL_S = 1.0  # without a sample, after which the last decode is taken back
_STALLED = f"no samples for {_STALL_S:g} s"


@dataclass(frozen=True, slots=True)
class FeaturePipeline:
    """The way from chunks to embeddings, the same live and offline.

    Attributes
    ----------
    signal, windows, spectrogram, encoder : Stage
        In the order of the flow.
    neural_delay_s : float
        From the moment that an embedding describes to the end of its window, s.
    signal_delay_s : float
        How far the signal chain lags behind its input, s.
    n_features : int
        Length of the population embedding.
    """

    signal: SignalStage
    windows: Stage[Chunk, Iterator[Window]]
    spectrogram: Stage[Window, Spectrogram]
    encoder: Stage[Spectrogram, Embedding]
    neural_delay_s: float
    signal_delay_s: float
    n_features: int

    def cut(self, chunk: Chunk) -> Iterator[Window]:
        """Filter a chunk and cut the windows that it completes."""
        return self.windows(self.signal(chunk))

    def encode(self, window: Window) -> Embedding:
        """Embed a window; one that is not valid costs nothing and holds nothing."""
        quality = window.quality
        if quality.valid:
            spectrogram = self.spectrogram(window)
            if spectrogram.quality.good.any():
                return self.encoder(spectrogram)
            quality = replace(spectrogram.quality, valid=False, reason="no good channel")
        t_neural = window.t_stop - self.neural_delay_s
        return Embedding(_NO_CHANNELS, _NO_FEATURES, t_neural, window.t_stop, quality)

    def reset(self) -> None:
        """Forget all that was seen."""
        for stage in (self.signal, self.windows, self.spectrogram, self.encoder):
            stage.reset()


class PipelineObserver(Protocol):
    """Who wants to know what the loop could not decode."""

    def lost(self, n_samples: int) -> None:
        """Take how many samples of the stream were lost."""
        ...

    def skipped(self, n_windows: int) -> None:
        """Take how many windows were skipped, for decoding was late."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A source, the stages, the sinks and the loop that joins them.

    Attributes
    ----------
    latest_only : bool
        After a delay, decode the newest window and skip the rest; else decode every window.
    clock : callable
        LSL clock, s.
    observer : Watcher
        Told of samples that were lost and of windows that were skipped.
    refusal : callable
        Why the stream as a whole cannot be decoded now; empty where it can.
    """

    source: Source
    features: FeaturePipeline
    readout: Stage[Embedding, Decode]
    sinks: tuple[Sink[Decode], ...]
    clock: Callable[[], float]
    latest_only: bool
    observer: PipelineObserver
    refusal: Callable[[], str] = lambda: ""

    def run(self, stop: Callable[[], bool]) -> None:
        """Decode until the source ends or `stop()` is true."""
        last: Decode | None = None
        t_last = self.clock()
        while not stop():
            chunk = self.source.pull(_PULL_S)
            if chunk is None:
                return
            t_received = self.clock()
            if chunk.n_samples:
                t_last = t_received
                last = self._take(chunk, t_received) or last
            elif last is not None and last.quality.valid and t_received - t_last > _STALL_S:
                last = replace(_invalidated(last, _STALLED), t_stop=t_received)
                self._give(last, t_received)

    def _take(self, chunk: Chunk, t_received: float) -> Decode | None:
        """Decode what a chunk completes; the last decode, if any."""
        decode = None
        if self.latest_only:
            window, t_received, n_windows = self._newest(chunk, t_received)
            if window is not None:
                decode = self._decode(window, t_received)
            if n_windows > 1:
                self.observer.skipped(n_windows - 1)
            return decode
        for window in self._cut(chunk):
            decode = self._decode(window, t_received)
        return decode

    def _newest(self, chunk: Chunk, t_received: float) -> tuple[Window | None, float, int]:
        """Newest window of all that waits, when its last sample was in hand, how many came."""
        newest, t_newest, n_windows = None, t_received, 0
        for n_pulls in itertools.count(1):
            for newest in self._cut(chunk):  # noqa: B007
                t_newest = t_received
                n_windows += 1
            if n_pulls == _MOST_PULLS:
                break
            following = self.source.pull(0.0)
            if following is None or not following.n_samples:
                break
            chunk, t_received = following, self.clock()
        return newest, t_newest, n_windows

    def _cut(self, chunk: Chunk) -> Iterator[Window]:
        if chunk.gap:
            self.observer.lost(chunk.gap)
        return self.features.cut(chunk)

    def _decode(self, window: Window, t_received: float) -> Decode:
        decode = self.readout(self.features.encode(window))
        if decode.quality.valid and (why := self.refusal()):
            decode = _invalidated(decode, why)
        return self._give(decode, t_received)

    def _give(self, decode: Decode, t_received: float) -> Decode:
        decode = replace(decode, t_received=t_received, t_ready=self.clock())
        for sink in self.sinks:
            sink.push(decode)
        return decode


def _invalidated(decode: Decode, why: str) -> Decode:
    quality = replace(decode.quality, valid=False, reason=why)
    return replace(decode, values=np.full_like(decode.values, np.nan), quality=quality)
