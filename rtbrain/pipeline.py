"""The loop: pull samples, cut windows, decode, push. Offline code uses its first half alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from rtbrain.stage import SignalStage, Sink, Source, Stage
from rtbrain.types import Chunk, Decode, Embedding, Spectrogram, Window

__all__ = ["Encoding", "Pipeline"]

_NO_CHANNELS = np.zeros((0, 0), np.float32)
_NO_FEATURES = np.zeros(0, np.float32)
_PULL_S = 0.1  # longest wait in one pull: how soon a stop is seen
_MOST_PULLS = 100  # in one drain of a backlog, so that a stop is seen then too


@dataclass(frozen=True, slots=True)
class Encoding:
    """The way from chunks to embeddings, the same live and offline.

    Attributes
    ----------
    signal, windows, spectrogram, encoder : Stage
        In the order of the flow.
    neural_delay_s : float
        From the moment that an embedding describes to the end of its window, s.
    """

    signal: SignalStage
    windows: Stage[Chunk, Iterator[Window]]
    spectrogram: Stage[Window, Spectrogram]
    encoder: Stage[Spectrogram, Embedding]
    neural_delay_s: float

    def cut(self, chunk: Chunk) -> Iterator[Window]:
        """Filter a chunk and cut the windows that it completes."""
        return self.windows(self.signal(chunk))

    def encode(self, window: Window) -> Embedding:
        """Embed a window; one that is not valid costs nothing and holds nothing."""
        if window.quality.valid:
            return self.encoder(self.spectrogram(window))
        t_stop = window.t_stop
        return Embedding(
            _NO_CHANNELS, _NO_FEATURES, t_stop - self.neural_delay_s, t_stop, window.quality
        )

    def reset(self) -> None:
        """Forget all that was seen."""
        for stage in (self.signal, self.windows, self.spectrogram, self.encoder):
            stage.reset()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A source, the stages, the sinks and the loop that joins them.

    Attributes
    ----------
    newest_only : bool
        After a delay, decode the newest window and skip the rest; else decode every window.
    clock : callable
        LSL clock, s.
    on_skipped : callable
        Told how many windows were skipped, each time that some were.
    """

    source: Source
    encoding: Encoding
    readout: Stage[Embedding, Decode]
    sinks: tuple[Sink[Decode], ...]
    clock: Callable[[], float]
    newest_only: bool = True
    on_skipped: Callable[[int], None] = field(default=lambda n_windows: None)

    def run(self, stop: Callable[[], bool]) -> None:
        """Decode until the source ends or `stop()` is true."""
        while not stop():
            chunk = self.source.pull(_PULL_S)
            if chunk is None:
                return
            if self.newest_only:
                self._decode_newest(chunk)
            else:
                for window in self.encoding.cut(chunk):
                    self._decode(window, self.clock())

    def _decode_newest(self, chunk: Chunk | None) -> None:
        newest, n_windows, t_received = None, 0, self.clock()
        for _ in range(_MOST_PULLS):
            if chunk is None or not chunk.n_samples:
                break
            t_received = self.clock()
            for newest in self.encoding.cut(chunk):  # noqa: B007
                n_windows += 1
            chunk = self.source.pull(0.0)
        if newest is not None:
            self._decode(newest, t_received)
        if n_windows > 1:
            self.on_skipped(n_windows - 1)

    def _decode(self, window: Window, t_received: float) -> None:
        decode = self.readout(self.encoding.encode(window))
        decode = replace(decode, t_received=t_received, t_ready=self.clock())
        for sink in self.sinks:
            sink.push(decode)

    def close(self) -> None:
        """Let go of the source and the sinks."""
        self.source.close()
        for sink in self.sinks:
            sink.close()
