"""The run of a training: corpus and settings joined, its bar, what it leaves."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from rtbrain.config.training import TrainingSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession
from rtbrain.learn.objectives import Examples, Objective
from rtbrain.learn.training.logbook import StepRecord
from rtbrain.learn.training.loop import TrainingProgress, train, validate
from rtbrain.learn.training.optimiser import TrainingPlan
from rtbrain.learn.training.ranks import Ranks, joined_ranks
from rtbrain.learn.training.report import finish

# What may be changed between the runs of one training: none of it changes a weight.
_FREE = {"validate_every", "validate_items", "checkpoint_every", "prefetch"}
EXIT_STOPPED = 143


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJob:
    """What is to be trained, on what."""

    settings: TrainingSettings
    corpus: Corpus
    held_out: tuple[str, ...]
    objective: Objective
    examples_of: Callable[[Sequence[CorpusSession]], Examples]
    examples: Examples
    shown: Examples | None
    told: Mapping[str, Any]
    identity: Mapping[str, Any]
    notes: list[str]
    draw: Callable[[Path], None] = lambda out: None


def run_training(job: TrainingJob, out: Path, *, resume: bool, stop: Callable[[], bool]) -> bool:
    """Train, and leave the encoder with its report; False where it was stopped before."""
    plan, learned = training_plan(job.settings), training_subjects(job.corpus, job.held_out)
    sums = _sha256(job.corpus.folder / "manifest.json")
    identity = _flat(job.settings.model_dump(mode="json", exclude=_FREE))
    identity |= {"corpus": sums, "held_out": list(job.held_out), **job.identity}
    with joined_ranks() as ranks:
        _open_folder(out, resume, ranks)
        if ranks.first:
            _tell_start(job, learned)
        with _bar(plan, ranks) as tell:
            progress = train(
                job.objective,
                job.examples,
                job.shown,
                plan,
                folder=out,
                identity=identity,
                ranks=ranks,
                stop=stop,
                tell=tell,
            )
        finished = progress.step == plan.steps
        if ranks.first and finished:
            told = {"manifest_sha256": sums, "learned": learned, "items": len(job.examples)}
            _finish(job, plan, out, progress, told | dict(job.told), ranks)
        elif ranks.first:
            typer.echo(
                f"stopped at step {progress.step} of {plan.steps}: --resume goes on", err=True
            )
        ranks.wait()
    return finished


def training_subjects(corpus: Corpus, held_out: tuple[str, ...]) -> list[str]:
    """Subjects that are trained on."""
    return [subject for subject in corpus.subjects if subject not in held_out]


def training_plan(settings: TrainingSettings) -> TrainingPlan:
    """What to do, in plain values."""
    return TrainingPlan(
        steps=settings.steps,
        batch=settings.batch,
        micro_batch=settings.micro_batch,
        optimiser=settings.optimiser.name,
        lr=settings.optimiser.lr,
        weight_decay=settings.optimiser.weight_decay,
        warm_up=settings.warm_up,
        decay_factor=settings.decay.factor,
        decay_every=settings.decay.every,
        clip=settings.clip,
        precision=settings.precision,
        seed=settings.seed,
        validate_every=settings.validate_every,
        checkpoint_every=settings.checkpoint_every,
        validate_items=settings.validate_items,
        prefetch=settings.prefetch,
    )


def held_out_subjects(settings: TrainingSettings, corpus: Corpus) -> tuple[str, ...]:
    """Subjects that are validated on."""
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


def _finish(
    job: TrainingJob,
    plan: TrainingPlan,
    out: Path,
    progress: TrainingProgress,
    told: dict[str, Any],
    ranks: Ranks,
) -> None:
    corpus = job.corpus
    figures = finish(
        out,
        job.objective,
        progress,
        settings=job.settings.model_dump(mode="json"),
        corpus={
            "name": corpus.folder.resolve().name,
            "recipe": corpus.recipe,
            "held_out": list(job.held_out),
            **told,
        },
        by_subject=_by_subject(job, plan, ranks),
        ranks=ranks,
    )
    job.draw(out)
    _tell_end(out, figures)


def _by_subject(
    job: TrainingJob, plan: TrainingPlan, ranks: Ranks
) -> dict[str, dict[str, float] | None]:
    """Figures of each held-out subject; None of one who alone has no example."""
    figures: dict[str, dict[str, float] | None] = {}
    for subject in job.held_out:
        try:
            examples = job.examples_of(job.corpus.of([subject]))
        except SettingsError:
            figures[subject] = None
        else:
            figures[subject] = validate(job.objective, examples, plan, ranks.device)
    return figures


def _open_folder(out: Path, resume: bool, ranks: Ranks) -> None:
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out} has content: name a new folder, or go on with --resume")
    ranks.wait()  # none writes before all have looked
    if ranks.first:
        out.mkdir(parents=True, exist_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by dotted keys, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _tell_start(job: TrainingJob, learned: list[str]) -> None:
    told = "nobody held out: no validation"
    if job.held_out:
        told = f"held out: {', '.join(job.held_out)}"
    typer.echo(f"{len(job.examples)} items of {len(learned)} subjects; {told}", err=True)
    for note in job.notes:
        typer.echo(note, err=True)


def _tell_end(out: Path, figures: dict[str, float | None]) -> None:
    for name, value in figures.items():
        typer.echo(f"{name:>28}  {'none' if value is None else f'{value:.4f}'}")
    typer.echo(f"encoder, report.json and curve.png in {out}")


@contextlib.contextmanager
def _bar(plan: TrainingPlan, ranks: Ranks) -> Iterator[Callable[[StepRecord], None]]:
    """A progress bar with rate and time left; a line now and then where nobody watches."""
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
    with TrainingProgress(*columns, console=console) as progress:
        task = progress.add_task("", total=plan.steps, told="", visible=console.is_terminal)
        begun: list[tuple[float, int]] = []

        def tell(record: StepRecord) -> None:
            now = time.monotonic()
            begun[:] = begun or [(now, record.step)]
            took_s, done = now - begun[0][0], record.step - begun[0][1]
            rate = done * plan.batch / took_s if took_s else 0.0
            told = f"loss {record.loss:.4f}  {rate:.0f} items/s"
            progress.update(task, completed=record.step, told=told)
            if not console.is_terminal and record.step % plan.validate_every == 0:
                typer.echo(f"step {record.step} of {plan.steps}  {told}", err=True)

        yield tell
