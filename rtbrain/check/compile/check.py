"""A compiled encoder compared with the uncompiled one, and what `rtbrain compile` reports of it."""

import copy
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import rtbrain
from rtbrain.check.compile.inputs import CheckRecording, CompileOptions
from rtbrain.check.compile.paired import (
    EmbeddingErrors,
    PairedEncoder,
    PairedReadout,
    ScoreChange,
    score_changes,
)
from rtbrain.config import Recipe
from rtbrain.decoder import Bundle, Readout
from rtbrain.learn.evaluate import decode_labelled
from rtbrain.learn.fit.labels import Labelled, join_labels
from rtbrain.learn.report.score_table import TITLES
from rtbrain.live.play import play_recording
from rtbrain.live.realtime_check import random_walk_windows
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Stage
from rtbrain.terminal import show_progress, table
from rtbrain.types import Embedding, Floats, Spectrogram

_MAX_STEPS, _MIN_STEPS, _MAX_S = 100, 5, 20.0
_MIN_STEPS_OF_P99 = 100  # with fewer, it is the slowest step


@dataclass(frozen=True, slots=True, eq=False)
class CheckResult:
    """Errors of embeddings and changes of scores after compiling."""

    channels: EmbeddingErrors
    population: EmbeddingErrors
    n_windows: int
    changes: dict[str, ScoreChange]
    n_labelled: int


@dataclass(frozen=True, slots=True)
class AlternatedTimes:
    """Median and 99 % of steps, ms: spectrogram, encoder and readout of a window."""

    before_ms: tuple[float, float | None]
    after_ms: tuple[float, float | None]
    hop_ms: float | None
    n_steps: int


def compare_encoders(
    console: Console,
    bundle: Bundle,
    paired: PairedEncoder,
    recordings: Iterable[tuple[CheckRecording, tuple[FeaturePipeline, Readout]]],
) -> CheckResult:
    """Decode recordings by both encoders at once, each by its decoder, and compare them."""
    scored: list[tuple[Floats, Floats]] = []
    labelled: dict[str, Labelled] = {}
    for one, decoder in recordings:
        found = _play(console, bundle, paired, one, decoder)
        if found is not None:
            before, after, labelled[one.source] = found
            scored.append((before, after))
    channels, population = paired.differences()
    changes, n_labelled = {}, 0
    if scored:
        before, after = map(np.concatenate, zip(*scored, strict=True))
        n_labelled = len(before)
        parts = list(labelled.values())
        whole = join_labels(parts, [part.rows.size for part in parts], list(labelled))
        changes = score_changes(before, after, whole, block_s=2 * paired.length_s)
    return CheckResult(channels, population, paired.n_compared, changes, n_labelled)


def _play(
    console: Console,
    bundle: Bundle,
    paired: PairedEncoder,
    one: CheckRecording,
    decoder: tuple[FeaturePipeline, Readout],
) -> tuple[Floats, Floats, Labelled] | None:
    """Decodes before and after, and labels, from an embargo after its calibration on."""
    paired.reset()
    half_s = one.calibrates_until_s
    paired.from_s = half_s + paired.length_s if half_s else 0.0
    features, readout = decoder
    decodes = PairedReadout(readout, copy.copy(readout), paired)
    both = (replace(features, encoder=paired), decodes)
    with show_progress(console) as on_progress:
        if one.labels is None:
            session, n = one.session(), one.recording.n_samples
            play_recording(bundle, session, n, both, on_progress=on_progress, what="comparing")
            return None
        found = decode_labelled(bundle, one.recording, one.labels, both, on_progress=on_progress)
    others = [decode for decode in decodes.decodes if decode.quality.valid]
    before, after = (
        np.stack([of[row].values for row in found.labelled.rows]) for of in (found.valid, others)
    )
    return before, after, found.labelled


def time_alternately(
    features: FeaturePipeline,
    readout: Readout,
    after: Stage[Spectrogram, Embedding],
    recipe: Recipe,
) -> AlternatedTimes:
    """Time steps on a random walk, every channel good, both encoders on each window."""
    began_s = time.perf_counter()
    durations_ms: list[tuple[float, float]] = []
    for window in random_walk_windows(features.signal.montage, recipe, _MAX_STEPS + 1):
        start_s = time.perf_counter()
        spectrogram = features.spectrogram(window)
        shared_s = time.perf_counter() - start_s
        turn = []
        for encoder in (features.encoder, after):
            start_s = time.perf_counter()
            readout(encoder(spectrogram))
            turn.append(1000 * (shared_s + time.perf_counter() - start_s))
        durations_ms.append((turn[0], turn[1]))
        late = time.perf_counter() - began_s > _MAX_S
        if late and len(durations_ms) > _MIN_STEPS:
            break
    # Stages that keep what they have seen need longer for the first window.
    before_ms, after_ms = (_summary(each) for each in np.transpose(durations_ms[1:]))
    hop_ms = None if recipe.window.hop_s is None else 1000 * recipe.window.hop_s
    return AlternatedTimes(before_ms, after_ms, hop_ms, len(durations_ms) - 1)


def _summary(durations_ms: Floats) -> tuple[float, float | None]:
    """Median and 99 %; None where there are too few steps for it."""
    p50, p99 = np.percentile(durations_ms, (50, 99))
    return float(p50), float(p99) if len(durations_ms) >= _MIN_STEPS_OF_P99 else None


@dataclass(frozen=True, slots=True, eq=False)
class CompileOutcome:
    """Everything that is reported about a compiled encoder."""

    options: CompileOptions
    found: CheckResult
    times: AlternatedTimes
    sources: dict[str, Any]


def compile_table(outcome: CompileOutcome) -> Table:
    """Table of before and after."""
    options, found, times = outcome.options, outcome.found, outcome.times
    threads = f"{options.threads} thread{'s' * (options.threads > 1)}"
    headings = ("", "torchscript fp32", f"{options.runtime} {options.precision}")
    rows: list[tuple[str, ...]] = []
    for name, change in found.changes.items():
        rows.append((TITLES[name], f"{change.before:.4f}", f"{change.after:.4f}"))
        rows.append(("  after - before", "", f"{0.0 - change.fall:+.4f}"))
        rows.append(("  95 %", "", change.span))
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
    if calibration is not None and outcome.options.precision == "int8":
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
    options, found, times = outcome.options, outcome.found, outcome.times
    return {
        "bundle": bundle.id,
        "runtime": options.runtime,
        "precision": options.precision,
        "made_by": f"rtbrain {rtbrain.__version__}",
        "contract": contract,
        "n_cores": os.cpu_count(),
        "threads": options.threads,
        "embedding_error": {
            "of": "the eager model in float32, the mean shared by all channels and windows removed",
            "n_windows": found.n_windows,
            "channels": asdict(found.channels),
            "population": asdict(found.population),
        },
        "decoder": {
            "n_windows": found.n_labelled,
            "tolerance": options.tolerance,
            "scores": {
                name: asdict(change) | {"fall": change.fall}
                for name, change in found.changes.items()
            },
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
