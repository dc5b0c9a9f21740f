"""`rtbrain corpus`: recordings to windows on disk, and a look at them."""

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from rtbrain.config import CorpusSettings, load_settings
from rtbrain.errors import RecordingError
from rtbrain.files import require_writable_file
from rtbrain.learn.corpus.build import build_corpus
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.learn.corpus.embed import (
    channel_encoder,
    embed_corpus,
    embedding_header,
    frozen_embedder,
)
from rtbrain.learn.corpus.manifest import read_manifest
from rtbrain.learn.corpus.report import (
    _verify,
    draw_corpus,
    explain_write_errors,
    print_corpus,
    print_left_out,
    show_progress,
)
from rtbrain.learn.corpus.sources import (
    corpus_front_end,
    corpus_header,
    corpus_recipe,
    corpus_sources,
)
from rtbrain.learn.corpus.writer import CorpusWriter

app = typer.Typer(
    no_args_is_help=True, help="Windows of many recordings on disk, to train encoders on."
)


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
        _verify(console, corpus, manifest)
    if picture is not None:
        draw_corpus(picture, open_corpus(corpus))
        console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


app.command("inspect")(inspect)


@app.command("build")
def build(
    config: Annotated[str, typer.Option("--config", help="Settings by name, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus.")],
) -> None:
    """Build a corpus by the stages that run live; run again after a stop, it goes on."""
    settings = load_settings(config, CorpusSettings)
    recipe = corpus_recipe(settings)
    sources = corpus_sources(settings)
    console = Console()
    names = {number: source.name for number, source in enumerate(sources)}
    with explain_write_errors(out):
        writer = CorpusWriter(out, corpus_header(settings, recipe))
        try:
            with show_progress(console, names, len(writer.manifest.done)) as bars:
                build_corpus(writer, sources, corpus_front_end(recipe), bars)
        except RecordingError:
            print_left_out(console, writer.manifest)
            raise
    print_corpus(console, out, writer.manifest)


@app.command("embed")
def embed(
    corpus: Annotated[Path, typer.Argument(help="Corpus of spectrograms or patches.")],
    encoder: Annotated[Path, typer.Argument(help="Channel encoder, a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus of embeddings.")],
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option("--dtype", help="Of the numbers on disk.")
    ] = "float16",
    n_pooled: Annotated[
        int | None,
        typer.Option("--n-pooled", min=1, help="Frames averaged; by default as the recipe says."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the encoder; all by default.")
    ] = None,
) -> None:
    """Embed every window of a corpus by a frozen encoder; run again after a stop, it goes on."""
    if threads is not None:
        torch.set_num_threads(threads)
    whole = open_corpus(corpus)
    model = channel_encoder(encoder)
    header, pool, n_frames = embedding_header(whole, encoder, dtype, n_pooled)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = Console()
    names = {entry.number: entry.subject for entry in whole.manifest.sessions}
    with explain_write_errors(out):
        writer = CorpusWriter(out, header)
        with show_progress(console, names, len(writer.manifest.done)) as bars:
            embed_corpus(writer, whole, frozen_embedder(model, pool, n_frames, device), bars)
    print_corpus(console, out, writer.manifest)
