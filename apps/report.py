"""`rtbrain report`: what happened in a recorded run, as one page for people."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config.flags import RecordingStream
from rtbrain.learn.session.page import report_files, write_report
from rtbrain.learn.session.report import session_report


def command(
    recording: Annotated[Path, typer.Argument(help="A recorded run, RUN.xdf.")],
    out: Annotated[Path, typer.Option("--out", help="Page to write, HTML; JSON goes beside it.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The decoder: scores what had cues.")
    ] = None,
    stream: RecordingStream = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the decoder, if the file has several.")
    ] = None,
) -> None:
    """Report what happened in a recorded run: losses, contacts, decodes, detections, scores."""
    report_files(out, recording)  # before the work
    report = session_report(recording, bundle=bundle, stream=stream, name=name)
    beside = write_report(report, out, recording)
    typer.echo("\n".join(report.words))
    typer.echo(f"{out} and {beside.name} were written.")
