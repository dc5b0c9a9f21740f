"""Labelled windows: from markers of states, from events, from a channel of the recording.

A window that ends at time t holds samples up to t and none later, and so does its label's part
of the signal: what a decoder could not have seen live, it is not fitted on.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError, list_words
from rtbrain.marks import is_plan, screen_blocks
from rtbrain.recording.recording import Event
from rtbrain.types import Floats, Ints, Mask, Times

Level = float | Literal["half"] | None
REST = "rest"
_TOLERANCE_S = 1e-6  # stamps are sums of many float steps
_NEAR_S = 1e-3  # the stamp of a sample, or one sample more
_MOMENT_S = 0.01
_MOST_NAMED = 8
_FEWEST_ALIKE, _ALIKE = 3, 0.25  # stretches of a class at a fixed pace; most that they differ by


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Windows that have a label."""

    rows: Ints  # int64 [n_labelled]
    targets: npt.NDArray[Any]  # int64 [n_labelled], or float32 [n_labelled, n_outputs]
    names: tuple[str, ...]
    t_s: Times  # float64 [n_labelled]
    recordings: Sequence[str] = ()  # of each window; empty where all are of one

    @property
    def task(self) -> Literal["classification", "regression"]:
        """What the targets are."""
        return "classification" if self.targets.dtype == np.int64 else "regression"

    @property
    def counts(self) -> dict[str, int]:
        """Windows of each class, by its name."""
        numbers = np.bincount(self.targets, minlength=len(self.names))
        return dict(zip(self.names, numbers.tolist(), strict=True))

    @property
    def classes(self) -> Ints:
        """Class numbers; of values, one class, int64 [n_labelled]."""
        return self.targets if self.task == "classification" else np.zeros(self.rows.size, np.int64)

    @property
    def are_clips(self) -> bool:
        """Whether every recording holds one class only: classes differ between them alone."""
        if self.task == "regression" or len(self.parts) < 2:
            return False
        return all(np.unique(self.targets[part]).size < 2 for part in self.parts)

    @property
    def parts(self) -> list[Ints]:
        """Positions of the windows of each recording, in the order that these first appear."""
        if not len(self.recordings):
            return [np.arange(self.rows.size)]
        labels = np.asarray(self.recordings)
        return [np.flatnonzero(labels == name) for name in dict.fromkeys(self.recordings)]

    @property
    def at_fixed_pace(self) -> bool:
        """Whether states take turns, each for much the same time whenever it comes."""
        if self.task == "regression":
            return False
        lasts: dict[int, list[int]] = {}  # windows of the stretches of each class
        for part in self.parts:
            edges = np.flatnonzero(np.diff(self.targets[part])) + 1
            for start, stop in pairwise(edges.tolist()):  # the first and the last may be cut off
                lasts.setdefault(int(self.targets[part[start]]), []).append(stop - start)
        return bool(lasts) and all(
            len(one) >= _FEWEST_ALIKE and np.ptp(one) <= max(1, _ALIKE * np.mean(one))
            for one in lasts.values()
        )

    def pick(self, at: Ints) -> "Labelled":
        """Some of the windows, by their positions."""
        several = np.asarray(self.recordings)[at].tolist() if len(self.recordings) else ()
        return replace(
            self, rows=self.rows[at], targets=self.targets[at], t_s=self.t_s[at], recordings=several
        )


