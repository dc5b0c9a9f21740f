"""What a threshold is expected to find and to raise, from held-out time: figures and words."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rtbrain.console.folder import Session
from rtbrain.files import parse_json
from rtbrain.learn.detection import LEAST_DISPERSION, rate_interval
from rtbrain.learn.verdict import found_share
from rtbrain.view.texts import say

PRESETS = ("few_misses", "balanced", "few_alarms")
_LEAST_RATE = 0.005  # that is told from none, an hour
_WANTED_PER_HOUR = 10.0  # false alarms, fewer than which rest is to show


@dataclass(frozen=True, slots=True)
class Point:
    """A threshold, and what came of it on held-out time; NaN where it is not known."""

    up: float
    down: float
    n_found: int
    n_events: int
    n_false: int
    rest_s: float
    delay_s: float
    delay_p90_s: float

    @property
    def per_hour(self) -> float:
        """False alarms an hour."""
        return 3600 * self.n_false / self.rest_s if self.rest_s > 0 else math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """Their 95 % interval, alarms taken to come in groups."""
        return rate_interval(self.n_false, self.rest_s, LEAST_DISPERSION)


@dataclass(frozen=True, slots=True)
class Expected:
    """Thresholds of the target of a decoder, in order, and its presets.

    `runs` are the rest and the false alarms of finished runs at the threshold of the bundle.
    """

    label: str
    points: tuple[Point, ...]
    presets: Mapping[str, tuple[float, float]]
    default: float
    same_data: bool
    hold_s: float
    runs: tuple[int, int, float] = (0, 0, 0.0)  # how many, false alarms, s

    @property
    def low(self) -> float:
        """Least threshold."""
        return self.points[0].up

    @property
    def high(self) -> float:
        """Highest threshold."""
        return self.points[-1].up

    def at(self, up: float) -> Point:
        """What is known at the nearest threshold below, or the first."""
        ups = [point.up for point in self.points]
        point = self.points[max(0, bisect_right(ups, up + 1e-9) - 1)]
        n_runs, n_false, rest_s = self.runs
        if n_runs and abs(up - self.default) < 1e-9:
            values = (point.n_false + n_false, point.rest_s + rest_s)
            return Point(
                *(point.up, point.down, point.n_found, point.n_events, *values),
                *(point.delay_s, point.delay_p90_s),
            )
        return point

    def preset_at(self, up: float) -> str:
        """Name of the preset of this threshold; empty for none."""
        return next((name for name, (one, _) in self.presets.items() if abs(one - up) < 1e-9), "")


def expected_of(
    report: Mapping[str, Any], label: str | None, session: Session | None = None
) -> Expected | None:
    """What the report of a bundle says of its target; None where it has no thresholds."""
    found = report.get("detections", {})
    label = label if label in found else next(iter(found), None)
    if label is None or not found[label].get("calibrated") or "curves" not in found[label]:
        return None
    one = found[label]
    settings = {name: preset["settings"] for name, preset in one["presets"].items()}
    default = settings["balanced"]
    hold_s = float(default.get("hold_s", 0.0))
    curve = one["curves"][f"{hold_s:g}"]
    points = tuple(
        Point(
            float(curve["up"][at]),
            float(curve["down"][at]),
            int(curve["n_found"][at]),
            int(curve["n_events"]),
            int(curve["false_alarms"][at]),
            float(curve["rest_s"][at]),
            _number(curve["delay_s"][at]),
            _number(curve["delay_p90_s"][at]),
        )
        for at in range(len(curve["up"]))
    )
    presets = {
        name: (float(settings[name]["up"]), float(settings[name].get("down", settings[name]["up"])))
        for name in PRESETS
        if name in settings
    }
    runs = (0, 0, 0.0) if session is None else _finished(session, label, default)
    default_up = float(default["up"])
    return Expected(label, points, presets, default_up, bool(one["same_data"]), hold_s, runs)


def _finished(session: Session, label: str, settings: Mapping[str, Any]) -> tuple[int, int, float]:
    """Runs whose reports hold false alarms by the same settings: how many, alarms, and rest, s."""
    n_runs, n_false, rest_s = 0, 0, 0.0
    for path in session.files("run", ".xdf"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            report = session.folder / "reports" / f"{path.stem}.json"
            scores = parse_json(report.read_bytes())["scores"]
            found = scores["events"][label]
            if found["settings"] == settings:
                n_runs, n_false = n_runs + 1, n_false + int(found["false_alarms"])
                rest_s += float(found["rest_s"])
    return n_runs, n_false, rest_s


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the panel: what it is, the value with its unit, and how sure it is."""

    label: str
    value: str
    unit: str
    line: str


