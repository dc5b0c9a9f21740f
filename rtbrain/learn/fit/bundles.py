"""Bundles of a fitted decoder, and of the controls that other recordings are scored with."""

from dataclasses import replace
from typing import Any

from rtbrain import encoder as encoders
from rtbrain.bundling import bundle_parts, random_twin
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import Bundle, Memory
from rtbrain.learn.fit.front_end.recipes import linear_recipe
from rtbrain.learn.fit.gather import LINEAR, OLD, RANDOM, LabelledFeatures
from rtbrain.learn.fit.readout import FittedReadout
from rtbrain.learn.fit.scores import select_rows
from rtbrain.learn.presets import default_detections


def fitted_bundle(
    gathered: LabelledFeatures,
    trained_on: str,
    recipe: Recipe,
    model: "encoders.EncoderModel | None",
    state: str,
    fitted: Any,
    report: dict[str, Any],
    neural_delay_s: float | None = None,
    memory: Memory | None = None,
) -> Bundle:
    """Bundle of a decoder, not yet written."""
    manifest, tensors = bundle_parts(
        recipe,
        model,
        gathered.pipeline,
        fitted.readout,
        gathered.labelled.names,
        gathered.montage,
        trained_on,
        feature_mean=fitted.feature_mean,
        neural_delay_s=neural_delay_s,
        memory=memory,
    )
    detect = default_detections(report)
    manifest = manifest.model_copy(update={"encoder_state": state, "detect": detect})
    parsed = parse_settings(manifest.recipe, Recipe, where="recipe")
    return Bundle(manifest, parsed, gathered.montage, tensors, report, "")


def control_bundles(
    gathered: LabelledFeatures,
    trained_on: str,
    model: "encoders.EncoderModel | None",
    linear: FittedReadout | None,
) -> dict[str, Bundle]:
    """Decoders that another recording is scored with as well; each describes the same moment."""
    recipe, at_s = gathered.recipe, gathered.label_delay_s
    of, controls = {"control_of": recipe.mode}, {}
    if linear is not None:
        control = linear_recipe(recipe)
        controls[LINEAR] = fitted_bundle(gathered, trained_on, control, None, "none", linear, of)
    before, pipeline = gathered.old
    fitted = select_rows(gathered, OLD).fit()
    with_old = replace(gathered, pipeline=pipeline)
    controls[OLD] = fitted_bundle(with_old, trained_on, before, None, "none", fitted, of, at_s)
    name = f"{RANDOM} 0"
    if model is not None and name in gathered.features.rows:
        twin, fitted = random_twin(model, recipe, 0), select_rows(gathered, name).fit()
        controls[RANDOM] = fitted_bundle(
            gathered, trained_on, recipe, twin, "untrained", fitted, of, at_s
        )
    return controls
