"""The loop: pull samples, cut windows, decode, push. Offline code uses only the first half."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rtbrain.buffer import EventWindows, LiveEventWindows, Windows
from rtbrain.signal import Chain
from rtbrain.stage import SignalStage, Sink, Source, Stage
from rtbrain.types import Chunk, Decode, Embedding, Montage, Spectrogram, Window

_NO_CHANNELS = np.zeros((0, 0), np.float32)
_NO_FEATURES = np.zeros(0, np.float32)
_PULL_S = 0.1  # longest wait in one pull, and so for a stop
_MAX_PULLS = 1000  # in one drain of a backlog, whatever the clock says
# Samples that arrive together are a block of the amplifier up to here, not a delay; or up to the
# second, where they came as one.
_BLOCK_S, _WHOLE_BLOCK_S = 0.1, 0.25
_STALL_S = 1.0  # without a sample, after which the last decode is withdrawn
# Samples wait for so long to go through the stages together, where they complete no window: a pass
# of few costs almost what one of many does.
_HOLD_S = 0.03
_EARLY = 0.99  # share of the samples to a window's end that a resampler may make them all of


@dataclass(frozen=True, slots=True)
class FeaturePipeline:
    """The stages from chunks to embeddings, the same live and offline, in the order of the flow."""

    signal: SignalStage
    windows: Stage[Chunk, Iterator[Window]]
    spectrogram: Stage[Window, Spectrogram]
    encoder: Stage[Spectrogram, Embedding]
    neural_delay_s: float  # from the moment that an embedding describes to its window's end
    signal_delay_s: float  # how far the signal chain lags behind its input
    n_features: int  # length of the population embedding
    drift: "DriftMeter | None" = None

    def cut(self, chunk: Chunk) -> Iterator[Window]:
        """Filter a chunk; the windows that it completes."""
        return self.windows(self.signal(chunk))

    def n_to_hold(self, sfreq_hz: float) -> int:
        """How many samples of a source at this rate may wait, since they complete no window."""
        windows = self.windows
        if not isinstance(windows, Windows):
            return 0
        to_end_s = (windows.n_to_end - 1) / self.signal.montage.sfreq_hz
        return int(min(_EARLY * to_end_s, _HOLD_S) * sfreq_hz)

    def encode(self, window: Window) -> Embedding:
        """Embed a window; one that is not valid gives an empty embedding at no cost."""
        embedding = self._embed(window)
        if self.drift is None:
            return embedding
        return replace(embedding, drift=self.drift(window, embedding))

    def _embed(self, window: Window) -> Embedding:
        made = self.transform(window)
        return made if isinstance(made, Embedding) else self.encoder(made)

    def transform(
        self, window: Window, make: Callable[[Window], Spectrogram] | None = None
    ) -> Spectrogram | Embedding:
        """Spectrogram of a window, or the empty embedding of one that has nothing to encode.

        `make` gives the spectrogram in place of the stage.
        """
        quality = window.quality
        if quality.valid:
            spectrogram = (make or self.spectrogram)(window)
            if spectrogram.quality.good.any():
                return spectrogram
            quality = replace(spectrogram.quality, valid=False, reason="no good channel")
        t_neural = window.t_stop - self.neural_delay_s
        return Embedding(_NO_CHANNELS, _NO_FEATURES, t_neural, window.t_stop, quality)

    def reset(self) -> None:
        """Forget everything."""
        for stage in (self.signal, self.windows, self.spectrogram, self.encoder):
            stage.reset()
        if self.drift is not None:
            self.drift.reset()


class DriftMeter(Protocol):
    """Judges how unlike calibration a window is."""

    def __call__(self, window: Window, embedding: Embedding, /) -> float:
        """Distance over the threshold of a flag; NaN where unknown."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


