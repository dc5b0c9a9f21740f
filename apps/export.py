"""`rtbrain export`: a recording as BIDS, FIF, EDF or XDF, for the tools of others."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.config.flags import Kinds, RecordingRate, RecordingStream, Space, names_of
from rtbrain.errors import printable
from rtbrain.recording.export.bids import labels_of
from rtbrain.recording.export.run import default_export_path, export_recording
from rtbrain.recording.open import amplitude_note, read


class Format(StrEnum):
    """What is written."""

    BIDS = "bids"
    FIF = "fif"
    EDF = "edf"
    XDF = "xdf"


Label = Annotated[str | None, typer.Option(help="BIDS label; else as the recording names it.")]


def command(
    recording: Annotated[
        str, typer.Argument(help="A recording, as for replay; a Brain Treebank or NWB file.")
    ],
    to: Annotated[Format, typer.Option("--to", help="What is written.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File, or folder for bids; else in this folder.")
    ] = None,
    stream: RecordingStream = None,
    sfreq: RecordingRate = None,
    scale: Annotated[
        float, typer.Option("--scale", help="Factor for files that state a wrong unit.")
    ] = 1.0,
    space: Space = None,
    bad: Annotated[
        str | None, typer.Option("--bad", help="Labels to mark as bad, as A1,A2.")
    ] = None,
    kinds: Kinds = None,
    ascii_labels: Annotated[
        bool, typer.Option("--ascii-labels", help="Change labels that EDF cannot hold.")
    ] = False,
    anonymize_events: Annotated[
        bool, typer.Option("--anonymize-events", help="Replace the texts of events by numbers.")
    ] = False,
    mains: Annotated[
        float | None, typer.Option("--mains", help="For bids: mains, Hz; default: as measured.")
    ] = None,
    subject: Label = None,
    session: Label = None,
    task: Label = None,
    run: Label = None,
) -> None:
    """Convert a recording, without names or dates; nothing is overwritten."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    opened = read(recording, sfreq_hz=sfreq, stream=stream, scale=scale)
    try:
        for note in (*opened.notes, *filter(None, [amplitude_note(opened)])):
            console.print(printable(note))
        written, notes = export_recording(
            opened,
            out or default_export_path(Path(recording), to.value),
            to.value,
            bad=names_of(bad, "--bad") or (),
            labels=labels_of(opened, subject=subject, session=session, task=task, run=run),
            mains_hz=mains,
            space=space,
            kinds=names_of(kinds, "--kinds") or (),
            ascii_labels=ascii_labels,
            anonymize_events=anonymize_events,
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
