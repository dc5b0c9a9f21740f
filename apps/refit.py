"""`rtbrain refit`: a new session added to a decoder, or the old one kept."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rtbrain.config.flags import Exclude, RecordingRate, RecordingStream, Trigger, names_of
from rtbrain.files import require_new_folder
from rtbrain.learn.intervals import MARGIN
from rtbrain.learn.refit.run import HALF_LIFE, refit
from rtbrain.recording.playing import print_note
from rtbrain.terminal import show_progress


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    recordings: Annotated[
        list[str], typer.Argument(help="The new session: one or more recordings, with markers.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New folder for the decoder bundle.")],
    old: Annotated[
        list[str] | None,
        typer.Option("--with", help="What it was fitted on, if the bundle lacks it; repeatable."),
    ] = None,
    half_life: Annotated[
        float, typer.Option("--half-life", help="Sessions until an old one counts for half.")
    ] = HALF_LIFE,
    margin: Annotated[
        float, typer.Option("--margin", help="Balanced accuracy (R²) that may be lost.")
    ] = MARGIN,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    trigger: Trigger = None,
    exclude: Exclude = None,
    stream: RecordingStream = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
    sfreq: RecordingRate = None,
) -> None:
    """Fit a decoder again with a new session, and compare both on held-out time."""
    require_new_folder(out, "--out")
    console = Console()
    with show_progress(console) as on_progress:
        decoder = refit(
            bundle,
            recordings,
            old=old or (),
            half_life=half_life,
            margin=margin,
            classes=names_of(classes, "--classes"),
            trigger=trigger,
            exclude=names_of(exclude, "--exclude"),
            sfreq_hz=sfreq,
            stream=stream,
            scale=scale,
            on_progress=on_progress,
            on_note=print_note,
        )
    decoder.save(out)
    console.print(Text(f"{out.name}: {decoder.report['refit']['text']}"), soft_wrap=True)
