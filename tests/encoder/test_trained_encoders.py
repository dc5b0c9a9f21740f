"""Trained weights in use: from a recipe into a bundle, and out of it into decodes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import (
    build_decoder,
    bundle_parts,
    describe_encoder,
    encoder_of_recipe,
    model_of_bundle,
)
from rtbrain.config import FitSettings, Recipe, load_settings, parse_settings
from rtbrain.decoder import Bundle, LinearReadout, read_bundle, write_bundle
from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    PopTSizes,
    load_trained,
    random_control,
    random_encoder,
    save_encoder,
)
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.fit.gather import model_of
from rtbrain.pipeline import FeaturePipeline
from rtbrain.types import Chunk, Floats
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(8, SFREQ_HZ)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "mine"
    brainbert = random_encoder(BrainBERTSizes(16, 32, 2, 1), 11)
    save_encoder(brainbert, folder / "brainbert")
    save_encoder(random_encoder(PopTSizes(16, 16, 32, 2, 1), 12), folder / "popt")
    return folder


def recipe_with(**encoder: Any) -> Recipe:
    values = load_settings("edge", Recipe).model_dump(mode="json", exclude_unset=True)
    values["encoder"] = {"pool": "last", "n_pooled": 10, "weights": "random"} | encoder
    return parse_settings(values, Recipe, where="test")


def written(recipe: Recipe, folder: Path) -> tuple[Bundle, FeaturePipeline]:
    """A bundle with a random readout, and the stages that it was made from."""
    model = encoder_of_recipe(recipe)
    features = build_feature_pipeline(recipe, MONTAGE, model=model)
    rng = np.random.default_rng(5)
    weight = rng.normal(0, 0.25, (2, 16)).astype(np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    manifest, tensors = bundle_parts(
        recipe, model, features, readout, ("rest", "speech"), MONTAGE, "nothing"
    )
    tensors = {name: array for name, array in tensors.items() if "normaliser" not in name}
    write_bundle(folder, manifest, MONTAGE, tensors, {})
    return read_bundle(folder), features


def chunks() -> list[Chunk]:
    data = brain_like(MONTAGE.n_channels, round(6 * SFREQ_HZ), SFREQ_HZ)
    return cut(data, [3000, 5000], SFREQ_HZ)


def populations(features: FeaturePipeline) -> list[Floats]:
    return [
        features.encoder(features.spectrogram(window)).population
        for chunk in chunks()
        for window in features.cut(chunk)
    ]


def test_weights_travel_from_recipe_to_bundle_to_decoder(weights: Path, tmp_path: Path) -> None:
    recipe = recipe_with(weights=str(weights))
    bundle, features = written(recipe, tmp_path / "bundle")
    decoder, _ = build_decoder(bundle, MONTAGE)
    expected, found = populations(features), populations(decoder)
    assert len(expected) > 3
    np.testing.assert_array_equal(found, expected)
    carried = model_of_bundle(bundle)
    brainbert, _ = load_trained(str(weights))
    assert carried is not None
    assert carried.channel_encoder.sizes == brainbert.sizes
    assert bundle.manifest.encoder_state == "pretrained"


def test_a_bundle_tells_nothing_of_where_its_weights_lay(weights: Path, tmp_path: Path) -> None:
    bundle, _ = written(recipe_with(weights=str(weights)), tmp_path / "bundle")
    text = (tmp_path / "bundle" / "manifest.json").read_text()
    assert str(weights.parent) not in text
    assert bundle.manifest.recipe["encoder"]["weights"] is None
    assert describe_encoder(recipe_with(weights=str(weights))).startswith("trained mine (sha ")


def test_a_linear_bundle_forgets_weights_that_its_recipe_names(weights: Path) -> None:
    recipe = recipe_with(weights=str(weights)).model_copy(update={"mode": "linear"})
    features = build_feature_pipeline(recipe, MONTAGE)
    readout = LinearReadout(np.zeros((2, 8), np.float32), np.zeros(2, np.float32), "regression")
    manifest, _ = bundle_parts(recipe, None, features, readout, ("x", "y"), MONTAGE, "nothing")
    assert manifest.recipe["encoder"]["weights"] is None
    assert manifest.encoder_state == "none"


def test_random_encoders_are_told_by_their_seed(tmp_path: Path) -> None:
    small = {"brainbert": {"hidden_dim": 16, "layer_dim_feedforward": 32}, "popt": None}
    small["brainbert"] |= {"nhead": 2, "encoder_num_layers": 1}
    assert describe_encoder(recipe_with(seed=7)) == "random, seed 7"
    assert describe_encoder(load_settings("linear", Recipe)) == "none"
    model = encoder_of_recipe(recipe_with(**small))
    assert isinstance(model, EncoderModel)
    assert model.popt is None


@pytest.mark.parametrize("beside", [{"seed": 1}, {"brainbert": "compact"}, {"popt": "compact"}])
def test_weights_and_sizes_or_seed_exclude_each_other(beside: dict[str, Any]) -> None:
    (key,) = beside
    with pytest.raises(SettingsError, match=f"leave out {key}"):
        recipe_with(weights="compact", **beside)


def test_weights_may_be_used_without_their_population_transformer(weights: Path) -> None:
    model = encoder_of_recipe(recipe_with(weights=str(weights), popt=None))
    assert model is not None
    assert model.popt is None


def test_the_random_control_of_a_trained_encoder_is_random_and_of_its_sizes(weights: Path) -> None:
    recipe = recipe_with(weights=str(weights))
    settings = parse_settings({"recipe": recipe.model_dump(mode="json")}, FitSettings, where="t")
    model, state, told = model_of(settings, recipe)
    assert model is not None
    assert (state, told) == ("pretrained", describe_encoder(recipe))
    twin, other = random_control(model, 1000), random_control(model, 2000)
    assert twin.channel_encoder.sizes == model.channel_encoder.sizes
    assert twin.popt is not None
    assert model.popt is not None
    assert twin.popt.sizes == model.popt.sizes
    name = "transformer.layers.0.linear1.weight"
    trained, *controls = (each.channel_encoder.state_dict()[name] for each in (model, twin, other))
    assert all(not np.allclose(trained, control) for control in controls)
    assert not np.allclose(*controls)


def test_an_encoder_named_for_a_fit_replaces_that_of_the_recipe(weights: Path) -> None:
    settings = FitSettings(recipe="edge", encoder=weights / "brainbert")
    model, state, told = model_of(settings, load_settings("edge", Recipe))
    assert (state, told.split(" (")[0]) == ("pretrained", "trained brainbert")
    assert model is not None
    assert model.channel_encoder.sizes == BrainBERTSizes(16, 32, 2, 1)


def test_ready_made_recipes_are_trained_where_weights_ship() -> None:
    for name, told in (("streaming", "trained streaming"), ("edge", "trained compact")):
        recipe = load_settings(name, Recipe)
        assert describe_encoder(recipe).startswith(f"{told} (sha ")
        channel, popt = load_trained(str(recipe.encoder.weights))
        model = encoder_of_recipe(recipe)
        assert model is not None
        for made, shipped in ((model.channel_encoder, channel), (model.popt, popt)):
            assert made is not None
            assert shipped is not None
            of_shipped = shipped.state_dict()
            assert all(torch.equal(at, of_shipped[key]) for key, at in made.state_dict().items())
    assert describe_encoder(load_settings("published", Recipe)) == "random, seed 0"


def test_weights_are_random_only_where_the_recipe_says_so() -> None:
    with pytest.raises(SettingsError, match="mode edge names no weights: set encoder"):
        encoder_of_recipe(recipe_with(weights=None, brainbert="compact"))


def test_weights_that_do_not_read_the_recipe_are_refused_in_one_line() -> None:
    recipe = recipe_with(weights="compact")
    values = recipe.model_dump(mode="json", exclude_unset=True)
    values["spectrogram"] = {"form": "patches", "frame_s": 0.125}
    with pytest.raises(CheckpointError, match="weights compact: a BrainBERT reads spectrograms"):
        encoder_of_recipe(parse_settings(values, Recipe, where="test"))
