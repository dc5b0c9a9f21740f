"""A probe from corpus to report: windows, embeddings, fits."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .learned import trained_on
from .target import write_whole

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.encoder import EncoderModel
    from rtbrain.offline.corpus.corpus import Corpus, CorpusSession
    from rtbrain.offline.probing_windows import SubjectWindows


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be probed, as the flags say."""

    encoder: Path
    popt: Path | None
    corpus: Path
    subjects: tuple[str, ...]
    classes: tuple[str, ...] | None
    counts: tuple[int, ...]
    n_seeds: int
    tune_steps: int
    n_pooled: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """What was found.

    Attributes
    ----------
    scores : dict of dict of ndarray, float64 [n_subjects, n_seeds, n_counts]
        By row and metric.
    dimensions : dict of ndarray, int64 [n_contacts]
        Principal components by encoder, the contacts of all subjects.
    counts : tuple of int
        Labelled windows.
    left_out : dict of int to str
        Counts that could not be drawn, and why.
    told : dict
        What was probed, for the report.
    """

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
    from functools import partial

    import numpy as np
    from rich.progress import Progress

    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.probing import draw_windows, probe_subject
    from rtbrain.offline.probing_windows import labelled_windows

    from .probe_rows import (
        dimensions_of,
        encoders_of,
        features_of,
        linear_names,
        row_names,
        rows_of,
    )

    corpus = open_corpus(asked.corpus)
    model = _model(asked, corpus)
    sessions = {subject: corpus.of([subject]) for subject in asked.subjects}
    unknown = _refuse_learned(asked)
    classes = asked.classes or _classes(sessions)
    length_s, delay_s = _length_and_delay_s(corpus, asked.n_pooled)
    windows = {
        subject: labelled_windows(found, classes, neural_delay_s=delay_s)
        for subject, found in sessions.items()
    }
    counts, left_out = _counts(asked.counts, list(windows.values()), length_s)
    names = row_names(model, asked.tune_steps, corpus.form)
    parts: list[dict[str, dict[str, Any]]] = []
    dimensions: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        for subject, each in windows.items():
            draws = draw_windows(each, counts, n_seeds=asked.n_seeds, embargo_s=length_s)
            n_channels = each.sessions[0].montage.n_channels
            bars = [
                progress.add_task(f"{subject}: {what}", total=total)
                for what, total in (
                    ("embedding", each.windows.size),
                    ("dimension", n_channels),
                    ("fitting", len(names) * len(draws)),
                )
            ]
            steps = [_step(progress, bar) for bar in bars]
            encoders = encoders_of(model, asked.n_seeds)
            features = features_of(each, model, encoders, corpus.form, length_s, steps[0])
            made = rows_of(each, model, features, corpus.form, asked)
            rows = [row for row in made if row.name in names]
            dimensions.append(dimensions_of(each, encoders, steps[1]))
            fitted = partial(steps[2], 1)
            parts.append(probe_subject(each, rows, draws, embargo_s=length_s, on_fit=fitted))
    scores = {
        name: {
            metric: np.stack([part[name][metric] for part in parts]) for metric in parts[0][name]
        }
        for name in names
    }
    joined = {name: np.concatenate([found[name] for found in dimensions]) for name in dimensions[0]}
    told = _told(asked, classes, windows, length_s, delay_s) | {
        "n_pooled": model.n_pooled,
        "learned_unknown": unknown,
        "linear": linear_names(corpus.form),
    }
    return Probed(scores, joined, counts, left_out, told)


def _step(progress: Any, task: Any) -> Callable[[int], None]:
    return lambda n: progress.advance(task, n)


