"""What the cells show: scores beside their ceilings, the leak of the splits, checks, a picture."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from rtbrain.learn.leaderboard.cells import (
    CLOCK,
    ORDER,
    REGIMES,
    STRICT,
    UPSTREAM,
)
from rtbrain.learn.leaderboard.film import NOISE, TASKS
from rtbrain.learn.leaderboard.results import ALL_TASKS, CONTROLS, DRIVEN, Results
from rtbrain.learn.leaderboard.rows import LINEAR
from rtbrain.learn.report.figures import COLOURS, GREY, new_figure, save_figure
from rtbrain.terminal import table

_LIMITS = {"ceiling of one contact": "ceiling", "bound of all contacts": "bound"}


def print_results(console: Console, results: Results) -> None:
    """Print the tables and what holds."""
    for one in (_score_table(results), _task_table(results), _comparison_table(results)):
        console.print(one)
    for check in results.checks:
        console.print(
            f"{check.name}: {'met' if check.met else 'NOT MET'} in {check.n_cells} cells; furthest "
            f"{check.worst}: {check.difference:+.3f}, {check.errors:+.1f} standard errors, p "
            f"{check.p:.2f} by Holm",
            markup=False,
        )
    console.print(
        "Signals are synthetic: this ranks what reads high gamma, whose power the tasks change. It "
        "says nothing of other bands, of phase, or of a brain."
    )


def _score_table(results: Results) -> Table:
    rows = []
    for row in results.rows:
        values, leaks, noise = [], [], []
        for regime in REGIMES:
            strict, upstream = (results.mean(row, regime, split) for split in (STRICT, UPSTREAM))
            of_noise = results.mean(row, regime, STRICT, [NOISE])
            noise += [] if of_noise is None else [of_noise.score]
            if strict is None or upstream is None:
                values.append("–")
                continue
            values.append(f"{strict.score:.3f} ± {2 * strict.error:.3f} ({upstream.score:.3f})")
            leaks.append(strict.score - upstream.score)
        of_noise_ = f"{np.mean(noise):.3f}" if noise else "–"
        rows.append((row, *values, f"{np.mean(leaks):+.3f}", of_noise_))
    means = [results.mean(CLOCK, regime, STRICT) for regime in REGIMES]
    for name, key in _LIMITS.items():
        found = (f"{getattr(one, key):.3f}" if one else "–" for one in means)
        rows.append((name, *found, "", ""))
    return table(
        f"AUC, mean of {len(DRIVEN)} tasks: strict splits (upstream's)",
        ("row", *REGIMES, "leak", "noise task"),
        rows,
        caption="± 2 standard errors over sentences or subjects, the larger. Leak: strict less "
        "upstream. Time order alone "
        f"parts the classes by {_order(results):.2f} of AUC in one direction or the other.",
    )


def _task_table(results: Results) -> Table:
    rows = [
        (row, *(_over_regimes(results, row, task, "score") for task in ALL_TASKS))
        for row in results.rows
    ]
    rows += [
        (name, *(_over_regimes(results, CLOCK, task, key) for task in ALL_TASKS))
        for name, key in _LIMITS.items()
    ]
    headings = (task.replace("quarters", "AUC of 4").replace("value", "r") for task in ALL_TASKS)
    return table("By task: strict splits, mean of the regimes", ("row", *headings), rows)


def _comparison_table(results: Results) -> Table:
    rows = [
        (
            row,
            *(
                f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}] p "
                f"{one['p_holm']:.3f} ({one['p_sign_flip']:.3f})"
                for one in results.comparisons
                if one["row"] == row
            ),
        )
        for row in dict.fromkeys(one["row"] for one in results.comparisons)
    ]
    return table(
        f"Less {LINEAR}: strict splits, over subjects",
        ("row", *REGIMES),
        rows,
        caption="95 % t interval over subjects; p of the t test by Holm over this table (exact "
        "sign-flip test: at least 0.031 of 6 subjects, 0.062 of 5)",
    )


def _over_regimes(results: Results, row: str, task: str, key: str) -> str:
    means = [results.mean(row, regime, STRICT, [task]) for regime in REGIMES]
    values = [getattr(one, key) for one in means if one is not None]
    return f"{np.mean(values):.3f}" if np.isfinite(values).any() else "–"


def _order(results: Results) -> float:
    """How far time order alone parts the classes of driven tasks, in either direction."""
    found = [
        abs(cell.score - 0.5)
        for cell in results.cells
        if cell.row == ORDER and cell.task in DRIVEN and cell.split == UPSTREAM
    ]
    return float(np.mean(found)) if found else math.nan


def results_report(results: Results) -> dict[str, Any]:
    """All figures as plain values."""
    means = []
    for row, regime, split in results.groups():
        for task in ALL_TASKS:
            one = results.mean(row, regime, split, [task])
            if one is not None:
                where = {"row": row, "regime": regime, "split": split, "task": task}
                means.append(where | asdict(one))
    return {
        "synthetic": True,
        "seconds": results.seconds,
        "baseline": LINEAR,
        "checks": [asdict(check) | {"met": check.met} for check in results.checks],
        "means": means,
        "comparisons": results.comparisons,
        "time_order": _order(results),
        "by_subject": {
            row: {regime: results.by_subject(row, regime) for regime in REGIMES}
            for row in results.rows
        },
        "cells": [asdict(cell) for cell in results.cells],
    }


def draw_results(path: Path, results: Results) -> None:
    """Draw each row's AUC by task and regime beside its ceilings, strict splits."""
    figure = new_figure(12.5, 4.6)
    panels = figure.subplots(1, len(REGIMES), sharey=True)
    rows = [row for row in results.rows if row != ORDER]
    for axes, regime in zip(panels, REGIMES, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        for place, task in enumerate(TASKS):
            one = results.mean(CLOCK, regime, STRICT, [task])
            if one is None:
                continue
            span = [place - 0.4, place + 0.4]
            axes.plot(span, [one.ceiling] * 2, color="black", linewidth=1.2, zorder=1)
            axes.plot(span, [one.bound] * 2, color="black", linewidth=1, linestyle="--", zorder=1)
        for number, row in enumerate(rows):
            found = [results.mean(row, regime, STRICT, [task]) for task in TASKS]
            there = [(place, one) for place, one in enumerate(found) if one is not None]
            control = row in CONTROLS
            axes.errorbar(
                [place + 0.09 * (number - (len(rows) - 1) / 2) for place, _ in there],
                [one.score for _, one in there],
                yerr=[2 * one.error for _, one in there],
                color=GREY if control else COLOURS[number % len(COLOURS)],
                marker="xs"[row == CLOCK] if control else "o",
                markersize=4.5,
                linestyle="none",
                elinewidth=0.9,
                label=row,
            )
        axes.set_xticks(range(len(TASKS)), TASKS, rotation=25)
        axes.set_title(regime)
    panels[0].set_ylabel("AUC, strict splits (± 2 standard errors)")
    panels[0].plot([], [], color="black", linewidth=1.2, label="ceiling of one contact")
    panels[0].plot(
        [], [], color="black", linewidth=1, linestyle="--", label="bound of all contacts"
    )
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8,
    )
    figure.suptitle("Synthetic patients: high gamma follows the task", fontsize=11)
    save_figure(figure, path)