class PipelineObserver(Protocol):
    """Follows what the loop could not decode."""

    def lost(self, n_samples: int) -> None:
        """Samples of the stream were lost."""
        ...

    def skipped(self, n_windows: int) -> None:
        """Windows that could have been decoded were skipped, because decoding was late."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A source, the stages, the sinks and the loop that joins them."""

    source: Source
    features: FeaturePipeline
    readout: Stage[Embedding, Decode]
    sinks: tuple[Sink[Decode], ...]
    clock: Callable[[], float]  # LSL clock, s
    latest_only: bool  # after a delay, decode the latest window and skip the others
    observer: PipelineObserver  # follows lost samples and skipped windows
    refusal: Callable[[], str] = lambda: ""
    # Windows whose samples arrive later than that are stale, and invalid.
    max_latency_s: float = math.inf
    max_drain_s: float = math.inf  # longest time to look for a later window before decoding

    def run(self, stop: Callable[[], bool]) -> None:
        """Decode until the source ends or `stop()` is true."""
        last: Decode | None = None
        held: list[tuple[Chunk, float]] = []
        t_last = self.clock()
        silence_s = min(_STALL_S, self.max_latency_s)
        while not stop():
            chunk = self.source.pull(_PULL_S, self._n_to_wait_for(held))
            if chunk is None:
                for window, t_received in self._cut(held, hold=False):
                    self._decode(window, t_received)
                return
            t_received, why = self.clock(), ""
            if chunk.n_samples:
                t_last = t_received
                last = self._take(held, chunk, t_received, stop) or last
                # The chunk may be the first of a backlog, of which the last window was decoded.
                t_newest = float(chunk.timestamps[-1])
                newest = max(
                    t_newest, last.t_stop + self.features.signal_delay_s if last else -math.inf
                )
                if t_received - newest > self.max_latency_s:
                    why = self._stale
            elif t_received - t_last > silence_s:
                why = f"no samples for {silence_s:g} s"
            if why and last is not None and last.quality.valid:
                last = replace(_invalidated(last, why), t_stop=t_received)
                self._send(last, t_received)

    def _n_to_wait_for(self, held: list[tuple[Chunk, float]]) -> int:
        """Samples that complete a window, or that are enough for a pass through the stages."""
        n_held = sum(chunk.n_samples for chunk, _ in held)
        return max(1, self.features.n_to_hold(self.source.montage.sfreq_hz) + 1 - n_held)

    @property
    def _stale(self) -> str:
        return f"stale: the signal arrives more than {self.max_latency_s:g} s late"

    def _take(
        self,
        block: list[tuple[Chunk, float]],
        first: Chunk,
        t_first: float,
        stop: Callable[[], bool],
    ) -> Decode | None:
        """Decode the windows that a chunk, or a block of them, completes; the last decode, if any.

        After a delay, that is the latest window of what waits. `block` holds the chunks that
        complete none yet.
        """
        longest = math.inf
        if self.latest_only:
            shortest, whole = np.array((_BLOCK_S, _WHOLE_BLOCK_S)) * self.source.montage.sfreq_hz
            longest = max(shortest, min(first.n_samples, whole))
        n_samples = n_valid = 0
        latest: tuple[Window, float] | None = None
        decode: Decode | None = None
        for chunk, t_received in self._drain(first, t_first, stop):
            block.append((chunk, t_received))
            n_samples += chunk.n_samples
            if n_samples > longest:
                for latest in self._cut(block):
                    n_valid += latest[0].quality.valid
        for window, t_received in self._cut(block):
            decode = self._decode(window, t_received)
        if latest is not None:
            decode = self._decode(*latest)
            if n_skipped := n_valid - latest[0].quality.valid:
                self.observer.skipped(n_skipped)
        return decode

    def _drain(
        self, chunk: Chunk, t_received: float, stop: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, float]]:
        """A chunk and what waits behind it, each with when it was received.

        A source that is slow, or never empty, is left in time to decode and to stop.
        """
        yield chunk, t_received
        if not self.latest_only:
            return
        t_end = t_received + self.max_drain_s
        for _ in range(_MAX_PULLS - 1):
            if stop() or self.clock() >= t_end:
                return
            following = self.source.pull(0.0)
            if following is None or not following.n_samples:
                return
            yield following, self.clock()

    def _cut(
        self, chunks: list[tuple[Chunk, float]], *, hold: bool = True
    ) -> Iterator[tuple[Window, float]]:
        """Windows that chunks complete, each with when its last sample was received.

        Chunks leave the list as they are cut; those that complete none may stay, to go through the
        stages with what comes next.
        """
        while chunks:
            n_hold = self.features.n_to_hold(self.source.montage.sfreq_hz) if hold else 0
            n_samples = n_joined = 0
            for chunk, _ in chunks:
                if n_joined and chunk.gap:
                    break
                n_joined += 1
                n_samples += chunk.n_samples
                if chunk.gap or n_samples > n_hold:
                    break
            else:
                return
            t_received = chunks[n_joined - 1][1]
            chunk = _join([chunk for chunk, _ in chunks[:n_joined]])
            del chunks[:n_joined]
            if chunk.gap:
                self.observer.lost(chunk.gap)
            for window in self.features.cut(chunk):
                yield window, t_received

    def _decode(self, window: Window, t_received: float) -> Decode:
        late_s = t_received - window.t_stop - self.features.signal_delay_s
        if window.quality.valid and late_s > self.max_latency_s:
            quality = replace(window.quality, valid=False, reason=self._stale)
            window = replace(window, quality=quality)
        decode = self.readout(self.features.encode(window))
        if decode.quality.valid and (why := self.refusal()):
            decode = _invalidated(decode, why)
        return self._send(decode, t_received)

    def _send(self, decode: Decode, t_received: float) -> Decode:
        decode = replace(decode, t_received=t_received, t_ready=self.clock())
        for sink in self.sinks:
            sink.push(decode)
        return decode


