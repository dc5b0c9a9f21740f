"""Trained encoders by name or folder: what is found, and what is refused."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from rtbrain.encoder import (
    BrainBERTSizes,
    PopTSizes,
    load_trained,
    random_encoder,
    save_encoder,
    trained_folders,
    weights_sha256,
)
from rtbrain.encoder import trained as trained_module
from rtbrain.errors import CheckpointError

BRAINBERT = BrainBERTSizes(16, 32, 2, 1)
POPT = PopTSizes(16, 16, 32, 2, 1)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    save_encoder(random_encoder(BRAINBERT, 1), folder / "brainbert")
    save_encoder(random_encoder(POPT, 2), folder / "popt")
    return folder


def test_both_encoders_of_a_folder_come_back_with_their_weights(trained: Path) -> None:
    brainbert, popt = load_trained(str(trained))
    assert popt is not None
    expected = random_encoder(POPT, 2).state_dict()
    for name, tensor in popt.state_dict().items():
        assert torch.equal(tensor, expected[name])
    assert brainbert.sizes == BRAINBERT


def test_a_brainbert_alone_is_enough(trained: Path) -> None:
    for file in (trained / "popt").iterdir():
        file.unlink()
    (trained / "popt").rmdir()
    assert load_trained(str(trained))[1] is None


def test_encoders_that_ship_are_found_by_name(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trained_module._SHIPPED_FOLDERS, "compact", trained)
    assert trained_folders("compact") == (trained / "brainbert", trained / "popt")


def test_the_digest_is_that_of_the_files_one_after_the_other(trained: Path) -> None:
    parts = [trained / "brainbert", trained / "popt"]
    data = b"".join((part / "weights.safetensors").read_bytes() for part in parts)
    assert weights_sha256(parts) == hashlib.sha256(data).hexdigest()
    with pytest.raises(CheckpointError, match="cannot be read"):
        weights_sha256([trained])


def test_what_holds_no_trained_brainbert_is_refused_in_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trained_module._SHIPPED_FOLDERS, "compact", tmp_path / "absent")
    alone, swapped = tmp_path / "alone", tmp_path / "swapped"
    save_encoder(random_encoder(POPT, 2), alone / "popt")
    save_encoder(random_encoder(POPT, 2), swapped / "brainbert")
    wrong = {
        "compact": "ships no such encoders",
        str(tmp_path / "nowhere"): "no such folder",
        str(alone): "expected a folder brainbert/ in it",
        str(swapped): "expected a brainbert, found a popt",
    }
    for weights, part in wrong.items():
        with pytest.raises(CheckpointError, match=part) as caught:
            load_trained(weights)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [trained_module.SHIPPED, trained_module.SHIPPED_STREAMING])
def test_the_encoders_that_ship_fit_each_other_and_say_how_they_were_made(name: str) -> None:
    channel, popt = load_trained(name)
    assert popt is not None
    assert popt.sizes.input_dim == channel.sizes.hidden_dim
    folders = [folder for folder in trained_folders(name) if folder is not None]
    files = [path for folder in folders for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    for folder in folders:
        report = json.loads((folder / "report.json").read_text())
        assert report["steps"] == report["settings"]["steps"]
        assert report["settings"]["seed"] == 0
        learned = {int(subject.split("-")[1]) for subject in report["corpus"]["learned"]}
        assert len(learned) > 50
        assert max(learned) < 200  # patients from there on are held out of all that ships