def _model(asked: Asked, corpus: "Corpus") -> "EncoderModel":
    from rtbrain.encoder import EncoderModel, PopT, StreamingBERT, load_encoder
    from rtbrain.errors import CheckpointError, SettingsError

    if corpus.form not in ("spectrogram", "patches"):
        raise SettingsError(
            f"{asked.corpus.name} holds windows of form {corpus.form}, a probe embeds "
            "spectrograms or patches: build a corpus of these"
        )
    n_frames, n_freqs = corpus.item_shape
    pool, n_pooled = _pooling(corpus, asked.n_pooled)
    channel = load_encoder(asked.encoder)
    if isinstance(channel, PopT):
        raise CheckpointError(f"{asked.encoder}: expected an encoder of one channel, found a PopT")
    popt = None if asked.popt is None else load_encoder(asked.popt)
    if not (popt is None or isinstance(popt, PopT)):
        raise CheckpointError(
            f"--popt {asked.popt}: expected a PopT, found a {type(popt).__name__}"
        )
    expected = channel.sizes.input_dim
    if expected != n_freqs:
        raise CheckpointError(
            f"{asked.encoder.name} reads frames of {expected} values, {asked.corpus.name} holds "
            f"{n_freqs}: probe on a corpus with the settings that it was trained with"
        )
    if n_pooled > n_frames:
        raise SettingsError(
            f"{asked.corpus.name} pools {n_pooled} frames of {n_frames}: build it anew"
        )
    if isinstance(channel, StreamingBERT) and n_pooled % channel.patch_frames:
        raise SettingsError(
            f"{asked.encoder.name} pools whole patches of {channel.patch_frames} frames, got "
            f"{n_pooled}: give --n-pooled {channel.patch_frames}, or a multiple"
        )
    return EncoderModel(channel, popt, pool, n_pooled)


def _refuse_learned(asked: Asked) -> list[str]:
    """Refuse subjects that an encoder was trained on; whose report does not exist, by name."""
    from rtbrain.encoder import weights_sha256
    from rtbrain.errors import SettingsError

    unknown = []
    for folder in filter(None, (asked.encoder, asked.popt)):
        corpus = trained_on(folder)
        if corpus is None:  # imported, or saved by hand
            unknown.append(folder.resolve().name)
            continue
        known = [subject for subject in asked.subjects if subject in corpus["learned"]]
        if known:
            raise SettingsError(
                f"--subjects {','.join(known)}: {folder.name} was trained on them: name subjects "
                "that were held out"
            )
        embedded_by = corpus.get("encoder_sha256")
        if embedded_by and embedded_by != weights_sha256([asked.encoder]):
            raise SettingsError(
                f"--popt {folder}: was trained on embeddings of another encoder (sha "
                f"{embedded_by[:12]}) than {asked.encoder.name}: name the two that belong together"
            )
    return unknown


def _pooling(corpus: "Corpus", n_pooled: int | None) -> tuple[str, int]:
    from rtbrain.config import EncoderSettings, parse_settings

    told = {
        key: value
        for key, value in corpus.recipe.get("encoder", {}).items()
        if key in ("pool", "n_pooled")
    }
    settings = parse_settings(told, EncoderSettings, where="corpus: encoder")
    return settings.pool, n_pooled or settings.n_pooled


def _length_and_delay_s(corpus: "Corpus", n_pooled: int | None) -> tuple[float, float]:
    """Length of a window, and from the moment that is described to its end, as live."""
    from rtbrain.build import build_encoding
    from rtbrain.config import Recipe, parse_settings

    pool, n_pooled = _pooling(corpus, n_pooled)
    # A manifest tells what was set: the rest is as by default.
    values = {
        "mode": "linear",
        "window": corpus.recipe.get("window", {}),
        "spectrogram": corpus.recipe.get("spectrogram", {}),
        "encoder": {"pool": pool, "n_pooled": n_pooled},
    }
    recipe = parse_settings(values, Recipe, where="corpus: recipe")
    delay_s = build_encoding(recipe, corpus.sessions[0].montage).neural_delay_s
    return recipe.window.length_s, delay_s


def _classes(sessions: "dict[str, tuple[CorpusSession, ...]]") -> tuple[str, ...]:
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
    windows: "dict[str, SubjectWindows]",
    embargo_s: float,
    delay_s: float,
) -> dict[str, Any]:
    from rtbrain.encoder import weights_sha256
    from rtbrain.offline.placing import placed_positions

    unplaced = {}  # only PopT asks for positions
    if asked.popt is not None:
        montages = {subject: each.sessions[0].montage for subject, each in windows.items()}
        unplaced = {name: int((~placed_positions(m)[1]).sum()) for name, m in montages.items()}
    folders = {"encoder": asked.encoder} | ({} if asked.popt is None else {"popt": asked.popt})
    return {
        "weights_sha256": {name: weights_sha256([folder]) for name, folder in folders.items()},
        "corpus": asked.corpus.resolve().name,
        "classes": list(classes),
        "windows": {subject: dict(each.labelled.counts) for subject, each in windows.items()},
        "contacts_without_position": unplaced,
        "seeds": asked.n_seeds,
        "tune_steps": asked.tune_steps,
        "embargo_s": embargo_s,
        "neural_delay_s": delay_s,
    }
