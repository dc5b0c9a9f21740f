"""`rtbrain probe`: what a pretrained encoder is worth where labels are few."""

import re
from pathlib import Path
from typing import Annotated

import typer

from rtbrain.errors import SettingsError
from rtbrain.files import require_new_folder
from rtbrain.learn.probe.models import EncoderSpec, ProbeOptions
from rtbrain.learn.probe.run import run_probe
from rtbrain.processes import interrupt_on_sigterm

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")


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
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="Another encoder, NAME=FOLDER[,popt=FOLDER][,n_pooled=N]; again for others, and "
            "under the same NAME for other training runs of it.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--baseline", help="NAME that differences are to; by default ENCODER."),
    ] = None,
    n_random: Annotated[
        int | None,
        typer.Option("--random", min=0, help="Random controls of ENCODER; by default one a seed."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the report and the picture.")
    ] = None,
) -> None:
    """Score trained, random and no encoders on few labelled windows of held-out subjects.

    All read the same windows, each labelled at the moment that it describes, and differences
    between them are paired.
    """
    if out is not None:
        require_new_folder(out, "--out")
    interrupt_on_sigterm()
    asked = ProbeOptions(
        encoder=EncoderSpec("", encoder, popt, n_pooled),
        beside=tuple(_beside(text) for text in beside or ()),
        against=against or "",
        corpus=corpus,
        subjects=_listed("--subjects", subjects),
        classes=None if classes is None else _listed("--classes", classes),
        counts=_counts(labels),
        n_seeds=seeds,
        n_random=_random(n_random, seeds),
        tune_steps=tune_steps,
    )
    run_probe(asked, out)


def _listed(flag: str, text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts) or len(set(parts)) < len(parts):
        raise SettingsError(f"{flag} {text}: expected names with commas between, each once")
    return parts


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 4:
        raise SettingsError(f"--labels {text}: expected counts of 4 or more, as 25,50,100")
    return tuple(counts)


def _beside(text: str) -> EncoderSpec:
    """The folders of an encoder from NAME=FOLDER[,popt=FOLDER][,n_pooled=N]."""
    first, *others = text.split(",")
    name, _, folder = first.partition("=")
    told = dict(part.split("=", 1) for part in others if "=" in part)
    popt, n_pooled = told.pop("popt", None), told.pop("n_pooled", None)
    bad = told or len(others) != (popt is not None) + (n_pooled is not None)
    bad = bad or not (_NAME.fullmatch(name) and folder) or popt == ""
    if bad or not (n_pooled is None or (n_pooled.isascii() and n_pooled.isdecimal())):
        raise SettingsError(
            f"--compare {text}: expected NAME=FOLDER[,popt=FOLDER][,n_pooled=N], NAME of letters, "
            "digits, blanks, points, - and _"
        )
    if n_pooled is not None and int(n_pooled) < 1:
        raise SettingsError(f"--compare {text}: expected n_pooled of 1 or more")
    return EncoderSpec(
        name, Path(folder), Path(popt) if popt else None, int(n_pooled) if n_pooled else None
    )


def _random(asked: int | None, n_seeds: int) -> int:
    if asked is not None and asked > n_seeds:
        raise SettingsError(
            f"--random {asked}: a draw of labels reads one of them, and --seeds draws {n_seeds}: "
            f"give {n_seeds} or fewer"
        )
    return n_seeds if asked is None else asked
