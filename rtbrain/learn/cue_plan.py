"""A stored plan of cues: drawn from a seed, and drawn again for a null that no drift can fool."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import randbelow
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rtbrain.config import LabelSettings, load_settings, parse_settings
from rtbrain.config.front_end import Settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.nulls import Design
from rtbrain.marks import CUE_WORDS, PLAN_MARKER, RESUMED, CueBlock, cue_blocks, is_plan
from rtbrain.recording.recording import Event, Recording

_ROUNDING_S = 1e-6
_MAX_TRIES = 10_000  # of an order that ends with too many alike
LEAST_S = 1.0  # between two changes of the screen: nothing faster than 1 Hz
_RANDOM, _PACED = 0.4, 0.2  # half the range of the lengths over their middle: wanted, and refused
_LEAST_LEFT_S = 0.5  # of a block without its beginning


class CuePlan(Settings):
    """Cues in random order, each of a random length, all from one seed."""

    classes: tuple[str, ...] = Field(min_length=2)
    """Texts of the markers."""
    n_per_class: PositiveInt
    """Cues of each class."""
    duration_s: tuple[PositiveFloat, PositiveFloat]
    """Shortest and longest cue, s; drawn evenly between."""
    seed: NonNegativeInt
    """Of the draw that was shown."""
    pause_s: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    """Shortest and longest time between two cues, s; drawn evenly between."""
    settle_s: NonNegativeFloat = 0.0
    """Beginning of each cue that is not fitted on, s."""
    max_alike: PositiveInt | None = None
    """Most cues of one class in a row; by default any number."""

    @model_validator(mode="after")
    def _possible(self) -> "CuePlan":
        for name in ("duration_s", "pause_s"):
            first, last = getattr(self, name)
            if last < first:
                raise ValueError(f"{name}: expected the shortest first, then the longest")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a text is repeated")
        if taken := sorted(set(self.classes) & set(CUE_WORDS)):
            raise ValueError(f"classes: {taken[0]!r} is a marker of the cue screen; name it so")
        if self.max_alike == 1 and len(self.classes) == 2:
            raise ValueError("max_alike: 1 lets two classes take turns; expected 2 or more")
        if self.settle_s and self.settle_s > self.duration_s[0] - _LEAST_LEFT_S:
            raise ValueError(
                f"settle_s: {self.settle_s:g} s leave under {_LEAST_LEFT_S:g} s of the shortest cue"
            )
        return self

    def order(self, rng: np.random.Generator) -> list[str]:
        """Classes in random order; `rng` is ``numpy.random.default_rng(seed)`` for that shown."""
        if self.max_alike is None:
            texts: list[str] = rng.permutation(np.repeat(self.classes, self.n_per_class)).tolist()
            return texts
        for _ in range(_MAX_TRIES):
            left = np.full(len(self.classes), self.n_per_class)
            drawn: list[int] = []
            while left.any():
                odds = left.astype(np.float64)
                last = drawn[-self.max_alike :]
                if len(last) == self.max_alike and len(set(last)) == 1:
                    odds[last[0]] = 0.0
                if not odds.any():
                    break
                drawn.append(int(rng.choice(odds.size, p=odds / odds.sum())))
                left[drawn[-1]] -= 1
            else:
                return [self.classes[number] for number in drawn]
        raise SettingsError(f"max_alike: no order has {self.max_alike} in a row at most")

    def lengths(self, rng: np.random.Generator) -> tuple[list[float], list[float]]:
        """Lengths of the cues and of the pauses before them, s; `rng` as `order` left it."""
        n = len(self.classes) * self.n_per_class
        return (
            rng.uniform(*self.duration_s, n).tolist(),
            rng.uniform(*self.pause_s, n).tolist(),
        )

    def draw(self, rng: np.random.Generator) -> list[Event]:
        """Cues, the first at 0 s; `rng` as for `order`."""
        texts = self.order(rng)
        lasts_s, pauses_s = self.lengths(rng)
        steps_s = np.array(lasts_s[:-1]) + pauses_s[1:]
        onsets_s = np.concatenate(([0.0], np.cumsum(steps_s))).tolist()
        return [
            Event(onset_s, last_s if any(self.pause_s) else 0.0, text)
            for onset_s, last_s, text in zip(onsets_s, lasts_s, texts, strict=True)
        ]

    def marker(self) -> str:
        """The plan as a marker, from which a fit draws it again: without words and pictures."""
        return PLAN_MARKER + json.dumps(self.model_dump(include=set(CuePlan.model_fields)))


class Look(Settings):
    """What the cue screen shows of a class, white on black."""

    word: str = Field(min_length=1, max_length=24)
    """The one word."""
    line: str = Field(default="", max_length=80)
    """The one line under it."""
    picture: Path | None = None
    """File of a still picture above the word: PNG or JPEG."""


class ScreenPlan(CuePlan):
    """A plan for the cue screen: slow enough to be harmless, random enough to tell chance."""

    n_per_class: PositiveInt = 24
    """Cues of each class: 20 for a first fit, and a few that may be left out."""
    duration_s: tuple[PositiveFloat, PositiveFloat] = (4.8, 11.2)
    """Shortest and longest cue, s; drawn evenly between."""
    pause_s: tuple[NonNegativeFloat, NonNegativeFloat] = (2.0, 3.0)
    """Shortest and longest time between two cues, s; drawn evenly between."""
    settle_s: NonNegativeFloat = 1.0
    """Beginning of each cue that is not fitted on, s."""
    max_alike: PositiveInt | None = 2
    """Most cues of one class in a row."""
    looks: dict[str, Look] = Field(default_factory=dict)
    """Word, line and picture of each class; by default its name."""

    @model_validator(mode="after")
    def _harmless(self) -> "ScreenPlan":
        for name in ("duration_s", "pause_s"):
            shortest_s = getattr(self, name)[0]
            if shortest_s < LEAST_S and (name == "duration_s" or self.pause_s[1] > 0):
                raise ValueError(
                    f"{name}: the screen would change after {shortest_s:g} s; faster than once "
                    f"in {LEAST_S:g} s can harm: expected {LEAST_S:g} s or more"
                )
        if self.randomness < _PACED:
            low, high = self.middle_s * (1 - _RANDOM), self.middle_s * (1 + _RANDOM)
            raise ValueError(
                f"duration_s: cues of {self.duration_s[0]:g} to {self.duration_s[1]:g} s come at a "
                f"strict pace, by which chance cannot be estimated: expected {low:.3g} to "
                f"{high:.3g} s or wider"
            )
        if unknown := [name for name in self.looks if name not in self.classes]:
            raise ValueError(f"looks: {unknown[0]!r} is none of {', '.join(self.classes)}")
        return self

    @property
    def middle_s(self) -> float:
        """Mean length of a cue, s."""
        return sum(self.duration_s) / 2

    @property
    def randomness(self) -> float:
        """Half the range of the lengths over their middle: 0 is a strict pace."""
        return (self.duration_s[1] - self.duration_s[0]) / sum(self.duration_s)

    @property
    def note(self) -> str:
        """What the user should know of the plan; empty if nothing."""
        if self.randomness >= _RANDOM - _ROUNDING_S:
            return ""
        return (
            f"cues last {self.duration_s[0]:g} to {self.duration_s[1]:g} s, ± "
            f"{self.randomness:.0%}: ± {_RANDOM:.0%} keep them from being foreseen"
        )

    @property
    def lasts_s(self) -> float:
        """How long all cues take on average, s."""
        return len(self.classes) * self.n_per_class * (self.middle_s + sum(self.pause_s) / 2)

    def look(self, text: str) -> Look:
        """What is shown of a class."""
        return self.looks.get(text) or Look(word=text[:1].upper() + text[1:24])


def new_seed() -> int:
    """A seed that nobody has chosen."""
    return randbelow(2**31)


@dataclass(frozen=True, slots=True)
class _Run:
    """Cues that were shown by one plan, in one recording."""

    plan: CuePlan
    blocks: list[CueBlock]  # of the classes that are fitted
    offset: int  # of the first in the plan

    def redraw(self, classes: Sequence[str], rng: np.random.Generator) -> list[int]:
        """Class numbers of the blocks by another draw of the order."""
        texts = [text for text in self.plan.order(rng) if text in classes]
        return [classes.index(text) for text in texts[self.offset :][: len(self.blocks)]]


def stored_design(
    labels: LabelSettings,
    recordings: Sequence[Recording],
    labelled: Labelled,
    lag_s: float,
    on_note: Callable[[str], None] = lambda note: None,
) -> Design | None:
    """The design of recordings whose cues follow a plan, of the settings or of markers, if any.

    The order is drawn again; when the blocks came and which were dropped stays as it was, since the
    order was drawn apart from their lengths: so pauses and dropped blocks change nothing. Where
    some recordings have a plan and others none, or the markers are not those of the plan in them,
    `on_note` is called, and there is no design.

    Raises
    ------
    SettingsError
        The markers are not those of the plan that the settings name.
    """
    if labels.classes is None:
        return None
    classes = tuple(labels.classes)
    runs = [_runs(labels, classes, recording, on_note) for recording in recordings]
    absent = [str(number + 1) for number, found in enumerate(runs) if not found]
    if len(absent) == len(runs):
        return None
    if absent:
        on_note(
            f"no plan of cues in recording {', '.join(absent)} of {len(recordings)}: labels "
            "are shifted for p, plans of others are not used; labels.plan names one for all"
        )
        return None
    return partial(_redrawn, runs, labelled, classes, lag_s)


def _redrawn(
    runs: Sequence[Sequence[_Run]],
    labelled: Labelled,
    classes: Sequence[str],
    lag_s: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Targets of every window by another draw; recordings are numbered as in `labelled`."""
    targets = np.empty(labelled.rows.size, np.int64)
    for part in labelled.parts:
        number = int(labelled.recordings[part[0]]) if len(labelled.recordings) else 0
        drawn = [one for run in runs[number] for one in run.redraw(classes, rng)]
        starts = np.array([block.start_s for run in runs[number] for block in run.blocks])
        moments = labelled.t_s[part] - lag_s + _ROUNDING_S
        at = np.searchsorted(starts, moments, side="right") - 1
        targets[part] = np.append(drawn, -1)[at]  # before the first there is none
    return targets


