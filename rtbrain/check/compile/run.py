"""`rtbrain compile`: compile an encoder, check the decoder on it, install what passes."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from rtbrain.check.compile.check import (
    AlternatedTimes,
    CheckResult,
    CompiledCheck,
    time_alternately,
)
from rtbrain.check.compile.options import CompileOptions, check_options, require_encoder
from rtbrain.check.compile.paired import decisive, eager_reference
from rtbrain.check.compile.report import (
    CompileOutcome,
    compile_notes,
    compile_report,
    compile_table,
)
from rtbrain.check.compile.sources import (
    CheckRecording,
    corpus_windows,
    is_corpus,
    open_sources,
    recorded_windows,
    synthetic_stand_in,
    was_fitted_on,
)
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
    lip_positions,
)
from rtbrain.errors import CompiledModelError
from rtbrain.files import strict_json
from rtbrain.learn.corpus.sources import source_name
from rtbrain.learn.fit.play import decoder_for
from rtbrain.pipeline import FeaturePipeline
from rtbrain.types import Floats, Ints

Decoder = tuple[FeaturePipeline, Readout]


def compile_bundle(options: CompileOptions, console: Console) -> None:
    """Compile the encoder of a bundle for this machine.

    Raises
    ------
    RtbrainError
        Options cannot work, a recording cannot be read, or the result decodes worse than tolerated.
    """
    bundle = read_bundle(options.folder)
    check_options(options)
    model = require_encoder(options, bundle)
    with ExitStack() as stack:
        checked, calibrated = open_sources(options, bundle, stack)
        _compile_and_check(console, options, bundle, model, checked, calibrated)


def _compile_and_check(
    console: Console,
    options: CompileOptions,
    bundle: Bundle,
    model: EncoderModel,
    checked: list[CheckRecording],
    calibrated: CheckRecording | None,
) -> None:
    """Compile, compare and time an encoder; install it beside its bundle if it passes.

    Nothing is written where it cannot be compiled, or where decodes are worse than tolerated.
    """
    way = options.way(bundle)
    compared = checked or [calibrated or synthetic_stand_in(bundle)]
    plain = _plain(options, bundle, compared[0])
    windows = _calibration(console, options, bundle, plain, checked, calibrated)
    with tempfile.TemporaryDirectory(dir=options.folder.parent, prefix=".compiled-") as scratch:
        with console.status(f"compiling for {options.runtime} {options.precision}"):
            after, exact, contract, folder = _made(
                options, way, model, plain[0], windows, Path(scratch)
            )
        length_s = bundle.recipe.window.length_s
        checker = CompiledCheck(
            console,
            bundle,
            plain[0].encoder,
            after,
            exact,
            duration_s=sum(one.checked_s(length_s) for one in compared),
        )
        if windows and not checked and calibrated is None:
            checker.compare(windows)
        else:
            for number, one in enumerate(compared):
                checker.play(one, _plain(options, bundle, one) if number else _as_new(plain))
        outcome = CompileOutcome(
            way,
            options.threads,
            options.tolerance,
            checker.found(),
            _timed(console, bundle, plain, after),
            _describe_sources(options, compared, calibrated, windows)
            | {"fitted_on": [one.name for one in checked if was_fitted_on(bundle, one.source)]},
        )
        console.print(compile_table(outcome))
        for note in compile_notes(outcome):
            console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
        _refuse_loss(options, outcome.found)
        report = compile_report(outcome, bundle, json.loads(contract))
        place = install_compiled(options.folder, way, folder, report)
    console.print(
        f"installed: {place}; rtbrain decode --bundle {options.folder} uses it from now on "
        "(runtime: auto)",
        markup=False,
        soft_wrap=True,
    )


def _timed(
    console: Console, bundle: Bundle, plain: Decoder, after: EncoderStage
) -> AlternatedTimes:
    features, readout = _as_new(plain)
    with console.status("measuring steps in turns"):
        return time_alternately(features, readout, after, bundle.recipe)


def _plain(options: CompileOptions, bundle: Bundle, one: CheckRecording) -> Decoder:
    """Decoder of the bundle as it runs where nothing was compiled for it."""
    return decoder_for(bundle, one.recording, RuntimeChoice("torchscript", "fp32", options.threads))


def _as_new(decoder: Decoder) -> Decoder:
    features, readout = decoder
    features.reset()
    readout.reset()
    return decoder


def _calibration(
    console: Console,
    options: CompileOptions,
    bundle: Bundle,
    plain: Decoder,
    checked: list[CheckRecording],
    calibrated: CheckRecording | None,
) -> list[Floats]:
    """Windows of the corpus that was named, or for int8 of the recording; else none."""
    source = options.calibrate_on
    if source is not None and is_corpus(source):
        shape = _shape(plain[0])
        return corpus_windows(Path(source), bundle.recipe, shape, checked)
    if options.precision != "int8" or calibrated is None:
        return []
    first = not checked or checked[0] is calibrated
    decoder = _as_new(plain) if first else _plain(options, bundle, calibrated)
    return recorded_windows(console, bundle, calibrated, decoder)


def _shape(features: FeaturePipeline) -> tuple[int, int, int]:
    spectrogram: Any = features.spectrogram
    return features.signal.montage.n_channels, spectrogram.grid.n_frames, spectrogram.grid.n_freqs


def _made(
    options: CompileOptions,
    way: ApprovedRuntime,
    model: EncoderModel,
    features: FeaturePipeline,
    windows: list[Floats],
    scratch: Path,
) -> tuple[EncoderStage, Callable[..., Any], str, Path]:
    """The compiled encoder, the eager model, the contract, and the folder that was written."""
    positions = None if model.popt is None else lip_positions(features.signal.montage)
    shape, threads = _shape(features), options.threads
    runtime, folder = make_runtime(way, model, shape, positions, windows, scratch, threads=threads)
    stage = EncoderStage(runtime, neural_delay_s=features.neural_delay_s)
    return (
        stage,
        eager_reference(model, positions, threads=threads),
        runtime.contract.json(),
        folder,
    )


def _describe_sources(
    options: CompileOptions,
    compared: Sequence[CheckRecording],
    calibrated: CheckRecording | None,
    windows: Sequence[Floats],
) -> dict[str, Any]:
    """Where windows came from, for the report: names alone, no folders."""
    source = source_name(options.calibrate_on or "") if calibrated is None else calibrated.name
    described: dict[str, Any] = {
        "compared_on": [one.name for one in compared] if options.on else [source],
        "synthetic_stand_in": not options.on and options.calibrate_on is None,
        "calibration": None,
    }
    if options.precision != "int8":
        return described
    described["calibration"] = {"from": source, "windows": len(windows)}
    if calibrated is not None and calibrated.calibrates_until_s:
        described["calibration"] |= {
            "first_s": calibrated.calibrates_until_s,
            "embargo": "one window: what is checked on begins that much later",
        }
    return described


def _refuse_loss(options: CompileOptions, found: CheckResult) -> None:
    """Refuse what decodes worse than is tolerated."""
    if not found.changes:
        return
    name, change = decisive(found.changes)
    title = {"auc": "AUC", "pearson_r": "r"}[name]
    # NaN where only one class occurred: int8 was not checked then.
    if change.fall <= options.tolerance or (
        change.fall != change.fall and options.precision != "int8"
    ):
        return
    scores = f"{change.before:.4f} before, {change.after:.4f} after, on {found.n_labelled} windows"
    raise CompiledModelError(
        f"{options.runtime} {options.precision} is refused: {title} {scores} (95 % of the "
        f"difference {change.low:+.4f} to {change.high:+.4f}), expected a drop of at most "
        f"{options.tolerance:g}: nothing was written; keep the precision that you have, or check "
        "on a longer recording"
    )


def make_runtime(
    way: ApprovedRuntime,
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: Ints | None,
    windows: Sequence[Floats],
    scratch: Path,
    *,
    threads: int,
) -> tuple[TorchScriptRuntime | OpenVINORuntime, Path]:
    """Compile an encoder, and load it."""
    if way.runtime == "torchscript":
        path = compile_torchscript(model, *shape, precision=way.precision)
        runtime = TorchScriptRuntime(path, positions, threads=threads)
        folder = scratch / way.folder
        folder.mkdir()
        (folder / "contract.json").write_text(runtime.contract.json() + "\n", encoding="utf-8")
        return runtime, folder
    calibration = windows if way.precision == "int8" else None
    folder = compile_openvino(
        model, *shape, precision=way.precision, calibration=calibration, folder=scratch
    )
    population = compile_population(model, *shape)
    return OpenVINORuntime(folder, population, positions, threads=threads), folder


def install_compiled(
    bundle: Path, way: ApprovedRuntime, folder: Path, report: dict[str, Any]
) -> Path:
    """Put a compiled encoder beside its bundle with its report, and note that it is admitted."""
    (folder / "report.json").write_text(strict_json(report), encoding="utf-8")
    folder.chmod(0o755)
    beside = compiled_folder_of(bundle)
    place = beside / way.folder
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
    approve_runtime(beside, way)
    return place
