"""What a synthetic patient does, and how clearly the signals show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rtbrain.synthetic.noise import RandomStream, random_generator
from rtbrain.types import Ints

_STATE_S = (1.0, 3.0)
_PAGE_STATES = 256
_MIX_PERIOD_S = 1200.0
# What follows the task, and the lowest rate that holds it, Hz.
TASKS: Mapping[str, float] = MappingProxyType(
    {
        "mixed": 300.0,  # high gamma rises and beta falls
        "high_gamma": 300.0,
        "beta": 60.0,
        "slow": 60.0,  # potentials
        "bursts": 60.0,  # of beta, each of 0.1 to 0.3 s
        "phase": 60.0,  # beta locks between contacts, its power stays
        "continuous": 300.0,  # a value instead of states, in the channel `VALUE`
    }
)


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How clearly the task shows, and how strong unrelated bursts are."""

    high_gamma_db: float
    beta_db: float
    burst_db: float
    rise_s: float
    slow_uv: float
    task_burst_db: float
    coherence: float


DIFFICULTIES: Mapping[str, Difficulty] = MappingProxyType(
    {
        "easy": Difficulty(
            high_gamma_db=9.0,
            beta_db=6.0,
            burst_db=3.0,
            rise_s=0.05,
            slow_uv=60.0,
            task_burst_db=15.0,
            coherence=0.95,
        ),
        "default": Difficulty(
            high_gamma_db=6.0,
            beta_db=4.0,
            burst_db=6.0,
            rise_s=0.15,
            slow_uv=30.0,
            task_burst_db=12.0,
            coherence=0.8,
        ),
        "hard": Difficulty(
            high_gamma_db=1.8,
            beta_db=1.2,
            burst_db=6.0,
            rise_s=0.15,
            slow_uv=10.0,
            task_burst_db=6.0,
            coherence=0.5,
        ),
    }
)


class StateSequence:
    """States that last 1 to 3 s, uniformly; the first is 0, and each differs from the last."""

    def __init__(self, seed: int, n_states: int, sfreq_hz: float, mix_drift: float = 0.0) -> None:
        self._seed = seed
        self._n_states = n_states
        self._sfreq_hz = sfreq_hz
        self._mix_drift = mix_drift
        self._starts_s = np.zeros(1)
        self._states = np.zeros(1, np.int64)

    def until(self, sample: int) -> tuple[Ints, Ints]:
        """First samples and states, up to the one that starts after `sample`."""
        while self._starts_s[-1] * self._sfreq_hz <= sample + 1:
            self._draw_page()
        starts = np.rint(self._starts_s * self._sfreq_hz).astype(np.int64)
        n = int(np.searchsorted(starts, sample, side="right")) + 1
        return starts[:n], self._states[:n]

    def _draw_page(self) -> None:
        page = (self._starts_s.size - 1) // _PAGE_STATES
        rng = random_generator(RandomStream.TASK, self._seed, page)
        lengths_s = rng.uniform(*_STATE_S, _PAGE_STATES)
        turns = rng.integers(1, self._n_states, _PAGE_STATES)
        states = (self._states[-1] + np.cumsum(turns)) % self._n_states
        if self._mix_drift:
            start_s, before = self._starts_s[-1], (self._states[-1], *states)
            for i in range(_PAGE_STATES):
                rest = self._mix_drift * np.cos(2 * np.pi * start_s / _MIX_PERIOD_S)
                lengths_s[i] *= 1 + 2 * (rest if before[i] == 0 else -rest)
                start_s += lengths_s[i]
        starts_s = self._starts_s[-1] + np.cumsum(lengths_s)
        self._starts_s = np.concatenate([self._starts_s, starts_s])
        self._states = np.concatenate([self._states, states])
