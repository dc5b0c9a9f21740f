"""Blocks of a calibration as they come: which are usable, and why the others are left out."""

import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtbrain.console.folder import IGNORE
from rtbrain.errors import SettingsError
from rtbrain.files import UNREADABLE, parse_json, strict_json, write_atomically
from rtbrain.marks import (
    DROPPED,
    PAUSED,
    PLAN_MARKER,
    SCREEN_MARKER,
    CueBlock,
    cue_blocks,
    is_of_screen,
)
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream.triggers import TriggerEdges, parse_trigger
from rtbrain.stream_names import status_name
from rtbrain.types import Chunk, Montage
from rtbrain.view.health.recorder import recorded_streams
from rtbrain.view.texts import say

ENOUGH = 20  # blocks of each class that a first fit should have
_SHORTEST_S = 1.0  # what a window needs
_SILENT_S = 0.5  # older than this at the end of a block: the signal was not there
_LEAST_GOOD = 0.3  # of the contacts
_KEPT = 1000  # markers and gaps


@dataclass(frozen=True, slots=True)
class CountedBlock:
    """A block that is over."""

    t_wall: float  # s since 1970, of its beginning
    start_s: float  # LSL clock
    stop_s: float
    text: str
    reason: str = ""  # key of why it is left out: dropped, paused, gap, silent, contacts, ...
    lost_s: float = 0.0  # with gap

    @property
    def lasts_s(self) -> float:
        """How long it lasted, s."""
        return self.stop_s - self.start_s


class BlockCounter:
    """Counts blocks from markers, and looks at the signal that they lie in.

    `names` gives the class that a marker stands for, or ``ignore``; a marker that is a class itself
    needs no name. `settle_s` is the beginning of each block that a fit leaves out.
    """

    def __init__(self, path: Path | None = None, *, settle_s: float = 0.0) -> None:
        self.path, self.settle_s = path, settle_s
        self.names: Mapping[str, str] = {}
        self.classes: Collection[str] = ()
        self.done: list[CountedBlock] = []
        self.unknown: Counter[str] = Counter()
        self.markers: deque[tuple[float, str]] = deque(maxlen=_KEPT)  # as they came
        self._gaps: deque[tuple[float, float]] = deque(maxlen=_KEPT)  # end, and length
        self._t_last = -math.inf  # of the signal
        self._few_good: deque[tuple[float, bool]] = deque(maxlen=_KEPT)
        self._recorded: list[list[float]] = []  # from, to
        self._edges: TriggerEdges | None = None
        self._montage: Montage | None = None

    def use_trigger(self, trigger: str | None, montage: Montage | None) -> None:
        """Take the markers from a trigger channel; None does not."""
        if trigger is None or montage is None:
            self._edges = self._montage = None
        elif self._montage is not montage:
            self._montage, self._edges = montage, None
            with suppress(SettingsError):  # the page Set up says so
                self._edges = TriggerEdges(parse_trigger(trigger, montage.names), montage.sfreq_hz)

    def take(
        self, now: float, chunks: Sequence[Chunk], markers: Sequence[tuple[float, str]]
    ) -> None:
        """Take note of signal and markers."""
        for chunk in chunks:
            if not chunk.n_samples:
                continue
            t = float(chunk.timestamps[0])
            if chunk.gap > 0 and self._t_last > -math.inf:
                self._gaps.append((t, max(t - self._t_last, 0.0)))
            self._t_last = float(chunk.timestamps[-1])
            if self._edges is not None and self._montage is not None:
                rows = self._montage.rows(self._edges.trigger.names)
                found = self._edges(chunk.data[rows], chunk)
                if not self._edges.is_noise:
                    markers = [*markers, *found]
        for t, text in sorted(markers, key=lambda one: one[0]):
            self.markers.append((t, text))
            if self.name_of(text) is None and not is_of_screen(text):
                self.unknown[text] += 1

    def look(self, now: float, *, recording: bool, good: float = 1.0) -> None:
        """Note whether the signal is recorded now, and the share of contacts that are good."""
        if recording and (not self._recorded or self._recorded[-1][1] < math.inf):
            self._recorded.append([now, math.inf])
        elif not recording and self._recorded and self._recorded[-1][1] == math.inf:
            self._recorded[-1][1] = now
        few = good < _LEAST_GOOD
        if not self._few_good or self._few_good[-1][1] != few:
            self._few_good.append((now, few))

    def name_of(self, text: str) -> str | None:
        """Class of a marker, or ``ignore``; None if it has no name."""
        return self.names.get(text) or (text if text in self.classes else None)

    def blocks(self) -> list[CueBlock]:
        """All blocks since the count began, that which is on too."""
        named = [
            (t, (is_of_screen(text) and text) or self.name_of(text)) for t, text in self.markers
        ]
        known = [(t, text) for t, text in named if text and text != IGNORE]
        return cue_blocks(known, self.classes)

    def count(self, now: float, to_wall_s: float) -> bool:
        """Judge the blocks that are over; whether anything has changed.

        `to_wall_s` is from the LSL clock to seconds since 1970.
        """
        over = [block for block in self.blocks() if block.stop_s < math.inf]
        counted = [
            self._judged(block, to_wall_s)
            for block in over
            # The signal comes a little after its marker.
            if self._t_last >= block.stop_s or now > block.stop_s + 2 * _SILENT_S
        ]
        if counted == self.done:
            return False
        # Those before the first marker that is still kept stay as they were.
        first_s = counted[0].start_s if counted else math.inf
        kept = [block for block in self.done if block.start_s < first_s] if counted else self.done
        changed = [*kept, *counted] != self.done
        self.done = [*kept, *counted]
        return changed

    def forget(self, text: str) -> None:
        """A marker has a name now."""
        self.unknown.pop(text, None)

    def save(self) -> None:
        """Keep the counts beside the recording; an OSError where that cannot be."""
        if self.path is not None:
            values = [asdict(block) for block in self.done]
            write_atomically(self.path, strict_json({"version": 1, "blocks": values}))

    def _judged(self, block: CueBlock, to_wall_s: float) -> CountedBlock:
        reason, lost_s = "", 0.0
        gaps_s = [
            length for t, length in self._gaps if block.start_s < t and t - length < block.stop_s
        ]
        inside = any(a <= block.start_s and block.stop_s <= b for a, b in self._recorded)
        if block.left_out:
            reason = {DROPPED: "dropped", PAUSED: "paused"}[block.left_out]
        elif not inside:
            reason = "unrecorded"
        elif block.stop_s - block.start_s - self.settle_s < _SHORTEST_S:
            reason = "short"
        elif self._t_last < block.stop_s - _SILENT_S:
            reason = "silent"
        elif gaps_s:
            reason, lost_s = "gap", sum(gaps_s)
        elif self._had_few_good(block):
            reason = "contacts"
        start_s = block.start_s
        return CountedBlock(
            round(start_s + to_wall_s, 1), start_s, block.stop_s, block.text, reason, lost_s
        )

    def _had_few_good(self, block: CueBlock) -> bool:
        states = list(self._few_good)
        for number, (t, few) in enumerate(states):
            until = states[number + 1][0] if number + 1 < len(states) else math.inf
            if few and t < block.stop_s and until > block.start_s:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Collected:
    """What there is of a class."""

    usable: int
    usable_s: float
    left_out: int


