"""What `rtbrain compile` does: makes, checks, and puts in place what is good enough."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .compile_check import Checked, Checker, Turns, in_turns
from .compile_place import made_runtime, put_in_place
from .compile_report import Outcome, figures_of, notes_of, table_of
from .compile_sources import (
    Given,
    corpus_windows,
    fitted_on,
    is_corpus,
    recorded_windows,
    standing_in,
)
from .corpus_inputs import name_of
from .evaluate import decoder_of

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.decoder import Bundle, Readout
    from rtbrain.encoder import Admitted, EncoderModel, EncoderStage
    from rtbrain.pipeline import Encoding
    from rtbrain.types import Floats

    Decoder = tuple[Encoding, Readout]

RuntimeName = Literal["torchscript", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for.

    Attributes
    ----------
    folder : Path
        The bundle.
    runtime, precision : str
        Of the compiled encoder.
    on : tuple of str
        Recordings to check on.
    calibrate_on : str or None
        Corpus or recording.
    tolerance : float
        Largest fall of AUC.
    threads : int
        Of a call.
    classes, stream, scale
        As `rtbrain evaluate` has them.
    """

    folder: Path
    runtime: RuntimeName
    precision: Precision
    on: tuple[str, ...]
    calibrate_on: str | None
    tolerance: float
    threads: int
    classes: str | None
    stream: str | None
    scale: float

    def way(self, bundle: "Bundle") -> "Admitted":
        """What is noted beside the bundle if it is good enough."""
        from rtbrain.encoder import Admitted

        return Admitted(self.runtime, self.precision, bundle.id)


def compile_and_check(
    console: "Console",
    asked: Asked,
    bundle: "Bundle",
    model: "EncoderModel",
    checked: list[Given],
    calibrated: Given | None,
) -> None:
    """Compile, compare and time an encoder, and put it beside its bundle if it is admitted.

    Parameters
    ----------
    console : Console
        Shows how it goes on, and the report.
    asked : Asked
        What is wanted.
    bundle : Bundle
        The decoder.
    model : EncoderModel
        Its encoder.
    checked : list of Given
        What to check on.
    calibrated : Given or None
        The recording to calibrate on, where it is one.

    Raises
    ------
    ArtefactError
        It cannot be compiled, or decodes worse than is tolerated: nothing is written then.
    """
    import tempfile

    from rtbrain.bundling import recipe_of_bundle

    way = asked.way(bundle)
    compared = checked or [calibrated or standing_in(bundle)]
    plain = _plain(asked, bundle, compared[0])
    windows = _calibration(console, asked, bundle, plain, checked, calibrated)
    with tempfile.TemporaryDirectory(dir=asked.folder.parent, prefix=".compiled-") as scratch:
        with console.status(f"compiling for {asked.runtime} {asked.precision}"):
            after, exact, contract, folder = _made(
                asked, way, model, plain[0], windows, Path(scratch)
            )
        length_s = recipe_of_bundle(bundle).window.length_s
        checker = Checker(
            console,
            bundle,
            plain[0].encoder,
            after,
            exact,
            duration_s=sum(one.checked_s(length_s) for one in compared),
            scale=asked.scale,
        )
        if windows and not checked and calibrated is None:
            checker.compare(windows)
        else:
            for number, one in enumerate(compared):
                checker.play(one, _plain(asked, bundle, one) if number else _as_new(plain))
        outcome = Outcome(
            way,
            asked.threads,
            asked.tolerance,
            checker.found(),
            _timed(console, bundle, plain, after),
            _told_sources(asked, compared, calibrated, windows)
            | {"fitted_on": [one.name for one in checked if fitted_on(bundle, one.source)]},
        )
        _tell(console, outcome)
        _refuse_loss(asked, outcome.found)
        report = figures_of(outcome, bundle, json.loads(contract))
        place = put_in_place(asked.folder, way, folder, report)
    console.print(
        f"admitted: {place}: rtbrain decode --bundle {asked.folder} uses it from now on "
        "(runtime: auto)",
        markup=False,
        soft_wrap=True,
    )


def _timed(console: "Console", bundle: "Bundle", plain: "Decoder", after: "EncoderStage") -> Turns:
    from rtbrain.bundling import recipe_of_bundle

    encoding, readout = _as_new(plain)
    with console.status("measuring steps in turns"):
        return in_turns(encoding, readout, after, recipe_of_bundle(bundle))


