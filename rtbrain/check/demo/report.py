"""The demo as a whole, and its figures: the decodes received beside those expected."""

import json
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import rtbrain
from rtbrain.check.demo.session import (
    DemoPlan,
    ReceivedDecodes,
    demo_processes,
    fit_decoders,
    listen_to_demo,
)
from rtbrain.config import DemoSettings
from rtbrain.files import require_new_folder, require_writable_file, write_atomically
from rtbrain.learn.fit.quick_fit import QuickFit
from rtbrain.learn.metrics import score_classes, states_at
from rtbrain.processes import require_display

_CAPTIONS = {
    "edge": "edge: compact BrainBERT + PopT under a fitted readout. ",
    "streaming": "streaming: compact StreamingBERT + PopT under a fitted readout. ",
}


def run_demo(
    settings: DemoSettings,
    console: Console,
    *,
    view: bool = False,
    report: Path | None = None,
    keep: Path | None = None,
) -> bool:
    """Fit decoders on a synthetic patient, run them live, and score their decodes.

    Parameters
    ----------
    view : bool
        Show them in the live window meanwhile.
    report : Path, optional
        JSON file for the figures.
    keep : Path, optional
        New folder for the decoder bundles.

    Returns
    -------
    bool
        Whether every decoder made valid decodes.

    Raises
    ------
    RtbrainError
        A file cannot be written, there is no display, or a process ended early.
    """
    if view:
        require_display()
    if report is not None:
        require_writable_file(report, "--report")
    if keep is not None:
        require_new_folder(keep, "--keep")
    chosen = settings.mode
    modes = ("linear",) if chosen == "linear" else (chosen, "linear")
    with tempfile.TemporaryDirectory(prefix="rtbrain-demo-") as folder:
        plan = DemoPlan(
            Path(folder),
            settings.seed,
            settings.channels,
            settings.difficulty,
            settings.duration_s,
            modes,
            view,
            settings.encoder == "trained",
        )
        calibrations = fit_decoders(plan, console)
        with demo_processes(plan) as check:
            recorded = listen_to_demo(plan, console, check)
        if keep is not None:
            for mode in modes:
                shutil.copytree(plan.folder / mode, keep / mode)
    figures = {mode: demo_report(plan, mode, calibrations[mode], recorded[mode]) for mode in modes}
    console.print(demo_table(plan, figures))
    if report is not None:
        whole = figures[chosen] | {"controls": {m: figures[m] for m in modes if m != chosen}}
        write_atomically(report, json.dumps(whole, indent=2) + "\n")
    return all(figures[mode]["decodes"] for mode in modes)


def demo_report(
    plan: DemoPlan, mode: str, calibration: QuickFit, recorded: ReceivedDecodes
) -> dict[str, Any]:
    """Figures of one decoder, as they go into the JSON file."""
    end = recorded.start + plan.duration_s
    rows = [row for row in recorded.rows if recorded.start <= row.t_stop < end]
    values = np.array([row.values for row in rows]).reshape(len(rows), -1)
    t_stop = np.array([row.t_stop for row in rows])
    arrived = np.array([row.t_arrived for row in rows])
    valid = np.array([row.valid for row in rows], np.bool_)
    age_s = np.array([row.age_s for row in rows if row.valid])
    compute_s = np.array([row.compute_s for row in rows if row.valid])
    transport_s = age_s - compute_s - calibration.neural_delay_s
    heard_s = arrived[valid] - t_stop[valid] - transport_s - compute_s
    states = states_at(t_stop - calibration.neural_delay_s, recorded.markers, plan.patient.classes)
    probabilities = np.where(valid[:, None], values, np.nan).astype(np.float32)
    scores = score_classes(probabilities, states)
    return {
        "mode": mode,
        "seed": plan.seed,
        "decodes": int(valid.sum()),
        "expected_decodes": int(np.floor(plan.duration_s / calibration.hop_s)),
        "lost_samples": recorded.lost,
        "skipped_windows": recorded.skipped,
        "invalid": int((~valid).sum()),
        "balanced_accuracy": scores.balanced_accuracy,
        "auc": scores.auc,
        "calibration_balanced_accuracy": calibration.validation_score,
        "age_s": _percentiles(age_s),
        "algorithmic_s": calibration.neural_delay_s,
        "hop_s": calibration.hop_s,
        "transport_ms": _percentiles(1000 * transport_s),
        "compute_ms": _percentiles(1000 * compute_s),
        "listener_ms": _percentiles(1000 * heard_s),
        "runtime": "none" if mode == "linear" else "torchscript",
        "encoder": calibration.encoder,
        "versions": {
            "rtbrain": rtbrain.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _percentiles(values: Any) -> dict[str, float]:
    if not values.size:
        return dict.fromkeys(("p50", "p95", "p99"), float("nan"))
    return {f"p{q}": round(float(np.percentile(values, q)), 6) for q in (50, 95, 99)}


def demo_table(plan: DemoPlan, figures: dict[str, dict[str, Any]]) -> Table:
    """What the demo showed, a column a decoder."""
    table = Table(
        title=f"synthetic patient {plan.seed}, {plan.duration_s:g} s live",
        caption=f"{_CAPTIONS.get(next(iter(figures)), '')}"
        "Synthetic data say nothing about patients.",
    )
    table.add_column("")
    for mode in figures:
        table.add_column(mode, justify="right")

    def row(name: str, text: Any) -> None:
        table.add_row(name, *(text(each) for each in figures.values()))

    row("decodes / expected", lambda f: f"{f['decodes']} / {f['expected_decodes']}")
    row("lost samples, skipped windows", lambda f: f"{f['lost_samples']}, {f['skipped_windows']}")
    row("balanced accuracy (chance 0.5)", lambda f: f"{f['balanced_accuracy']:.3f}")
    row("AUC", lambda f: f"{f['auc']:.3f}")
    row("latency p50 / p99, s", lambda f: f"{f['age_s']['p50']:.3f} / {f['age_s']['p99']:.3f}")
    row("  where the encoder pools, s", lambda f: f"{f['algorithmic_s']:.3f}")
    row("  transport p50 / p99, ms", lambda f: _pair(f["transport_ms"]))
    row("  compute p50 / p99, ms", lambda f: _pair(f["compute_ms"]))
    row("outlet to listener p50 / p99, ms", lambda f: _pair(f["listener_ms"]))
    row("a new decode every, s", lambda f: f"{f['hop_s']:.3f}")
    row("encoder", lambda f: f"{f['encoder']} ({f['runtime']})")
    return table


def _pair(values: dict[str, float]) -> str:
    return f"{values['p50']:.1f} / {values['p99']:.1f}"
