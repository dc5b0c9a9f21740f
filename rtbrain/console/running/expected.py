"""What a threshold is expected to find and to raise, from held-out time: figures and words."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rtbrain.config import DetectSettings
from rtbrain.console.folder import Session
from rtbrain.files import parse_json
from rtbrain.learn.detection import LEAST_DISPERSION, rate_interval
from rtbrain.learn.intervals import share_interval
from rtbrain.view.texts import say

PRESETS = ("few_misses", "balanced", "few_alarms")
_LEAST_RATE = 0.005  # that is told from none, an hour
_UNKNOWN_UP = 0.5  # where a decoder proposes none
_NO_RUNS = (0, 0, 0.0, LEAST_DISPERSION)
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
    delay_interval_s: tuple[float, float]
    delay_p90_s: float
    interval: tuple[float, float]  # 95 %, of false alarms an hour
    dispersion: float = LEAST_DISPERSION  # of their counts, how many come in a group

    @property
    def per_hour(self) -> float:
        """False alarms an hour."""
        return 3600 * self.n_false / self.rest_s if self.rest_s > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Expected:
    """Thresholds of the target of a decoder, in order, and its presets.

    `points` are of outputs held for `hold_s`. `runs` are the rest and the false alarms of finished
    runs at the threshold of the bundle, and how far those come in groups.
    """

    label: str
    points: tuple[Point, ...]
    presets: Mapping[str, DetectSettings]
    default: float
    same_data: bool
    hold_s: float
    runs: tuple[int, int, float, float] = _NO_RUNS  # how many, false alarms, s, dispersion

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
        n_runs, n_false, rest_s, q = self.runs
        if n_runs and abs(up - self.default) < 1e-9:
            n, seconds = point.n_false + n_false, point.rest_s + rest_s
            q = max(q, point.dispersion)
            interval = rate_interval(n, seconds, q)
            return replace(point, n_false=n, rest_s=seconds, interval=interval, dispersion=q)
        return point

    def preset_at(self, up: float) -> str:
        """Name of the preset of this threshold, held as long; empty for none."""
        held = {name: one for name, one in self.presets.items() if one.hold_s == self.hold_s}
        return next((name for name, one in held.items() if abs(one.up - up) < 1e-9), "")

    def preset_of(self, to: DetectSettings) -> str:
        """Name of the preset of these settings; empty for none."""
        wanted = (to.up, to.low, to.hold_s)
        known = {(one.up, one.low, one.hold_s): name for name, one in self.presets.items()}
        return known.get(wanted, "")


def wanted_threshold(session: Session, expected: Expected | None) -> DetectSettings:
    """Threshold of the settings of a session, or of its decoder."""
    settings = session.settings
    if settings.threshold is not None:
        down = None if settings.rearm is None else min(settings.rearm, settings.threshold)
        hold_s = settings.hold_s or 0.0
        return DetectSettings(up=settings.threshold, down=down, hold_s=hold_s)
    return DetectSettings(up=_UNKNOWN_UP) if expected is None else expected.presets["balanced"]


def ways_to(
    expected: Expected | None, before: DetectSettings, to: DetectSettings, preset: str
) -> list[tuple[str, ...]]:
    """What a decoder is told, after ``threshold``: a preset, or numbers.

    Only a preset changes how long outputs are held: first one that holds them as long.
    """
    if preset:
        return [(preset,)]
    presets = {} if expected is None or to.hold_s == before.hold_s else expected.presets
    held = [(name,) for name, one in presets.items() if one.hold_s == to.hold_s]
    return [*held[:1], (f"{to.up:.6g}", f"{to.low:.6g}")]


def expected_of(
    report: Mapping[str, Any],
    label: str | None,
    session: Session | None = None,
    hold_s: float | None = None,
) -> Expected | None:
    """What the report of a bundle says of its target, held for `hold_s` or as in the balanced one.

    None where it has no thresholds.
    """
    found = report.get("detections", {})
    label = label if label in found else next(iter(found), None)
    if label is None or not found[label].get("calibrated") or "curves" not in found[label]:
        return None
    one = found[label]
    settings = {name: preset["settings"] for name, preset in one["presets"].items()}
    presets = {name: DetectSettings(**settings[name]) for name in PRESETS if name in settings}
    default = presets["balanced"]
    hold_s = default.hold_s if hold_s is None else hold_s
    if (curve := one["curves"].get(f"{hold_s:g}")) is None:
        return None
    n = len(curve["up"])
    spread = curve.get("dispersion", [LEAST_DISPERSION] * n)
    late = curve.get("delay_interval_95", [(None, None)] * n)
    points = tuple(
        Point(
            float(curve["up"][at]),
            float(curve["down"][at]),
            int(curve["n_found"][at]),
            int(curve["n_events"]),
            int(curve["false_alarms"][at]),
            float(curve["rest_s"][at]),
            _number(curve["delay_s"][at]),
            _pair(late[at]),
            _number(curve["delay_p90_s"][at]),
            _pair(curve["false_alarms_per_hour_interval_95"][at]),
            float(spread[at]),
        )
        for at in range(n)
    )
    runs = _NO_RUNS
    if session is not None and hold_s == default.hold_s:
        runs = _finished(session, label, settings["balanced"])
    return Expected(label, points, presets, default.up, bool(one["same_data"]), hold_s, runs)


def _finished(
    session: Session, label: str, settings: Mapping[str, Any]
) -> tuple[int, int, float, float]:
    """Runs whose reports hold false alarms by the same settings, as `Expected.runs`."""
    n_runs, n_false, rest_s, q = _NO_RUNS
    for path in session.files("run", ".xdf"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            report = session.folder / "reports" / f"{path.stem}.json"
            scores = parse_json(report.read_bytes())["scores"]
            found = scores["events"][label]
            if found["settings"] == settings:
                n_runs, n_false = n_runs + 1, n_false + int(found["false_alarms"])
                rest_s += float(found["rest_s"])
                q = max(q, float(found.get("dispersion", q)))
    return n_runs, n_false, rest_s, q


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
    n_runs, *_ = expected.runs
    if n_runs and abs(up - expected.default) < 1e-9:
        lines.append(say("run.with_runs", n=n_runs))
    if not point.n_false and point.rest_s > 0:
        needed_s = 3.69 * point.dispersion / _WANTED_PER_HOUR * 3600
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
    low, high = point.interval
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
    low, high = share_interval(point.n_found, point.n_events)
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
    low, high = point.delay_interval_s
    unit = "s"
    if math.isfinite(low):
        late = f"{high:.2f}" if math.isfinite(high) else say("run.missed")
        unit = f"s [{low:.2f}, {late}]"
    return Figure(label, f"{point.delay_s:.2f}", unit, within)


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


def _pair(values: Sequence[object]) -> tuple[float, float]:
    low, high = values
    return _number(low), _number(high)


def heights(points: Sequence[Point]) -> float:
    """Highest false alarms an hour that a plot shows, in round figures."""
    most = max((point.per_hour for point in points if math.isfinite(point.per_hour)), default=0.0)
    return next((top for top in (10, 30, 60, 120, 300, 600) if top >= most), 1200)
