"""The leaderboard of synthetic patients: what it finds, checks, prints and writes."""

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import ttest_rel
from threadpoolctl import threadpool_limits

from apps import leaderboard
from rtbrain.encoder import random_encoder, save_encoder
from rtbrain.encoder.models.model import sizes_of
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.files import strict_json
from rtbrain.learn.leaderboard import run
from rtbrain.learn.leaderboard.cells import CLOCK, IDEAL, ORDER, REGIMES, SHIFTED, SPLITS, Cell
from rtbrain.learn.leaderboard.film import NOISE, TASKS
from rtbrain.learn.leaderboard.report import draw_results, print_results, results_report
from rtbrain.learn.leaderboard.results import Results
from rtbrain.learn.leaderboard.rows import (
    FLOOR,
    LINEAR,
    STFT,
    load_rows,
    n_passes,
    session_features,
)
from rtbrain.learn.leaderboard.sessions import draw_participants, play_session


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a run: threads within small products wait for each other."""
    with threadpool_limits(1):
        yield


def cells_of(**shift: float) -> list[Cell]:
    """Cells whose rows lie at what is known, but for those that are shifted by row or task."""
    rng = np.random.default_rng(0)
    found = []
    for row in (IDEAL, LINEAR, FLOOR, CLOCK, ORDER, SHIFTED):
        for task in TASKS:
            if row == IDEAL and task == NOISE:
                continue
            true = {IDEAL: 0.9, LINEAR: 0.7, FLOOR: 0.75}.get(row, 0.5) if task != NOISE else 0.5
            true += shift.get(row, 0) if task != NOISE else shift.get(NOISE, 0)
            for regime in REGIMES:
                for split in SPLITS:
                    for subject in range(6):
                        auc = float(np.clip(true + rng.normal(0, 0.02), 0, 1))
                        where = row, task, regime, split, subject, 0, 0
                        best = (0.9, 0.95) if task != NOISE else (0.5, 0.5)
                        found.append(Cell(*where, auc, 0.02, 0.02, 100, *best))
    return found


def test_checks_are_met_where_all_is_as_it_must_be_and_not_where_it_is_not() -> None:
    assert Results(cells_of(), 900).met
    for shift, name in (
        ({IDEAL: -0.05}, "ideal feature at its ceiling"),
        ({FLOOR: 0.25}, "no row above all contacts' likelihood ratio"),
        ({NOISE: 0.05}, "noise tasks at 0.5, or r 0"),
    ):
        failed = [check.name for check in Results(cells_of(**shift), 900).checks if not check.met]
        assert failed == [name]


def test_rows_are_compared_over_subjects_with_the_default_front_end() -> None:
    results = Results(cells_of(), 900)
    [within] = [one for one in results.comparisons if one["regime"] == REGIMES[0]]
    assert within["row"] == FLOOR
    assert within["low"] < 0.05 < within["high"]
    assert within["subjects"] == 6
    assert within["p_sign_flip"] == 2 / 2**6
    floor, base = (np.array(results.by_subject(row, REGIMES[0])) for row in (FLOOR, LINEAR))
    assert within["p_t"] == pytest.approx(ttest_rel(floor, base).pvalue)
    assert within["p_t"] <= within["p_holm"] <= 3 * within["p_t"] + 1e-12


def test_tables_and_files_hold_every_row_and_the_ceilings(tmp_path: Path) -> None:
    results = Results(cells_of(), 900)
    console = Console(record=True, width=160)
    print_results(console, results)
    text = console.export_text()
    for word in (IDEAL, LINEAR, FLOOR, CLOCK, SHIFTED, "ceiling of one contact", "0.950", "met in"):
        assert word in text
    report = results_report(results)
    assert json.loads(json.dumps(report))["checks"][0]["met"] is True
    assert len(report["cells"]) == len(results.cells)
    draw_results(tmp_path / "a.png", results)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_leaderboard_finds_what_is_there_and_nothing_else(monkeypatch: Any) -> None:
    monkeypatch.setattr(run, "TASKS", ("volume", NOISE))
    two = draw_participants(2)
    donor, other = run.score_participants(two, [], 150.0)
    again = run.score_participants(two, [], 150.0, scored={1})  # a run that goes on
    assert repr([*again]) == repr([other])  # where an error is NaN, too
    assert not [*run.score_participants(two, [], 150.0, scored={0, 1})]
    cells = [*donor, *other]
    assert {cell.row for cell in cells} == {IDEAL, LINEAR, STFT, FLOOR, CLOCK, ORDER, SHIFTED}
    assert {cell.regime for cell in cells} == set(REGIMES)
    assert {cell.split for cell in cells} == set(SPLITS)
    assert {c.subject for c in cells if c.regime == "across subjects"} == {0}
    results = Results(cells, 150)
    for task in ("volume", "volume, quarters", "volume, value"):
        ideal = results.mean(IDEAL, "across sessions", "upstream", [task])
        assert ideal is not None
        assert abs(ideal.score - ideal.ceiling) < max(0.08, 3 * ideal.error)

    def mean(row: str, task: str) -> float:
        return float(
            np.mean([cell.score for cell in cells if (cell.row, cell.task) == (row, task)])
        )

    assert mean(IDEAL, "volume") > 0.9
    assert mean(FLOOR, "volume") > 0.65
    assert mean(FLOOR, "volume, quarters") > 0.55
    assert mean(FLOOR, "volume, value") > 0.2
    assert abs(mean(FLOOR, NOISE) - 0.5) < 0.15


def test_an_interrupted_run_goes_on_from_its_file(tmp_path: Path, monkeypatch: Any) -> None:
    path, done = tmp_path / "scores.json", []
    of = [[cell for cell in cells_of() if cell.subject == subject] for subject in range(6)]
    of[0][0] = replace(of[0][0], error=math.nan)

    def three(*given: Any) -> Iterator[list[Cell]]:
        done.append(given[-1])
        yield from (cells for cells in of[:3] if cells[0].subject not in given[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "score_participants", three)
    with pytest.raises(KeyboardInterrupt):
        run.run_synthetic([], 900, path, None)
    stored = path.read_bytes()
    for seconds, encoders in ((800, []), (900, ["streaming"])):
        with pytest.raises(SettingsError, match="to go on with: name another file"):
            run.run_synthetic(encoders, seconds, path, None)
    assert path.read_bytes() == stored
    monkeypatch.setattr(run, "score_participants", lambda *given: done.append(given[-1]) or of[3:])
    assert run.run_synthetic([], 900, path, None)
    assert done == [set(), {0, 1, 2}]
    found = json.loads(path.read_text())
    assert found["cells"] == json.loads(strict_json([asdict(cell) for part in of for cell in part]))
    assert found["checks"][0]["met"] is True


@pytest.mark.parametrize(
    ("given", "kind", "match"),
    [
        ({"minutes": 1.0}, SettingsError, "--minutes: expected 2 to 120, got 1"),
        ({"minutes": float("nan")}, SettingsError, "--minutes: expected"),
        ({"json": Path("/nowhere/a.json")}, SettingsError, "--json"),
        ({"encoder": ["/nowhere"]}, CheckpointError, "no such folder"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(
    given: dict[str, Any], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        leaderboard.synthetic(**{"encoder": None, "minutes": 15.0, "json": None, **given})


def test_each_encoder_has_a_twin_that_learned_nothing() -> None:
    rows = load_rows(["streaming"])
    assert [row.name for row in rows] == ["streaming", "streaming, random init"]
    one, twin = (row.model for row in rows)
    assert one.sizes == twin.sizes
    weights = [next(iter(each.parameters())).detach().numpy() for each in (one, twin)]
    assert not np.allclose(*weights)


def test_whoever_interrupts_does_not_wait_for_the_signals() -> None:
    done = []

    def on_progress(n_done: float, total: float, what: str) -> None:
        done.append(total)
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        list(run.score_participants(draw_participants(2), [], 1800.0, on_progress))
    assert done[0] == 2 * 2 * 1800 * 2
    assert len(done) < 100


def test_encoders_of_spectrograms_and_of_patches_read_the_second_after_each_event(
    tmp_path: Path,
) -> None:
    save_encoder(random_encoder(sizes_of("neurobert", "compact", key=""), 0), tmp_path / "patches")
    rows = load_rows(["streaming", str(tmp_path / "patches")])
    session, data = play_session(draw_participants(1)[0], 0, 30.0, lambda: None)
    seconds = []
    found = session_features(session, data, rows, lambda: seconds.append(1))
    assert len(seconds) == 30 * n_passes(rows)
    assert set(found) == {LINEAR, STFT, FLOOR, *(row.name for row in rows)}
    for values in found.values():
        assert values.shape[:2] == (session.film.times_s.size, 10)
        assert np.isfinite(values).all()
    assert found[FLOOR].shape[2] == 348
    # What comes after the window changes nothing: all is causal.
    stop = round((session.film.times_s[5] + 1) * 1024)
    changed = data.copy()
    changed[:, stop:] += 1000 * np.random.default_rng(0).standard_normal(changed[:, stop:].shape)
    again = session_features(session, changed, rows, lambda: None)
    for name in found.keys() - {FLOOR}:  # whose z-scores are of the whole session, as published
        np.testing.assert_allclose(again[name][:5], found[name][:5], rtol=1e-4, atol=1e-4)
