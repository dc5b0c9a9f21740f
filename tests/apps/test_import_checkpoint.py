import json
import os
from pathlib import Path

import pytest
import torch
import typer
from rtbrain.apps import import_checkpoint
from typer.testing import CliRunner

from rtbrain.encoder import BrainBERTSizes, load_encoder, random_encoder
from rtbrain.errors import CheckpointError

SIZES = BrainBERTSizes(hidden_dim=12, layer_dim_feedforward=20, nhead=2, encoder_num_layers=2)


def invoke(*arguments: object):
    app = typer.Typer()
    app.command()(import_checkpoint.command)
    return CliRunner().invoke(app, [str(item) for item in arguments])


def checkpoint(file: Path, model: object) -> Path:
    config = {"nhead": 2, "hidden_dim": 12, "layer_dim_feedforward": 20}
    config |= {"encoder_num_layers": 2, "input_dim": 40}
    torch.save({"model": model, "model_cfg": config}, file)
    return file


def test_hash_and_sizes_are_printed(tmp_path):
    file = checkpoint(tmp_path / "a.pth", random_encoder(SIZES, 0).state_dict())
    result = invoke("brainbert", file, tmp_path / "out")
    assert result.exit_code == 0
    note = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert f"SHA-256 of a.pth: {note['source_sha256']}\n" in result.output
    assert "hidden_dim=12" in result.output
    assert load_encoder(tmp_path / "out").sizes == SIZES


def test_a_checkpoint_with_code_in_it_ends_in_one_error(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    result = invoke("brainbert", checkpoint(tmp_path / "bad.pth", Payload()), tmp_path / "out")
    assert isinstance(result.exception, CheckpointError)
    assert "mkdir" in str(result.exception)
    assert not (tmp_path / "ran").exists()


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["brainbert", "popt"])
def test_released_layouts_are_imported(shared, tmp_path, kind):
    file = shared / "golden" / f"{kind}_tiny.pth"
    result = invoke(kind, file, tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert invoke(kind, file, tmp_path / "out").exit_code == 1
