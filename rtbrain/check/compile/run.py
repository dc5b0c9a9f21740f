"""`rtbrain compile`: compile an encoder, check the decoder on it, install what passes."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from rtbrain.check.compile.check import (
    CheckResult,
    CompileOutcome,
    compare_encoders,
    compile_notes,
    compile_report,
    compile_table,
    time_alternately,
)
from rtbrain.check.compile.inputs import (
    CheckRecording,
    CompileOptions,
    check_options,
    corpus_windows,
    is_corpus,
    open_sources,
    recorded_windows,
    require_encoder,
    synthetic_stand_in,
    was_fitted_on,
)
from rtbrain.check.compile.paired import PairedEncoder, decisive, eager_reference
from rtbrain.decoder import Bundle, Readout, read_bundle
from rtbrain.encoder import (
    ApprovedRuntime,
    EncoderModel,
    EncoderStage,
    OpenVINORuntime,
    RuntimeChoice,
    TorchScriptRuntime,
    approve_runtime,
    compile_openvino,
    compile_population,
    compile_torchscript,
    compiled_folder_of,
    population_positions,
)
from rtbrain.errors import CompiledModelError
from rtbrain.files import strict_json
from rtbrain.learn.corpus.sources import source_name
from rtbrain.live.play import decoder_for
from rtbrain.pipeline import FeaturePipeline
from rtbrain.processes import scratch_folder
from rtbrain.types import Floats, Mask, Quality, Spectrogram

_MAX_COMPARED = 64  # windows: the eager model is slow

Decoder = tuple[FeaturePipeline, Readout]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A bundle to compile, and the recordings to check and calibrate on."""

    options: CompileOptions
    console: Console
    bundle: Bundle
    model: EncoderModel
    checked: list[CheckRecording]
    calibrated: CheckRecording | None

    def uncompiled(self, one: CheckRecording) -> Decoder:
        """Decoder for a recording as it runs without a compiled encoder beside the bundle."""
        choice = RuntimeChoice("torchscript", "fp32", self.options.threads)
        return decoder_for(self.bundle, one.recording, choice)


@dataclass(frozen=True, slots=True, eq=False)
class _Compiled:
    """A compiled encoder, the eager model that it must equal, and the folder that holds it."""

    stage: EncoderStage
    exact: Callable[[Floats, Mask], tuple[Floats, Floats]]
    contract: str
    folder: Path


def compile_bundle(options: CompileOptions, console: Console) -> None:
    """Compile the encoder of a bundle for this machine; install it if it decodes as well.

    Raises
    ------
    RtbrainError
        Options cannot work, a recording cannot be read, or the result decodes worse than tolerated.
        Nothing is written then.
    """
    bundle = read_bundle(options.folder)
    check_options(options)
    model = require_encoder(options, bundle)
    with ExitStack() as stack:
        checked, calibrated = open_sources(options, bundle, stack)
        scratch = stack.enter_context(scratch_folder(".compiled-", options.folder.resolve().parent))
        _run(_Job(options, console, bundle, model, checked, calibrated), scratch)


def _run(job: _Job, scratch: Path) -> None:
    options, console, bundle = job.options, job.console, job.bundle
    compared = job.checked or [job.calibrated or synthetic_stand_in(bundle)]
    before = job.uncompiled(compared[0])
    windows = _calibration_windows(job, before)
    with console.status(f"compiling for {options.runtime} {options.precision}"):
        after = _compile(job, before[0], windows, scratch)
    result = _compare(job, compared, before, after, windows)
    features, readout = _reset(before)
    with console.status("measuring steps of both in turn"):
        times = time_alternately(features, readout, after.stage, bundle.recipe)
    sources = _describe_sources(job, compared, windows)
    outcome = CompileOutcome(options, result, times, sources)
    console.print(compile_table(outcome))
    for note in compile_notes(outcome):
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    _refuse_loss(options, result)
    report = compile_report(outcome, bundle, json.loads(after.contract))
    place = _install(options.folder, options.approval(bundle), after.folder, report)
    console.print(
        f"installed: {place}; rtbrain decode --bundle {options.folder} uses it from now on "
        "(runtime: auto)",
        markup=False,
        soft_wrap=True,
    )


