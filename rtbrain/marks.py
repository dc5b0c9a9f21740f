"""Marks in streams: contacts that people leave out, and what ended or dropped a cue."""

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

# Reason of a bad channel that an operator marked, in status events and in the window; that of a
# channel which somebody else marked begins as it does.
MANUAL_MARK = "marked by "
OPERATOR_MARK = f"{MANUAL_MARK}the operator"
REPEAT_REQUEST = "bad?"  # asks decoders to report every contact that is marked


@dataclass(frozen=True, slots=True)
class Mark:
    """A text that somebody sent to exclude or include contacts, and who, as the sender says."""

    text: str
    source_id: str = ""
    host: str = ""
    by_operator: bool = True

    @property
    def author(self) -> tuple[str, str]:
        """Source id and host."""
        return self.source_id, self.host

    @property
    def reason(self) -> str:
        """Who marked, in words."""
        return f"{MANUAL_MARK}{self.source_id} on {self.host}" if self.host else OPERATOR_MARK


# What is wrong with samples: they were replaced, or no decode may be made of them.
BLANKED, ARTIFACT, LATE, UNSETTLED, AWAY, UNKNOWN = range(1, 7)
_REASONS = {
    ARTIFACT: "an artifact on several contacts",
    LATE: "a stimulation marker came too late to blank its pulse",
    UNSETTLED: "the template of the periodic stimulation is not known yet",
    AWAY: "what announces the stimulation was not received: its pulses may not be blanked",
    UNKNOWN: "whether stimulation is on is unknown until a marker begins or ends it",
}


def sample_flaw(worst: int, blanked: float, max_blanked: float) -> str:
    """Why samples with this highest flag and share of `BLANKED` are not valid; else empty."""
    if worst in _REASONS:
        return _REASONS[worst]
    if blanked <= max_blanked:
        return ""
    return (
        f"stimulation: {blanked:.0%} of the window is blanked, expected {max_blanked:.0%} at most"
    )


# Markers of the cue screen, besides the classes: before the first cue the plan, as JSON behind this
# text, and again each time that the cues go on; after the last how it went.
PLAN_MARKER, SCREEN_MARKER = "rtbrain cues ", "rtbrain cue screen "
BREAK = "pause"  # between two blocks
PAUSED, RESUMED, DROPPED = "cues paused", "cues resumed", "block dropped"
CUE_WORDS = (BREAK, PAUSED, RESUMED, DROPPED)


def is_plan(text: str) -> bool:
    """Whether a marker is the plan of the cues."""
    return text.startswith(PLAN_MARKER)


def is_of_screen(text: str) -> bool:
    """Whether a marker is of the cue screen, and no class."""
    return text in CUE_WORDS or text.startswith((PLAN_MARKER, SCREEN_MARKER))


def is_end(text: str) -> bool:
    """Whether a marker announces that the cues have ended: no other follows."""
    return text.startswith(SCREEN_MARKER)


@dataclass(frozen=True, slots=True)
class CueBlock:
    """A state that a cue began, until it ended; infinite while it lasts."""

    start_s: float
    stop_s: float
    text: str
    left_out: str = ""  # what an operator did: `DROPPED` or `PAUSED`


def cue_blocks(markers: Iterable[tuple[float, str]], classes: Collection[str]) -> list[CueBlock]:
    """Blocks of these classes, in the order of their markers, (s, text).

    A block lasts until the next of any class, or until the cue screen ends it. One that an
    operator dropped, or cut short by a pause or by the end, is left out.
    """
    blocks: list[CueBlock] = []
    for t, text in markers:
        on = bool(blocks) and blocks[-1].stop_s == math.inf
        if on and (text in classes or text in CUE_WORDS or text.startswith(SCREEN_MARKER)):
            cut = text == PAUSED or text.startswith(SCREEN_MARKER)
            blocks[-1] = replace(blocks[-1], stop_s=t, left_out=PAUSED if cut else "")
        if text in classes:
            blocks.append(CueBlock(t, math.inf, text))
        elif text == DROPPED and blocks:
            blocks[-1] = replace(blocks[-1], left_out=DROPPED)
    return blocks


def screen_blocks(markers: Sequence[tuple[float, str]]) -> list[CueBlock] | None:
    """Blocks of the cue screen, each without its beginning that its plan leaves out.

    None where the markers, (s, text), hold no plan.
    """
    for _, text in markers:
        if is_plan(text):
            try:
                plan = json.loads(text.removeprefix(PLAN_MARKER))
                classes, settle_s = [str(one) for one in plan["classes"]], plan.get("settle_s", 0.0)
                return [
                    replace(block, start_s=min(block.start_s + float(settle_s), block.stop_s))
                    for block in cue_blocks(markers, classes)
                ]
            except (ValueError, TypeError, KeyError, AttributeError):
                return None
    return None
