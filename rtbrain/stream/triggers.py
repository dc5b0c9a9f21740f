"""Events out of trigger channels: codes, bits and pulses, found as the samples come.

One code, one event, in a file and live, wherever chunks end. As `mne.find_events` with
``consecutive=True``: an event is each change to another code that is not 0; what a channel holds at
its first sample, or after a gap, began before and is none.
"""

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.channels import find_labels
from rtbrain.errors import SettingsError, list_words, plain_text, quote
from rtbrain.types import Chunk, Doubles
from rtbrain.units import require_voltage

# BioSemi's status channel has 24 bits: 16 of the trigger, above them the state of the amplifier.
_STATUS, _STATUS_MASK = "status", 0xFFFF
_SUFFIX = re.compile(
    r"(?P<name>.+):(?:(?P<mask>0[xX][0-9a-fA-F]+|0[bB][01]+)|(?P<level>-?[\d.]+) ?(?P<unit>\w+)?)"
)
_SHORTEST = re.compile(r"(?P<rest>.+)@(?P<ms>[\d.]+)ms")
# Bits that do not switch together pass through other codes, and contacts bounce.
_SETTLING_S, _SETTLING_SAMPLES = 1e-3, 2
# Rounding to the steps of a file's digits leaves a code this near to a whole number.
_FRACTION = 0.25
_MAX_WHOLE = 2.0**63
# Noise instead of codes: shares of samples between whole numbers, and of changes.
_MAX_BETWEEN, _MAX_CHANGES, _FEW = 0.01, 0.2, 20
_MAX_WAITING = 1000  # for a decoder that is busy
_EXAMPLES = (
    "TRIG, Status:0xFF (bits), DC01:2500 or DC01:2.5mV (level), TRIG@5ms (no shorter pulses)"
)


def number_text(value: Any) -> str:
    """Text of a marker that is a number of NumPy: ``1`` for 1 and for 1.0, ``0.1`` for 0.1."""
    return str(int(value)) if abs(value) < _MAX_WHOLE and value == int(value) else str(value)


def marker_texts(
    values: npt.NDArray[Any], stream_type: str, labels: Sequence[str]
) -> Iterator[str]:
    """Texts of a stream of numbers, [n_samples, n_channels], that are markers.

    The first channel counts; of MNE-LSL's annotations, which have a channel for each text with the
    duration in it, the label of that channel.
    """
    if is_one_hot(stream_type) and len(labels) == values.shape[1]:
        return (labels[row] for row in np.argmax(values != 0, axis=1))
    return map(number_text, values[:, 0])


def is_one_hot(stream_type: str) -> bool:
    """Whether the labels of a marker stream's channels are the texts of its markers."""
    return stream_type.strip().lower() == "annotations"


@dataclass(frozen=True, slots=True)
class TriggerLine:
    """One channel of a trigger: all its bits, some, or on above a level."""

    name: str
    mask: int | None = None
    level: float | None = None
    microvolts: float | None = None  # per unit of the level, where it has one


