"""From settings to a bundle with its report, its pictures and its controls."""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .fit_features import (
    FROZEN,
    LINEAR,
    MAIN,
    Gathered,
    embargo_s,
    gather_all,
    linear_recipe,
    model_of,
    recipe_of,
)
from .fit_scores import Scored, fit_rows, named_scores, rows_of, score_all, with_tuned
from .fit_tuned import Tuned, tune

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtbrain.config import FitSettings, LabelSettings, Recipe
    from rtbrain.encoder import EncoderModel
    from rtbrain.stream.recording import Recording


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """All that a bundle is written from."""

    settings: "FitSettings"
    labels: "LabelSettings"
    recipe: "Recipe"
    model: "EncoderModel | None"
    encoder_state: str
    encoder: str
    gathered: Gathered
    scored: Scored
    tuned: Tuned | None
    trained_on: str


def fit(settings: "FitSettings", out: Path) -> None:
    """Fit, score and write a decoder.

    Raises
    ------
    RtbrainError
        Settings, labels or recordings do not do.
    """
    from rich.console import Console

    from rtbrain.encoder import EncoderModel
    from rtbrain.errors import SettingsError

    from .fit_inputs import opened, with_tasks
    from .fit_report import closing_table

    console, started = Console(), time.monotonic()
    recipe = recipe_of(settings)
    free_s = embargo_s(settings, recipe)
    model, state, which = model_of(settings, recipe)
    if settings.tune == "popt" and (model is None or model.popt is None):
        raise SettingsError(
            "tune popt: the recipe has no PopT; set encoder.popt, as edge does, or tune readout"
        )
    with opened(
        settings.recordings,
        stream=settings.stream,
        sfreq_hz=settings.sfreq_hz,
        scale=settings.scale,
    ) as found:
        asked = settings.labels
        if asked is None:
            raise SettingsError("no labels: name classes, events, a channel or a task")
        recordings, labels = with_tasks(asked, settings.recordings, found)
        gathered = gather_all(console, settings, recipe, model, recordings, labels)
        told = _told(recordings)
    if labels.threshold == "half" and len(recordings) == 1:
        # Half of what was fitted on, whatever the range of the next recording.
        asked = asked.model_copy(update={"threshold": gathered.threshold})
    scored = score_all(
        console, gathered, settings.splits, free_s, settings.shifts, settings.most_windows
    )
    tuned = None
    if settings.tune == "popt" and model is not None:
        tuned = tune(console, gathered, model, scored.folds, free_s, settings.tune_steps)
        scored = with_tuned(gathered, scored, tuned.validated, free_s)
        model = EncoderModel(model.brainbert, tuned.whole.popt, model.pool, model.n_pooled)
    done = Fit(settings, asked, recipe, model, state, which, gathered, scored, tuned, told)
    report = _report(done, free_s)
    _write(done, report, free_s, out)
    console.print(closing_table(report))
    console.print(f"{out.name}: written in {time.monotonic() - started:.0f} s")


def _told(recordings: "Sequence[Recording]") -> str:
    seconds = sum(each.n_samples / each.montage.sfreq_hz for each in recordings)
    synthetic = any("is synthetic" in note for each in recordings for note in each.notes)
    kind = "synthetic recording" if synthetic else "recording"
    return f"{len(recordings)} {kind}{'s' if len(recordings) > 1 else ''}, {seconds:.0f} s"


def _report(done: Fit, free_s: float) -> dict[str, Any]:
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
        report["shifted_labels"] = _chance(scored)
    if scored.unsafe is not None:
        report["unsafe_random_split"] = {
            "pooled": scored.unsafe.pooled,
            "why_not": "windows at random share samples and slow drift with the windows that they "
            "are tested on: what this scores above the blocks of time is leakage",
        }
    return report


def _chance(scored: Scored) -> dict[str, Any]:
    """What the readout scores on shifted labels: PopT is not tuned again for each of them."""
    chance = scored.chance
    if chance is None:
        return {}
    pooled = scored.validated[FROZEN if FROZEN in scored.validated else MAIN].pooled
    return {
        name: {
            "interval_95": chance.interval(name),
            "p": chance.p_value(name, pooled[name]),
            "shifts": int(values.size),
        }
        for name, values in chance.pooled.items()
    }


def _write(done: Fit, report: Mapping[str, Any], free_s: float, out: Path) -> None:
    from rtbrain.bundling import bundle_parts
    from rtbrain.decoder import write_bundle

    from .fit_figures import pictures_of

    gathered = done.gathered
    if done.tuned is None:
        fitted = fit_rows(rows_of(gathered, MAIN), free_s, done.settings.most_windows)
        readout, feature_mean = fitted.readout, fitted.feature_mean
        report = dict(report) | {"c": fitted.c, "temperature": fitted.temperature}
    else:
        readout, feature_mean = done.tuned.whole.readout, done.tuned.whole.feature_mean
    manifest, tensors = bundle_parts(
        done.recipe,
        done.model,
        gathered.encoding,
        readout,
        gathered.labelled.names,
        gathered.montage,
        done.trained_on,
        feature_mean=feature_mean,
    )
    manifest = manifest.model_copy(update={"encoder_state": done.encoder_state})
    pictures = pictures_of(gathered, done.scored, readout, linear=done.model is None)
    out.parent.mkdir(parents=True, exist_ok=True)
    # In one step: a decoder without its control would be scored alone.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".fit-") as scratch:
        part = Path(scratch) / out.name
        write_bundle(part, manifest, gathered.montage, tensors, report, pictures=pictures)
        if done.model is not None:
            _write_linear(done, free_s, part / "controls" / LINEAR)
        os.replace(part, out)


def _write_linear(done: Fit, free_s: float, folder: Path) -> None:
    """The control that `rtbrain evaluate` decodes beside the decoder."""
    from rtbrain.bundling import bundle_parts
    from rtbrain.decoder import write_bundle

    gathered = done.gathered
    fitted = fit_rows(rows_of(gathered, LINEAR), free_s, done.settings.most_windows)
    recipe = linear_recipe(done.recipe)
    manifest, tensors = bundle_parts(
        recipe,
        None,
        gathered.encoding,
        fitted.readout,
        gathered.labelled.names,
        gathered.montage,
        done.trained_on,
        feature_mean=fitted.feature_mean,
    )
    write_bundle(folder, manifest, gathered.montage, tensors, {"control_of": done.recipe.mode})
