"""The run of `rtbrain pretrain`: corpus and settings joined, its bar, what it leaves."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .learned import refuse_learned
from .pretrain_objective import begin, examples_of, objective_of, plan_of, refuse_corpus
from .shutdown import stop_on_signals

if TYPE_CHECKING:
    from rtbrain.config import PretrainSettings
    from rtbrain.offline.corpus.corpus import Corpus
    from rtbrain.offline.objectives import Examples, Objective
    from rtbrain.offline.training.logbook import StepRecord
    from rtbrain.offline.training.plan import Plan
    from rtbrain.offline.training.ranks import Ranks

# What may be changed between the runs of one training: none of it changes a weight.
_FREE = {"validate_every", "validate_items", "checkpoint_every", "prefetch"}


def pretrain(settings: "PretrainSettings", folder: Path, out: Path, *, resume: bool) -> bool:
    """Train, and leave the encoder with its report; False where it was stopped before.

    Parameters
    ----------
    settings : PretrainSettings
        What to learn, and how.
    folder : Path
        Of the corpus.
    out : Path
        Of the training.
    resume : bool
        Go on from what lies there.

    Raises
    ------
    SettingsError
        The corpus does not fit the settings, its encoder learned from subjects that are held out,
        or `out` has content and `resume` is not set.
    CheckpointError
        The last checkpoint is broken, or of other settings.
    RecordingError
        The corpus cannot be read, or lacks a subject.
    """
    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.training.loop import train
    from rtbrain.offline.training.ranks import joined_ranks
    from rtbrain.offline.training.report import finish

    stop = stop_on_signals()
    corpus = open_corpus(folder)
    refuse_corpus(settings, corpus)
    held_out = held_out_of(settings, corpus)
    encoder_learned = corpus.manifest.settings.get("learned")
    refuse_learned(folder, encoder_learned, held_out)
    plan = plan_of(settings)
    learned = [subject for subject in corpus.subjects if subject not in held_out]
    examples = examples_of(settings, corpus.of(learned), corpus.hop_s)
    shown = examples_of(settings, corpus.of(held_out), corpus.hop_s) if held_out else None
    unplaced = _n_unplaced(examples) + _n_unplaced(shown)
    sums = _sha256(folder / "manifest.json")
    objective = objective_of(settings)
    begin(settings, objective, corpus.of(learned))
    with joined_ranks() as ranks:
        _open_folder(out, resume, ranks)
        if ranks.first:
            _tell_start(len(examples), learned, held_out)
            if held_out and corpus.form == "embedding" and encoder_learned is None:
                typer.echo("whether the corpus's encoder learned from them is not known", err=True)
            if unplaced:
                typer.echo(f"contacts without a position, left out: {unplaced}", err=True)
        with _bar(plan, ranks) as tell:
            progress = train(
                objective,
                examples,
                shown,
                plan,
                folder=out,
                identity=_identity(settings, sums, held_out),
                ranks=ranks,
                stop=stop,
                tell=tell,
            )
        finished = progress.step == plan.steps
        if ranks.first and finished:
            values = settings.model_dump(mode="json")
            told = {
                "name": folder.resolve().name,
                "manifest_sha256": sums,
                "recipe": corpus.recipe,
                "encoder_sha256": corpus.manifest.settings.get("encoder_sha256"),
                "encoder_learned": encoder_learned,
                "contacts_without_position": unplaced,
                "learned": learned,
                "held_out": list(held_out),
                "items": len(examples),
            }
            figures = finish(
                out,
                objective,
                progress,
                settings=values,
                corpus=told,
                by_subject=_by_subject(settings, corpus, held_out, objective, plan, ranks),
                ranks=ranks,
            )
            _tell_end(out, figures)
        elif ranks.first:
            typer.echo(
                f"stopped at step {progress.step} of {plan.steps}: --resume goes on", err=True
            )
        ranks.wait()
    return finished


def held_out_of(settings: "PretrainSettings", corpus: "Corpus") -> tuple[str, ...]:
    """Subjects that are validated on.

    Raises
    ------
    RecordingError
        One of them is not in the corpus.
    SettingsError
        None would be left to learn from.
    """
    from rtbrain.errors import SettingsError

    subjects = corpus.subjects
    if isinstance(settings.held_out, int):
        count = settings.held_out
        found = subjects[len(subjects) - count :] if count <= len(subjects) else subjects
    else:
        found = settings.held_out
        corpus.of(found)
    if set(found) >= set(subjects):
        raise SettingsError(
            f"held_out: of {len(subjects)} subjects in {corpus.folder} none is left to learn from: "
            f"hold out fewer"
        )
    return found


def _by_subject(
    settings: "PretrainSettings",
    corpus: "Corpus",
    held_out: tuple[str, ...],
    objective: "Objective",
    plan: "Plan",
    ranks: "Ranks",
) -> "dict[str, dict[str, float] | None]":
    """Figures of each held-out subject; None of one who alone has no example."""
    from rtbrain.errors import SettingsError
    from rtbrain.offline.training.loop import validate

    figures: dict[str, dict[str, float] | None] = {}
    for subject in held_out:
        try:
            examples = examples_of(settings, corpus.of([subject]), corpus.hop_s)
        except SettingsError:
            figures[subject] = None
        else:
            figures[subject] = validate(objective, examples, plan, ranks.device)
    return figures


def _n_unplaced(examples: "Examples | None") -> int:
    """Contacts that are not shown, since they have no position."""
    from rtbrain.offline.objectives.popt import PopulationPairs

    return examples.n_unplaced if isinstance(examples, PopulationPairs) else 0


def _open_folder(out: Path, resume: bool, ranks: "Ranks") -> None:
    from rtbrain.errors import SettingsError

    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out} has content: name a new folder, or go on with --resume")
    ranks.wait()  # none writes before all have looked
    if ranks.first:
        out.mkdir(parents=True, exist_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _identity(settings: "PretrainSettings", sums: str, held_out: tuple[str, ...]) -> dict[str, Any]:
    """What must be the same for a training to go on."""
    values = _flat(settings.model_dump(mode="json", exclude=_FREE))
    return values | {"corpus": sums, "held_out": list(held_out)}


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by dotted keys, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _tell_start(n_items: int, learned: list[str], held_out: tuple[str, ...]) -> None:
    told = f"held out: {', '.join(held_out)}" if held_out else "nobody held out: no validation"
    typer.echo(f"{n_items} items of {len(learned)} subjects; {told}", err=True)


def _tell_end(out: Path, figures: dict[str, float | None]) -> None:
    for name, value in figures.items():
        typer.echo(f"{name:>28}  {'none' if value is None else f'{value:.4f}'}")
    typer.echo(f"encoder, report.json and curve.png in {out}")


@contextlib.contextmanager
def _bar(plan: "Plan", ranks: "Ranks") -> "Iterator[Callable[[StepRecord], None]]":
    """A progress bar with rate and time left; a line now and then where nobody watches."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if not ranks.first:
        yield lambda record: None
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=plan.steps, told="", visible=console.is_terminal)
        begun: list[tuple[float, int]] = []

        def tell(record: "StepRecord") -> None:
            now = time.monotonic()
            begun[:] = begun or [(now, record.step)]
            took_s, done = now - begun[0][0], record.step - begun[0][1]
            rate = done * plan.batch / took_s if took_s else 0.0
            told = f"loss {record.loss:.4f}  {rate:.0f} items/s"
            progress.update(task, completed=record.step, told=told)
            if not console.is_terminal and record.step % plan.validate_every == 0:
                typer.echo(f"step {record.step} of {plan.steps}  {told}", err=True)

        yield tell
