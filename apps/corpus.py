"""`rtbrain corpus`: recordings to windows on disk, and what they hold."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from rtbrain.config import CorpusSettings, parse_settings, read_settings
from rtbrain.config.flags import Config, Threads, override
from rtbrain.files import require_writable_file
from rtbrain.learn.corpus.build import make_corpus
from rtbrain.learn.corpus.corpus import CorpusDtype, open_corpus, read_manifest
from rtbrain.learn.corpus.embed import embed_to_corpus
from rtbrain.learn.corpus.report import (
    draw_corpus,
    explain_write_errors,
    print_corpus,
    verify_corpus,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Windows of many recordings on disk, to train encoders on.",
)


@app.command("inspect")
def inspect(
    corpus: Annotated[Path, typer.Argument(help="Corpus, a folder.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Also read every file and compare its hash.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw a few items into this PNG.")
    ] = None,
) -> None:
    """Show what a corpus holds and what was left out, with the reasons."""
    if picture is not None:
        require_writable_file(picture, "--picture")
    manifest = read_manifest(corpus)
    console = Console()
    print_corpus(console, corpus, manifest)
    if verify:
        verify_corpus(console, corpus, manifest)
    if picture is not None:
        draw_corpus(picture, open_corpus(corpus))
        console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


@app.command("build")
def build(
    config: Config,
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of --config, as key=value; repeatable."),
    ] = None,
) -> None:
    """Build a corpus by the stages that run live; run again after a stop, it continues."""
    values, where = read_settings(config, CorpusSettings)
    settings = parse_settings(override(values, overrides or ()), CorpusSettings, where=where)
    with explain_write_errors(out):
        make_corpus(settings, out, Console())


@app.command("embed")
def embed(
    corpus: Annotated[Path, typer.Argument(help="Corpus of spectrograms or patches.")],
    encoder: Annotated[Path, typer.Argument(help="Channel encoder, a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus of embeddings.")],
    dtype: Annotated[
        CorpusDtype, typer.Option("--dtype", help="Type of the numbers on disk.")
    ] = "float16",
    n_pooled: Annotated[
        int | None,
        typer.Option("--n-pooled", min=1, help="Frames to average; by default as in the recipe."),
    ] = None,
    threads: Threads = None,
) -> None:
    """Embed every window of a corpus by a frozen encoder; run again after a stop, it continues."""
    if threads is not None:
        torch.set_num_threads(threads)
    with explain_write_errors(out):
        embed_to_corpus(corpus, encoder, out, dtype, n_pooled, Console())