def join_labels(
    parts: Sequence[Labelled], n_windows: Sequence[int], recordings: Sequence[str]
) -> Labelled:
    """Labels of recordings whose windows, `n_windows` of each, follow each other."""
    starts = np.cumsum([0, *n_windows[:-1]])
    return Labelled(
        np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([part.targets for part in parts]),
        parts[0].names,
        np.concatenate([part.t_s for part in parts]),
        np.repeat(recordings, [part.rows.size for part in parts]).tolist(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Cues:
    """Where windows must end so that each belongs to one event, or to rest."""

    t_stop: Times  # float64 [n_cues]
    targets: Ints  # int64 [n_cues]
    names: tuple[str, ...]


def states_from_markers(
    t_stop: Times,
    events: Sequence[Event],
    classes: Sequence[str],
    *,
    lag_s: float = 0.0,
    moment_s: float = _MOMENT_S,
    extent_s: tuple[float, float] = (0.0, np.inf),
    on_note: Callable[[str], None] = lambda note: None,
    whole: bool = True,
) -> Labelled:
    """Label windows with the state that a marker began.

    A state lasts from its marker to the next marker of any of the classes, or as long as its
    event lasts where that is more than a moment and ends first: formats and MNE-Python give
    markers a duration of one sample. The state of a window is that of the moment `lag_s` before its
    end; windows without a state are left out, and `on_note` is called where an event labels none.
    `extent_s` is from the first to the last sample. Every class must occur, unless `whole` is
    false, as for one of several recordings: then one class may do. Of the cue screen a state ends
    where its block does, and blocks that an operator left out are none.
    """
    events = _cued(events, classes, on_note)
    present = [name for name in classes if any(event.text == name for event in events)]
    require_events(classes if whole or not present else present, events)
    marks = sorted((e for e in events if e.text in classes), key=lambda event: event.onset_s)
    onsets = np.array([mark.onset_s for mark in marks])
    lasts = np.array([mark.duration_s for mark in marks])
    brief = sorted({mark.text for mark in marks if 0 < mark.duration_s <= moment_s})
    if brief:
        on_note(
            f"{list_words([repr(text) for text in brief])}: events of {lasts.max():.3g} s or less "
            "are moments; the state lasts until the next"
        )
    lasts[lasts <= moment_s] = np.inf
    ends = np.minimum(np.append(onsets[1:], np.inf), onsets + lasts)
    numbers = np.array([classes.index(mark.text) for mark in marks], np.int64)
    moments = t_stop - lag_s
    at = np.searchsorted(onsets, moments + _TOLERANCE_S, side="right") - 1
    rows = np.flatnonzero((at >= 0) & (moments < ends[at]))
    labelled = Labelled(rows, numbers[at[rows]], tuple(classes), t_stop[rows])
    idle = np.bincount(at[rows], minlength=len(marks)) == 0
    doubled = idle & (ends - onsets <= _TOLERANCE_S)
    outside = idle & _outside(onsets, extent_s)
    reasons = {
        "outside the recording": outside,
        "at the moment of another": doubled & ~outside,
        "too short, or without valid signal": idle & ~doubled & ~outside,
    }
    _note_unused(reasons, len(marks), on_note)
    if whole:
        require_classes(labelled)
    return labelled


def _cued(
    events: Sequence[Event], classes: Sequence[str], on_note: Callable[[str], None]
) -> Sequence[Event]:
    """Events as they are, or blocks of the cue screen, whatever others sent."""
    senders = {event.stream for event in events if is_plan(event.text)}
    shown = sorted((e for e in events if e.stream in senders), key=lambda event: event.onset_s)
    blocks = screen_blocks([(event.onset_s, event.text) for event in shown])
    if blocks is None:
        return events
    if reasons := Counter(block.left_out for block in blocks if block.left_out):
        why = ", ".join(f'{count} by "{reason}"' for reason, count in sorted(reasons.items()))
        on_note(f"{reasons.total()} of {len(blocks)} cues are left out: {why}")
    return [
        Event(one.start_s, one.stop_s - one.start_s if one.stop_s < np.inf else 0.0, one.text)
        for one in blocks
        if one.text in classes and not one.left_out
    ]


def cue_times(
    events: Sequence[Event],
    names: Sequence[str],
    *,
    window_s: tuple[float, float] = (0.0, 1.0),
    rest: bool = False,
    duration_s: float = 0.0,
) -> Cues:
    """Where windows end that are locked to events, and those of rest between them.

    A window of an event spans `window_s` from the event's onset, so it ends at the onset plus
    the second number. Rest is cut in windows of the same length, one after the other without
    overlap, out of stretches that neither an event of these names nor its window reaches into.
    """
    start_s, stop_s = window_s
    if not start_s < stop_s:
        raise SettingsError(f"window {start_s:g}:{stop_s:g} s: expected its end after its start")
    if rest and REST in names:
        raise SettingsError(f"'{REST}' is an event of the recording: leave it out, or rest off")
    require_events(names, events)
    marks = sorted((e for e in events if e.text in names), key=lambda event: event.onset_s)
    stops = np.array([mark.onset_s + stop_s for mark in marks])
    numbers = np.array([names.index(mark.text) for mark in marks], np.int64)
    if not rest:
        return Cues(stops, numbers, tuple(names))
    taken = [
        (mark.onset_s + min(start_s, 0.0), mark.onset_s + max(stop_s, mark.duration_s))
        for mark in marks
    ]
    tiles = _tiles(taken, stop_s - start_s, duration_s)
    ends = np.concatenate((stops, tiles))
    classes = np.concatenate((numbers, np.full(tiles.size, len(names), np.int64)))
    order = np.argsort(ends, kind="stable")
    return Cues(ends[order], classes[order], (*names, REST))


def labels_at_events(
    t_stop: Times,
    cues: Cues,
    *,
    tolerance_s: float,
    length_s: float = 0.0,
    extent_s: tuple[float, float] = (0.0, np.inf),
    on_note: Callable[[str], None] = lambda note: None,
) -> Labelled:
    """Label the window that ends nearest to each cue, one window a cue and one cue a window.

    `on_note` is called where an event has none: its window, of `length_s`, reaches beyond the
    signal's `extent_s`, or is not valid; or the event comes twice.
    """
    nearest = np.searchsorted((t_stop[1:] + t_stop[:-1]) / 2, cues.t_stop)
    near = np.abs(t_stop[nearest] - cues.t_stop) <= tolerance_s + _TOLERANCE_S
    same = np.zeros(near.size, np.bool_)
    same[1:] = (np.abs(np.diff(cues.t_stop)) <= tolerance_s) & (np.diff(cues.targets) == 0)
    rows = nearest[near & ~same]
    labelled = Labelled(rows, cues.targets[near & ~same], cues.names, t_stop[rows])
    beyond = _outside(cues.t_stop, extent_s) | _outside(cues.t_stop - length_s, extent_s)
    of_events = ~same if REST not in cues.names else ~same & (cues.targets < len(cues.names) - 1)
    reasons = {
        "with a window that reaches beyond the recording": of_events & ~near & beyond,
        "with a gap or no valid signal in the window": of_events & ~near & ~beyond,
        "twice at one moment": same,
    }
    _note_unused(reasons, int(of_events.sum() + same.sum()), on_note)
    require_classes(labelled)
    return labelled


def _outside(times: Times, extent_s: tuple[float, float]) -> Mask:
    outside: Mask = (times < extent_s[0] - _NEAR_S) | (times > extent_s[1] + _NEAR_S)
    return outside


def _note_unused(
    reasons: Mapping[str, Mask], n_events: int, on_note: Callable[[str], None]
) -> None:
    counts = {reason: int(which.sum()) for reason, which in reasons.items() if which.any()}
    if counts:
        why = ", ".join(f"{count} {reason}" for reason, count in counts.items())
        on_note(f"{sum(counts.values())} of {n_events} events are not used: {why}")


def targets_from_channels(
    t_stop: Times, values: Floats, stamps: Times, *, names: Sequence[str], threshold: Level = None
) -> Labelled:
    """Label windows with values, float32 [n_channels, T], at their end: the last at or before it.

    A window where one is NaN has no label; a threshold splits the only channel in two classes.
    """
    at = np.searchsorted(stamps, t_stop + _TOLERANCE_S, side="right") - 1
    found = values[:, np.maximum(at, 0)]
    rows = np.flatnonzero((at >= 0) & np.isfinite(found).all(axis=0))
    name = list_words(names)
    if not rows.size:
        raise SettingsError(f"channel {name} has no value at the end of any window: name another")
    if threshold is None:
        targets = found[:, rows].T.astype(np.float32)
        return Labelled(rows, targets, tuple(names), t_stop[rows])
    (found,) = found
    if threshold == "half":
        threshold = half_of(values)
    above = (found[rows] > threshold).astype(np.int64)
    if not 0 < above.sum() < above.size:
        raise SettingsError(
            f"channel {name} is {'above' if above[0] else 'at or below'} {threshold:g} at the end "
            f"of every window ({found[rows].min():g} to {found[rows].max():g}): set one between"
        )
    return Labelled(rows, above, ("off", "on"), t_stop[rows])


def half_of(values: Floats) -> float:
    """Middle of the range of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()) + float(finite.max())) / 2 if finite.size else float("nan")


def require_classes(labelled: Labelled) -> None:
    """Refuse labels with a single class, or with a class that has no window."""
    counts = labelled.counts
    if len(counts) < 2:
        raise SettingsError(f"one class only, {', '.join(counts) or 'none'}: name two or more")
    if min(counts.values()) > 0:
        return
    found = ", ".join(f"{name} {count}" for name, count in counts.items())
    raise SettingsError(
        f"a class has no window ({found}): its states are too short for the window, or lie "
        "outside the recording; shorten the window, or leave the class out"
    )


def _tiles(taken: Sequence[tuple[float, float]], length_s: float, duration_s: float) -> Times:
    """Ends of windows of this length, laid side by side where nothing is taken."""
    ends: list[float] = []
    free_from = 0.0
    for start_s, stop_s in [*sorted(taken), (duration_s, duration_s)]:
        n_tiles = max(0, int((start_s - free_from + _TOLERANCE_S) // length_s))
        ends += [free_from + length_s * (1 + number) for number in range(n_tiles)]
        free_from = max(free_from, stop_s)
    return np.array(ends, np.float64)


def require_events(names: Sequence[str], events: Sequence[Event]) -> None:
    """Refuse names that no event has, by a SettingsError that lists those there are."""
    counts = Counter(event.text for event in events)
    absent = [name for name in names if name not in counts]
    if not absent:
        return
    if not counts:
        raise SettingsError(
            f"no event '{absent[0]}': the recording holds no events; take the codes of a channel "
            "with --trigger, record with --markers, or label by --channel"
        )

    def likeness(text: str) -> float:
        return difflib.SequenceMatcher(None, text.lower(), absent[0].lower()).ratio()

    ranked = sorted(counts, key=lambda text: (-likeness(text), -counts[text]))
    found = list_words([f"'{text}' ({counts[text]})" for text in ranked], _MOST_NAMED)
    missing = ", ".join(f"'{name}'" for name in absent)
    raise SettingsError(f"no event {missing}: there are {found}")
