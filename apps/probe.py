"""`rtbrain probe`: the performance of a pretrained encoder with few labels."""

import re
from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config.flags import names_of
from rtbrain.errors import SettingsError
from rtbrain.files import require_new_folder
from rtbrain.learn.probe.encoders import EncoderSpec, ProbeOptions
from rtbrain.learn.probe.run import run_probe

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")


def command(
    encoder: Annotated[Path, typer.Argument(help="Pretrained channel encoder, a folder.")],
    corpus: Annotated[
        Path, typer.Option("--corpus", help="Corpus of spectrograms or patches, a folder.")
    ],
    subjects: Annotated[
        str, typer.Option("--subjects", help="Subjects that were held out: a,b,c.")
    ],
    popt: Annotated[
        Path | None, typer.Option("--popt", help="Population Transformer, a folder.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers that begin a state: rest,speech.")
    ] = None,
    labels: Annotated[
        str, typer.Option("--labels", help="Numbers of labelled windows.")
    ] = "16,32,64,128,256,512",
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="Number of draws of labels, and of random weights."),
    ] = 5,
    tune_steps: Annotated[
        int, typer.Option("--tune-steps", min=0, help="Steps of fine-tuning PopT; 0 leaves it out.")
    ] = 500,
    n_pooled: Annotated[
        int | None,
        typer.Option("--n-pooled", min=1, help="Frames to average; by default as in the corpus."),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            help="Another encoder, NAME=FOLDER[,popt=FOLDER][,n_pooled=N]; repeatable, with the "
            "same NAME for other training runs of it.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="NAME to subtract in differences; by default ENCODER."),
    ] = None,
    n_random: Annotated[
        int | None,
        typer.Option(
            "--random", min=0, help="Random controls of ENCODER; by default one per seed."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the report and the picture.")
    ] = None,
) -> None:
    """Score trained encoders, random ones and none on few labelled windows of held-out subjects.

    All read the same windows, labelled at the moment that each encoder describes, and differences
    between them are paired.
    """
    if out is not None:
        require_new_folder(out, "--out")
    options = ProbeOptions(
        encoder=EncoderSpec("", encoder, popt, n_pooled),
        compared=tuple(_compared(text) for text in compare or ()),
        baseline=baseline or "",
        corpus=corpus,
        subjects=names_of(subjects, "--subjects"),
        classes=names_of(classes, "--classes"),
        counts=_counts(labels),
        n_seeds=seeds,
        n_random=_random(n_random, seeds),
        tune_steps=tune_steps,
    )
    run_probe(options, out)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 4:
        raise SettingsError(f"--labels {text}: expected counts of 4 or more, as 25,50,100")
    return tuple(counts)


def _compared(text: str) -> EncoderSpec:
    """The folders of an encoder from NAME=FOLDER[,popt=FOLDER][,n_pooled=N]."""
    first, *others = text.split(",")
    name, _, folder = first.partition("=")
    options = dict(part.split("=", 1) for part in others if "=" in part)
    popt, n_pooled = options.pop("popt", None), options.pop("n_pooled", None)
    bad = options or len(others) != (popt is not None) + (n_pooled is not None)
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


def _random(n_random: int | None, n_seeds: int) -> int:
    if n_random is not None and n_random > n_seeds:
        raise SettingsError(
            f"--random {n_random}: each draw of labels uses one of them, and --seeds draws "
            f"{n_seeds}: give {n_seeds} or fewer"
        )
    return n_seeds if n_random is None else n_random
