"""A probe from corpus to report: windows, embeddings, fits."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .probe_models import Loaded, Named, by_name, length_s, load, refuse_learned, told_of
from .probe_rows import (
    Encoders,
    RowName,
    dimensions_of,
    embedding_passes,
    features_of,
    first_and_random,
    linear_names,
    row_names,
    rows_of,
)
from .target import write_whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from rtbrain.offline.corpus.corpus import Corpus, CorpusSession
    from rtbrain.offline.probing import Draw
    from rtbrain.offline.probing_windows import SubjectWindows


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be probed, as the flags say."""

    encoder: Named
    beside: tuple[Named, ...]
    against: str
    corpus: Path
    subjects: tuple[str, ...]
    classes: tuple[str, ...] | None
    counts: tuple[int, ...]
    n_seeds: int
    n_random: int
    tune_steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """What was found.

    Attributes
    ----------
    rows : list of RowName
        Of the table.
    scores : dict of dict of ndarray, float64 [n_runs, n_subjects, n_seeds, n_counts]
        By label of a row and metric; runs of the encoder's training.
    dimensions : dict of ndarray, int64 [n_contacts]
        Principal components by encoder, the contacts of all subjects.
    counts : tuple of int
        Labelled windows.
    left_out : dict of int to str
        Counts that could not be drawn, and why.
    told : dict
        What was probed, for the report.
    """

    rows: list[RowName]
    scores: dict[str, dict[str, Any]]
    dimensions: dict[str, Any]
    counts: tuple[int, ...]
    left_out: dict[int, str]
    told: dict[str, Any]


def run(asked: Asked, out: Path | None) -> None:
    """Probe, print the tables, and write report and picture where they are asked for.

    Raises
    ------
    RtbrainError
        Corpus, encoder, subjects or labels do not do.
    """
    from rich.console import Console

    from rtbrain.decoder.bundle import strict_json
    from rtbrain.offline.probing_figures import draw_label_efficiency

    from .probe_report import curves_of, report_of, tables

    console, started = Console(), time.monotonic()
    probed = _probed(asked, console)
    report = report_of(probed) | {"elapsed_s": round(time.monotonic() - started, 1)}
    for table in tables(report):
        console.print(table)
    if out is None:
        return
    out.mkdir(parents=True)
    title = f"{' vs '.join(probed.told['classes'])}, {len(asked.subjects)} held-out subjects"
    draw_label_efficiency(
        out / "label-efficiency.png", probed.counts, curves_of(probed), title=title
    )
    write_whole(out / "report.json", lambda file: file.write(strict_json(report).encode()))
    console.print(f"{out.name}: written after {report['elapsed_s']:.0f} s")


def _probed(asked: Asked, console: "Console") -> Probed:
    import numpy as np
    from rich.progress import Progress

    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.probing import draw_windows

    corpus = open_corpus(asked.corpus)
    encoders = _encoders(asked, corpus)
    sessions = {subject: corpus.of([subject]) for subject in asked.subjects}
    named = (asked.encoder, *asked.beside)
    unknown = {name: None for one in named for name in refuse_learned(one, asked.subjects)}
    classes, embargo_s = asked.classes or _classes(sessions), length_s(corpus)
    windows = _windows(sessions, classes, encoders)
    counts, left_out = _counts(asked.counts, list(windows.values()), embargo_s)
    parts: list[dict[str, dict[str, Any]]] = []
    dimensions: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        for each in windows.values():
            draws = draw_windows(each, counts, n_seeds=asked.n_seeds, embargo_s=embargo_s)
            scores, found = _of_subject(each, encoders, draws, embargo_s, progress)
            parts.append(scores)
            dimensions.append(found)
    scores = {
        label: {metric: np.stack([part[label][metric] for part in parts], 1) for metric in by}
        for label, by in parts[0].items()
    }
    joined = {name: np.concatenate([found[name] for found in dimensions]) for name in dimensions[0]}
    told = _told(asked, classes, windows, encoders) | {
        "learned_unknown": list(unknown),
        "embargo_s": embargo_s,
    }
    return Probed(row_names(encoders), scores, joined, counts, left_out, told)


