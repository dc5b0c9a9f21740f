"""The synthetic patient's task: states that take turns, found for any sample without playing."""

import numpy as np
import numpy.typing as npt

from rtbrain.stream.draws import Draw, generator

__all__ = ["StateSequence"]

_STATE_S = (1.0, 3.0)
_PAGE_STATES = 256

Counts = npt.NDArray[np.int64]


class StateSequence:
    """States that last 1 to 3 s, uniformly; the first is state 0, the next always another.

    Parameters
    ----------
    seed : int
        Seed of the patient.
    n_states : int
        How many different states there are, 2 or more.
    sfreq_hz : float
        Sampling rate in Hz: the times of the states do not depend on it, their samples do.
    """

    def __init__(self, seed: int, n_states: int, sfreq_hz: float) -> None:
        self._seed = seed
        self._n_states = n_states
        self._sfreq_hz = sfreq_hz
        self._starts_s = np.zeros(1)
        self._states = np.zeros(1, np.int64)

    def until(self, sample: int) -> tuple[Counts, Counts]:
        """First samples and states, from the first to one that starts after `sample`.

        Returns
        -------
        starts : ndarray, int64 [n]
            First sample of each state.
        states : ndarray, int64 [n]
            Number of each state.
        """
        while self._starts_s[-1] * self._sfreq_hz <= sample + 1:
            self._draw_page()
        starts = np.rint(self._starts_s * self._sfreq_hz).astype(np.int64)
        n = int(np.searchsorted(starts, sample, side="right")) + 1
        return starts[:n], self._states[:n]

    def _draw_page(self) -> None:
        page = (self._starts_s.size - 1) // _PAGE_STATES
        rng = generator(Draw.TASK, self._seed, page)
        lengths_s = rng.uniform(*_STATE_S, _PAGE_STATES)
        turns = rng.integers(1, self._n_states, _PAGE_STATES)
        starts_s = self._starts_s[-1] + np.cumsum(lengths_s)
        states = (self._states[-1] + np.cumsum(turns)) % self._n_states
        self._starts_s = np.concatenate([self._starts_s, starts_s])
        self._states = np.concatenate([self._states, states])
