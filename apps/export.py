"""`rtbrain export`: a recording as BIDS, FIF or EDF, for the tools of others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.config.flags import NpyRate, XdfStream, names_of
from rtbrain.errors import printable
from rtbrain.recording.export import default_export_path, export_recording
from rtbrain.recording.open import read_recording


class Format(StrEnum):
    """What is written."""

    BIDS = "bids"
    FIF = "fif"
    EDF = "edf"


def command(
    recording: Annotated[
        str, typer.Argument(help="A recording, as for replay; a Brain Treebank or NWB file.")
    ],
    to: Annotated[Format, typer.Option("--to", help="What is written.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File, or folder for bids; else beside it.")
    ] = None,
    stream: XdfStream = None,
    sfreq: NpyRate = None,
    bad: Annotated[
        str | None, typer.Option("--bad", help="Labels to mark as bad, as A1,A2.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="BIDS label, no name: 01 if none is known.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", help="BIDS label.")] = None,
    task: Annotated[str, typer.Option("--task", help="BIDS label.")] = "decoding",
) -> None:
    """Write a recording anew, without names or dates; nothing is written over."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    opened = read_recording(recording, sfreq_hz=sfreq, stream=stream)
    try:
        for note in opened.notes:
            console.print(printable(note))
        written, notes = export_recording(
            opened,
            out or default_export_path(Path(recording), to.value),
            to.value,
            bad=names_of(bad, "--bad") or (),
            subject=subject or opened.subject or "01",
            session=session if session is not None else opened.session,
            task=task,
        )
    finally:
        opened.close()
    for note in notes:
        console.print(printable(note))
    montage = opened.montage
    console.print(
        f"{written}: {montage.n_channels} channels, {montage.sfreq_hz:g} Hz, "
        f"{opened.n_samples / montage.sfreq_hz:.1f} s, {len(opened.events)} events, no names, no "
        "date of the recording"
    )
