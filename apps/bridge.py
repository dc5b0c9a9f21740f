"""`rtbrain bridge`: a FieldTrip buffer or an mne-realtime client as an LSL stream with markers."""

from typing import Annotated

import typer

from rtbrain.config import StreamSettings
from rtbrain.config.flags import flag, names_of
from rtbrain.live.bridge import bridge_on_screen


def command(
    kind: Annotated[str, typer.Argument(help="fieldtrip or mne-client.")],
    address: Annotated[
        str, typer.Argument(help="HOST:PORT of a FieldTrip buffer, or the source id of a client.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="Sent as NAME, and its events as NAME-markers.")
    ] = "rtbrain-bridge",
    unit: Annotated[str, flag(StreamSettings, "unit", "--unit")] = "microvolts",
    names: Annotated[
        str | None,
        typer.Option("--names", help="Labels, as A1,A2,A3, where the buffer has none."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="How long to look for it at the start, s.")
    ] = 10.0,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after this many seconds.")
    ] = None,
) -> None:
    """Send a FieldTrip buffer on as an LSL stream, for record, view, fit and any LSL program."""
    bridge_on_screen(
        kind,
        address,
        name,
        unit=unit,
        names=names_of(names, "--names"),
        timeout_s=timeout,
        duration_s=duration,
    )
