"""Steps of a decoder on made-up windows: how long one takes, with nothing live and no trace."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbrain.config import Recipe
    from rtbrain.pipeline import Encoding
    from rtbrain.stage import Stage
    from rtbrain.types import Decode, Embedding, Floats, Montage, Window

# Long enough for a median, short enough for a start at the bedside.
_MOST_STEPS = 15
_LONGEST_S = 1.0
_STEP_UV = 3.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a step takes here: spectrogram, encoder and readout of a window.

    Attributes
    ----------
    step_s : float
        Median, s.
    hop_s : float or None
        Time that there is for it; None where windows come with events.
    n_steps : int
        How many were measured.
    """

    step_s: float
    hop_s: float | None
    n_steps: int


def measured_pace(
    encoding: "Encoding", readout: "Stage[Embedding, Decode]", recipe: "Recipe"
) -> Pace:
    """Measure steps on a random walk in windows of the decoder's own shape.

    The first window costs more than those that follow where a stage keeps what it has seen, and
    is not counted; but one that took longer than its window lasts was no decoder's pace, and
    ends the measurement. Afterwards the stages are as new.

    Parameters
    ----------
    encoding : Encoding
        Of the decoder; its signal chain and its windows are not touched.
    readout : Stage
        Of the decoder.
    recipe : Recipe
        Of the decoder.
    """
    montage = encoding.signal.montage
    durations_s: list[float] = []
    began_s = time.perf_counter()
    try:
        for window in walking_windows(montage, recipe, _MOST_STEPS + 1):
            start_s = time.perf_counter()
            readout(encoding.encode(window))
            durations_s.append(time.perf_counter() - start_s)
            if durations_s[0] > recipe.window.length_s:
                break
            if len(durations_s) > 1 and time.perf_counter() - began_s > _LONGEST_S:
                break
    finally:
        for stage in (encoding.spectrogram, encoding.encoder, readout):
            stage.reset()
    counted = sorted(durations_s[1:] or durations_s)
    return Pace(counted[len(counted) // 2], recipe.window.hop_s, len(counted))


def walking_windows(montage: "Montage", recipe: "Recipe", n_windows: int) -> "Iterator[Window]":
    """Windows of a random walk, a hop after the other, every channel good.

    Parameters
    ----------
    montage : Montage
        Channels and rate of the windows.
    recipe : Recipe
        Tells their length and hop; event windows follow each other without overlap.
    n_windows : int
        How many.
    """
    import numpy as np

    from rtbrain.types import Quality, Window, samples

    length = samples(recipe.window.length_s, montage.sfreq_hz)
    hop = samples(recipe.window.hop_s or recipe.window.length_s, montage.sfreq_hz)
    rng = np.random.default_rng(0)

    def walk(n_samples: int) -> "Floats":
        return rng.normal(0, _STEP_UV, (montage.n_channels, n_samples)).astype(np.float32)

    quality = Quality(np.ones(montage.n_channels, np.bool_))
    data = np.cumsum(walk(length), axis=1, dtype=np.float32)
    for number in range(n_windows):
        first = number * hop
        yield Window(data, (first + length) / montage.sfreq_hz, first, quality)
        steps = np.concatenate((data[:, -1:], walk(hop)), axis=1)
        newer = np.cumsum(steps, axis=1, dtype=np.float32)[:, 1:]
        data = np.concatenate((data, newer), axis=1)[:, -length:]
