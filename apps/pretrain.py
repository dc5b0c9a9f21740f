"""`rtbrain pretrain`: an encoder from a corpus, without labels."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config import PretrainSettings
from rtbrain.config.flags import Config, Threads, flag, names_of
from rtbrain.errors import SettingsError
from rtbrain.learn.training.cost import print_cost
from rtbrain.learn.training.pretrain import run_pretraining
from rtbrain.learn.training.run import read_training_settings, run_until_signal


def command(
    config: Config,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder of rtbrain corpus build or embed.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the encoder and its report.")
    ] = None,
    steps: Annotated[int | None, flag(PretrainSettings, "steps", "--steps")] = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Subjects to validate on: s01,s02.")
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, as optimiser.lr=0.001; repeatable."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint in --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cost, and train nothing.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Pretrain an encoder; with torchrun, by several processes that share each batch.

    Ctrl-C or SIGTERM leaves a checkpoint, and exit code 143; --resume continues from it.
    """
    flags = {"steps": steps, "held_out": names_of(held_out, "--held-out")}
    settings = read_training_settings(config, PretrainSettings, flags, pairs, threads)
    if dry_run:
        print_cost(settings, corpus)
        return
    if corpus is None:
        raise SettingsError("no corpus to learn from: give --corpus FOLDER")
    if out is None:
        raise SettingsError("no folder to write: give --out FOLDER")
    run_until_signal(
        out, lambda stop: run_pretraining(settings, corpus, out, resume=resume, stop=stop)
    )
