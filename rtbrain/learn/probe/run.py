"""A probe from corpus to report: windows, embeddings, fits."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rtbrain.decoder.bundle import strict_json
from rtbrain.errors import SettingsError
from rtbrain.files import write_atomically
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession, open_corpus, placed_positions
from rtbrain.learn.probe.figures import draw_label_efficiency
from rtbrain.learn.probe.label_efficiency import (
    METRICS,
    LabelDraw,
    draw_windows,
    max_labels,
    probe_subject,
)
from rtbrain.learn.probe.models import (
    LoadedEncoder,
    ProbeOptions,
    by_name,
    describe_encoder,
    load_encoder_spec,
    refuse_probed_subjects,
    window_length_s,
)
from rtbrain.learn.probe.report import ProbeResult, probe_curves, probe_report, probe_tables
from rtbrain.learn.probe.rows import (
    ProbeEncoders,
    dimensions_of,
    embedding_passes,
    first_and_random,
    linear_names,
    probe_features,
    probe_rows,
    row_names,
)
from rtbrain.learn.probe.windows import SubjectWindows, subject_windows


def run_probe(asked: ProbeOptions, out: Path | None) -> None:
    """Probe, print the tables, and write report and picture where they are asked for.

    Raises
    ------
    RtbrainError
        Corpus, encoder, subjects or labels do not do.
    """
    console, started = Console(), time.monotonic()
    probed = _probed(asked, console)
    report = probe_report(probed) | {"elapsed_s": round(time.monotonic() - started, 1)}
    for table in probe_tables(report):
        console.print(table)
    if out is None:
        return
    out.mkdir(parents=True)
    title = f"{' vs '.join(probed.told['classes'])}, {len(asked.subjects)} held-out subjects"
    draw_label_efficiency(
        out / "label-efficiency.png", probed.counts, probe_curves(probed), title=title
    )
    write_atomically(out / "report.json", strict_json(report))
    console.print(f"{out.name}: written after {report['elapsed_s']:.0f} s")


def _probed(asked: ProbeOptions, console: Console) -> ProbeResult:
    corpus = open_corpus(asked.corpus)
    encoders = _encoders(asked, corpus)
    sessions = {subject: corpus.of([subject]) for subject in asked.subjects}
    named = (asked.encoder, *asked.beside)
    unknown = {name: None for one in named for name in refuse_probed_subjects(one, asked.subjects)}
    classes, embargo_s = asked.classes or _classes(sessions), window_length_s(corpus)
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
    return ProbeResult(row_names(encoders), scores, joined, counts, left_out, told)


def _of_subject(
    windows: SubjectWindows,
    encoders: ProbeEncoders,
    draws: Sequence[LabelDraw],
    embargo_s: float,
    progress: Progress,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Scores [n_runs, n_seeds, n_counts] by row and metric, and dimensions of the contacts."""
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
    features = probe_features(windows, encoders, embargo_s, embedded)
    dimensions = dimensions_of(windows, first_and_random(encoders), counted)
    scores, rows = {}, probe_rows(windows, encoders, features)
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


def _encoders(asked: ProbeOptions, corpus: Corpus) -> ProbeEncoders:
    """Everything to be held against each other, read and checked."""
    encoders = ProbeEncoders(
        load_encoder_spec(asked.encoder, corpus),
        by_name(tuple(load_encoder_spec(one, corpus) for one in asked.beside)),
        asked.n_random,
        asked.tune_steps,
        corpus.form,
    )
    labels = [row.label for row in row_names(encoders)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise SettingsError(f"--compare {twice[0]}: another row is called so: choose another name")
    if asked.against and asked.against not in encoders.beside:
        told = ", ".join(encoders.beside) or "none"
        raise SettingsError(f"--baseline {asked.against}: expected a NAME of --compare, of {told}")
    n_against = len(encoders.beside.get(asked.against, [encoders.first]))
    for name, runs in encoders.beside.items():
        if len(runs) not in (1, n_against) and n_against > 1:
            raise SettingsError(
                f"--baseline {asked.against} has {n_against} runs and {name} {len(runs)}, which "
                "are no pairs: give as many of both, or one"
            )
    return encoders


def _windows(
    sessions: Mapping[str, Sequence[CorpusSession]], classes: Sequence[str], encoders: ProbeEncoders
) -> dict[str, SubjectWindows]:
    """Windows of each subject, labelled at every moment that an encoder describes."""
    beside: list[LoadedEncoder] = [one for runs in encoders.beside.values() for one in runs]
    delays_s = [one.delay_s for one in (encoders.first, *beside)]
    return {
        subject: subject_windows(several, classes, neural_delays_s=delays_s)
        for subject, several in sessions.items()
    }


def _classes(sessions: Mapping[str, Sequence[CorpusSession]]) -> tuple[str, ...]:
    texts = sorted(
        {event.text for several in sessions.values() for one in several for event in one.events}
    )
    if len(texts) != 2:
        told = ", ".join(f"'{text}'" for text in texts[:8]) or "none"
        raise SettingsError(f"name the states to tell apart with --classes A,B: there are {told}")
    return tuple(texts)


def _counts(
    asked: Sequence[int], windows: Sequence[SubjectWindows], embargo_s: float
) -> tuple[tuple[int, ...], dict[int, str]]:
    """Counts that every subject has enough windows for, and why the others are left out."""
    most = {each.subject: max_labels(each, embargo_s=embargo_s) for each in windows}
    fewest = min(most, key=lambda subject: most[subject])
    why = f"subject {fewest} has {most[fewest]} labelled windows to draw, balanced"
    left_out = {count: why for count in asked if count > most[fewest]}
    counts = tuple(count for count in asked if count not in left_out)
    if not counts:
        raise SettingsError(f"--labels {asked[0]} and more: {why}: ask for fewer")
    return counts, left_out


def _told(
    asked: ProbeOptions,
    classes: Sequence[str],
    windows: Mapping[str, SubjectWindows],
    encoders: ProbeEncoders,
) -> dict[str, Any]:
    unplaced = {}  # only PopT asks for positions
    if any(one.popt is not None for one in (asked.encoder, *asked.beside)):
        montages = {subject: each.sessions[0].montage for subject, each in windows.items()}
        unplaced = {name: int((~placed_positions(m)[1]).sum()) for name, m in montages.items()}
    return {
        **describe_encoder(encoders.first),
        "beside": {
            name: [describe_encoder(one) for one in runs] for name, runs in encoders.beside.items()
        },
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