def _compare(
    job: _Job,
    compared: list[CheckRecording],
    before: Decoder,
    after: _Compiled,
    windows: list[Floats],
) -> CheckResult:
    window = job.bundle.recipe.window
    seconds = sum(one.checked_s(window.length_s) for one in compared)
    n_windows = 1 if window.hop_s is None else int(seconds / window.hop_s)
    paired = PairedEncoder(
        before[0].encoder,
        after.stage,
        after.exact,
        window.length_s,
        _MAX_COMPARED,
        every=max(1, n_windows // _MAX_COMPARED),
    )
    if windows and not job.checked and job.calibrated is None:
        for number, data in enumerate(windows):
            good = np.ones(len(data), np.bool_)
            # Stamped as if one window came after the other.
            paired(Spectrogram(data, (1 + number) * window.length_s, Quality(good)))
        compared = []
    recordings = (
        (one, job.uncompiled(one) if number else _reset(before))
        for number, one in enumerate(compared)
    )
    return compare_encoders(job.console, job.bundle, paired, recordings)


def _reset(decoder: Decoder) -> Decoder:
    for stage in decoder:
        stage.reset()
    return decoder


def _calibration_windows(job: _Job, before: Decoder) -> list[Floats]:
    """Windows of the corpus that was named, or for int8 of the recording; else none."""
    options, calibrated = job.options, job.calibrated
    source = options.calibrate_on
    if source is not None and is_corpus(source):
        return corpus_windows(Path(source), job.bundle.recipe, _shape(before[0]), job.checked)
    if options.precision != "int8" or calibrated is None:
        return []
    first = not job.checked or job.checked[0] is calibrated
    decoder = _reset(before) if first else job.uncompiled(calibrated)
    return recorded_windows(job.console, job.bundle, calibrated, decoder)


def _shape(features: FeaturePipeline) -> tuple[int, int, int]:
    spectrogram: Any = features.spectrogram
    return features.signal.montage.n_channels, spectrogram.grid.n_frames, spectrogram.grid.n_freqs


def _compile(
    job: _Job, features: FeaturePipeline, windows: list[Floats], scratch: Path
) -> _Compiled:
    """Compile the encoder into a new folder, and load it."""
    model, options, shape = job.model, job.options, _shape(features)
    positions = None if model.popt is None else population_positions(features.signal.montage)[0]
    runtime: TorchScriptRuntime | OpenVINORuntime
    if options.runtime == "torchscript":
        path = compile_torchscript(model, shape, precision=options.precision)
        runtime = TorchScriptRuntime(path, positions, threads=options.threads)
        folder = scratch / options.approval(job.bundle).folder
        folder.mkdir()
        (folder / "contract.json").write_text(runtime.contract.json() + "\n", encoding="utf-8")
    else:
        folder = compile_openvino(
            model,
            shape,
            precision=options.precision,
            calibration=windows if options.precision == "int8" else None,
            folder=scratch,
        )
        population = compile_population(model, shape)
        runtime = OpenVINORuntime(folder, population, positions, threads=options.threads)
    stage = EncoderStage(runtime, neural_delay_s=features.neural_delay_s)
    exact = eager_reference(model, positions, threads=options.threads)
    return _Compiled(stage, exact, runtime.contract.json(), folder)


def _describe_sources(
    job: _Job, compared: list[CheckRecording], windows: list[Floats]
) -> dict[str, Any]:
    """Where windows came from, for the report: names without folders."""
    options, calibrated = job.options, job.calibrated
    source = source_name(options.calibrate_on or "") if calibrated is None else calibrated.name
    calibration: dict[str, Any] | None = None
    if options.precision == "int8":
        calibration = {"from": source, "windows": len(windows)}
        if calibrated is not None and calibrated.calibrates_until_s:
            calibration["first_s"] = calibrated.calibrates_until_s
            calibration["embargo"] = "one window: the check begins that much later"
    return {
        "compared_on": [one.name for one in compared] if options.validate_on else [source],
        "synthetic_stand_in": not options.validate_on and options.calibrate_on is None,
        "calibration": calibration,
        "fitted_on": [one.name for one in job.checked if was_fitted_on(job.bundle, one.source)],
    }


def _refuse_loss(options: CompileOptions, result: CheckResult) -> None:
    """Refuse an encoder that decodes worse than tolerated."""
    if not result.changes:
        return
    name, change = decisive(result.changes)
    title = {"auc": "AUC", "pearson_r": "r"}[name]
    # NaN if there was only one class: int8 was not checked then.
    if change.fall <= options.tolerance or (
        change.fall != change.fall and options.precision != "int8"
    ):
        return
    scores = f"{change.before:.4f} before, {change.after:.4f} after, on {result.n_labelled} windows"
    raise CompiledModelError(
        f"{options.runtime} {options.precision} is refused: {title} {scores} (95 % of the "
        f"difference {change.span}), expected a drop of at most "
        f"{options.tolerance:g}: nothing was written; keep the precision that you have, or check "
        "on a longer recording"
    )


def _install(bundle: Path, approval: ApprovedRuntime, folder: Path, report: dict[str, Any]) -> Path:
    """Move a compiled encoder with its report beside its bundle, and approve it."""
    (folder / "report.json").write_text(strict_json(report), encoding="utf-8")
    folder.chmod(0o755)
    beside = compiled_folder_of(bundle)
    place = beside / approval.folder
    try:
        beside.mkdir(exist_ok=True)
        if place.exists():
            os.replace(place, folder.with_name("older"))
        os.replace(folder, place)
    except OSError as error:
        raise CompiledModelError(
            f"{place}: cannot be put in place: {error.strerror}: if another rtbrain compile is at "
            "work on this bundle, wait for it; else look at the folder's permissions"
        ) from error
    approve_runtime(beside, approval)
    return place
