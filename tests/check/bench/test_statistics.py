"""The statistics of a fit are run on recordings of known truth, row by row, and can go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rtbrain.check.bench import statistics
from rtbrain.check.bench.simulated import (
    COVERAGE,
    FAMILIES,
    Family,
    alarm_timeline,
    alternating,
    events,
    mixed,
    random_of,
    simulated_features,
    simulated_outputs,
)
from rtbrain.check.bench.statistics import RowCounts, bench_statistics
from rtbrain.errors import SettingsError
from rtbrain.learn.metrics import roc_auc

SHORT = Family("short", 2, alternating(2, 4), powers=True)
QUIET = Console(quiet=True)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "FAMILIES", (SHORT,))
    monkeypatch.setattr(statistics, "COVERAGE", COVERAGE[1:2])
    monkeypatch.setattr(statistics, "ALARMS", ((60, 4, 22),))
    monkeypatch.setattr(statistics, "_TRUTH_S", 7200.0)
    monkeypatch.setattr(statistics, "_N_DRAWS", 59)
    monkeypatch.setattr(statistics, "_LEAST_WITH", 3)


def test_rows_count_verdicts_and_intervals_and_a_run_goes_on_where_it_stopped(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figures.json"
    figures = bench_statistics(QUIET, 4, path)
    whats = [row["what"] for row in figures["rows"]]
    assert whats == ["coverage", "alarms", "no information", "weak", "strong"]
    assert [row["n"] for row in figures["rows"]] == [4, 4, 4, 3, 3]
    assert figures["rows"][1]["covered"] >= 2
    null, strong = figures["rows"][2], figures["rows"][4]
    assert null["yes"] <= 1 < strong["yes"]
    assert strong["score"] > 0.65 > 0.56 > null["score"]
    assert json.loads(path.read_text())["rows"] == figures["rows"]
    stored = figures | {"rows": figures["rows"][:4]}
    path.write_text(json.dumps(stored))
    made: list[str] = []
    monkeypatch.setattr(
        statistics, "_family_row", lambda family, what, *of: made.append(what) or RowCounts("", 1)
    )
    bench_statistics(QUIET, 4, path)
    assert made == ["strong"]
    with pytest.raises(SettingsError, match="no run of 9 recordings"):
        bench_statistics(QUIET, 9, path)


def test_a_recording_that_a_fit_refuses_is_counted_and_ends_no_row(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "COVERAGE", ())
    monkeypatch.setattr(statistics, "ALARMS", ())
    whole, calls = statistics.block_folds, iter([True])

    def folds(*args: Any, **settings: Any) -> Any:
        if next(calls, False):
            raise SettingsError("too few stretches")
        return whole(*args, **settings)

    monkeypatch.setattr(statistics, "block_folds", folds)
    null, *others = bench_statistics(QUIET, 4, tmp_path / "figures.json")["rows"]
    assert (null["n"], null["refused"]) == (4, 1)
    assert 0 < null["score"] < 0.65
    assert [row["refused"] for row in others] == [0, 0]


def test_a_row_fails_by_too_many_false_verdicts_or_too_few_intervals_that_hold() -> None:
    assert not RowCounts("", n=200, yes=18).failed
    assert RowCounts("", n=200, yes=19).failed
    held = {"n": 200, "what": "coverage", "blocks": 20.0}
    assert not RowCounts("", covered=176, **held).failed
    assert RowCounts("", covered=175, **held).failed
    assert not RowCounts("", covered=100, **held | {"blocks": 12.0}).failed
    assert not RowCounts("", n=100, covered=90, what="alarms").failed
    assert RowCounts("", n=100, covered=89, what="alarms").failed


@pytest.mark.parametrize(("together", "dispersion"), [(1, 1.0), (4, 4.0), (12, 12.0)])
def test_simulated_alarms_come_at_their_rate_and_in_groups(together, dispersion) -> None:
    hours = 200
    timeline = alarm_timeline(random_of("x", 0, 0), 20, together, 3600.0 * hours, rarely=True)
    at_s = [one.t_stop for one in timeline.decodes if one.values[1] > 0.5]
    counts = np.bincount((np.array(at_s) / 900).astype(int), minlength=4 * hours)
    assert counts.mean() == pytest.approx(5, rel=0.15)
    assert counts.var() / counts.mean() == pytest.approx(dispersion, rel=0.3)


def test_simulated_labels_are_as_their_rows_say() -> None:
    rng = np.random.default_rng(0)
    cues = events(12, 2, 2)(rng, 1200)
    assert np.count_nonzero(np.diff(cues) == 1) == 12
    assert cues.sum() == 12 * 4
    mix = np.mean([mixed(0.2, 0.8)(rng, 1200) for _ in range(20)], axis=0)
    assert mix[:200].mean() < 0.35 < 0.65 < mix[-200:].mean()
    lengths = np.diff(np.flatnonzero(np.diff(alternating(5, 10)(rng, 1200))))
    assert 9 <= lengths.min() <= lengths.max() <= 21


def test_simulated_outputs_have_the_area_that_they_claim_and_features_what_they_hold() -> None:
    areas = []
    for seed in range(30):
        rng = random_of("x", 0, seed)
        true = alternating(5, 10)(rng, 2400)
        areas.append(roc_auc(simulated_outputs(rng, true, 0.83), true))
    assert np.mean(areas) == pytest.approx(0.83, abs=0.01)
    rng = random_of("x", 0, 1)
    true = alternating(5, 10)(rng, 2400)
    flat = simulated_features(random_of("x", 0, 2), FAMILIES[0], true, 0.0)
    lifted = simulated_features(random_of("x", 0, 2), FAMILIES[0], true, 1.0)
    moved = lifted - flat
    assert np.linalg.norm(moved[true == 1], axis=1) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(moved[true == 0], 0)