@dataclass(frozen=True, slots=True)
class Trigger:
    """Trigger channels, and the shortest pulse that counts, s; 0 counts every pulse."""

    lines: tuple[TriggerLine, ...]
    shortest_s: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the channels."""
        return tuple(line.name for line in self.lines)

    def per_level(self, microvolts: Mapping[str, float]) -> dict[str, float]:
        """Microvolts per unit of the level, else of the header by `microvolts`, by channel."""
        return {one.name: one.microvolts or microvolts.get(one.name, 1.0) for one in self.lines}


def parse_trigger(text: str, labels: Sequence[str]) -> Trigger:
    """Trigger channels by what a user writes, among the labels of a recording or stream.

    ``TRIG`` takes the codes of a channel; ``Status:0xFF`` some of its bits; ``DC01:2500`` is on
    above a level in the unit of its header, ``DC01:2.5mV`` in that of the level; its label is the
    event. So it is with several, ``DIN1,DIN2``. ``@5ms`` is the shortest time that a code lasts.

    Raises a SettingsError where a channel is not there, or a text is none of these.
    """
    parts, shortest = split_trigger(text, labels)
    shortest_s = _number(text, shortest[1:-2]) / 1000 if shortest else 0.0
    lines = tuple(line for part in parts for line in _lines(part, labels))
    if len({line.name for line in lines}) < len(lines):
        raise SettingsError(f"trigger {quote(text)}: a channel is named twice")
    return Trigger(lines, shortest_s)


def split_trigger(text: str, labels: Sequence[str]) -> tuple[list[str], str]:
    """Channels with their masks and levels, and the shortest time behind them."""
    found = None if text in labels else _SHORTEST.fullmatch(text.strip())
    rest = text if found is None else found["rest"]
    parts = [rest] if rest in labels else [part.strip() for part in rest.split(",")]
    return parts, "" if found is None else f"@{found['ms']}ms"


def _lines(text: str, labels: Sequence[str]) -> list[TriggerLine]:
    found = None if text in labels else _SUFFIX.fullmatch(text)
    name = text if found is None else found["name"]
    try:
        names = find_labels([name], labels, "--trigger")
    except SettingsError as error:
        raise SettingsError(f"{error}; write it as {_EXAMPLES}") from error
    if found is not None and found["level"]:
        per = None if found["unit"] is None else require_voltage(found["unit"])
        return [TriggerLine(name, None, _number(text, found["level"]), per) for name in names]
    if found is not None:
        return [TriggerLine(name, int(found["mask"], 0)) for name in names]
    return [TriggerLine(name, _STATUS_MASK if name.lower() == _STATUS else None) for name in names]


def _number(text: str, digits: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise SettingsError(
            f"trigger {quote(text)}: {digits!r} is no number; write it as {_EXAMPLES}"
        ) from None


class TriggerEdges:
    """Events of trigger channels, as (s, text) by the stamp of their first sample, out of chunks.

    A code counts once it has lasted for 1 ms and two samples, or returns to 0 before, or with a
    shortest time once it has lasted that. What changes sooner to another code is a step on the way
    to it, and what returns to the code before is ignored.

    `n_ignored` pulses were too short, `n_unplaced` began before the first sample or in a gap,
    `n_brief` lasted one sample.
    """

    def __init__(self, trigger: Trigger, sfreq_hz: float) -> None:
        self.trigger = trigger
        shortest = math.ceil(trigger.shortest_s * sfreq_hz - 1e-6)
        settling = max(_SETTLING_SAMPLES, math.ceil(_SETTLING_S * sfreq_hz - 1e-6))
        hold = max(1, shortest) if trigger.shortest_s else settling
        self._lines = [_Line(hold, keeps_brief=not trigger.shortest_s) for _ in trigger.lines]
        self._n_samples = self._n_between = 0

    def __call__(self, values: npt.NDArray[np.floating], chunk: Chunk) -> list[tuple[float, str]]:
        """Events that these values, [n_lines, n_samples] of a chunk, complete."""
        events: list[tuple[float, str]] = []
        several = len(self._lines) > 1
        self._n_samples += chunk.n_samples
        for of, line, row in zip(self.trigger.lines, self._lines, values, strict=True):
            if chunk.gap > 0:
                events += _named(line.restart(), of, several)
            codes = self._codes(of, np.asarray(row, np.float64), line.code)
            events += _named(line.push(codes, chunk.timestamps), of, several)
        return sorted(events)

    def finish(self) -> list[tuple[float, str]]:
        """Events that are not over at the end."""
        several = len(self._lines) > 1
        pairs = zip(self.trigger.lines, self._lines, strict=True)
        return sorted(one for of, line in pairs for one in _named(line.restart(), of, several))

    @property
    def n_ignored(self) -> int:
        """Codes that were too short."""
        return sum(line.n_ignored for line in self._lines)

    @property
    def n_unplaced(self) -> int:
        """Codes that began before the first sample or in a gap."""
        return sum(line.n_unplaced for line in self._lines)

    @property
    def n_brief(self) -> int:
        """Events of one sample."""
        return sum(line.n_brief for line in self._lines)

    @property
    def is_noise(self) -> bool:
        """Whether a channel has no codes, but changes like a signal."""
        n_changes = max(line.n_changes for line in self._lines)
        limits = (_MAX_BETWEEN * self._n_samples, _MAX_CHANGES * self._n_samples)
        return self._n_between > max(_FEW, limits[0]) or n_changes > max(_FEW, limits[1])

    def _codes(self, of: TriggerLine, row: Doubles, code: int) -> npt.NDArray[np.int64]:
        """Codes of a channel; where it has no value, the last one holds."""
        missing = ~np.isfinite(row)
        if missing.any():
            at = np.maximum.accumulate(np.where(missing, -1, np.arange(row.size)))
            row = np.where(at < 0, np.nan, row[at])
        if of.level is not None:
            codes = (row > of.level).astype(np.int64)
        else:
            whole = np.rint(np.nan_to_num(row))
            self._n_between += int(np.count_nonzero(np.abs(row - whole) > _FRACTION))
            codes = np.clip(whole, -(2.0**62), 2.0**62).astype(np.int64)
            codes = codes if of.mask is None else codes & of.mask
        return np.where(np.isnan(row), code, codes)


def noise_reason(trigger: Trigger) -> str:
    """Why there are no events, and what to write instead."""
    names = list_words([quote(name) for name in trigger.names])
    reason = f"trigger {names} holds no codes: its values vary like a signal"
    if any(line.level is not None for line in trigger.lines):
        return f"{reason}; give another level"
    such = f"{plain_text(trigger.names[0])}:1000"
    return f"{reason}. If it carries pulses, give a level below their height, such as {such}"


class CodeQueue:
    """Events of a live stream's trigger channels, until they are asked for.

    ``on_event("trigger", reason=...)`` reports what is ignored, at first and as its number doubles,
    and once that a channel changes like a signal, whose codes are no events.
    """

    def __init__(self, sfreq_hz: float, on_event: Callable[..., None]) -> None:
        self._sfreq_hz, self._on_event = sfreq_hz, on_event
        self._n_ignored, self._reported_noise = 0, False  # when they were last reported
        self._missed = True  # what it holds at first began before
        self._edges: TriggerEdges | None = None
        self._events: deque[tuple[float, str]] = deque(maxlen=_MAX_WAITING)

    def take(self, trigger: Trigger | None, values: npt.NDArray[np.floating], chunk: Chunk) -> None:
        """Find the events in a chunk; None has no trigger channel."""
        if trigger is None:
            self._edges = None
            return
        if self._edges is None or trigger != self._edges.trigger:
            self._edges = TriggerEdges(trigger, self._sfreq_hz)
        events = self._edges(values, chunk)
        n_skipped = len(self._events) + len(events) - _MAX_WAITING
        self._missed |= chunk.gap > 0 or n_skipped > 0 or self._edges.is_noise
        if not self._edges.is_noise:
            self._events.extend(events)
            if n_skipped > 0:
                self._on_event("markers_skipped", events=n_skipped)
            self._report_ignored(self._edges)
        elif not self._reported_noise:
            self._reported_noise = True
            self._on_event("trigger", reason=noise_reason(trigger))

    def _report_ignored(self, edges: TriggerEdges) -> None:
        n_ignored = edges.n_ignored + edges.n_unplaced
        if n_ignored >= max(1, 2 * self._n_ignored):
            self._n_ignored = n_ignored
            counts = f"{edges.n_ignored} codes that were too short, {edges.n_unplaced} that"
            reason = f"ignored: {counts} began before the first sample or in a gap"
            self._on_event("trigger", reason=reason)

    def pull(self, timeout_s: float = 0.0) -> list[tuple[float, str]]:
        """Events since the last call, as (s, text), without waiting."""
        events, self._events = list(self._events), deque(maxlen=_MAX_WAITING)
        return events

    def missed(self) -> bool:
        """Whether events may be missing since the last call: at first, in a gap or by noise."""
        missed, self._missed = self._missed, False
        return missed


def _named(
    found: list[tuple[float, int]], of: TriggerLine, several: bool
) -> list[tuple[float, str]]:
    by_label = several or of.level is not None
    return [(t, of.name if by_label else str(code)) for t, code in found]


class _Line:
    """Codes of one channel, run by run."""

    def __init__(self, hold: int, *, keeps_brief: bool) -> None:
        self._hold, self._keeps_brief = hold, keeps_brief
        self.code = 0  # of the newest sample
        self.n_ignored = self.n_unplaced = self.n_brief = self.n_changes = 0
        self._settled: int | None = None  # the code that holds; unknown at first
        self._length = 0  # samples of the newest run
        self._onset = math.nan  # of what has left the settled code
        self._highest = self._n_away = 0  # since then: highest code, and samples with one

    def push(self, codes: npt.NDArray[np.int64], stamps: Doubles) -> list[tuple[float, int]]:
        events: list[tuple[float, int]] = []
        edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), codes.size]
        self.n_changes += max(0, len(edges) - 2)
        for start, stop in pairwise(edges):
            if start < stop:
                events += self._run(int(codes[start]), stop - start, float(stamps[start]))
        return events

    def restart(self) -> list[tuple[float, int]]:
        """The code before is unknown from now on; a pulse that has not ended is over."""
        events = self._over(self._settled or 0) if self._n_away else []
        self._settled, self._length, self._n_away = None, 0, 0
        return events

    def _run(self, code: int, n_samples: int, t: float) -> list[tuple[float, int]]:
        before, self.code = self.code, code
        if self._settled is None:
            # After a gap: a code that still holds is no other one.
            self.n_unplaced += code != 0 and code != before
            self._settled, self._length = code, n_samples
            return []
        events: list[tuple[float, int]] = []
        if code != before:
            self._length = 0
        if code != before and before == 0 and self._n_away and code not in (0, self._highest):
            # A short pulse is over where another code follows a 0.
            events += self._over(0)
            self._n_away = 0
        if code != self._settled and code != 0:
            again = before == 0 and (self._settled != 0 or not self._keeps_brief)
            if not self._n_away or again:
                self._onset, self._highest = t, 0
            self._highest = max(self._highest, code, key=abs)
            self._n_away += n_samples
        reached = self._length < self._hold <= self._length + n_samples
        self._length += n_samples
        if not reached:
            return events
        if code == self._settled or code == 0:
            events += self._over(code) if self._n_away else []
        else:
            events.append((self._onset, code))
        self._settled, self._n_away = code, 0
        return events

    def _over(self, code: int) -> list[tuple[float, int]]:
        """What left the settled code has not settled, and is over at this code."""
        if self._settled == 0 and self._keeps_brief:
            self.n_brief += self._n_away == 1
            return [(self._onset, self._highest)]
        self.n_ignored += code == self._settled  # else a step on the way
        return []
