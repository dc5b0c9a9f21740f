"""`rtbrain import-checkpoint`: a released checkpoint becomes safetensors, and is never run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.encoder import import_checkpoint, load_encoder


class Kind(StrEnum):
    """Which model the checkpoint holds."""

    BRAINBERT = "brainbert"
    POPT = "popt"


def command(
    kind: Annotated[Kind, typer.Argument(help="What the checkpoint holds.")],
    file: Annotated[Path, typer.Argument(help="The released .pth.")],
    out: Annotated[Path, typer.Argument(help="Folder to make; absent or empty.")],
) -> None:
    """Convert a released BrainBERT or PopT checkpoint; code inside it is refused, not run."""
    sha256 = import_checkpoint(kind.value, file, out)
    module = load_encoder(out)
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{kind.value}, {n_parameters / 1e6:.2f} M parameters, in {out}")
    console.print(f"SHA-256 of {file.name}: {sha256}")
    console.print(str(module.sizes))
