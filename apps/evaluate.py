"""`rtbrain evaluate`: a held-out recording through the live pipeline at full speed, and scored."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.config.flags import Exclude, Kinds, RecordingRate, RecordingStream, Trigger, names_of
from rtbrain.files import require_new_file, strict_json, write_atomically
from rtbrain.learn.evaluate import evaluate
from rtbrain.learn.report.score_table import report_tables
from rtbrain.recording.playing import print_note
from rtbrain.terminal import show_progress, table


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    recording: Annotated[str, typer.Argument(help="A recording that it was not fitted on.")],
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    trigger: Trigger = None,
    stream: RecordingStream = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
    sfreq: RecordingRate = None,
    exclude: Exclude = None,
    kinds: Kinds = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", help="Detect by few_misses, balanced or few_alarms of the bundle."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0, max=1, help="Or from this probability on, each class but one."
        ),
    ] = None,
    refractory: Annotated[
        float | None,
        typer.Option("--refractory", min=0, help="Time after an event when none counts, s."),
    ] = None,
    decodes: Annotated[
        str | None,
        typer.Option("--decodes", help="Score this decode stream of the .xdf file too, as it was."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="New JSON file for the figures.")
    ] = None,
) -> None:
    """Replay a recording through the live decoder, as fast as it goes, and score its decodes."""
    if report is not None:
        require_new_file(report, "--report")
    console = Console()
    with show_progress(console) as on_progress:
        scores = evaluate(
            bundle,
            recording,
            classes=names_of(classes, "--classes"),
            trigger=trigger,
            threshold=threshold,
            refractory_s=refractory,
            preset=preset,
            decodes=decodes,
            sfreq_hz=sfreq,
            stream=stream,
            scale=scale,
            exclude=names_of(exclude, "--exclude"),
            kinds=names_of(kinds, "--kinds"),
            on_progress=on_progress,
            on_note=print_note,
        )
    console.print(scores)
    for one in report_tables(scores.report["decoder"]):
        console.print(table(*one, n_names=len(one.headings), lines=True))
    if report is not None:
        write_atomically(report, strict_json(scores.report))
