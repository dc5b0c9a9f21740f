"""`rtbrain distill`: a streaming encoder from one that sees the whole window, without labels."""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from rtbrain.config import DistillSettings, parse_settings, read_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.training.distill import run_distillation
from rtbrain.learn.training.run import EXIT_STOPPED


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ],
    corpus: Annotated[Path, typer.Option("--corpus", help="Of running spectrograms, a folder.")],
    out: Annotated[
        Path, typer.Option("--out", help="New folder for the streaming encoder and its report.")
    ],
    teacher: Annotated[
        str, typer.Option("--teacher", help="BrainBERT that guides: compact, or a folder.")
    ] = "compact",
    steps: Annotated[int | None, typer.Option("--steps", help="Of the optimiser.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of everything that is random.")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Subjects to validate on: s01,s02.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of torch, on the CPU.")
    ] = None,
) -> None:
    """Teach a causal encoder what a bidirectional one sees; with torchrun, by several processes.

    Ctrl-C or SIGTERM leaves a checkpoint, and exit code 143; --resume goes on from it.
    """
    values, where = read_settings(config)
    flags: dict[str, Any] = {
        "steps": steps,
        "seed": seed,
        "held_out": None if held_out is None else [s.strip() for s in held_out.split(",")],
    }
    values |= {key: value for key, value in flags.items() if value is not None}
    settings = parse_settings(values, DistillSettings, where=where)
    if threads is not None:
        torch.set_num_threads(threads)

    try:
        finished = run_distillation(settings, corpus, teacher, out, resume=resume)
    except OSError as error:
        raise SettingsError(
            f"--out {out}: {error.strerror or error}: make room, and go on with --resume"
        ) from error
    if not finished:
        raise typer.Exit(EXIT_STOPPED)
