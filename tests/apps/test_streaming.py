"""The streaming mode through the commands: embed, fit, evaluate and show."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtbrain.config import DemoSettings, Recipe, load_settings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.encoder import (
    PopTSizes,
    StreamingBERT,
    StreamingBERTSizes,
    load_encoder,
    random_encoder,
    save_encoder,
)
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like

SFREQ_HZ = 2048
SIZES = StreamingBERTSizes(16, 32, 2, 2, 5, 41)
PATIENT = "synthetic:3,duration_s=45,n_channels=8"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "mine"
    save_encoder(random_encoder(SIZES, 4), folder / "streaming")
    save_encoder(random_encoder(PopTSizes(16, 24, 32, 2, 1), 5), folder / "popt")
    return folder


def test_a_recording_is_embedded_frame_after_frame(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "three.npy"
    np.save(path, brain_like(3, 5 * SFREQ_HZ + 1200, SFREQ_HZ))
    flags = ("--sfreq", SFREQ_HZ, "--encoder", weights / "streaming", "--pool", "last")
    done = rtbrain("embed", path, *flags, "--form", "running", "--out", tmp_path / "o.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "o.npz") as arrays:
        got = dict(arrays)
    # Windows 500 samples apart: ten new frames each.
    frames = np.concatenate([got["spectrogram"][0], *got["spectrogram"][1:, :, -10:]], axis=1)
    model = load_encoder(weights / "streaming")
    assert isinstance(model, StreamingBERT)
    for number, embedding in enumerate(got["embedding"]):
        stop = frames.shape[1] - 10 * (len(got["embedding"]) - 1 - number)
        with torch.inference_mode():
            expected = model.embed(torch.from_numpy(frames[:, :stop]), "last", 10).numpy()
        np.testing.assert_allclose(embedding, expected, atol=1e-5)
    line = refused("embed", path, *flags, "--form", "running", "--out", tmp_path / "p", "--hidden")
    assert "leave --hidden out" in line
    line = refused("embed", path, *flags, "--out", tmp_path / "p.npz")
    assert "StreamingBERT reads running spectrograms" in line
    line = refused("embed", path, *flags[:4], "--form", "running", "--out", tmp_path / "p.npz")
    assert "set pool to last" in line


def test_a_decoder_is_fitted_scored_and_shown(tmp_path: Path, weights: Path) -> None:
    recipe = load_settings("streaming", Recipe).model_dump(mode="json", exclude_unset=True)
    recipe["encoder"] = {"pool": "last", "n_pooled": 5, "weights": str(weights)}
    config = tmp_path / "fit.yaml"
    settings = {"recipe": recipe, "labels": {"classes": ["rest", "speech"]}}
    settings |= {"splits": {"n_folds": 2}, "n_permutations": 20, "seeds": 1, "max_windows": 150}
    config.write_text(json.dumps(settings))  # JSON is YAML
    bundle = tmp_path / "bundle"
    done = rtbrain("fit", PATIENT, "--sfreq", SFREQ_HZ, "--config", config, "--out", bundle)
    assert done.returncode == 0, done.stderr
    report = read_bundle(bundle).report
    assert report["scores"]["decoder"]["pooled"]["auc"] > 0.6
    done = rtbrain("evaluate", bundle, PATIENT, "--sfreq", SFREQ_HZ)
    assert done.returncode == 0, done.stderr
    done = rtbrain("inspect", bundle)
    assert done.returncode == 0, done.stderr
    assert "streaming, encoder pretrained" in done.stdout
    for asked in ({"runtime": "openvino"}, {"precision": "bf16"}):
        live = tmp_path / "live.yaml"
        live.write_text(json.dumps({"stream": {"name": "there is none"}} | asked))
        line = refused("decode", "--config", live, "--bundle", bundle)
        assert "torchscript in fp32 only" in line, "before it looks for the stream"


def test_the_demo_knows_the_mode() -> None:
    settings = parse_settings({"mode": "streaming"}, DemoSettings, where="test")
    assert settings.mode == "streaming"
