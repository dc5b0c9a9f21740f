"""From settings to a bundle with its report, its pictures and its controls."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rtbrain.bundling import bundle_parts
from rtbrain.config import FitSettings, LabelSettings, Recipe
from rtbrain.decoder import write_bundle
from rtbrain.encoder import EncoderModel, lip_positions
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.cross_validation import (
    CrossValidated,
    FoldResult,
    outputs_of,
    scores_of,
    summarise_folds,
)
from rtbrain.learn.fit.gather import (
    FROZEN,
    LINEAR,
    MAIN,
    LabelledFeatures,
    embargo_s,
    fit_recipe,
    gather_recordings,
    linear_recipe,
    model_of,
)
from rtbrain.learn.fit.inputs import open_recordings, resolve_tasks
from rtbrain.learn.fit.popt import ChannelEmbeddings, TunedPopT, population_of, tune_popt
from rtbrain.learn.fit.report import draw_fit, fit_table
from rtbrain.learn.fit.scores import (
    DecoderScores,
    fit_readout,
    named_scores,
    score_all,
    select_rows,
    with_tuned,
)
from rtbrain.learn.fit.splits import Fold
from rtbrain.recording.recording import Recording

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class TunedDecoder:
    """A tuned decoder and its scores on held-out windows."""

    whole: TunedPopT
    validated: CrossValidated


def tune_decoder(
    console: Console,
    gathered: LabelledFeatures,
    model: EncoderModel,
    folds: Sequence[Fold],
    embargo_s: float,
    n_steps: int,
) -> TunedDecoder:
    """Fine-tune PopT in every fold, and on everything."""
    labelled, popt, channels = gathered.labelled, model.popt, gathered.features.channels
    if popt is None or channels is None:
        raise SettingsError("tune popt: the recipe has no PopT; set encoder.popt, or tune readout")
    if labelled.task != "classification":
        raise SettingsError("tune popt fits classes: tune readout for continuous targets")
    positions = lip_positions(gathered.pipeline.signal.montage)
    embeddings = ChannelEmbeddings(channels, positions, gathered.features.good)
    outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    results = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("tuning PopT", total=n_steps * (len(folds) + 1))

        def tuned(train: Any) -> TunedPopT:
            return tune_popt(
                popt,
                embeddings,
                labelled,
                embargo_s=embargo_s,
                seed=_SEED,
                train=train,
                recordings=gathered.recordings,
                n_steps=n_steps,
                on_step=lambda: progress.advance(task),
            )

        for number, fold in enumerate(folds):
            found = tuned(fold.train)
            outputs[fold.test] = _outputs(found, embeddings, labelled.rows[fold.test])
            scores = scores_of(outputs[fold.test], labelled.targets[fold.test])
            sizes = fold.train.size, fold.test.size
            results.append(FoldResult(fold.name, scores, float("nan"), float("nan"), *sizes))
            # A fold that stopped early has done all its steps.
            progress.update(task, completed=n_steps * (number + 1))
        whole = tuned(None)
    pooled = scores_of(outputs, labelled.targets)
    by_fold = summarise_folds([result.scores for result in results])
    return TunedDecoder(whole, CrossValidated(outputs, tuple(results), pooled, by_fold))


def _outputs(found: TunedPopT, embeddings: Any, rows: Any) -> Any:
    population = population_of(found.popt, embeddings, rows)
    return outputs_of(found.readout, population, np.arange(rows.size))


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """All that a bundle is written from."""

    settings: FitSettings
    labels: LabelSettings
    recipe: Recipe
    model: EncoderModel | None
    encoder_state: str
    encoder: str
    gathered: LabelledFeatures
    scored: DecoderScores
    tuned: TunedDecoder | None
    trained_on: str


def run_fit(settings: FitSettings, out: Path) -> None:
    """Fit, score and write a decoder.

    Raises
    ------
    RtbrainError
        Settings, labels or recordings do not do.
    """
    console, started = Console(), time.monotonic()
    recipe = fit_recipe(settings)
    free_s = embargo_s(settings, recipe)
    model, state, which = model_of(settings, recipe)
    if settings.tune == "popt" and (model is None or model.popt is None):
        raise SettingsError(
            "tune popt: the recipe has no PopT; set encoder.popt, as edge does, or tune readout"
        )
    with open_recordings(
        settings.recordings,
        stream=settings.stream,
        sfreq_hz=settings.sfreq_hz,
        scale=settings.scale,
    ) as found:
        asked = settings.labels
        if asked is None:
            raise SettingsError("no labels: name classes, events, a channel or a task")
        recordings, labels = resolve_tasks(asked, settings.recordings, found)
        gathered = gather_recordings(console, settings, recipe, model, recordings, labels)
        told = _told(recordings)
    if labels.threshold == "half" and len(recordings) == 1:
        # Half of what was fitted on, whatever the range of the next recording.
        asked = asked.model_copy(update={"threshold": gathered.threshold})
    scored = score_all(
        console, gathered, settings.splits, free_s, settings.n_permutations, settings.max_windows
    )
    tuned = None
    if settings.tune == "popt" and model is not None:
        tuned = tune_decoder(console, gathered, model, scored.folds, free_s, settings.tune_steps)
        scored = with_tuned(gathered, scored, tuned.validated, free_s)
        model = EncoderModel(model.channel_encoder, tuned.whole.popt, model.pool, model.n_pooled)
    done = FitResult(settings, asked, recipe, model, state, which, gathered, scored, tuned, told)
    report = _report(done, free_s)
    _write(done, report, free_s, out)
    console.print(fit_table(report))
    console.print(f"{out.name}: written in {time.monotonic() - started:.0f} s")


def _told(recordings: Sequence[Recording]) -> str:
    seconds = sum(each.n_samples / each.montage.sfreq_hz for each in recordings)
    synthetic = any("is synthetic" in note for each in recordings for note in each.notes)
    kind = "synthetic recording" if synthetic else "recording"
    return f"{len(recordings)} {kind}{'s' if len(recordings) > 1 else ''}, {seconds:.0f} s"


def _report(done: FitResult, free_s: float) -> dict[str, Any]:
    gathered, scored, splits = done.gathered, done.scored, done.settings.splits
    labelled = gathered.labelled
    report: dict[str, Any] = {
        "task": labelled.task,
        "encoder": done.encoder,
        "labels": done.labels.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        "windows": int(labelled.rows.size),
        "windows_invalid": gathered.features.n_invalid,
        "split": {
            "kind": splits.kind,
            "folds": [fold.name for fold in scored.folds],
            "embargo_s": free_s,
        },
        "scores": named_scores(scored),
    }
    if labelled.task == "classification":
        report["windows_by_class"] = labelled.counts
    if scored.chance is not None:
        report["null_distribution"] = _chance(scored)
    if scored.unsafe is not None:
        report["unsafe_random_split"] = {
            "pooled": scored.unsafe.pooled,
            "why_not": "windows at random share samples and slow drift with the windows that they "
            "are tested on: what this scores above the blocks of time is leakage",
        }
    return report


def _chance(scored: DecoderScores) -> dict[str, Any]:
    """What the readout scores on shifted labels: PopT is not tuned again for each of them."""
    chance = scored.chance
    if chance is None:
        return {}
    pooled = scored.validated[FROZEN if FROZEN in scored.validated else MAIN].pooled
    return {
        name: {
            "interval_95": chance.interval(name),
            "p": chance.p_value(name, pooled[name]),
            "n_permutations": int(values.size),
        }
        for name, values in chance.pooled.items()
    }


def _write(done: FitResult, report: Mapping[str, Any], free_s: float, out: Path) -> None:
    gathered = done.gathered
    if done.tuned is None:
        fitted = fit_readout(select_rows(gathered, MAIN), free_s, done.settings.max_windows)
        readout, feature_mean = fitted.readout, fitted.feature_mean
        report = dict(report) | {"c": fitted.c, "temperature": fitted.temperature}
    else:
        readout, feature_mean = done.tuned.whole.readout, done.tuned.whole.feature_mean
    manifest, tensors = bundle_parts(
        done.recipe,
        done.model,
        gathered.pipeline,
        readout,
        gathered.labelled.names,
        gathered.montage,
        done.trained_on,
        feature_mean=feature_mean,
    )
    manifest = manifest.model_copy(update={"encoder_state": done.encoder_state})
    pictures = draw_fit(gathered, done.scored, readout, linear=done.model is None)
    out.parent.mkdir(parents=True, exist_ok=True)
    # In one step: a decoder without its control would be scored alone.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".fit-") as scratch:
        part = Path(scratch) / out.name
        write_bundle(part, manifest, gathered.montage, tensors, report, pictures=pictures)
        if done.model is not None:
            _write_linear(done, free_s, part / "controls" / LINEAR)
        os.replace(part, out)


def _write_linear(done: FitResult, free_s: float, folder: Path) -> None:
    """The control that `rtbrain evaluate` decodes beside the decoder."""
    gathered = done.gathered
    fitted = fit_readout(select_rows(gathered, LINEAR), free_s, done.settings.max_windows)
    recipe = linear_recipe(done.recipe)
    manifest, tensors = bundle_parts(
        recipe,
        None,
        gathered.pipeline,
        fitted.readout,
        gathered.labelled.names,
        gathered.montage,
        done.trained_on,
        feature_mean=fitted.feature_mean,
    )
    write_bundle(folder, manifest, gathered.montage, tensors, {"control_of": done.recipe.mode})
