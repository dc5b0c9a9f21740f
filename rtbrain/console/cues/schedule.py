"""Which cue comes when: the plan, and what an operator does to it. Without a screen or a clock."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rtbrain.errors import SettingsError, list_words, plain_text
from rtbrain.learn.cue_plan import LEAST_S, Look, ScreenPlan
from rtbrain.marks import BREAK, DROPPED, PAUSED, RESUMED, SCREEN_MARKER
from rtbrain.view.texts import say

State = Literal["ready", "cue", "break", "paused", "ended"]
COMMANDS = ("pause", "resume", "drop", "stop", "status", "display N")
_RESUME_S = 3.0  # from the end of a pause to the next cue, at least
_FIRST_S = 5.0  # from the first marker to the first cue, at least


def _words(scene: str) -> Look:
    return Look(word=say(f"cue.{scene}.word"), line=say(f"cue.{scene}.line"))


@dataclass(frozen=True, slots=True)
class Scene:
    """What the screen shows, and the markers of the frame that shows it."""

    state: State
    look: Look | None  # None: a small cross
    markers: tuple[str, ...] = ()


class CueSchedule:
    """The cues of a plan in their order, of the lengths that its seed gives.

    It is asked what is due, told when a frame has shown that, and counts on from there: a screen
    that is late shortens nothing.
    """

    def __init__(self, plan: ScreenPlan) -> None:
        rng = np.random.default_rng(plan.seed)
        self.plan = plan
        self.order: Sequence[str] = plan.order(rng)
        self.lasts_s, self.pauses_s = plan.lengths(rng)
        self.scene = Scene("ready", _words("ready"))
        self.number = 0  # cues that were begun
        self.n_dropped = self.n_paused = 0
        self.t_shown = self.t_due = math.inf
        self._droppable = False  # whether the last cue is not left out yet

    def begin(self) -> Scene:
        """The scene before the first cue; its markers name the plan."""
        return Scene("break", self.scene.look, (self.plan.marker(),))

    def due(self, now: float) -> Scene | None:
        """The scene that must be shown now; None while that which is shown stays."""
        if now < self.t_due:
            return None
        if self.scene.state == "cue" and any(self.plan.pause_s):
            return Scene("break", None, (BREAK,))
        return self._next()

    def show(self, scene: Scene, t: float) -> None:
        """A frame has shown a scene at `t`."""
        before, self.scene, self.t_shown = self.scene.state, scene, t
        if scene.state == "cue":
            self.number += 1
            self._droppable = True
            self.t_due = t + self.lasts_s[self.number - 1]
        elif scene.state == "break":
            least_s = {"ready": _FIRST_S, "paused": _RESUME_S}.get(before, 0.0)
            pause_s = self.pauses_s[self.number] if self.number < len(self.order) else 1.0
            least_s = LEAST_S if DROPPED in scene.markers else least_s
            self.t_due = t + max(pause_s, least_s)
        else:
            self.t_due = math.inf

    @property
    def t_next(self) -> float:
        """When the screen may change again, at the earliest, whoever asks for it."""
        return self.t_shown + LEAST_S if math.isfinite(self.t_shown) else -math.inf

    def obey(self, command: str) -> tuple[Scene | None, tuple[str, ...]]:
        """The scene that an operator asks for, if the screen changes, and markers of this moment.

        Raises
        ------
        SettingsError
            It cannot be done now.
        """
        state = self.scene.state
        if command == "stop":
            return self._end(), ()
        if state in ("ready", "ended"):
            raise SettingsError("the cues are over" if state == "ended" else "no cue has come yet")
        if command == "pause" and state != "paused":
            if state == "cue":
                self.n_paused += 1
                self._droppable = False
            return Scene("paused", _words("paused"), (PAUSED,)), ()
        if command == "resume" and state == "paused":
            return Scene("break", None, (RESUMED, self.plan.marker())), ()
        if command == "drop":
            if not self._droppable:
                raise SettingsError("there is no block to drop, or it is left out already")
            self._droppable = False
            self.n_dropped += 1
            return (Scene("break", None, (DROPPED,)), ()) if state == "cue" else (None, (DROPPED,))
        return None, ()

    def status(self, now: float) -> dict[str, Any]:
        """What is shown, for how long still, and what comes next."""
        texts, state = self.order, self.scene.state
        left = self.lasts_s[self.number :], self.pauses_s[self.number :]
        rest_s = max(0.0, self.t_due - now) if math.isfinite(self.t_due) else 0.0
        after = self.number < len(texts)
        return {
            "stage": "cues",
            "done": self.number - (state == "cue"),
            "total": len(texts),
            "left_s": round(rest_s + sum(map(sum, left)), 1),
            "state": state,
            "text": texts[self.number - 1] if state == "cue" else "",
            "t_shown": self.t_shown if math.isfinite(self.t_shown) else None,
            "t_due": self.t_due if math.isfinite(self.t_due) else None,
            "next": texts[self.number] if after else "",
            "next_s": round(self.lasts_s[self.number], 1) if after else None,
            "dropped": self.n_dropped,
            "paused": self.n_paused,
            "droppable": self._droppable,
        }

    def end_marker(self, about: dict[str, Any]) -> str:
        """How it went, as a marker."""
        counts = {"cues": self.number, "dropped": self.n_dropped, "paused": self.n_paused}
        return SCREEN_MARKER + json.dumps(counts | about)

    def _next(self) -> Scene:
        if self.number == len(self.order):
            return self._end()
        text = self.order[self.number]
        # Again, for a recorder that was not there yet.
        before = () if self.number else (self.plan.marker(),)
        return Scene("cue", self.plan.look(text), (*before, text))

    def _end(self) -> Scene:
        return Scene("ended", _words("ended"))


def scene_of(plan: ScreenPlan, state: str, text: str) -> Scene | None:
    """What the screen shows in a state, for those who read its status; None where it is black."""
    if state == "cue":
        return Scene("cue", plan.look(text))
    if state == "break":
        return Scene("break", None)
    return Scene(state, _words(state)) if state in ("ready", "paused", "ended") else None  # type: ignore[arg-type]


def unknown(command: str) -> SettingsError:
    """Error for a command that the cue screen does not know."""
    expected = list_words(COMMANDS, len(COMMANDS))
    return SettingsError(f"expected one of {expected}, got {plain_text(command)!r}")
