"""Thresholds of detections: chosen on some held-out stretches, and counted on others."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit

from rtbrain.config import DetectSettings
from rtbrain.learn.detection import GRACE_S, Detections, Timeline, written
from rtbrain.learn.verdict import describe_found
from rtbrain.types import Ints

# Defaults by judgement: see also rtbrain.learn.detection.
LEAST_EVENTS = 20  # to choose thresholds by
_FOUND, _WANTED = 0.95, 0.5  # share of events that few misses, and few alarms, should find
_TAILS = (*(1 - np.geomspace(0.3, 0.0005, 9)), 1.0)  # of the values that are no event
_PEAKS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # and of the highest values within events
_HOLDS_S = (0.0, 0.1, 0.3, 1.0)
_GRID = (0.3, 0.95)  # of thresholds, in hundredths, for the curve
_HYSTERESIS = 1.0  # between the logits of up and down
WORDS = {"few_misses": "few misses", "balanced": "balanced", "few_alarms": "few alarms"}


class _Tried(NamedTuple):
    settings: DetectSettings
    found: Detections


def propose_presets(timeline: Timeline, label: str, number: Ints) -> dict[str, Any]:
    """Presets of one output; `number` int64 [n_valid] is the stretch of each valid decode.

    Thresholds come from even stretches and rates from odd ones if the even ones hold 20 events,
    and else both from all; below 20 events in all there is no preset, and what is found is shown.
    """
    even, odd = (timeline.within(number % 2 == side) for side in (0, 1))
    n, n_even, n_odd = (len(one.events[label]) for one in (timeline, even, odd))
    needed = LEAST_EVENTS if n >= LEAST_EVENTS else 2
    split = n_odd > 0 and n_even >= needed
    choose, rate = (even, odd) if split else (timeline, timeline)
    count = partial(choose.count, label)
    tried = [_Tried(one, count(one)) for one in _candidates(choose, label)]
    presets = {}
    for name, chosen in _choose(tried, count).items():
        presets[name] = {
            "settings": written(chosen.settings),
            "chosen": _brief(chosen.found),
            **rate.count(label, chosen.settings).summary(label),
        }
    ups = [one["settings"]["up"] for one in presets.values()]
    holds = {one["settings"].get("hold_s", 0.0) for one in presets.values()}
    return {
        "n_events": n,
        "calibrated": n >= LEAST_EVENTS,
        "same_data": not split,
        "presets": presets,
        "curves": {f"{hold_s:g}": _curve(rate, label, ups, hold_s) for hold_s in sorted(holds)},
    }


def _curve(rate: Timeline, label: str, ups: Sequence[float], hold_s: float) -> dict[str, Any]:
    """What thresholds from 0.3 to 0.95, and those of the presets, find and raise: lists by name.

    Whoever chooses a threshold by it has chosen on the same data.
    """
    low, high = min(_GRID[0], *ups), max(_GRID[1], *ups)
    grid = {round(up, 4) for up in np.arange(math.ceil(100 * low), 100 * high + 1e-9) / 100}
    settings = [
        DetectSettings(up=up, down=_down(up), hold_s=hold_s)
        for up in sorted(grid | {*ups})
        if 0 < up <= 1
    ]
    found = [rate.count(label, one).summary(label) for one in settings]
    columns = {
        key: [one[key] for one in found]
        for key in (
            *("n_found", "false_alarms", "rest_s", "false_alarms_per_hour_interval_95"),
            *("dispersion", "delay_s", "delay_interval_95", "delay_p90_s"),
        )
    }
    thresholds = {"up": [one.up for one in settings], "down": [one.down for one in settings]}
    return thresholds | columns | {"n_events": found[0]["n_events"]}


def _brief(found: Detections) -> dict[str, Any]:
    names = ("n_events", "n_found", "false_alarms", "rest_s")
    return {key: value for key, value in found.summary("").items() if key in names}


def _candidates(timeline: Timeline, label: str) -> list[DetectSettings]:
    """Thresholds to try: values that are rare, and those that most events reach."""
    row = timeline.labelled.names.index(label)
    outputs = np.array([one.values[row] for one in timeline.decodes if one.quality.valid])
    rest, peaks = timeline.rest(label), []
    for event in timeline.events[label]:
        inside = (timeline.times >= event.start_s) & (timeline.times <= event.stop_s + GRACE_S)
        peaks.append(outputs[inside].max(initial=0.0))
        rest &= ~inside
    found = [
        *np.ceil(np.quantile(outputs[rest], _TAILS) * 1e4 if rest.any() else []),
        *np.floor(np.quantile(peaks, _PEAKS) * 1e4 if peaks else []),
    ]
    ups = np.unique(np.clip(found, 10, 9999)) / 1e4
    holds = [hold_s for hold_s in _HOLDS_S if not 0 < hold_s < timeline.hop_s]
    return [
        DetectSettings(up=up, down=_down(up), hold_s=hold_s)
        for up in ups.tolist()
        for hold_s in holds
    ]


def _down(up: float) -> float:
    odds = up / (1 - up) * math.exp(-_HYSTERESIS)
    return float(np.floor(1e4 * odds / (1 + odds)) / 1e4) or up


def _choose(
    tried: Sequence[_Tried], count: Callable[[DetectSettings], Detections]
) -> dict[str, _Tried]:
    """Few misses, balanced and few alarms, each in the middle of the thresholds that do best."""

    def n_false(one: _Tried) -> int:
        return one.found.false_s.size

    def fewest(one: _Tried) -> tuple[int, int]:
        return n_false(one), -one.found.n_found

    most = max(one.found.n_found for one in tried)

    def finding(share: float) -> Callable[[_Tried], tuple[float, ...]]:
        least = min(most, math.ceil(share * tried[0].found.n_events))
        return lambda one: (one.found.n_found < least, *fewest(one))

    ranks: dict[str, Callable[[_Tried], tuple[float, ...]]] = {
        "few_misses": finding(_FOUND),
        "balanced": lambda one: (n_false(one) - one.found.n_found,),
        "few_alarms": finding(_WANTED),
    }
    return {name: _middle(tried, rank, count) for name, rank in ranks.items()}


def _middle(
    tried: Sequence[_Tried],
    rank: Callable[[_Tried], tuple[float, ...]],
    count: Callable[[DetectSettings], Detections],
) -> _Tried:
    """The middle of the widest run of thresholds that rank lowest, at the shortest hold of these.

    An end of the run is next to values that do worse: the next recording may well reach it.
    """
    best = min(map(rank, tried))
    hold_s = min(one.settings.hold_s for one in tried if rank(one) == best)
    of_hold = sorted(
        (one for one in tried if one.settings.hold_s == hold_s), key=lambda one: one.settings.up
    )
    runs = [[*run] for ties, run in groupby(of_hold, lambda one: rank(one) == best) if ties]

    def ends(run: Sequence[_Tried]) -> tuple[float, float]:
        return float(logit(run[0].settings.up)), float(logit(run[-1].settings.up))

    run = max(runs, key=lambda one: ends(one)[1] - ends(one)[0])
    centre = sum(ends(run)) / 2
    up = round(float(expit(centre)), 4)
    settings = DetectSettings(up=up, down=_down(up), hold_s=hold_s)
    between = _Tried(settings, count(settings))
    if rank(between) <= best:
        return between
    return min(run, key=lambda one: abs(logit(one.settings.up) - centre))


def default_detections(report: Mapping[str, Any]) -> dict[str, DetectSettings]:
    """The balanced preset of each output that has presets, by output."""
    return {
        label: DetectSettings(**found["presets"]["balanced"]["settings"])
        for label, found in report.get("detections", {}).items()
        if found["calibrated"]
    }


class ReportTable(NamedTuple):
    """Part of a report, in words."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