def _runs(
    labels: LabelSettings,
    classes: Sequence[str],
    recording: Recording,
    on_note: Callable[[str], None],
) -> list[_Run]:
    """Cues of a recording by their plans; none where it has none, or markers of another."""
    events = sorted(recording.events, key=lambda one: one.onset_s)
    if labels.plan is not None:
        plan = load_settings(labels.plan, CuePlan)
        cues = [(one.onset_s, one.text) for one in events if one.text in classes]
        return [_run(plan, classes, cues)]
    # Marks of people and markers of other programs may have the names of classes.
    senders = {one.stream for one in events if is_plan(one.text)}
    markers = [(one.onset_s, one.text) for one in events if one.stream in senders]
    starts: list[int] = []
    begun = False  # whether cues of the plan came: else it stands there once more
    for number, (_, text) in enumerate(markers):
        again = number > 0 and markers[number - 1][1] == RESUMED
        if is_plan(text) and (not starts or (begun and not again)):
            starts.append(number)
            begun = False
        begun |= text in classes
    if not starts:
        return []
    found: list[_Run] = []
    for first, last in zip(starts, [*starts[1:], len(markers)], strict=True):
        plan = parse_settings(
            plan_values(markers[first][1]), CuePlan, where="the plan of cues in a marker"
        )
        begin = first if found else 0
        try:
            found.append(_run(plan, classes, markers[begin:last]))
        except SettingsError as error:
            on_note(f"{error}; labels are shifted for p")
            return []
    return [run for run in found if run.blocks]


def plan_values(text: str) -> dict[str, Any]:
    """Values of a plan that stand in a marker; SettingsError where it holds none."""
    try:
        values = json.loads(text.removeprefix(PLAN_MARKER))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise SettingsError(f"the marker {text[:40]!r} holds no plan: name a file")
    return values


def _run(plan: CuePlan, classes: Sequence[str], markers: Sequence[tuple[float, str]]) -> _Run:
    """Cues of a plan, which may have begun before the recording.

    Refuses those that are not the plan's: a null of another design would prove nothing.
    """
    blocks = [block for block in cue_blocks(markers, plan.classes) if block.text in classes]
    shown = [block.text for block in blocks]
    planned = [t for t in plan.order(np.random.default_rng(plan.seed)) if t in classes]
    for offset in range(max(1, len(planned) - len(shown) + 1)):
        if planned[offset:][: len(shown)] == shown:
            return _Run(plan, blocks, offset)
    raise SettingsError(
        f"the plan of cues does not give the {len(shown)} markers of the recording in their "
        "order: name the plan that was shown, or leave it out"
    )
