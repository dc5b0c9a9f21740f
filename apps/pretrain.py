"""`rtbrain pretrain`: an encoder from a corpus, without labels."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from rtbrain.config import PretrainSettings, parse_settings, read_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.training.cost import print_cost
from rtbrain.learn.training.pretrain import run_pretraining
from rtbrain.learn.training.run import EXIT_STOPPED


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ],
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder of rtbrain corpus build or embed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the encoder and its report.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Of the optimiser.")] = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Subjects to validate on: s01,s02.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it will cost, and train nothing.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of torch, on the CPU.")
    ] = None,
) -> None:
    """Pretrain an encoder; with torchrun, by several processes that share each batch.

    Ctrl-C or SIGTERM leaves a checkpoint, and exit code 143; --resume goes on from it.
    """
    values, where = read_settings(config)
    flags: dict[str, Any] = {
        "steps": steps,
        "held_out": None if held_out is None else [s.strip() for s in held_out.split(",")],
    }
    values |= {key: value for key, value in flags.items() if value is not None}
    settings = parse_settings(values, PretrainSettings, where=where)
    if threads is not None:
        torch.set_num_threads(threads)
    if dry_run:
        print_cost(settings, corpus)
        return
    if corpus is None:
        raise SettingsError("no corpus to learn from: give --corpus FOLDER")
    if out is None:
        raise SettingsError("no folder to write: give --out FOLDER")

    try:
        finished = run_pretraining(settings, corpus, out, resume=resume)
    except OSError as error:
        raise SettingsError(
            f"--out {out}: {error.strerror or error}: make room, and go on with --resume"
        ) from error
    if not finished:
        raise typer.Exit(EXIT_STOPPED)
