"""`rtbrain evaluate`: a held-out recording through the live pipeline at full speed, and scored."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.decoder import read_bundle, strict_json
from rtbrain.files import require_writable_file, write_atomically
from rtbrain.learn.evaluate.play import control_bundles, label_settings, score_recording
from rtbrain.learn.evaluate.report import evaluation_table, score_recorded_decodes
from rtbrain.learn.fit.inputs import open_recordings, resolve_tasks


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    recording: Annotated[str, typer.Argument(help="A recording that it was not fitted on.")],
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Stream to take from an .xdf file.")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
    sfreq: Annotated[
        float | None, typer.Option("--sfreq", help="Rate of an .npy file or a synthetic patient.")
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", min=0, max=1, help="Probability above which a class is an event."
        ),
    ] = 0.5,
    decodes: Annotated[
        str | None,
        typer.Option("--decodes", help="Score this decode stream of the .xdf file too, as it was."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the figures go, a JSON file.")
    ] = None,
) -> None:
    """Replay a recording through the live decoder, as fast as it goes, and score its decodes."""
    if report is not None:
        require_writable_file(report, "--report")
    console = Console()
    found = read_bundle(bundle)
    labels = label_settings(found, classes)
    with open_recordings(
        (recording,), stream=stream, sfreq_hz=sfreq, scale=scale
    ) as found_recordings:
        (read,), labels = resolve_tasks(labels, (recording,), found_recordings)
        figures = {"decoder": score_recording(console, found, read, labels, scale, threshold)}
        for control in control_bundles(bundle):
            figures[control.name] = score_recording(
                console, read_bundle(control), read, labels, scale, threshold
            )
    if decodes is not None:
        figures["as decoded live"] = score_recorded_decodes(
            recording, decodes, found, labels, threshold
        )
    console.print(evaluation_table(figures))
    if report is not None:
        text = strict_json({"bundle": found.id, **figures})
        write_atomically(report, text)
