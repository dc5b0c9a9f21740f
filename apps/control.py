"""`rtbrain control`: a command to a decoder, or another program of rtbrain, that runs here."""

import shlex
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.live.control import describe_status, send_command


def command(
    name: Annotated[str, typer.Argument(help="Name of the program, as decode --name.")],
    words: Annotated[
        list[str],
        typer.Argument(
            help="To a decoder: arm, disarm, stop, status, detections on, detections off, "
            "threshold UP [DOWN] [LABEL], threshold PRESET."
        ),
    ],
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for one that is not there yet.")
    ] = 0.0,
) -> None:
    """Send a command to a program that runs on this machine as this user."""
    for line in describe_status(send_command(name, shlex.join(words), "program", wait)):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
