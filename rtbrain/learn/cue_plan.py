"""A stored plan of cues: drawn from a seed, and drawn again for a null that no drift can fool."""

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rtbrain.config import LabelSettings, load_settings, parse_settings
from rtbrain.config.front_end import Settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.metrics import states_at
from rtbrain.learn.nulls import Design
from rtbrain.recording.recording import Event, Recording

PLAN_MARKER = "rtbrain cues "  # a marker of this text, then the plan as JSON
_TOLERANCE_S, _TOLERANCE = 0.5, 0.01  # between a planned cue and its marker; and per second
_ROUNDING_S = 1e-6


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

    @model_validator(mode="after")
    def _ordered(self) -> "CuePlan":
        if self.duration_s[1] < self.duration_s[0]:
            raise ValueError("duration_s: expected the shortest first, then the longest")
        return self

    def draw(self, rng: np.random.Generator) -> list[Event]:
        """Cues from 0 s on; `rng` is ``numpy.random.default_rng(seed)`` for those shown."""
        texts = rng.permutation(np.repeat(self.classes, self.n_per_class))
        lasts_s = rng.uniform(*self.duration_s, texts.size)
        onsets_s = np.cumsum(lasts_s) - lasts_s
        return [Event(s, 0.0, text) for s, text in zip(onsets_s, texts.tolist(), strict=True)]


def stored_design(
    labels: LabelSettings,
    recordings: Sequence[Recording],
    labelled: Labelled,
    lag_s: float,
    on_note: Callable[[str], None] = lambda note: None,
) -> Design | None:
    """The design of recordings whose cues follow a plan, of the settings or of a marker, if any.

    Where some have a plan and others none, `on_note` is called, and there is no design.

    Raises
    ------
    SettingsError
        The markers are not those of the plan.
    """
    if labels.classes is None:
        return None
    found = [_plan_of(labels, recording) for recording in recordings]
    plans = [plan for plan in found if plan is not None]
    if len(plans) < len(recordings):
        if plans:
            absent = [str(number + 1) for number, plan in enumerate(found) if plan is None]
            on_note(
                f"no plan of cues in recording {', '.join(absent)} of {len(recordings)}: labels "
                "are shifted for p, plans of others are not used; labels.plan names one for all"
            )
        return None
    cued = [[e for e in one.events if e.text in labels.classes] for one in recordings]
    for plan, events in zip(plans, cued, strict=True):
        if events:
            _require_same(plan, events)
    first_s = [min((event.onset_s for event in events), default=0.0) for events in cued]
    return partial(_redrawn, plans, first_s, labelled, tuple(labels.classes), lag_s)


def _redrawn(
    plans: Sequence[CuePlan],
    first_s: Sequence[float],
    labelled: Labelled,
    classes: Sequence[str],
    lag_s: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Targets of every window by another draw; recordings are numbered as in `labelled`."""
    targets = np.empty(labelled.rows.size, np.int64)
    for part in labelled.parts:
        number = int(labelled.recordings[part[0]]) if len(labelled.recordings) else 0
        cues = [(first_s[number] + one.onset_s, one.text) for one in plans[number].draw(rng)]
        moments = labelled.t_s[part] - lag_s + _ROUNDING_S
        targets[part] = states_at(moments, cues, classes)
    return targets


def _plan_of(labels: LabelSettings, recording: Recording) -> CuePlan | None:
    if labels.plan is not None:
        return load_settings(labels.plan, CuePlan)
    for event in recording.events:
        if event.text.startswith(PLAN_MARKER):
            try:
                values = json.loads(event.text.removeprefix(PLAN_MARKER))
            except ValueError:
                values = None
            if not isinstance(values, dict):
                raise SettingsError(f"the marker {event.text[:40]!r} holds no plan: name a file")
            return parse_settings(values, CuePlan, where="the plan of cues in a marker")
    return None


def _require_same(plan: CuePlan, events: Sequence[Event]) -> None:
    """Refuse cues that are not the plan's: a null of another design would prove nothing."""
    expected = plan.draw(np.random.default_rng(plan.seed))[: len(events)]
    shown = sorted(events, key=lambda event: event.onset_s)
    off_s = [
        abs((one.onset_s - shown[0].onset_s) - other.onset_s)
        for one, other in zip(shown, expected, strict=False)
    ]
    same = [one.text for one in shown] == [one.text for one in expected]
    if not same or max(off_s) > _TOLERANCE_S + _TOLERANCE * expected[-1].onset_s:
        raise SettingsError(
            f"the plan of cues does not give the {len(shown)} markers of the recording (order "
            f"{'the same' if same else 'another'}, {max(off_s):.2f} s apart at most): name the "
            "plan that was shown, or leave it out"
        )
