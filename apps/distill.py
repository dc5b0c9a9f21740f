"""`rtbrain distill`: a streaming encoder from one that sees the whole window, without labels."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config import DistillSettings
from rtbrain.config.flags import Config, Threads, flag, names_of
from rtbrain.learn.training.distill import run_distillation
from rtbrain.learn.training.run import read_training_settings, run_until_signal


def command(
    config: Config,
    corpus: Annotated[Path, typer.Option("--corpus", help="Of running spectrograms, a folder.")],
    out: Annotated[
        Path, typer.Option("--out", help="New folder for the streaming encoder and its report.")
    ],
    teacher: Annotated[
        str, typer.Option("--teacher", help="BrainBERT to learn from: compact, or a folder.")
    ] = "compact",
    steps: Annotated[int | None, flag(DistillSettings, "steps", "--steps")] = None,
    seed: Annotated[int | None, flag(DistillSettings, "seed", "--seed")] = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Subjects to validate on: s01,s02.")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as match.delay_s=0.2; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint in --out.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Teach a causal encoder what a bidirectional one sees; with torchrun, by several processes.

    Ctrl-C or SIGTERM leaves a checkpoint, and exit code 143; --resume continues from it.
    """
    flags = {"steps": steps, "seed": seed, "held_out": names_of(held_out, "--held-out")}
    settings = read_training_settings(config, DistillSettings, flags, pairs, threads)
    run_until_signal(
        out, lambda stop: run_distillation(settings, corpus, teacher, out, resume=resume, stop=stop)
    )