def figures(point: Point) -> list[Figure]:
    """False alarms, cues found and delay at a threshold."""
    return [_false_alarms(point), _found(point), _delay(point)]


def notes(expected: Expected, point: Point, up: float) -> list[str]:
    """What else must be known of these figures, one line each."""
    lines = []
    n_runs, _, _ = expected.runs
    if n_runs and abs(up - expected.default) < 1e-9:
        lines.append(say("run.with_runs", n=n_runs))
    if not point.n_false and point.rest_s > 0:
        needed_s = 3.69 * LEAST_DISPERSION / _WANTED_PER_HOUR * 3600
        if point.rest_s < needed_s:
            minutes = math.ceil(needed_s / 60 - 1e-9)
            lines.append(say("run.to_show", per_hour=f"{_WANTED_PER_HOUR:g}", minutes=minutes))
    if not expected.preset_at(up):
        lines.append(say("run.by_hand"))
    elif expected.same_data:
        lines.append(say("run.same_data"))
    return lines


def _false_alarms(point: Point) -> Figure:
    label = say("run.false_alarms")
    if not point.rest_s > 0:
        return Figure(label, "–", "", say("run.no_rest"))
    low, high = point.bounds
    rest = _minutes(point.rest_s)
    if not point.n_false:
        line = say("run.none_line", high=_rate(high))
        return Figure(label, say("run.none"), say("run.in_rest", rest=rest), line)
    line = say("run.rate_line", low=_rate(low), high=_rate(high), n=point.n_false, rest=rest)
    return Figure(label, _rate(point.per_hour), say("run.an_hour"), line)


def _found(point: Point) -> Figure:
    label = say("run.cues_found")
    if not point.n_events:
        return Figure(label, "–", "", say("run.no_cues"))
    low, high = found_share(point.n_found, point.n_events)
    line = say(
        "run.found_line",
        low=round(100 * low),
        high=round(100 * high),
        n=point.n_found,
        of=point.n_events,
    )
    return Figure(label, f"{100 * point.n_found / point.n_events:.0f}", "%", line)


def _delay(point: Point) -> Figure:
    label = say("run.delay")
    if not math.isfinite(point.delay_s):
        return Figure(label, "–", "", say("run.half_missed"))
    within = say("run.delay_of_found", n=point.n_found)
    if math.isfinite(point.delay_p90_s):
        within = say("run.nine_of_ten", seconds=f"{point.delay_p90_s:.2f}")
    return Figure(label, f"{point.delay_s:.2f}", "s", within)


def _minutes(seconds: float) -> str:
    return say("run.minutes", n=f"{seconds / 60:.0f}" if seconds >= 570 else f"{seconds / 60:.1f}")


def shown_threshold(up: float) -> str:
    """A threshold with two decimals, or as many as it has."""
    return f"{up:.2f}" if abs(up - round(up, 2)) < 1e-9 else f"{up:.4g}"


def _rate(per_hour: float) -> str:
    if per_hour < _LEAST_RATE:
        return "0"
    return f"{per_hour:.0f}" if per_hour >= 9.5 else f"{per_hour:.2g}"


def _number(value: object) -> float:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else math.nan  # type: ignore[arg-type]


def heights(points: Sequence[Point]) -> float:
    """Highest false alarms an hour that a plot shows, in round figures."""
    most = max((point.per_hour for point in points if math.isfinite(point.per_hour)), default=0.0)
    return next((top for top in (10, 30, 60, 120, 300, 600) if top >= most), 1200)