def _of_subject(
    windows: "SubjectWindows",
    encoders: Encoders,
    draws: "Sequence[Draw]",
    embargo_s: float,
    progress: "Progress",
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Scores [n_runs, n_seeds, n_counts] by row and metric, and dimensions of the contacts."""
    from functools import partial

    import numpy as np

    from rtbrain.offline.probing import METRICS, probe_subject

    n_fits = sum(len(encoders.beside.get(row.owner, [""])) for row in row_names(encoders))
    bars = [
        progress.add_task(f"{windows.subject}: {what}", total=total)
        for what, total in (
            ("embedding", windows.windows.size * embedding_passes(encoders)),
            ("dimension", windows.sessions[0].montage.n_channels),
            ("fitting", n_fits * len(draws)),
        )
    ]
    embedded, counted, fitted = (_step(progress, bar) for bar in bars)
    features = features_of(windows, encoders, embargo_s, embedded)
    dimensions = dimensions_of(windows, first_and_random(encoders), counted)
    scores, rows = {}, rows_of(windows, encoders, features)
    for name in row_names(encoders):
        label, runs = name.label, rows[name.label]
        models = encoders.beside.get(name.owner, [encoders.first] * len(runs))
        found = [
            probe_subject(
                windows.described_at(model.delay_s),
                [run],
                draws,
                embargo_s=embargo_s,
                on_fit=partial(fitted, 1),
            )
            for run, model in zip(runs, models, strict=True)
        ]
        scores[label] = {
            metric: np.stack([one[run.name][metric] for one, run in zip(found, runs, strict=True)])
            for metric in METRICS
        }
    return scores, dimensions


def _step(progress: Any, task: Any) -> Callable[[int], None]:
    return lambda n: progress.advance(task, n)


def _encoders(asked: Asked, corpus: "Corpus") -> Encoders:
    """Everything to be held against each other, read and checked."""
    from rtbrain.errors import SettingsError

    encoders = Encoders(
        load(asked.encoder, corpus),
        by_name(tuple(load(one, corpus) for one in asked.beside)),
        asked.n_random,
        asked.tune_steps,
        corpus.form,
    )
    labels = [row.label for row in row_names(encoders)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise SettingsError(f"--beside {twice[0]}: another row is called so: choose another name")
    if asked.against and asked.against not in encoders.beside:
        told = ", ".join(encoders.beside) or "none"
        raise SettingsError(f"--against {asked.against}: expected a NAME of --beside, of {told}")
    n_against = len(encoders.beside.get(asked.against, [encoders.first]))
    for name, runs in encoders.beside.items():
        if len(runs) not in (1, n_against) and n_against > 1:
            raise SettingsError(
                f"--against {asked.against} has {n_against} runs and {name} {len(runs)}, which "
                "are no pairs: give as many of both, or one"
            )
    return encoders


def _windows(
    sessions: "Mapping[str, Sequence[CorpusSession]]", classes: Sequence[str], encoders: Encoders
) -> "dict[str, SubjectWindows]":
    """Windows of each subject, labelled at every moment that an encoder describes."""
    from rtbrain.offline.probing_windows import labelled_windows

    beside: list[Loaded] = [one for runs in encoders.beside.values() for one in runs]
    delays_s = [one.delay_s for one in (encoders.first, *beside)]
    return {
        subject: labelled_windows(several, classes, neural_delays_s=delays_s)
        for subject, several in sessions.items()
    }


def _classes(sessions: "Mapping[str, Sequence[CorpusSession]]") -> tuple[str, ...]:
    from rtbrain.errors import SettingsError

    texts = sorted(
        {event.text for several in sessions.values() for one in several for event in one.events}
    )
    if len(texts) != 2:
        told = ", ".join(f"'{text}'" for text in texts[:8]) or "none"
        raise SettingsError(f"name the states to tell apart with --classes A,B: there are {told}")
    return tuple(texts)


def _counts(
    asked: Sequence[int], windows: "Sequence[SubjectWindows]", embargo_s: float
) -> tuple[tuple[int, ...], dict[int, str]]:
    """Counts that every subject has enough windows for, and why the others are left out."""
    from rtbrain.errors import SettingsError
    from rtbrain.offline.probing import most_labels

    most = {each.subject: most_labels(each, embargo_s=embargo_s) for each in windows}
    fewest = min(most, key=lambda subject: most[subject])
    why = f"subject {fewest} has {most[fewest]} labelled windows to draw, balanced"
    left_out = {count: why for count in asked if count > most[fewest]}
    counts = tuple(count for count in asked if count not in left_out)
    if not counts:
        raise SettingsError(f"--labels {asked[0]} and more: {why}: ask for fewer")
    return counts, left_out


def _told(
    asked: Asked,
    classes: Sequence[str],
    windows: "Mapping[str, SubjectWindows]",
    encoders: Encoders,
) -> dict[str, Any]:
    from rtbrain.offline.placing import placed_positions

    unplaced = {}  # only PopT asks for positions
    if any(one.popt is not None for one in (asked.encoder, *asked.beside)):
        montages = {subject: each.sessions[0].montage for subject, each in windows.items()}
        unplaced = {name: int((~placed_positions(m)[1]).sum()) for name, m in montages.items()}
    return {
        **told_of(encoders.first),
        "beside": {name: [told_of(one) for one in runs] for name, runs in encoders.beside.items()},
        "against": asked.against,
        "corpus": asked.corpus.resolve().name,
        "classes": list(classes),
        "windows": {subject: dict(each.labelled.counts) for subject, each in windows.items()},
        "contacts_without_position": unplaced,
        "seeds": asked.n_seeds,
        "random": asked.n_random,
        "tune_steps": asked.tune_steps,
        "linear": linear_names(encoders.form),
    }
