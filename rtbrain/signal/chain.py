"""The signal chain: stages from chunks to chunks, one after another, as one."""

from collections.abc import Sequence

from rtbrain.signal.resample import Resample
from rtbrain.stage import SignalStage
from rtbrain.types import Chunk, Montage

__all__ = ["Chain"]


class Chain:
    """Stages in a row; an empty chain lets chunks through as they are.

    Parameters
    ----------
    montage : Montage
        Channels and rate of the chunks that come in.
    stages : sequence of SignalStage
        Each made for the montage of the one before it.

    Attributes
    ----------
    montage : Montage
        Channels and rate of the chunks that come out.
    delay_s : float
        How far what comes out lags behind what came in, s: that of resampling.
    """

    def __init__(self, montage: Montage, stages: Sequence[SignalStage]) -> None:
        self._stages = tuple(stages)
        self.montage = self._stages[-1].montage if self._stages else montage
        delays = [stage.delay_s for stage in stages if isinstance(stage, Resample | Chain)]
        self.delay_s: float = sum(delays, start=0.0)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk after every stage."""
        for stage in self._stages:
            chunk = stage(chunk)
        return chunk

    def reset(self) -> None:
        """Reset every stage."""
        for stage in self._stages:
            stage.reset()
