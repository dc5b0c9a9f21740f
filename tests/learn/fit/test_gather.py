"""Recordings gathered for a fit: any montage, and labels of the time that they are taken from."""

from dataclasses import replace

import numpy as np
import pytest

import rtbrain
from rtbrain.bundling import describe_population, encoder_of_recipe
from rtbrain.config import FitSettings, LabelSettings, Recipe, load_settings
from rtbrain.encoder import PopTSizes
from rtbrain.encoder.models.brainbert import BRAINBERT_SIZES, BrainBERTSizes
from rtbrain.encoder.models.popt import POPT_SIZES
from rtbrain.learn.fit.front_end.recipes import fit_recipe
from rtbrain.learn.fit.gather import model_of
from rtbrain.learn.fit.inputs import label_windows, lagged_targets, virtual_session
from rtbrain.learn.report.page import fit_page
from rtbrain.recording.recording import Event, Recording
from tests.conftest import montage_of


def test_a_lag_at_which_a_class_has_no_window_ends_no_fit() -> None:
    events = Event(0.0, 0.0, "rest"), Event(9.7, 0.0, "speech")
    recording = Recording(
        montage_of(2, 100.0), 1000, lambda a, b: np.zeros((2, b - a), np.float32), events=events
    )
    labels, recipe = LabelSettings(classes=("rest", "speech")), load_settings("linear", Recipe)
    session, t_stop = virtual_session(recording, labels), np.arange(50, 101) / 10
    labelled = label_windows(recording, session, labels, recipe.window, t_stop, 0.2)
    found = lagged_targets(recording, session, labels, recipe, t_stop, labelled, True)
    assert found[0.0].tolist() == [0] * 47 + [1] * 4
    assert set(found[0.6].tolist()) == {-1}


TRAINED = {"streaming": "trained streaming", "edge": "trained compact", "published": "random"}


@pytest.mark.parametrize("recipe", TRAINED)
def test_every_ready_made_recipe_is_fitted_on_a_recording_without_positions(
    monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    monkeypatch.setitem(BRAINBERT_SIZES, "large", BrainBERTSizes(24, 32, 2, 1))
    monkeypatch.setitem(POPT_SIZES, "published", PopTSizes(24, 32, 40, 2, 1))
    patient = rtbrain.read("synthetic:3,duration_s=32,n_channels=6", sfreq_hz=2048)
    bare = replace(patient, montage=replace(patient.montage, positions=None, space=None))
    decoder = rtbrain.fit(
        bare, classes=["rest", "speech"], recipe=recipe, n_folds=2, n_permutations=0, seeds=1
    )
    said = decoder.report["population"]
    assert said.startswith("no contact has a position: the Population Transformer takes")
    assert f"{said}; --population none leaves it out" in decoder.notes
    assert decoder.report["encoder"].startswith(TRAINED[recipe])
    state = "untrained" if recipe == "published" else "pretrained"
    assert decoder.bundle.manifest.encoder_state == state
    assert (decoder.scores.cells["random init"][0] == "is the decoder") == (state == "untrained")
    assert any("it learned nothing" in note for note in decoder.notes) == (state == "untrained")
    assert decoder.bundle.montage.positions is None  # what is made up is not stored as measured
    assert describe_population(decoder.bundle.recipe, decoder.bundle.montage) == said
    page = fit_page(decoder.bundle, {})
    assert all(part in page for part in (said, decoder.report["simplest"]["text"]))
    decodes = decoder.decode(rtbrain.read("synthetic:3,duration_s=8,n_channels=6", sfreq_hz=2048))
    assert decodes.valid.any()


def test_the_population_transformer_is_left_out_on_request() -> None:
    settings = FitSettings(recipe="edge", population="none")
    recipe = fit_recipe(settings)
    model, state, told = model_of(settings, recipe)
    assert model is not None
    assert model.popt is None
    assert (state, told.split(" (")[0]) == ("pretrained", "trained compact")
    said = describe_population(recipe, montage_of(6, 2048.0))
    assert said == "no Population Transformer: the readout reads all contacts in a row"
    assert fit_recipe(FitSettings(population="none")) == load_settings("linear", Recipe)


def test_at_events_a_streaming_encoder_pools_whole_patches_of_the_window() -> None:
    labels = LabelSettings(events=("go",), rest=True)
    settings = FitSettings(recipe="streaming", labels=labels, window=(0.0, 1.0))
    recipe = fit_recipe(settings)
    assert recipe.encoder.n_pooled == 30  # of 33 frames, in patches of 5
    assert encoder_of_recipe(recipe) is not None
