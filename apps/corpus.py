"""`rtbrain corpus`: recordings to windows on disk, and a look at them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import corpus_show

app = typer.Typer(
    no_args_is_help=True, help="Windows of many recordings on disk, to train encoders on."
)
app.command("show")(corpus_show.command)


@app.command("build")
def build(
    config: Annotated[str, typer.Option("--config", help="Settings by name, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the corpus.")],
) -> None:
    """Build a corpus by the stages that run live; run again after a stop, it goes on."""
    from rich.console import Console

    from rtbrain.config import CorpusSettings, load_settings
    from rtbrain.errors import RecordingError
    from rtbrain.offline.corpus.building import build_corpus
    from rtbrain.offline.corpus.writing import CorpusWriter

    from .corpus_inputs import front_end_of, header_of, recipe_of, sources_of
    from .corpus_progress import shown, writing

    settings = load_settings(config, CorpusSettings)
    recipe = recipe_of(settings)
    sources = sources_of(settings)
    console = Console()
    names = {number: source.name for number, source in enumerate(sources)}
    with writing(out):
        writer = CorpusWriter(out, header_of(settings, recipe))
        try:
            with shown(console, names, len(writer.manifest.done)) as bars:
                build_corpus(writer, sources, front_end_of(recipe), bars)
        except RecordingError:
            corpus_show.tell_left_out(console, writer.manifest)
            raise
    corpus_show.tell(console, out, writer.manifest)


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
    import torch
    from rich.console import Console

    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.corpus.embedding import embed_corpus, frozen
    from rtbrain.offline.corpus.writing import CorpusWriter

    from .corpus_inputs import channel_encoder, embedding_header
    from .corpus_progress import shown, writing

    if threads is not None:
        torch.set_num_threads(threads)
    whole = open_corpus(corpus)
    model = channel_encoder(encoder)
    header, pool, n_frames = embedding_header(whole, encoder, dtype, n_pooled)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console = Console()
    names = {entry.number: entry.subject for entry in whole.manifest.sessions}
    with writing(out):
        writer = CorpusWriter(out, header)
        with shown(console, names, len(writer.manifest.done)) as bars:
            embed_corpus(writer, whole, frozen(model, pool, n_frames, device), bars)
    corpus_show.tell(console, out, writer.manifest)
