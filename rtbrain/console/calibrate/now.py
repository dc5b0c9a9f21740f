"""What is on, what comes, and whether it is enough, in words. Without Qt."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtbrain.console.calibrate.counting import (
    ENOUGH,
    BlockCounter,
    Collected,
    CountedBlock,
    last_markers,
)
from rtbrain.console.cues.schedule import CueSchedule, Scene, scene_of
from rtbrain.view.texts import say


@dataclass(frozen=True, slots=True)
class Now:
    """What the panel says: a word and a number; a line above and one below, with right ends."""

    word: str = ""
    number: str = ""
    head: str = ""
    right: str = ""
    below: str = ""
    below_right: str = ""
    on: tuple[float, str] | None = None  # the block that is on: since when, and its class
    due: float | None = None  # its end, if that is planned
    scene: Scene | None = None  # what the participant sees


@dataclass(frozen=True, slots=True)
class Shown:
    """What the panels show at one moment; times in s, LSL clock."""

    now: float = 0.0
    classes: Sequence[str] = ()
    target: str | None = None
    wanted: Mapping[str, int] = field(default_factory=dict)  # blocks by class
    counts: Mapping[str, Collected] = field(default_factory=dict)
    blocks: Sequence[CountedBlock] = ()
    coming: Sequence[tuple[float, float, str]] = ()  # begin, end and class
    state: Now = field(default_factory=Now)
    markers: Sequence[tuple[float, str]] = ()  # s since 1970, newest first
    advice: tuple[str, str, str] = ("unchecked", "", "")  # icon, head, line


def now_of_cues(status: Mapping[str, Any], schedule: CueSchedule | None, now: float) -> Now:
    """The cue screen, by its last status."""
    state = str(status.get("state", ""))
    total, done = status.get("total", 0), status.get("done", 0)
    head, left_s = say("calibrate.state.now"), _left_s(status, now)
    following, after_s = status.get("next", ""), status.get("next_s")
    seconds = "" if after_s is None else f"{after_s:.0f}"
    scene = None if schedule is None else scene_of(schedule.plan, state, str(status.get("text")))
    if state == "cue":
        t_shown, t_due = status.get("t_shown"), status.get("t_due")
        text = str(status["text"])
        then = say("calibrate.state.then_last")
        if following:
            then = say("calibrate.state.then", name=following, seconds=seconds)
        return Now(
            text, f"{left_s:.1f} s", head, say("calibrate.state.still"), then,
            say("calibrate.state.block", n=done + 1, total=total),
            None if t_shown is None else (t_shown, text), t_due, scene,
        )  # fmt: skip
    if state == "break":
        then = say("calibrate.state.pause_then", name=following, seconds=seconds)
        below = then if following else say("calibrate.state.then_last")
        number = f"{left_s:.1f} s"
        right = say("calibrate.state.still")
        words = say("calibrate.state.pause"), number, head, right, below
        return Now(*words, say("calibrate.state.block", n=done, total=total), scene=scene)
    key = {"paused": "paused", "ended": "ended"}.get(state, "waiting")
    return Now(
        say(f"calibrate.state.{key}"), "", head, "", say(f"calibrate.state.{key}_line"),
        say("calibrate.state.block", n=done, total=total) if total else "", scene=scene,
    )  # fmt: skip


def now_of_markers(counter: BlockCounter, source: str, now: float) -> Now:
    """The last marker of another program, and those that have no name."""
    head, newest = say("calibrate.state.last"), last_markers(counter, 1)
    if not newest:
        below = say("calibrate.state.none_heard_line", name=source)
        return Now(say("calibrate.state.none_heard"), "", head, "", below)
    ((t, text),) = newest
    block = next(iter(counter.blocks()[-1:]), None)
    on = (block.start_s, block.text) if block and block.stop_s == math.inf else None
    below = say("calibrate.state.all_named")
    if counter.unknown:
        ((unknown, n),) = counter.unknown.most_common(1)
        below = say("calibrate.state.unnamed", n=n, text=unknown)
    ago = f"{max(0.0, now - t):.1f} s"
    return Now(text, ago, head, say("calibrate.state.ago_head"), below, "", on)


def coming_blocks(
    schedule: CueSchedule | None, status: Mapping[str, Any], now: float, ahead_s: float = 60.0
) -> list[tuple[float, float, str]]:
    """Blocks to come by the plan: begin and end, s, and class."""
    state, due = status.get("state"), status.get("t_due")
    if schedule is None or state not in ("cue", "break", "paused"):
        return []
    number = int(status.get("done", 0)) + (state == "cue")
    t = now + 3.0 if due is None else float(due)
    if state == "cue" and number < len(schedule.order):
        t += schedule.pauses_s[number]
    found = []
    while number < len(schedule.order) and t < now + ahead_s:
        end = t + schedule.lasts_s[number]
        found.append((t, end, schedule.order[number]))
        number += 1
        t = end + (schedule.pauses_s[number] if number < len(schedule.order) else 0.0)
    return found


def advice(counts: Mapping[str, Collected]) -> tuple[str, str, str]:
    """Icon, head and line: whether what there is does for a first fit."""
    if not counts or not any(one.usable for one in counts.values()):
        line = say("calibrate.advice.none_line", least=ENOUGH)
        return "unchecked", say("calibrate.advice.none"), line
    name, fewest = fewest_of(counts)
    if fewest >= ENOUGH:
        line = say("calibrate.advice.enough_line")
        return "fine", say("calibrate.advice.enough"), line
    line = say(
        "calibrate.advice.more_line", n=fewest, name=name, least=ENOUGH, missing=ENOUGH - fewest
    )
    return "unchecked", say("calibrate.advice.more"), line


def fewest_of(counts: Mapping[str, Collected]) -> tuple[str, int]:
    """The class with the fewest usable blocks, and how many."""
    name = min(counts, key=lambda one: counts[one].usable)
    return name, counts[name].usable


def heard_at(
    markers: Sequence[tuple[float, str]], to_wall_s: float
) -> tuple[tuple[float, str], ...]:
    """Markers by the clock on the wall, to whole seconds."""
    return tuple((float(int(t + to_wall_s)), text) for t, text in markers)


def _left_s(status: Mapping[str, Any], now: float) -> float:
    due = status.get("t_due")
    return 0.0 if due is None else max(0.0, float(due) - now)