def _invalidated(decode: Decode, why: str) -> Decode:
    quality = replace(decode.quality, valid=False, reason=why)
    return replace(decode, values=np.full_like(decode.values, np.nan), quality=quality)


def _join(chunks: list[Chunk]) -> Chunk:
    """Chunks that follow each other, as one."""
    if len(chunks) == 1:
        return chunks[0]
    data = np.concatenate([chunk.data for chunk in chunks], axis=1)
    stamps = np.concatenate([chunk.timestamps for chunk in chunks])
    return Chunk(data, stamps, chunks[0].first_sample, chunks[0].gap)


def cut_at_markers(
    pipeline: FeaturePipeline,
    markers: Callable[[float], list[tuple[float, str]]],
    coverage_floor: float,
    missed: Callable[[], bool] = lambda: False,
) -> FeaturePipeline:
    """Stages that follow these markers: event windows, and the blanking of stimulation.

    `missed` gives whether markers that announce stimulation may be missing since its last call.
    """
    windows, signal = pipeline.windows, pipeline.signal
    if isinstance(signal, Chain) and signal.texts:
        without: frozenset[str] | None = None
        if isinstance(windows, EventWindows):  # which are cut at pulses only where told to
            without = signal.texts if windows.takes_all else frozenset()
        marked = _MarkedSignal(signal, markers, without, missed)
        pipeline, markers = replace(pipeline, signal=marked), marked.others
    if not isinstance(windows, EventWindows):
        return pipeline
    cued = LiveEventWindows(windows, markers, coverage_floor=coverage_floor)
    return replace(pipeline, windows=cued)


class _MarkedSignal:
    """A signal chain that fetches the markers before each chunk, and keeps others for windows.

    Those are all but `without`; None: there are no windows to cut.
    """

    def __init__(
        self,
        signal: Chain,
        markers: Callable[[float], list[tuple[float, str]]],
        without: frozenset[str] | None,
        missed: Callable[[], bool],
    ) -> None:
        self._signal, self._markers, self._without = signal, markers, without
        self._missed = missed
        self._others: list[tuple[float, str]] = []

    @property
    def montage(self) -> Montage:
        return self._signal.montage

    def __call__(self, chunk: Chunk) -> Chunk:
        for t, text in self._markers(0.0):
            self._signal.mark(t, text)
            if self._without is not None and text not in self._without:
                self._others.append((t, text))
        if self._missed():
            self._signal.miss()
        return self._signal(chunk)

    def others(self, timeout_s: float) -> list[tuple[float, str]]:
        """Markers since the last call."""
        others, self._others = self._others, []
        return others

    def reset(self) -> None:
        self._others = []
        self._signal.reset()
