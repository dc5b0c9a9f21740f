"""`rtbrain probe`: what a pretrained encoder is worth where labels are few."""

from pathlib import Path
from typing import Annotated

import typer

from .shutdown import end_on_sigterm
from .target import refuse_folder


def command(
    encoder: Annotated[Path, typer.Argument(help="Pretrained channel encoder, a folder.")],
    corpus: Annotated[Path, typer.Option("--corpus", help="Of spectrograms or patches.")],
    subjects: Annotated[str, typer.Option("--subjects", help="Held out of pretraining: a,b,c.")],
    popt: Annotated[
        Path | None, typer.Option("--popt", help="Population Transformer, a folder likewise.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers that begin a state: rest,speech.")
    ] = None,
    labels: Annotated[
        str, typer.Option("--labels", help="How many windows are labelled.")
    ] = "25,50,100,400,1600",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Draws of labels, and of random weights.")
    ] = 5,
    tune_steps: Annotated[
        int, typer.Option("--tune-steps", min=0, help="Of fine-tuning PopT; 0 leaves it out.")
    ] = 500,
    n_pooled: Annotated[
        int | None,
        typer.Option("--n-pooled", min=1, help="Frames averaged; by default as the corpus says."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the report and the picture.")
    ] = None,
) -> None:
    """Score pretrained, random and no encoders on few labelled windows of held-out subjects."""
    from .probe_run import Asked, run

    if out is not None:
        refuse_folder(out, "--out")
    end_on_sigterm()
    asked = Asked(
        encoder=encoder,
        popt=popt,
        corpus=corpus,
        subjects=_listed("--subjects", subjects),
        classes=None if classes is None else _listed("--classes", classes),
        counts=_counts(labels),
        n_seeds=seeds,
        tune_steps=tune_steps,
        n_pooled=n_pooled,
    )
    run(asked, out)


def _listed(flag: str, text: str) -> tuple[str, ...]:
    from rtbrain.errors import SettingsError

    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts) or len(set(parts)) < len(parts):
        raise SettingsError(f"{flag} {text}: expected names with commas between, each once")
    return parts


def _counts(text: str) -> tuple[int, ...]:
    from rtbrain.errors import SettingsError

    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 4:
        raise SettingsError(f"--labels {text}: expected counts of 4 or more, as 25,50,100")
    return tuple(counts)
