"""The synthetic patient: a seeded description of contacts, foci and task, without its signal.

Patients of one family share where and how late the task drives the brain; each has its own
electrodes, noise and task sequence. A decoder of one patient can therefore transfer to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from rtbrain.errors import SettingsError
from rtbrain.synthetic.implant import DRAW, N_CONTACTS, SPACES, Implant, in_space
from rtbrain.synthetic.noise import RandomStream, Wander, random_generator
from rtbrain.synthetic.stimulator import STIMULATION, Stimulator
from rtbrain.synthetic.task import DIFFICULTIES, TASKS, Difficulty, StateSequence
from rtbrain.types import Doubles, Floats, Ints, Montage

_N_FOCI = 6
_N_BURST_FOCI = 3
_FOCUS_RADIUS_MM = 7.0
_FOCUS_APART_MM = 22.0
_MAX_DELAY_S = 0.150
_VALUE_PERIODS_S = np.geomspace(3.0, 50.0, 32)
_HOUR_S = 3600.0
_DRIFT_PERIODS_S = _HOUR_S * np.array([1.3, 7.0, 29.0])
VALUE = "value"
SYNTHETIC = "synthetic:"
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


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient with depth electrodes, or grids, who does a task.

    `seed` draws the electrodes, noise and task sequence, `family` the foci and their delays, and
    `task` is what of the signal follows the task (a key of `TASKS`). Labels come `label_lag_s`
    after what they name, or before it. `gain_drift_db` and `impedance_drift_db` are deviations over
    contacts of what wanders over hours and days: the gain of the brain's signals, and mains and
    amplifier noise, which rise with the impedance. By `mix_drift` the share of time outside the
    first class goes from 0.5 - `mix_drift` to 0.5 + `mix_drift` in 10 minutes, and back.
    `stim_hz` pulses a second of a stimulator reach `stim_uv` at its contact, with tails of
    `stim_tail_s`; the amplifier clips at `rail_uv`. Without them the signal is the same but clean.
    SettingsError if a value is out of range.
    """

    seed: int = 0
    family: int = field(default=0, kw_only=True)
    n_channels: int = field(default=32, kw_only=True)  # 6 to 1024
    electrodes: str = field(default="shafts", kw_only=True)  # or grids of 8 x 8, each 4 mm
    sfreq_hz: float = field(kw_only=True)  # above what TASKS says
    mains_hz: float = field(default=60.0, kw_only=True)  # 50 or 60
    difficulty: str = field(default="default", kw_only=True)  # a key of DIFFICULTIES
    space: str = field(default="MNI mm", kw_only=True)  # one of SPACES
    classes: tuple[str, ...] = field(default=("rest", "speech"), kw_only=True)  # the first is rest
    task: str = field(default="mixed", kw_only=True)
    label_lag_s: float = field(default=0.0, kw_only=True)  # -10 to 10
    gain_drift_db: float = field(default=0.0, kw_only=True)  # 0 to 20
    impedance_drift_db: float = field(default=0.0, kw_only=True)  # 0 to 40
    mix_drift: float = field(default=0.0, kw_only=True)  # 0 to 0.45
    stim_hz: float = field(default=0.0, kw_only=True)  # 0 to 300
    stim_uv: float = field(default=5000.0, kw_only=True)  # 0 to 1e6
    stim_tail_s: float = field(default=0.001, kw_only=True)  # 0.0001 to 0.1
    rail_uv: float = field(default=8000.0, kw_only=True)  # 500 to 1e6

    def __post_init__(self) -> None:
        fewest, most = N_CONTACTS
        lowest_hz = TASKS.get(self.task, 0.0)
        ranges = {
            "label_lag_s": (-10, 10),
            "gain_drift_db": (0, 20),
            "impedance_drift_db": (0, 40),
            "mix_drift": (0, 0.45),
            "stim_hz": (0, 300),
            "stim_uv": (0, 1e6),
            "stim_tail_s": (1e-4, 0.1),
            "rail_uv": (500, 1e6),
        }
        required = {
            f"{name} must be {low} to {high}, got {getattr(self, name)}": (
                low <= getattr(self, name) <= high
            )
            for name, (low, high) in ranges.items()
        }
        required |= {
            f"task must be one of {', '.join(TASKS)}, got {self.task!r}": self.task in TASKS,
            f"seed must be 0 or more, got {self.seed}": self.seed >= 0,
            f"family must be 0 or more, got {self.family}": self.family >= 0,
            f"a synthetic patient has {fewest} to {most} channels, got {self.n_channels}": (
                fewest <= self.n_channels <= most
            ),
            f"sampling rate must be above {lowest_hz:g} Hz to hold task {self.task}, got "
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
        """The channels, with positions in `space`; of task continuous, the value as the last."""
        names, positions = self.implant.names, in_space(self.implant.positions_mm, self.space)
        kinds = (self.implant.kind,) * self.n_channels
        if self.task == "continuous":
            names, kinds = (*names, VALUE), (*kinds, "misc")
            positions = np.concatenate([positions, np.full((1, 3), np.nan, np.float32)])
        return Montage(names, kinds, self.sfreq_hz, positions, self.space)

    @cached_property
    def stimulator(self) -> Stimulator | None:
        """What stimulates; None for `stim_hz` 0."""
        if not self.stim_hz:
            return None
        return Stimulator(
            self.seed,
            self.implant.positions_mm,
            self.sfreq_hz,
            rate_hz=self.stim_hz,
            amplitude_uv=self.stim_uv,
            tail_s=self.stim_tail_s,
            rail_uv=self.rail_uv,
        )

    @cached_property
    def _sequence(self) -> StateSequence:
        return StateSequence(self.seed, len(self.classes), self.sfreq_hz, self.mix_drift)

    def value_at(self, times_s: npt.ArrayLike) -> Doubles:
        """The value of task continuous, uniform in 0 to 1, at these times: float64 likewise."""
        wander = Wander(RandomStream.VALUE, self.seed, 1, _VALUE_PERIODS_S)
        return np.asarray(ndtr(wander.at(np.asarray(times_s, np.float64))[0]))

    def drift_db(self, of: RandomStream, times_s: npt.ArrayLike) -> Doubles:
        """Drift of gain or impedance since the start: float64 [n_channels, n_times]."""
        drift_db = {
            RandomStream.GAIN: self.gain_drift_db,
            RandomStream.IMPEDANCE: self.impedance_drift_db,
        }
        wander = Wander(of, self.seed, self.n_channels, _DRIFT_PERIODS_S)
        change = wander.at(np.asarray(times_s, np.float64)) - wander.at(np.zeros(1))
        return np.asarray(drift_db[of] * np.sqrt(0.5) * change)

    def state_at(self, samples: npt.ArrayLike) -> Ints:
        """State at each sample: int64 of the same shape, indices into `classes`."""
        numbers = np.asarray(samples, np.int64)
        if not numbers.size:
            return np.zeros(numbers.shape, np.int64)
        if numbers.min() < 0:
            raise ValueError(f"samples count from 0, got {numbers.min()}")
        if self.task == "continuous":
            return (
                (self.value_at(numbers.ravel() / self.sfreq_hz) > 0.5)
                .reshape(numbers.shape)
                .astype(np.int64)
            )
        starts, states = self._sequence.until(int(numbers.max()))
        return states[np.searchsorted(starts, numbers, side="right") - 1]

    def markers(self, start_sample: int, stop_sample: int) -> list[tuple[int, str]]:
        """Each state that starts in [start_sample, stop_sample): its first sample and its name.

        Of task continuous there are none. Each pulse of a stimulator has one too.
        """
        pulses: list[tuple[int, str]] = []
        if self.stimulator is not None:
            at = self.stimulator.pulses(start_sample, stop_sample)
            pulses = [(int(sample), STIMULATION) for sample in at]
        return sorted([*self._states(start_sample, stop_sample), *pulses])

    def _states(self, start_sample: int, stop_sample: int) -> list[tuple[int, str]]:
        if self.task == "continuous":
            return []
        starts, states = self._sequence.until(max(stop_sample, 0))
        return [
            (int(start), self.classes[state])
            for start, state in zip(starts, states, strict=True)
            if start_sample <= start < stop_sample
        ]

    def activation(
        self, first_sample: int, n_samples: int, states: tuple[Ints, Ints] | None = None
    ) -> Floats:
        """True activity of each focus, 0 to 1: float32 [n_foci, n_samples].

        A focus follows a change of state after its delay, linearly. `states` replace the patient's
        own: first samples, the last of them after these, and numbers of classes.
        """
        numbers = np.arange(first_sample, first_sample + n_samples)
        if self.task == "continuous":
            delays_s = np.array([[focus.delay_s] for focus in self.foci]) - self.label_lag_s
            times_s = numbers / self.sfreq_hz - delays_s
            values = self.value_at(times_s.ravel()).reshape(times_s.shape)
            return np.asarray(values, np.float32)
        until = first_sample + n_samples + max(0, round(self.label_lag_s * self.sfreq_hz))
        starts, numbered = self._sequence.until(until) if states is None else states
        levels = self._class_levels[numbered]
        rise_samples = self.level.rise_s * self.sfreq_hz
        out = np.empty((len(self.foci), n_samples), np.float32)
        for row, focus in enumerate(self.foci):
            onsets = starts + (focus.delay_s - self.label_lag_s) * self.sfreq_hz
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


def parse_patient(words: str, sfreq_hz: float, **more: float) -> tuple[Patient, dict[str, float]]:
    """Patient by its seed and what differs from the defaults, as ``7,task=beta,n_channels=8``.

    `more` are further numbers and their defaults, which are returned. A SettingsError lists the
    properties that there are.
    """
    seed, *rest = (word.strip() for word in words.split(","))
    defaults = {one.name: one.default for one in fields(Patient)} | more
    del defaults["seed"], defaults["sfreq_hz"]
    options: dict[str, Any] = {}
    try:
        for word in rest:
            key, _, value = (part.strip() for part in word.partition("="))
            if key not in defaults:
                known = ", ".join(defaults)
                raise SettingsError(f"{SYNTHETIC}{words}: no property {key!r}, there are {known}")
            if key in options:
                raise SettingsError(f"{SYNTHETIC}{words}: {key} twice: leave one out")
            kind: Any = type(defaults[key])
            options[key] = tuple(value.split("/")) if kind is tuple else kind(value)
        of_patient = {key: value for key, value in options.items() if key not in more}
        patient = Patient(int(seed), sfreq_hz=sfreq_hz, **of_patient)
    except ValueError as error:
        raise SettingsError(
            f"{SYNTHETIC}{words}: expected synthetic:SEED[,key=value...] with numbers, as in "
            "synthetic:7,duration_s=300, and classes as rest/speech"
        ) from error
    return patient, {key: options.get(key, default) for key, default in more.items()}
