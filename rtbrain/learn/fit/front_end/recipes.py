"""Recipe of a fit: what its settings make of the one that they name."""

from collections.abc import Callable
from dataclasses import replace

from rtbrain.build import SETTLING_S
from rtbrain.config import RUNNING, FitSettings, Recipe, load_settings, parse_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.features import LEAST_EMBARGO_S
from rtbrain.learn.fit.front_end.names import (
    AUTO,
    OWN,
    FrontEnd,
    candidates,
    own_front_end,
    parse_front_end,
    possible_references,
)
from rtbrain.learn.fit.front_end.passes import wide_recipe
from rtbrain.learn.fit.inputs import STAGES
from rtbrain.recording.braintreebank_tasks import WINDOWS_S
from rtbrain.types import Montage


def fit_recipe(settings: FitSettings) -> Recipe:
    """Recipe that the settings name, with their window where they give one."""
    if isinstance(settings.recipe, str):
        recipe = load_settings(settings.recipe, Recipe)
    else:
        recipe = parse_settings(settings.recipe, Recipe, where="recipe")
    if settings.front_end not in (AUTO, OWN):
        parse_front_end(settings.front_end, recipe)  # refused before anything is read
    mains_hz = None if settings.mains_hz == "auto" else settings.mains_hz
    population = settings.population == "popt" and not (settings.encoder and not settings.popt)
    recipe = recipe.adapt(mains_hz=mains_hz, hop_s=settings.hop_s, population=population)
    labels = settings.labels
    if labels is None or (labels.events is None and labels.task is None):
        return _with_front_end(settings, recipe)
    if settings.window is not None:
        start_s, stop_s = settings.window
    elif labels.task is not None:
        start_s, stop_s = WINDOWS_S[labels.rules]
    else:
        start_s, stop_s = 0.0, recipe.window.length_s
    values = recipe.model_dump(mode="json", exclude_unset=True)
    values["window"] = {"mode": "event", "length_s": stop_s - start_s, "offset_s": start_s}
    values.pop("smoothing_s", None)
    if isinstance(settings.recipe, str) and recipe.spectrogram.form in RUNNING:
        # Ready-made recipes read the newest frames; at an event its whole window is meant.
        n_frames = recipe.spectrogram.count_frames(stop_s - start_s)
        # A streaming encoder pools whole patches, as its recipe does.
        patch = recipe.encoder.n_pooled if recipe.mode == "streaming" else 1
        n_pooled = max(1, n_frames // patch) * patch
        values["encoder"] = values.get("encoder", {}) | {"n_pooled": n_pooled}
    return _with_front_end(settings, parse_settings(values, Recipe, where="recipe"))


def _with_front_end(settings: FitSettings, recipe: Recipe) -> Recipe:
    if settings.front_end in (AUTO, OWN):
        return recipe
    return parse_front_end(settings.front_end, recipe).recipe(recipe)


def searched_recipe(
    settings: FitSettings, recipe: Recipe, montage: Montage, on_note: Callable[[str], None]
) -> tuple[Recipe, list[FrontEnd]]:
    """Recipe to begin with, and the front ends to choose among; none where it is fixed.

    The recipe's own, but without a reference that the labels do not allow.
    """
    if not _is_searched(settings):
        return recipe, []
    references = possible_references(recipe, montage)
    default = own_front_end(recipe)
    if default.reference not in references:
        on_note(
            f"reference {default.reference} needs labels such as A1, A2, A3: the contacts are "
            "taken as they are given"
        )
        default = replace(default, reference="as_given")
        recipe = default.recipe(recipe)
    return recipe, list(candidates(recipe, references))


def embargo_s(settings: FitSettings, recipe: Recipe) -> float:
    """Gap between training and test, s."""
    embargo, length_s = settings.splits.embargo_s, recipe.window.length_s
    which, others = "the window", ""
    if _is_searched(settings):
        wide = wide_recipe(recipe, list(candidates(recipe, ["as_given"])))
        if embargo is not None and length_s <= embargo < wide.window.length_s:
            which = f"the longest window that front_end {AUTO} chooses among,"
            others = f", or keep the recipe's window of {length_s:g} s (--front-end {OWN})"
        length_s = wide.window.length_s
    if embargo is not None and embargo < length_s:
        raise SettingsError(
            f"splits.embargo_s: {embargo:g} s is shorter than {which} of {length_s:g} s, so that "
            f"training and test would share samples: lengthen it, or leave it out{others}"
        )
    return embargo or max(length_s, LEAST_EMBARGO_S) + SETTLING_S


def stages_of(settings: FitSettings) -> dict[str, dict[str, float]]:
    """Stages of a fit, with those pieces that its settings do not leave out."""
    absent = set() if _is_searched(settings) else {"front ends", "chosen front ends"}
    if not settings.detect:
        absent |= {"held-out decodes", "thresholds"}
    if settings.tune != "popt":
        absent.add("tuning PopT")
    return {
        name: {words: usual for words, usual in pieces.items() if words not in absent}
        for name, pieces in STAGES.items()
    }


def _is_searched(settings: FitSettings) -> bool:
    return settings.front_end == AUTO and settings.recipe == "linear"


def linear_recipe(recipe: Recipe) -> Recipe:
    """The same front end without an encoder; it reads the frames that the encoder pools."""
    values = recipe.model_dump(mode="json", exclude_unset=True)
    values["mode"] = "linear"
    values["encoder"] = {"pool": recipe.encoder.pool, "n_pooled": recipe.encoder.n_pooled}
    return parse_settings(values, Recipe, where="recipe")
