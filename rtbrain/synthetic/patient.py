"""The synthetic patient: a seeded description of contacts, foci and task, without its signal.

Patients of one family share where and how late the task drives the brain; each has its own
electrodes, noise and task sequence. A decoder of one patient can therefore transfer to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError
from rtbrain.synthetic.implant import DRAW, N_CONTACTS, SPACES, Implant, in_space
from rtbrain.synthetic.noise import RandomStream, random_generator
from rtbrain.types import Doubles, Floats, Ints, Montage

_N_FOCI = 6
_N_BURST_FOCI = 3
_FOCUS_RADIUS_MM = 7.0
_FOCUS_APART_MM = 22.0
_MAX_DELAY_S = 0.150
_STATE_S = (1.0, 3.0)
_PAGE_STATES = 256
BANDS_HZ: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"alpha": (8.0, 12.0), "beta": (13.0, 30.0), "high gamma": (70.0, 150.0)}
)


@dataclass(frozen=True, slots=True, eq=False)
class Focus:
    """A patch of cortex with its own activity."""

    position_mm: Floats  # float32 [3]
    radius_mm: float
    delay_s: float

    def effect(self, positions_mm: Floats) -> Floats:
        """Share of the focus's effect at each contact, 0 to 1: float32 [n_channels]."""
        distance = np.linalg.norm(positions_mm - self.position_mm, axis=1)
        return np.asarray(np.exp(-0.5 * (distance / self.radius_mm) ** 2), np.float32)


def draw_foci(family: int) -> tuple[tuple[Focus, ...], tuple[Focus, ...]]:
    """Foci that follow the task, and foci of unrelated bursts, of one family of patients."""
    rng = random_generator(RandomStream.FOCI, family)
    placed: list[Doubles] = []
    foci: list[Focus] = []
    while len(foci) < _N_FOCI + _N_BURST_FOCI:
        side = -1.0 if len(foci) % 2 == 0 else 1.0
        at = rng.uniform((46.0, -50.0, -15.0), (54.0, 40.0, 50.0)) * (side, 1.0, 1.0)
        delay_s = float(rng.uniform(0.0, _MAX_DELAY_S))
        if all(np.linalg.norm(at - other) >= _FOCUS_APART_MM for other in placed):
            placed.append(at)
            foci.append(Focus(at.astype(np.float32), _FOCUS_RADIUS_MM, delay_s))
    return tuple(foci[:_N_FOCI]), tuple(foci[_N_FOCI:])


