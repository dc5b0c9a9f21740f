"""Benchmark of the statistics of a fit: simulated recordings of known truth.

Features are simulated, and all that follows is the product's own: folds, readout, null
distribution, intervals, verdict. Without information a verdict is *yes* in about 5 % at most; an
interval of 95 % holds the truth in about as many.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy.stats import binom

from rtbrain.check.bench.simulated import (
    ALARMS,
    COVERAGE,
    FAMILIES,
    HOP_S,
    Family,
    Targets,
    alarm_timeline,
    random_of,
    simulated_features,
    simulated_outputs,
)
from rtbrain.config import DetectSettings
from rtbrain.errors import SettingsError
from rtbrain.files import strict_json, write_atomically
from rtbrain.learn.detection import rate_interval
from rtbrain.learn.fit.cross_validation import cross_validate, null_distribution
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.splits import block_folds
from rtbrain.learn.intervals import (
    GOOD_BLOCKS,
    Interval,
    jackknife,
    paired_jackknife,
    stretch_blocks,
)
from rtbrain.learn.metrics import scores_of
from rtbrain.learn.nulls import Design, clock_features, null_targets, time_order
from rtbrain.learn.verdict import ALPHA, Clock, judge
from rtbrain.terminal import table
from rtbrain.types import Ints, Times

_EMBARGO_S, _N_FOLDS, _N_DRAWS = 6.0, 5, 199
_WEAK, _STRONG = 0.6, 1.0  # standard deviations between the classes
_POWER_SHARE = 5  # one recording with information for so many without
_LEAST_WITH = 8
_LIKELY = 0.994  # 18 of 200 at a true 5 %
_COVERAGE, _UNLIKELY = 0.92, 0.02  # 176 of 200
_OLD_DRAWS = 200
_ALARMS_COVERED, _TRUTH_S = 0.9, 20 * 3600.0


@dataclass(slots=True)
class RowCounts:
    """What came out of the recordings of a row."""

    row: str
    n: int = 0
    yes: int = 0
    refused: int = 0  # recordings with too few stretches to be cut into folds
    enough: int = 0  # recordings with enough data for a verdict
    p: int = 0  # at most 0.05
    p_shifted: int = 0
    p_without_drift: int = 0
    yes_v0_1_0: int = 0  # its lower bound above the null's 97.5th percentile
    score: float = 0.0
    blocks: float = 0.0
    n_eff: float = 0.0
    covered: int = 0
    covered_v0_1_0: int = 0
    what: str = "no information"  # or weak, strong, coverage, alarms

    @property
    def failed(self) -> bool:
        """Whether there are too many false verdicts, or too few intervals hold the truth."""
        if self.what == "no information":
            return self.yes > int(binom.ppf(_LIKELY, self.n, ALPHA))
        if self.what == "coverage" and self.blocks >= GOOD_BLOCKS:
            return self.covered < int(binom.ppf(_UNLIKELY, self.n, _COVERAGE))
        if self.what == "alarms":
            return self.covered < _ALARMS_COVERED * self.n
        return False


def bench_statistics(console: Console, n_recordings: int, path: Path | None) -> dict[str, Any]:
    """All rows, shown as they come; a file of an earlier run gives those that it holds.

    Raises
    ------
    SettingsError
        The file holds something else, or rows of other counts.
    """
    rows = _stored(path, n_recordings)
    for key, what, make in _jobs():
        if any((one.row, one.what) == (key, what) for one in rows):
            continue
        n = n_recordings
        if what in ("weak", "strong"):
            n = max(_LEAST_WITH, n_recordings // _POWER_SHARE)
        with console.status(f"{key}: {what}, {n} recordings"):
            rows.append(make(n))
        console.print(_line(rows[-1]), highlight=False, markup=False, soft_wrap=True)
        if path is not None:
            write_atomically(path, strict_json(_figures(rows, n_recordings)))
    for title, shown in _tables(rows).items():
        console.print(table(title, *shown))
    return _figures(rows, n_recordings)


def _jobs() -> Iterator[tuple[str, str, Callable[[int], RowCounts]]]:
    for name, minutes, targets, truth in COVERAGE:
        yield name, "coverage", partial(_coverage_row, name, minutes, targets, truth)
    for per_hour, together, minutes in ALARMS:
        groups = f"in groups of {together}" if together > 1 else "singly"
        name = f"{per_hour} an hour, {groups}, {minutes} min"
        yield name, "alarms", partial(_alarms_row, name, per_hour, together, 60 * minutes)
    for what, lift in (("no information", 0.0), ("weak", _WEAK), ("strong", _STRONG)):
        for family in FAMILIES:
            if not lift or family.powers:
                yield family.name, what, partial(_family_row, family, what, lift)


def _family_row(family: Family, what: str, lift: float, n: int) -> RowCounts:
    found, intervals = RowCounts(family.name, what=what), []
    for seed in range(n):
        found.n += 1
        try:
            intervals.append(_fit(family, lift, seed, found))
        except SettingsError:  # as a fit does
            found.refused += 1
    found.score = float(np.mean([one.score for one in intervals]))
    found.blocks = float(np.mean([one.n_blocks for one in intervals]))
    found.n_eff /= len(intervals)
    found.covered = sum(one.low <= found.score <= one.high for one in intervals)
    return found


def _fit(family: Family, lift: float, seed: int, found: RowCounts) -> Interval:
    """Simulate one recording, score it as a fit does, and count what its report would say."""
    rng = random_of(family.name, lift, seed)
    n = round(60 * family.minutes / HOP_S)
    targets = family.targets(rng, n)
    labelled = _labelled(targets)
    features = simulated_features(rng, family, targets, lift)
    folds = block_folds(labelled, n_folds=_N_FOLDS, embargo_s=_EMBARGO_S)
    design: Design = partial(family.targets, n=n)
    draws = null_targets(
        labelled,
        embargo_s=_EMBARGO_S,
        n_permutations=_N_DRAWS,
        design=design if family.redrawn else None,
        seed=seed,
    )
    made = [features, clock_features(labelled)]
    validated = [cross_validate(one, labelled, folds, embargo_s=_EMBARGO_S) for one in made]
    null, alone = (
        null_distribution(
            one, labelled, folds, each.penalties, draws, with_drift_alone=one is made[1]
        )
        for one, each in zip(made, validated, strict=True)
    )
    key = "auc" if labelled.task == "classification" else "pearson_r"
    blocks = stretch_blocks(labelled, embargo_s=_EMBARGO_S)
    interval = jackknife(validated[0].outputs, targets, blocks)[key]
    clock = Clock(validated[1].pooled[key], alone.p_value(key), time_order(labelled))
    verdict, figures = judge(interval, null, clock), null.summary()[key]
    low, _ = _old_interval(validated[0].outputs, targets, key, seed)
    found.yes += verdict.answer == "yes"
    found.enough += verdict.answer != "not enough data"
    found.p += figures["p"] <= ALPHA
    found.p_shifted += figures["p_shifted"] <= ALPHA
    found.p_without_drift += figures.get("p_without_drift", 1.0) <= ALPHA
    found.yes_v0_1_0 += low > null.band(key)[1]
    found.n_eff += draws.n_eff
    return interval


def _coverage_row(name: str, minutes: float, targets: Targets, truth: float, n: int) -> RowCounts:
    """Intervals of outputs whose score is known, by how many hold it; and of equal decoders."""
    found = RowCounts(name, what="coverage", score=truth)
    for seed in range(n):
        rng = random_of(name, truth, seed)
        true = targets(rng, round(60 * minutes / HOP_S))
        labelled, of_values = _labelled(true), true.dtype != np.int64
        key = "pearson_r" if of_values else "auc"
        one, other = (simulated_outputs(rng, true, truth) for _ in range(2))
        blocks = stretch_blocks(labelled, embargo_s=_EMBARGO_S)
        interval = jackknife(one, true, blocks)[key]
        low, high = _old_interval(one, true, key, seed)
        level = paired_jackknife(one, other, true, blocks)[key]
        found.n += 1
        found.covered += interval.low <= truth <= interval.high
        found.covered_v0_1_0 += low <= truth <= high
        found.yes += not level.low <= 0 <= level.high  # equal decoders called different
        found.blocks += interval.n_blocks / n
    return found


def _alarms_row(name: str, per_hour: float, together: int, seconds: float, n: int) -> RowCounts:
    """Intervals of false alarms an hour by a detector, by how many hold the rate of 20 hours."""
    found = RowCounts(name, what="alarms", score=per_hour)
    settings = DetectSettings(up=0.5)
    for seed in range(n):
        rng = random_of(name, 0.0, seed)
        counted = alarm_timeline(rng, per_hour, together, seconds).count("event", settings)
        low, high = counted.summary("event")["false_alarms_per_hour_interval_95"]
        single = rate_interval(counted.false_s.size, counted.rest_s)
        more = alarm_timeline(rng, per_hour, together, _TRUTH_S, rarely=True)
        n_more = more.count("event", settings).false_s.size
        rate = 3600 * n_more / (_TRUTH_S - n_more * settings.refractory_s)
        found.n += 1
        found.covered += low <= rate <= high
        found.covered_v0_1_0 += single[0] <= rate <= single[1]
    return found


def _old_interval(
    outputs: npt.NDArray[Any], targets: npt.NDArray[Any], key: str, seed: int
) -> tuple[float, float]:
    """Interval of version 0.1.0: percentiles over draws of blocks of the embargo."""
    rng, length = np.random.default_rng(seed), round(_EMBARGO_S / HOP_S)
    starts = np.arange(0, len(targets), length)
    scores = []
    for _ in range(_OLD_DRAWS):
        rows = (rng.choice(starts, starts.size)[:, np.newaxis] + np.arange(length)).ravel()
        rows = rows[rows < len(targets)]
        scores.append(scores_of(outputs[rows], targets[rows])[key])
    low, high = np.nanpercentile(scores, (2.5, 97.5))
    return float(low), float(high)


def _labelled(targets: npt.NDArray[Any]) -> Labelled:
    n_classes = int(targets.max()) + 1 if targets.dtype == np.int64 else 1
    rows: Ints = np.arange(len(targets))
    t_s: Times = (rows * HOP_S).astype(np.float64)
    names = tuple(f"class {number}" for number in range(n_classes))
    return Labelled(rows, targets, names, t_s)


def _stored(path: Path | None, n_recordings: int) -> list[RowCounts]:
    if path is None or not path.exists() or not path.stat().st_size:
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["recordings"] == n_recordings:
            return [
                RowCounts(**{k: v for k, v in row.items() if k != "failed"})
                for row in found["rows"]
            ]
    except (ValueError, KeyError, TypeError):
        pass
    raise SettingsError(
        f"--json {path}: holds no run of {n_recordings} recordings to go on with: name another file"
    )


def _figures(rows: list[RowCounts], n_recordings: int) -> dict[str, Any]:
    return {
        "recordings": n_recordings,
        "rows": [asdict(row) | {"failed": row.failed} for row in rows],
        "failed": [f"{row.row}: {row.what}" for row in rows if row.failed],
    }


def _line(row: RowCounts) -> str:
    mark = "  FAILED" if row.failed else ""
    if row.what in ("coverage", "alarms"):
        return f"{row.row}: truth in {row.covered} of {row.n} intervals{mark}"
    return f"{row.row}, {row.what}: yes in {row.yes} of {row.n}{mark}"


def _failed(row: RowCounts) -> str:
    return "FAILED" if row.failed else ""


def _tables(rows: list[RowCounts]) -> dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Headings and cells by title."""
    shown: dict[str, tuple[tuple[str, ...], list[tuple[str, ...]]]] = {}
    coverage = [row for row in rows if row.what == "coverage"]
    shown["Intervals of 95 % that hold the truth, and equal decoders called different"] = (
        ("held-out outputs", "blocks", "hold it", "v0.1.0", "different", ""),
        [
            (
                row.row,
                f"{row.blocks:.0f}",
                f"{row.covered} of {row.n}",
                f"{row.covered_v0_1_0}",
                f"{row.yes}",
                _failed(row),
            )
            for row in coverage
        ],
    )
    shown["Intervals of false alarms an hour that hold the rate of 20 hours"] = (
        ("false alarms", "hold it", "if singly", ""),
        [
            (row.row, f"{row.covered} of {row.n}", f"{row.covered_v0_1_0}", _failed(row))
            for row in rows
            if row.what == "alarms"
        ],
    )
    for what in ("no information", "weak", "strong"):
        of = [row for row in rows if row.what == what]
        title = what if what == "no information" else f"{what} information"
        shown[f"Verdicts of recordings: {title}"] = (
            (
                "labels",
                "of",
                "yes",
                "v0.1.0",
                "enough",
                "p",
                "shifts",
                "no drift",
                "score",
                "n_eff",
                "blocks",
                "",
            ),
            [
                (
                    row.row,
                    f"{row.n}",
                    f"{row.yes}",
                    f"{row.yes_v0_1_0}",
                    f"{row.enough}",
                    f"{row.p}",
                    f"{row.p_shifted}",
                    f"{row.p_without_drift}",
                    f"{row.score:.2f}",
                    f"{row.n_eff:.0f}",
                    f"{row.blocks:.0f}",
                    _failed(row),
                )
                for row in of
            ],
        )
    return {title: (headings, cells) for title, (headings, cells) in shown.items() if cells}
