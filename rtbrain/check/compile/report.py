"""What `rtbrain compile` reports: a table, notes, and the JSON beside the compiled encoder."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

import rtbrain
from rtbrain.check.compile.check import AlternatedTimes, CheckResult
from rtbrain.decoder import Bundle
from rtbrain.encoder import ApprovedRuntime
from rtbrain.tables import table

_TITLES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "pearson_r": "r", "r2": "R²"}


@dataclass(frozen=True, slots=True, eq=False)
class CompileOutcome:
    """Everything that is reported about a compiled encoder."""

    approval: ApprovedRuntime
    threads: int
    tolerance: float
    found: CheckResult
    times: AlternatedTimes
    sources: dict[str, Any]


def compile_table(outcome: CompileOutcome) -> Table:
    """Table of before and after."""
    found, times = outcome.found, outcome.times
    threads = f"{outcome.threads} thread{'s' * (outcome.threads > 1)}"
    headings = ("", "torchscript fp32", f"{outcome.approval.runtime} {outcome.approval.precision}")
    rows: list[tuple[str, ...]] = []
    for name, change in found.changes.items():
        rows.append((_TITLES[name], f"{change.before:.4f}", f"{change.after:.4f}"))
        rows.append(("  after - before", "", f"{0.0 - change.fall:+.4f}"))
        rows.append(("  95 %", "", f"{change.low:+.4f} to {change.high:+.4f}"))
    for title, errors in (("channel", found.channels), ("population", found.population)):
        cosines = f"{errors.cosine_p50:.1e} / {errors.cosine_p99:.1e}"
        rows.append((f"1 - cos, {title}, 50 / 99 %", "", cosines))
        rows.append(("  largest difference", "", f"{errors.largest:.1e}"))
    before, after = times.before_ms, times.after_ms
    shown = "50 %" if after[1] is None else "50 / 99 %"
    rows.append((f"ms per step, {shown}", _step(before), _step(after)))
    if times.hop_ms is not None:
        shares = (f"{p50 / times.hop_ms:.1%}" for p50 in (before[0], after[0]))
        rows.append((f"  of the hop of {times.hop_ms:.0f} ms", *shares))
    rows.append(("  times as fast", "1", f"{before[0] / after[0]:.2f}"))
    return table(f"compiled, {threads}", headings, rows)


def _step(took_ms: tuple[float, float | None]) -> str:
    return " / ".join(f"{each:.2f}" for each in took_ms if each is not None)


def compile_notes(outcome: CompileOutcome) -> list[str]:
    """What to know about the figures, one line each."""
    notes = []
    found, sources = outcome.found, outcome.sources
    names = ", ".join(sources["compared_on"])
    if sources["synthetic_stand_in"]:
        notes.append(
            f"embeddings were compared on {found.n_windows} windows of a synthetic patient "
            "implanted as this one: name a recording with --validate-on for those of its own"
        )
    else:
        notes.append(f"embeddings were compared on {found.n_windows} windows of {names}")
    if not found.changes:
        notes.append(
            "the decoder was not checked, because there was no labelled recording: name one with "
            "--validate-on"
        )
    else:
        notes.append(f"the decoder was scored on {found.n_labelled} labelled windows of {names}")
        notes.append(_held_out(sources["fitted_on"]))
    calibration = sources["calibration"]
    if calibration is not None and outcome.approval.precision == "int8":
        note = f"calibrated on {calibration['windows']} windows of {calibration['from']}"
        if "first_s" in calibration:
            first = f"{calibration['first_s']:g} s"
            note += f", from its first {first}; the rest, less one window, was checked on"
        notes.append(note)
    return notes


def _held_out(fitted_on: list[str]) -> str:
    """What a drop means on recordings that the readout has seen."""
    if fitted_on:
        return (
            f"WARNING: the readout was fitted on {', '.join(fitted_on)}, which hides a drop: pass "
            "--validate-on a recording that it was not fitted on"
        )
    return (
        "a recording that the readout was fitted on hides a drop, and the bundle does not record "
        "which these are: --validate-on should name another"
    )


def compile_report(
    outcome: CompileOutcome, bundle: Bundle, contract: dict[str, Any]
) -> dict[str, Any]:
    """Content of `report.json`, plain values."""
    found, times = outcome.found, outcome.times
    return {
        "bundle": bundle.id,
        "runtime": outcome.approval.runtime,
        "precision": outcome.approval.precision,
        "made_by": f"rtbrain {rtbrain.__version__}",
        "contract": contract,
        "n_cores": os.cpu_count(),
        "threads": outcome.threads,
        "embedding_error": {
            "of": "the eager model in float32, the mean shared by all channels and windows removed",
            "n_windows": found.n_windows,
            "channels": asdict(found.channels),
            "population": asdict(found.population),
        },
        "decoder": {
            "n_windows": found.n_labelled,
            "tolerance": outcome.tolerance,
            "scores": {name: change.as_dict() for name, change in found.changes.items()},
        },
        "step": asdict(times)
        | {
            "before": "torchscript fp32",
            "share_of_hop": None
            if times.hop_ms is None
            else [times.before_ms[0] / times.hop_ms, times.after_ms[0] / times.hop_ms],
        },
        **outcome.sources,
        "notes": compile_notes(outcome),
    }
