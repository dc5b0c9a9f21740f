"""Recipes of raw patches: built, embedded, bundled and decoded, with each encoder of waveforms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import (
    build_decoder,
    bundle_parts,
    encoder_of_recipe,
    model_of_bundle,
)
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import LinearReadout, read_bundle, write_bundle
from rtbrain.encoder import BioFAME, NeuroBERT, PopT, random_encoder, save_encoder
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.pipeline import FeaturePipeline
from rtbrain.types import Embedding, Floats
from tests.conftest import brain_like, cut, montage_of

torch.set_num_threads(1)

SFREQ_HZ, N_CHANNELS = 1024.0, 4
MONTAGE = montage_of(N_CHANNELS, SFREQ_HZ)
POPT = {"input_dim": 16, "hidden_dim": 24, "layer_dim_feedforward": 32, "n_head": 2, "n_layers": 1}
CHANNEL = {
    "hidden_dim": 16,
    "layer_dim_feedforward": 32,
    "nhead": 2,
    "encoder_num_layers": 2,
    "input_dim": 32,
}


def recipe_of(**encoder: Any) -> Recipe:
    values = {
        "mode": "edge",
        "signal": [{"notch": {"mains_hz": 60}}],
        "window": {"length_s": 1.0, "hop_s": 37 / SFREQ_HZ},  # no multiple of the patch
        "spectrogram": {"form": "patches", "frame_s": 32 / SFREQ_HZ},
        "encoder": {"pool": "last", "n_pooled": 4, "weights": "random"} | encoder,
    }
    return parse_settings(values, Recipe, where="test")


def embedded(features: FeaturePipeline, data: Floats, sizes: list[int]) -> list[Embedding]:
    windows = (each for chunk in cut(data, sizes, SFREQ_HZ) for each in features.cut(chunk))
    return [features.encode(window) for window in windows if window.quality.valid]


@pytest.mark.parametrize("popt", [POPT, None])
@pytest.mark.parametrize(("kind", "made"), [("neurobert", NeuroBERT), ("biofame", BioFAME)])
def test_a_decoder_of_patches_is_bundled_and_decodes(
    tmp_path: Path, kind: str, made: type, popt: dict[str, int] | None
) -> None:
    recipe = recipe_of(**{kind: CHANNEL, "popt": popt})
    model = encoder_of_recipe(recipe)
    assert model is not None
    assert isinstance(model.channel_encoder, made)
    features = build_feature_pipeline(recipe, MONTAGE, model=model)
    assert features.n_features == (N_CHANNELS * 16 if popt is None else 24)
    # Four patches of 32 samples end with the window: their middle lies 64 before its end.
    assert features.neural_delay_s == pytest.approx(63 / SFREQ_HZ)

    data = brain_like(N_CHANNELS, 2000, SFREQ_HZ, seed=3)
    whole = embedded(features, data, [])
    features.reset()
    pieces = embedded(features, data, [300, 1, 0, 77, 512])
    assert len(whole) == len(pieces) > 20
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one.population, other.population, atol=1e-4)

    rng = np.random.default_rng(0)
    readout = LinearReadout(
        rng.standard_normal((2, features.n_features)).astype(np.float32),
        np.zeros(2, np.float32),
        "classification",
    )
    manifest, tensors = bundle_parts(
        recipe, model, features, readout, ("rest", "speech"), MONTAGE, "nothing"
    )
    write_bundle(tmp_path / "bundle", manifest, MONTAGE, tensors, {})
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.recipe.encoder.channel_encoder == (kind, CHANNEL)
    again = model_of_bundle(bundle)
    assert again is not None
    assert isinstance(again.channel_encoder, made)
    decoder, read = build_decoder(bundle, MONTAGE)
    decodes = [read(each).values for each in embedded(decoder, data, [])]
    expected = [readout_of(readout, each) for each in whole]
    np.testing.assert_allclose(decodes, expected, atol=1e-4)
    assert np.std(decodes, axis=0).min() > 1e-4, "a constant would prove nothing"


def readout_of(readout: LinearReadout, embedding: Embedding) -> Floats:
    logits = readout.weight @ embedding.population + readout.bias
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def test_trained_weights_of_another_kind_are_named_by_their_folder(tmp_path: Path) -> None:
    from rtbrain.encoder import NeuroBERTSizes, PopTSizes

    trained = random_encoder(NeuroBERTSizes(**CHANNEL), 5)
    save_encoder(trained, tmp_path / "neurobert")
    save_encoder(random_encoder(PopTSizes(**POPT), 6), tmp_path / "popt")
    model = encoder_of_recipe(recipe_of(weights=str(tmp_path)))
    assert model is not None
    assert isinstance(model.channel_encoder, NeuroBERT)
    assert isinstance(model.popt, PopT)
    assert torch.equal(model.channel_encoder.in_proj.weight, trained.in_proj.weight)


def test_recipes_that_cannot_be_are_refused_in_one_line() -> None:
    def patches(**more: Any) -> dict[str, Any]:
        values = recipe_of(neurobert=CHANNEL, popt=None).model_dump(exclude_unset=True)
        return values | more

    wrong = {
        "keep one of biofame, neurobert": {"encoder": {"neurobert": CHANNEL, "biofame": CHANNEL}},
        "keep one of brainbert, neurobert": {
            "encoder": {"neurobert": "compact", "brainbert": "compact"}
        },
        "leave out neurobert": {"encoder": {"weights": "compact", "neurobert": "compact"}},
        "does not take n_freqs: leave it out": {
            "spectrogram": {"form": "patches", "frame_s": 0.1, "n_freqs": 3}
        },
        "published or superlet": {"mode": "published", "encoder": {"pool": "centre"}},
    }
    for message, change in wrong.items():
        with pytest.raises(SettingsError, match=message) as caught:
            parse_settings(patches(**change), Recipe, where="test")
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"encoder.biofame: no sizes 'huge'; known are"):
        encoder_of_recipe(recipe_of(biofame="huge"))
    odd = parse_settings(
        patches(spectrogram={"form": "patches", "frame_s": 16 / SFREQ_HZ}), Recipe, where="test"
    )
    with pytest.raises(CompiledModelError, match="reads 32"):
        build_feature_pipeline(odd, MONTAGE, model=encoder_of_recipe(odd))