def collected(
    blocks: Sequence[CountedBlock], classes: Sequence[str], settle_s: float = 0.0
) -> dict[str, Collected]:
    """Usable blocks and time by class."""
    found = {}
    for name in classes:
        mine = [block for block in blocks if block.text == name]
        usable = [block for block in mine if not block.reason]
        seconds = sum(block.lasts_s - settle_s for block in usable)
        found[name] = Collected(len(usable), seconds, len(mine) - len(usable))
    return found


def held(
    events: Sequence[StatusEvent], recorder: str, names: Collection[str], since_s: float
) -> list[tuple[float, bool]]:
    """When a recorder said whether it records all streams of these names: s, LSL clock.

    `events` are of any recorders; what an earlier one of this name said, before `since_s`, does
    not count.
    """
    said, stream = [], status_name(recorder)
    for event in events:
        if event.event == "summary" and event.fields.get("recorder") == stream:
            recorded = recorded_streams(event.fields.get("recording")) or ()
            if event.t >= since_s:
                said.append((event.t, {*names} <= {name for name, _ in recorded}))
    return said


def blocks_file(recording: Path) -> Path:
    """Where the counts of a recording are kept, beside it."""
    return recording.with_suffix(".blocks.json")


def _block(values: Mapping[str, Any]) -> CountedBlock:
    """A block from a file, an error of `UNREADABLE` where it is not one."""
    t_wall, start_s, stop_s = (float(values[key]) for key in ("t_wall", "start_s", "stop_s"))
    text, reason, lost_s = values["text"], values.get("reason", ""), values.get("lost_s", 0.0)
    return CountedBlock(t_wall, start_s, stop_s, str(text), str(reason), float(lost_s))


def load_blocks(path: Path, note: Callable[[str], object] | None = None) -> list[CountedBlock]:
    """Blocks of a calibration that was counted before; none, and a note, where none can be read."""
    try:
        values: Any = parse_json(path.read_bytes())
        return [_block(one) for one in values["blocks"]]
    except UNREADABLE:
        if note is not None and path.exists():
            note(say("calibrate.not_counted", file=path.name))
        return []


def last_markers(counter: BlockCounter, n: int = 4) -> list[tuple[float, str]]:
    """The newest markers first, those of the screen by their words; no plans."""
    shown = [
        (t, text if is_of_screen(text) else counter.name_of(text) or text)
        for t, text in reversed(counter.markers)
        if not text.startswith((PLAN_MARKER, SCREEN_MARKER))
    ]
    return shown[:n]
