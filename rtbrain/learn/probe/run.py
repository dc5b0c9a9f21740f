"""A probe from corpus to report: windows, embeddings, fits."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from rtbrain.errors import SettingsError
from rtbrain.files import strict_json, write_atomically
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession, open_corpus, placed_positions
from rtbrain.learn.probe.encoders import (
    ProbeEncoders,
    ProbeOptions,
    by_name,
    describe_encoder,
    dimensions_of,
    first_and_random,
    linear_names,
    load_encoder_spec,
    probe_features,
    require_unseen_subjects,
    window_length_s,
)
from rtbrain.learn.probe.label_efficiency import (
    LabelDraw,
    draw_windows,
    max_labels,
    probe_rows,
    probe_subject,
    row_names,
)
from rtbrain.learn.probe.report import (
    ProbeResult,
    draw_label_efficiency,
    probe_report,
    probe_tables,
)
from rtbrain.learn.probe.windows import SubjectWindows, subject_windows
from rtbrain.terminal import OnProgress, show_progress
from rtbrain.types import Doubles, Ints


def run_probe(options: ProbeOptions, out: Path | None) -> None:
    """Probe, print the tables, and write report and picture into a new folder, if any."""
    console, started = Console(), time.monotonic()
    result = _probe(options, console)
    report = probe_report(result) | {"elapsed_s": round(time.monotonic() - started, 1)}
    for table in probe_tables(report):
        console.print(table)
    if out is None:
        return
    out.mkdir(parents=True)
    draw_label_efficiency(out / "label-efficiency.png", result)
    write_atomically(out / "report.json", strict_json(report))
    console.print(f"{out.name}: written after {report['elapsed_s']:.0f} s")


def _probe(options: ProbeOptions, console: Console) -> ProbeResult:
    corpus = open_corpus(options.corpus)
    encoders = _encoders(options, corpus)
    sessions = {subject: corpus.of([subject]) for subject in options.subjects}
    named = (options.encoder, *options.compared)
    unknown = {
        name: None for one in named for name in require_unseen_subjects(one, options.subjects)
    }
    classes, embargo_s = options.classes or _classes(sessions), window_length_s(corpus)
    delays_s = [one.delay_s for one in encoders.trained]
    windows = {
        subject: subject_windows(several, classes, neural_delays_s=delays_s)
        for subject, several in sessions.items()
    }
    counts, left_out = _counts(options.counts, list(windows.values()), embargo_s)
    parts, dimensions = [], []
    with show_progress(console) as on_progress:
        for each in windows.values():
            draws = draw_windows(each, counts, n_seeds=options.n_seeds, embargo_s=embargo_s)
            scores, found = _of_subject(each, encoders, draws, embargo_s, on_progress)
            parts.append(scores)
            dimensions.append(found)
    joint = {label: np.stack([part[label] for part in parts], axis=2) for label in parts[0]}
    counted = {name: np.concatenate([each[name] for each in dimensions]) for name in dimensions[0]}
    provenance = _provenance(options, classes, windows, encoders) | {
        "training_unknown": list(unknown),
        "embargo_s": embargo_s,
    }
    return ProbeResult(row_names(encoders), joint, counted, counts, left_out, provenance)


def _of_subject(
    windows: SubjectWindows,
    encoders: ProbeEncoders,
    draws: Sequence[LabelDraw],
    embargo_s: float,
    on_progress: OnProgress,
) -> tuple[dict[str, Doubles], dict[str, Ints]]:
    """Scores [n_metrics, n_runs, n_seeds, n_counts] by row, and dimensions of the contacts."""
    n_fits = sum(len(encoders.compared.get(row.owner, [""])) for row in row_names(encoders))
    # Encoders that pool the same frames share a pass over the windows.
    n_passes = len({one.model.n_pooled for one in encoders.trained})
    embedded, counted, fitted = (
        _steps(on_progress, total, f"{windows.subject}: {what}")
        for what, total in (
            ("embedding", windows.windows.size * n_passes),
            ("dimension", windows.sessions[0].montage.n_channels),
            ("fitting", n_fits * len(draws)),
        )
    )
    features = probe_features(windows, encoders, embargo_s, embedded)
    dimensions = dimensions_of(windows, first_and_random(encoders), counted)
    scores, rows = {}, probe_rows(windows, encoders, features)
    for name in row_names(encoders):
        models = encoders.compared.get(name.owner, [encoders.first])
        found = [
            probe_subject(
                windows.described_at(model.delay_s),
                run,
                draws,
                embargo_s=embargo_s,
                on_fit=partial(fitted, 1),
            )
            for run, model in zip(rows[name.label], models, strict=True)
        ]
        scores[name.label] = np.stack(found, axis=1)
    return scores, dimensions


def _steps(on_progress: OnProgress, total: int, what: str) -> Callable[[int], None]:
    """Function that takes how much more of a task is done."""
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        on_progress(done, total, what)

    return advance


def _encoders(options: ProbeOptions, corpus: Corpus) -> ProbeEncoders:
    """The encoders to compare, read and checked."""
    encoders = ProbeEncoders(
        load_encoder_spec(options.encoder, corpus),
        by_name(tuple(load_encoder_spec(one, corpus) for one in options.compared)),
        options.n_random,
        options.tune_steps,
        corpus.form,
    )
    labels = [row.label for row in row_names(encoders)]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise SettingsError(f"--compare {twice[0]}: another row has this name: choose another name")
    if options.baseline and options.baseline not in encoders.compared:
        names = ", ".join(encoders.compared) or "none"
        raise SettingsError(f"--baseline {options.baseline}: expected a NAME of --compare: {names}")
    n_baseline = len(encoders.compared.get(options.baseline, [encoders.first]))
    for name, runs in encoders.compared.items():
        if len(runs) not in (1, n_baseline) and n_baseline > 1:
            raise SettingsError(
                f"--baseline {options.baseline} has {n_baseline} runs and {name} {len(runs)}: "
                "these cannot be paired: give as many of both, or one"
            )
    return encoders


def _classes(sessions: Mapping[str, Sequence[CorpusSession]]) -> tuple[str, ...]:
    texts = sorted(
        {event.text for several in sessions.values() for one in several for event in one.events}
    )
    if len(texts) != 2:
        known = ", ".join(f"'{text}'" for text in texts[:8]) or "none"
        raise SettingsError(f"name the two states to decode with --classes A,B, among {known}")
    return tuple(texts)


def _counts(
    wanted: Sequence[int], windows: Sequence[SubjectWindows], embargo_s: float
) -> tuple[tuple[int, ...], dict[int, str]]:
    """Counts for which every subject has enough windows, and why the others are left out."""
    most = {each.subject: max_labels(each, embargo_s=embargo_s) for each in windows}
    fewest = min(most, key=lambda subject: most[subject])
    why = f"subject {fewest} has {most[fewest]} labelled windows to draw, balanced"
    left_out = {count: why for count in wanted if count > most[fewest]}
    counts = tuple(count for count in wanted if count not in left_out)
    if not counts:
        raise SettingsError(f"--labels {wanted[0]} and more: {why}: ask for fewer")
    return counts, left_out


def _provenance(
    options: ProbeOptions,
    classes: Sequence[str],
    windows: Mapping[str, SubjectWindows],
    encoders: ProbeEncoders,
) -> dict[str, Any]:
    unplaced = {}  # only PopT reads positions
    if any(one.popt is not None for one in (options.encoder, *options.compared)):
        montages = {subject: each.sessions[0].montage for subject, each in windows.items()}
        unplaced = {name: int((~placed_positions(m)[1]).sum()) for name, m in montages.items()}
    return {
        **describe_encoder(encoders.first),
        "compared": {
            name: [describe_encoder(one) for one in runs]
            for name, runs in encoders.compared.items()
        },
        "baseline": options.baseline,
        "corpus": options.corpus.resolve().name,
        "classes": list(classes),
        "windows": {subject: dict(each.labelled.counts) for subject, each in windows.items()},
        "contacts_without_position": unplaced,
        "seeds": options.n_seeds,
        "random": options.n_random,
        "tune_steps": options.tune_steps,
        "linear": linear_names(encoders.form),
    }