def _tell(console: "Console", outcome: Outcome) -> None:
    console.print(table_of(outcome))
    for note in notes_of(outcome):
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def _plain(asked: Asked, bundle: "Bundle", one: Given) -> "Decoder":
    """Decoder of the bundle as it runs where nothing was compiled for it."""
    return decoder_of(
        bundle, one.recording, runtime="torchscript", precision="fp32", threads=asked.threads
    )


def _as_new(decoder: "Decoder") -> "Decoder":
    encoding, readout = decoder
    encoding.reset()
    readout.reset()
    return decoder


def _calibration(
    console: "Console",
    asked: Asked,
    bundle: "Bundle",
    plain: "Decoder",
    checked: list[Given],
    calibrated: Given | None,
) -> "list[Floats]":
    """Windows of the corpus that was named, or for int8 of the recording; else none."""
    from rtbrain.bundling import recipe_of_bundle

    source = asked.calibrate_on
    if source is not None and is_corpus(source):
        shape = _shape(plain[0])
        return corpus_windows(Path(source), recipe_of_bundle(bundle), shape, checked)
    if asked.precision != "int8" or calibrated is None:
        return []
    first = not checked or checked[0] is calibrated
    decoder = _as_new(plain) if first else _plain(asked, bundle, calibrated)
    return recorded_windows(console, bundle, calibrated, decoder, asked.scale)


def _shape(encoding: "Encoding") -> tuple[int, int, int]:
    spectrogram: Any = encoding.spectrogram
    return encoding.signal.montage.n_channels, spectrogram.n_frames, spectrogram.n_freqs


def _made(
    asked: Asked,
    way: "Admitted",
    model: "EncoderModel",
    encoding: "Encoding",
    windows: "list[Floats]",
    scratch: Path,
) -> "tuple[EncoderStage, Callable[..., Any], str, Path]":
    """The compiled encoder, the eager model, the contract, and the folder that was written."""
    from rtbrain.encoder import EncoderStage, lip_positions
    from rtbrain.offline.twin import exact_of

    positions = None if model.popt is None else lip_positions(encoding.signal.montage)
    shape, threads = _shape(encoding), asked.threads
    runtime, folder = made_runtime(way, model, shape, positions, windows, scratch, threads=threads)
    stage = EncoderStage(runtime, neural_delay_s=encoding.neural_delay_s)
    return stage, exact_of(model, positions, threads=threads), runtime.contract.json(), folder


def _told_sources(
    asked: Asked, compared: Sequence[Given], calibrated: Given | None, windows: "Sequence[Floats]"
) -> dict[str, Any]:
    """Where windows came from, for the report: names alone, no folders."""
    source = name_of(asked.calibrate_on or "") if calibrated is None else calibrated.name
    told: dict[str, Any] = {
        "compared_on": [one.name for one in compared] if asked.on else [source],
        "standing_in": not asked.on and asked.calibrate_on is None,
        "calibration": None,
    }
    if asked.precision != "int8":
        return told
    told["calibration"] = {"from": source, "windows": len(windows)}
    if calibrated is not None and calibrated.calibrates_until_s:
        told["calibration"] |= {
            "first_s": calibrated.calibrates_until_s,
            "embargo": "one window: what is checked on begins that much later",
        }
    return told


def _refuse_loss(asked: Asked, found: Checked) -> None:
    """Refuse what decodes worse than is tolerated."""
    from rtbrain.errors import ArtefactError
    from rtbrain.offline.compiling import decisive

    if not found.changes:
        return
    name, change = decisive(found.changes)
    title = {"auc": "AUC", "pearson_r": "r"}[name]
    # NaN where only one class occurred: int8 was not checked then.
    if change.fall <= asked.tolerance or (change.fall != change.fall and asked.precision != "int8"):
        return
    told = f"{change.before:.4f} before, {change.after:.4f} after, on {found.n_labelled} windows"
    raise ArtefactError(
        f"{asked.runtime} {asked.precision} is not admitted: {title} {told} (95 % of the "
        f"difference {change.low:+.4f} to {change.high:+.4f}), expected a fall of at most "
        f"{asked.tolerance:g}: "
        "nothing was written; keep the precision that you have, or check on a longer recording"
    )
