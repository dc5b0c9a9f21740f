"""A training from its settings to its report: the command, the progress bar, the results."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rtbrain.config import parse_settings, read_settings
from rtbrain.config.flags import override
from rtbrain.config.training import TrainingSettings
from rtbrain.errors import SettingsError
from rtbrain.files import claim_output, sha256
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession
from rtbrain.learn.objectives.objective import Examples, Objective
from rtbrain.learn.training.loop import Ranks, joined_ranks, train, validate
from rtbrain.learn.training.records import StepRecord
from rtbrain.learn.training.report import finish
from rtbrain.processes import stop_on_signals

# What may be changed between the runs of one training: none of it changes a weight.
_FREE = {"validate_every", "validate_items", "checkpoint_every", "prefetch"}
_EXIT_STOPPED = 143
SettingsT = TypeVar("SettingsT", bound=TrainingSettings)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJob:
    """What to train, on what; the rest goes into the report, or is shown before the start."""

    settings: TrainingSettings
    corpus: Corpus
    held_out: tuple[str, ...]
    objective: Objective
    examples_of: Callable[[Sequence[CorpusSession]], Examples]
    examples: Examples
    validation: Examples | None
    provenance: Mapping[str, Any]
    identity: Mapping[str, Any]
    notes: Sequence[str] = ()
    draw: Callable[[Path], None] = lambda out: None


def read_training_settings(
    config: str,
    kind: type[SettingsT],
    flags: Mapping[str, Any],
    pairs: Sequence[str] | None,
    threads: int | None,
) -> SettingsT:
    """Settings by name or file, with the flags that were used put in; sets torch's threads."""
    if threads is not None:
        torch.set_num_threads(threads)
    values, where = read_settings(config, kind)
    values = override(values, pairs or ())
    values |= {key: value for key, value in flags.items() if value is not None}
    return parse_settings(values, kind, where=where)


def run_until_signal(out: Path, run: Callable[[Callable[[], bool]], bool]) -> None:
    """Run a training command; exit with 143 where a signal stopped it before the end."""
    try:
        finished = run(stop_on_signals())
    except OSError as error:
        raise SettingsError(
            f"--out {out}: {error.strerror or error}: make room, and continue with --resume"
        ) from error
    if not finished:
        raise typer.Exit(_EXIT_STOPPED)


def run_training(job: TrainingJob, out: Path, *, resume: bool, stop: Callable[[], bool]) -> bool:
    """Train, and write the encoder with its report; False where `stop` came first."""
    settings, corpus = job.settings, job.corpus
    trained_on = training_subjects(corpus, job.held_out)
    manifest_sha256 = sha256(corpus.folder / "manifest.json")
    identity = _flat(settings.model_dump(mode="json", exclude=_FREE))
    identity |= {"corpus": manifest_sha256, "held_out": list(job.held_out), **job.identity}
    with joined_ranks() as ranks:
        _open_folder(out, resume, ranks)
        if ranks.first:
            _show_start(job, len(trained_on))
        with _bar(settings, ranks) as on_step:
            progress = train(
                job.objective,
                job.examples,
                job.validation,
                settings,
                folder=out,
                identity=identity,
                ranks=ranks,
                stop=stop,
                on_step=on_step,
            )
        finished = progress.step == settings.steps
        if ranks.first and finished:
            provenance = {
                "name": corpus.folder.resolve().name,
                "recipe": corpus.recipe,
                "held_out": list(job.held_out),
                "manifest_sha256": manifest_sha256,
                "learned": trained_on,
                "items": len(job.examples),
                **job.provenance,
            }
            figures = finish(
                out,
                job.objective,
                progress,
                settings=settings.model_dump(mode="json"),
                corpus=provenance,
                by_subject=_by_subject(job, ranks),
                ranks=ranks,
            )
            job.draw(out)
            for name, value in figures.items():
                typer.echo(f"{name:>28}  {'none' if value is None else f'{value:.4f}'}")
            typer.echo(f"encoder, report.json and pictures in {out}")
        elif ranks.first:
            typer.echo(
                f"stopped at step {progress.step} of {settings.steps}: continue with --resume",
                err=True,
            )
        ranks.wait()
    return finished


def held_out_subjects(settings: TrainingSettings, corpus: Corpus) -> tuple[str, ...]:
    """Subjects to validate on; at least one other must remain."""
    subjects = corpus.subjects
    if isinstance(settings.held_out, int):
        found = subjects[max(0, len(subjects) - settings.held_out) :]
    else:
        found = settings.held_out
        corpus.of(found)
    if set(found) >= set(subjects):
        raise SettingsError(
            f"held_out: of {len(subjects)} subjects in {corpus.folder} none is left to train on: "
            f"hold out fewer"
        )
    return found


def training_subjects(corpus: Corpus, held_out: Sequence[str]) -> list[str]:
    """Subjects to train on: all that are not held out."""
    return [subject for subject in corpus.subjects if subject not in held_out]


def _by_subject(job: TrainingJob, ranks: Ranks) -> dict[str, dict[str, float] | None]:
    """Figures of each held-out subject; None where a subject alone has no example."""
    figures: dict[str, dict[str, float] | None] = {}
    for subject in job.held_out:
        try:
            examples = job.examples_of(job.corpus.of([subject]))
        except SettingsError:
            figures[subject] = None
        else:
            figures[subject] = validate(job.objective, examples, job.settings, ranks.device)
    return figures


def _open_folder(out: Path, resume: bool, ranks: Ranks) -> None:
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"--out {out} has content: name a new folder, or use --resume")
    if ranks.first:
        claim_output(out, "--out")
    ranks.wait()  # none writes before all have looked
    if ranks.first:
        out.mkdir(parents=True, exist_ok=True)


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by dotted keys, so that a message can name a difference."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def _show_start(job: TrainingJob, n_subjects: int) -> None:
    held_out = "no subject is held out: no validation"
    if job.held_out:
        held_out = f"held out: {', '.join(job.held_out)}"
    for note in (f"{len(job.examples)} items of {n_subjects} subjects; {held_out}", *job.notes):
        typer.echo(note, err=True)


@contextlib.contextmanager
def _bar(settings: TrainingSettings, ranks: Ranks) -> Iterator[Callable[[StepRecord], None]]:
    """A progress bar with loss, rate and time left; lines now and then where stderr is a file."""
    if not ranks.first:
        yield lambda record: None
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=settings.steps, state="", visible=console.is_terminal)
        begun: list[tuple[float, int]] = []

        def on_step(record: StepRecord) -> None:
            now = time.monotonic()
            begun[:] = begun or [(now, record.step)]
            took_s, done = now - begun[0][0], record.step - begun[0][1]
            rate = done * settings.batch / took_s if took_s else 0.0
            state = f"loss {record.loss:.4f}  {rate:.0f} items/s"
            progress.update(task, completed=record.step, state=state)
            if not console.is_terminal and record.step % settings.validate_every == 0:
                typer.echo(f"step {record.step} of {settings.steps}  {state}", err=True)

        yield on_step