class StateSequence:
    """States that last 1 to 3 s, uniformly; the first is 0, and each differs from the last."""

    def __init__(self, seed: int, n_states: int, sfreq_hz: float) -> None:
        self._seed = seed
        self._n_states = n_states
        self._sfreq_hz = sfreq_hz
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
        starts_s = self._starts_s[-1] + np.cumsum(lengths_s)
        states = (self._states[-1] + np.cumsum(turns)) % self._n_states
        self._starts_s = np.concatenate([self._starts_s, starts_s])
        self._states = np.concatenate([self._states, states])


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How clearly the task shows, and how strong unrelated bursts are."""

    high_gamma_db: float
    beta_db: float
    burst_db: float
    rise_s: float


DIFFICULTIES: Mapping[str, Difficulty] = MappingProxyType(
    {
        "easy": Difficulty(high_gamma_db=9.0, beta_db=6.0, burst_db=3.0, rise_s=0.05),
        "default": Difficulty(high_gamma_db=6.0, beta_db=4.0, burst_db=6.0, rise_s=0.15),
        "hard": Difficulty(high_gamma_db=1.8, beta_db=1.2, burst_db=6.0, rise_s=0.15),
    }
)


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient with depth electrodes, or grids, who does a task.

    `seed` draws the electrodes, noise and task sequence, `family` the foci and their delays.
    SettingsError if a value is out of range.
    """

    seed: int = 0
    family: int = field(default=0, kw_only=True)
    n_channels: int = field(default=32, kw_only=True)  # 6 to 1024
    electrodes: str = field(default="shafts", kw_only=True)  # or grids of 8 x 8, each 4 mm
    sfreq_hz: float = field(kw_only=True)  # above 300, so that high gamma fits
    mains_hz: float = field(default=60.0, kw_only=True)  # 50 or 60
    difficulty: str = field(default="default", kw_only=True)  # a key of DIFFICULTIES
    space: str = field(default="MNI mm", kw_only=True)  # one of SPACES
    classes: tuple[str, ...] = field(default=("rest", "speech"), kw_only=True)  # the first is rest

    def __post_init__(self) -> None:
        fewest, most = N_CONTACTS
        lowest_hz = 2 * BANDS_HZ["high gamma"][1]
        required = {
            f"seed must be 0 or more, got {self.seed}": self.seed >= 0,
            f"family must be 0 or more, got {self.family}": self.family >= 0,
            f"a synthetic patient has {fewest} to {most} channels, got {self.n_channels}": (
                fewest <= self.n_channels <= most
            ),
            f"sampling rate must be above {lowest_hz:g} Hz to hold high gamma, got "
            f"{self.sfreq_hz}": bool(lowest_hz < self.sfreq_hz < np.inf),
            f"mains must be 50 or 60 Hz, got {self.mains_hz}": self.mains_hz in (50, 60),
            f"difficulty must be one of {', '.join(DIFFICULTIES)}, got {self.difficulty!r}": (
                self.difficulty in DIFFICULTIES
            ),
            f"electrodes must be {' or '.join(DRAW)}, got {self.electrodes!r}": (
                self.electrodes in DRAW
            ),
            f"space must be one of {', '.join(SPACES)}, got {self.space!r}": self.space in SPACES,
            f"classes must be 2 or more different names, got {', '.join(self.classes)}": (
                len(set(self.classes)) == len(self.classes) >= 2
            ),
        }
        for message, holds in required.items():
            if not holds:
                raise SettingsError(message)

    @property
    def level(self) -> Difficulty:
        """What the difficulty means."""
        return DIFFICULTIES[self.difficulty]

    @cached_property
    def foci(self) -> tuple[Focus, ...]:
        """Patches of cortex that follow the task."""
        return draw_foci(self.family)[0]

    @cached_property
    def burst_foci(self) -> tuple[Focus, ...]:
        """Patches of cortex with high-gamma bursts unrelated to the task."""
        return draw_foci(self.family)[1]

    @cached_property
    def implant(self) -> Implant:
        """Labels, shafts and positions of the contacts, MNI mm."""
        foci_mm = np.array([focus.position_mm for focus in self.foci])
        return DRAW[self.electrodes](self.seed, foci_mm, self.n_channels)

    @cached_property
    def montage(self) -> Montage:
        """The channels, with positions in `space`."""
        positions = in_space(self.implant.positions_mm, self.space)
        kinds = (self.implant.kind,) * self.n_channels
        return Montage(self.implant.names, kinds, self.sfreq_hz, positions, self.space)

    @cached_property
    def _sequence(self) -> StateSequence:
        return StateSequence(self.seed, len(self.classes), self.sfreq_hz)

    def state_at(self, samples: npt.ArrayLike) -> Ints:
        """State at each sample: int64 of the same shape, indices into `classes`."""
        numbers = np.asarray(samples, np.int64)
        if not numbers.size:
            return np.zeros(numbers.shape, np.int64)
        if numbers.min() < 0:
            raise ValueError(f"samples count from 0, got {numbers.min()}")
        starts, states = self._sequence.until(int(numbers.max()))
        return states[np.searchsorted(starts, numbers, side="right") - 1]

    def markers(self, start_sample: int, stop_sample: int) -> list[tuple[int, str]]:
        """Each state that starts in [start_sample, stop_sample): its first sample and its name."""
        starts, states = self._sequence.until(max(stop_sample, 0))
        return [
            (int(start), self.classes[state])
            for start, state in zip(starts, states, strict=True)
            if start_sample <= start < stop_sample
        ]

    def activation(self, first_sample: int, n_samples: int) -> Floats:
        """True activity of each focus, 0 to 1: float32 [n_foci, n_samples].

        A focus follows a change of state after its delay, linearly.
        """
        numbers = np.arange(first_sample, first_sample + n_samples)
        starts, states = self._sequence.until(first_sample + n_samples)
        levels = self._class_levels[states]
        rise_samples = self.level.rise_s * self.sfreq_hz
        out = np.empty((len(self.foci), n_samples), np.float32)
        for row, focus in enumerate(self.foci):
            onsets = starts + focus.delay_s * self.sfreq_hz
            knots = np.stack([onsets[1:], onsets[1:] + rise_samples], axis=1).ravel()
            heights = np.stack([levels[:-1, row], levels[1:, row]], axis=1).ravel()
            out[row] = np.interp(numbers, knots, heights)
        return out

    @cached_property
    def _class_levels(self) -> Doubles:
        """Level of each focus in each state, [n_classes, n_foci].

        With two classes, the second drives every focus; with more, each drives its own subset.
        """
        levels = np.full((len(self.classes), len(self.foci)), 0.25)
        levels[0] = 0.0
        n_active = len(self.classes) - 1
        for row in range(len(self.foci)):
            levels[1 + row % n_active, row] = 1.0
        return levels