_HEADINGS = ("", "thresholds", "found", "false alarms", "delay, median")


def detection_tables(report: Mapping[str, Any]) -> list[ReportTable]:
    """Presets of each output that was to be detected, with their rates, in words."""
    tables = []
    for label, found in report.get("detections", {}).items():
        where = f"counted on odd stretches of {found['of']}, thresholds from the even ones"
        if found["same_data"]:
            where = f"counted on the same data that the thresholds are from: {found['of']}"
        title = f"Detections of {label}, {where}."
        if not found["calibrated"]:
            title = (
                f"No preset for {label}: {found['n_events']} events, {LEAST_EVENTS} are needed. "
                f"Not calibrated, {where}."
            )
        rows = [
            (
                WORDS[name],
                ", ".join(f"{key} {value:g}" for key, value in one["settings"].items()),
                describe_found(one["n_found"], one["n_events"], label),
                one["false_alarms_text"],
                _delay(one),
            )
            for name, one in found["presets"].items()
        ]
        tables.append(ReportTable(title, _HEADINGS, rows))
    return tables


def _delay(found: Mapping[str, Any]) -> str:
    bounds = [
        "–"
        if value is None or math.isnan(value)
        else f"{value:.2f}"
        if value < math.inf
        else "missed"
        for value in (found["delay_s"], *found["delay_interval_95"])
    ]
    delay_s, low_s, high_s = bounds
    return f"{delay_s} s" if low_s == "–" else f"{delay_s} s [{low_s}, {high_s}]"
