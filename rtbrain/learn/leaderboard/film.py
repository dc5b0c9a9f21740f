"""What synthetic patients watch: words at random times, and quantities that drive their foci.

Between changes all is constant, and nothing changes within a window of any task: how well the best
detector can do follows from the change of power alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from rtbrain.types import Doubles, Floats, Ints

WINDOW_S = 1.0
_WORD_GAP_S = (0.3, 0.5)
_WORDS = (5, 15)  # of a sentence
_PAUSE_S = (2.2, 7.0)  # from the last word to the next sentence
_PAUSE_DRIFT = 0.4  # pauses grow by so much to the end of the film, and are as much shorter before
_SILENCE_AFTER_S, _SILENCE_EVERY_S = 2.0, 0.5
_START_S = 3.0
_MEMORY = 0.6  # correlation of a quantity with its value one sentence or pause earlier
MAX_A_CLASS = 1750

QUANTITIES = ("volume", "pitch", "brightness", "noise")
TASKS = ("onset", "speech", *QUANTITIES)
NOISE = "noise"
# More of two quantities: which quarter of the words a word is in, and the value itself.
QUARTERS = {"volume, quarters": "volume", "noise, quarters": NOISE}
VALUES = {"volume, value": "volume", "noise, value": NOISE}
# Rise of high gamma at the centre of a task's focus, dB; of a quantity from its lowest to its
# highest value.
RISE_DB = {"onset": 1.3, "speech": 1.0, "volume": 1.8, "pitch": 1.3, "brightness": 0.9}


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """Sentences and pauses in turn, with the quantities of each."""

    starts_s: Doubles  # float64 [n_parts]: a sentence begins, or a pause 1 s after the last word
    speaks: Ints  # int64 [n_parts], 1 in a sentence
    quantities: Doubles  # float64 [n_parts, 4], each uniform in 0 to 1
    times_s: Doubles  # float64 [n_events]: words, and silence cut every 0.5 s
    kinds: Ints  # int64 [n_events]: 0 silence, 1 word, 2 first word of a sentence
    part: Ints  # int64 [n_events]

    def levels(self, times_s: Doubles) -> Doubles:
        """What drives each of the five foci, 0 to 1: float64 [5, n_times], in order of tasks."""
        at = np.maximum(np.searchsorted(self.starts_s, times_s, side="right") - 1, 0)
        on = self.speaks[at].astype(np.float64)
        first = on * (times_s < self.starts_s[at] + WINDOW_S)
        return np.stack([first, on, *self.quantities[at, :-1].T])

    def labels(self, task: str) -> tuple[Ints, npt.NDArray[Any]]:
        """Events that a task labels, in order of time, and their labels.

        Labels are 0 or 1; of a quantity those of the words in the lowest and highest quarter, by
        the share of words below. Of `QUARTERS` they are 0 to 3, of `VALUES` float64.
        """
        if task in ("onset", "speech"):
            wanted = self.kinds == 2 if task == "onset" else self.kinds > 0
            rows = np.flatnonzero(wanted | (self.kinds == 0))
            return rows, wanted[rows].astype(np.int64)
        words = np.flatnonzero(self.kinds > 0)
        quantity = (QUARTERS | VALUES).get(task, task)
        values = self.quantities[self.part[words], QUANTITIES.index(quantity)]
        if task in VALUES:
            return words, values
        below = np.searchsorted(np.sort(values), values) / words.size
        if task in QUARTERS:
            return words, np.minimum((4 * below).astype(np.int64), 3)
        kept = (below > 0.75) | (below < 0.25)
        return words[kept], (below[kept] > 0.75).astype(np.int64)


def draw_film(seed: int, duration_s: float) -> Film:
    """Film of a session."""
    rng = np.random.default_rng((17, seed))
    starts, speaks, times, kinds, part = [0.0], [0], [], [], []
    now = _START_S
    while True:
        words = now + np.concatenate(
            [[0.0], np.cumsum(rng.uniform(*_WORD_GAP_S, rng.integers(*_WORDS, endpoint=True) - 1))]
        )
        later = _PAUSE_DRIFT * (2 * now / duration_s - 1)
        following = words[-1] + _PAUSE_S[0] + rng.uniform(0, _PAUSE_S[1] - 2.2) * (1 + later)
        if following + WINDOW_S > duration_s:
            break
        silence = np.arange(
            words[-1] + _SILENCE_AFTER_S, following - WINDOW_S + 1e-9, _SILENCE_EVERY_S
        )
        times += [words, silence]
        kinds += [np.where(words == now, 2, 1), np.zeros(silence.size, np.int64)]
        part += [np.full(words.size, len(starts)), np.full(silence.size, len(starts) + 1)]
        starts += [now, words[-1] + WINDOW_S]
        speaks += [1, 0]
        now = following
    normal = rng.standard_normal((len(starts), len(QUANTITIES)))
    for before in range(len(starts) - 1):
        normal[before + 1] *= np.sqrt(1 - _MEMORY**2)
        normal[before + 1] += _MEMORY * normal[before]
    return Film(
        np.array(starts),
        np.array(speaks),
        ndtr(normal),
        np.concatenate(times),
        np.concatenate(kinds),
        np.concatenate(part),
    )


def drive(db: float, highest_db: float, level: Doubles) -> Floats:
    """Activation of a focus, where 1 stands for `highest_db`, that gives `db` at level 1."""
    share = (10 ** (db / 20) - 1) / (10 ** (highest_db / 20) - 1)
    return (share * level).astype(np.float32)
