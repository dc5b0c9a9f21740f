"""Neuro-BERT: its parts against torch's own, its mask, its compiled form, its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtbrain.encoder import (
    EncoderModel,
    NeuroBERT,
    NeuroBERTSizes,
    PopTSizes,
    TorchScriptRuntime,
    compile_torchscript,
    load_encoder,
    random_encoder,
    save_encoder,
)
from rtbrain.encoder.models.patch_encoders import NEUROBERT_SIZES
from rtbrain.errors import CheckpointError, CompiledModelError

torch.set_num_threads(1)

SIZES = NeuroBERTSizes(24, 40, 3, 2, input_dim=10)
POPT = PopTSizes(input_dim=24, hidden_dim=32, layer_dim_feedforward=40, n_head=4, n_layers=2)


def made(seed: int = 0) -> NeuroBERT:
    module = random_encoder(SIZES, seed)
    with torch.no_grad():
        module.mask_token.normal_(generator=torch.Generator().manual_seed(seed))
    return module


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_patch_embedding_is_a_convolution_whose_hop_is_its_length() -> None:
    module, patches = made(), draw(3, 8, 10)
    convolution = nn.Conv1d(1, 24, 10, stride=10)
    with torch.no_grad():
        convolution.weight.copy_(module.in_proj.weight[:, None])
        convolution.bias.copy_(module.in_proj.bias)  # type: ignore[union-attr]
        expected = convolution(patches.reshape(3, 1, 80)).transpose(1, 2)
        layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(24, 3, 40, activation="gelu", batch_first=True),
            2,
            enable_nested_tensor=False,
        )
        layers.load_state_dict(module.transformer.state_dict())
        expected = layers.eval()(expected + module.positional_encoding.pe[:, :8])
        assert torch.allclose(module(patches), expected, atol=1e-5)


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    counts = {
        name: sum(each.numel() for each in NeuroBERT(sizes).parameters())
        for name, sizes in NEUROBERT_SIZES.items()
    }
    assert counts == {"published": 801312, "small": 409908, "compact": 106676}


@pytest.mark.parametrize("pool", ["centre", "last"])
@pytest.mark.parametrize("n_pooled", [1, 5, 12])
def test_the_embedding_is_the_mean_of_the_pooled_hidden_states(pool: str, n_pooled: int) -> None:
    module, patches = made(), draw(4, 12, 10)
    start = 12 - n_pooled if pool == "last" else 6 - n_pooled // 2
    with torch.no_grad():
        expected = module(patches)[:, start : start + n_pooled].mean(1)
        assert torch.allclose(module.embed(patches, pool, n_pooled), expected, atol=1e-5)


def test_a_hidden_patch_is_not_read_and_the_others_are() -> None:
    module, patches = made(), draw(2, 6, 10)
    mask = torch.tensor([[0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]], dtype=torch.bool)
    other = patches.clone()
    other[mask] = torch.nan
    with torch.no_grad():
        hidden = module(patches, mask)
        assert torch.equal(module(other, mask), hidden)
        assert not torch.allclose(module(patches), hidden, atol=1e-2)
        patches[0, 0, 0] += 1
        assert not torch.allclose(module(patches, mask)[0], hidden[0], atol=1e-3)
        module.mask_token += 1
        assert not torch.allclose(module(patches, mask)[1], hidden[1], atol=1e-3)


def test_gradients_reach_every_weight_through_the_mask_and_the_decoders() -> None:
    module = made()
    mask = torch.arange(8) % 3 == 0
    amplitude, phase = module.amplitude_and_phase(module(draw(2, 8, 10), mask.expand(2, 8)))
    assert amplitude.shape == phase.shape == (2, 8, 6)
    (amplitude * phase.cos()).square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in module.parameters())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="positions"):
        made()(torch.zeros(1, 5001, 10))
    with pytest.raises(ValueError, match="cannot pool"):
        made().embed(torch.zeros(1, 5, 10), "last", 6)
    for wrong in ((24, 40, 5, 2, 10), (24, 40, 3, 0, 10), (24, 40, 3, 2, 1), (9, 40, 3, 2, 10)):
        with pytest.raises(ValueError, match="must be"):
            NeuroBERTSizes(*wrong)


@pytest.mark.parametrize("popt", [True, False])
def test_compiled_equals_eager_and_takes_its_shape_alone(tmp_path: Path, popt: bool) -> None:
    population = random_encoder(POPT, 1) if popt else None
    eager = EncoderModel(made(), population, "last", 4).eval()
    with pytest.raises(CompiledModelError, match="reads 10"):
        compile_torchscript(eager, (5, 16, 40), cache_folder=tmp_path)
    with pytest.raises(CompiledModelError, match="5000 positions"):
        compile_torchscript(eager, (5, 5001, 10), cache_folder=tmp_path)
    path = compile_torchscript(eager, (5, 16, 10), cache_folder=tmp_path)
    positions = torch.randint(0, 200, (5, 3), generator=torch.Generator().manual_seed(0))
    runtime = TorchScriptRuntime(path, positions.numpy())
    patches, good = draw(5, 16, 10), torch.tensor([1, 0, 1, 1, 1], dtype=torch.bool)
    patches[1] = torch.nan
    with torch.inference_mode():
        expected = eager(patches, positions, good)
    given = runtime(patches.numpy(), good.numpy())
    for mine, theirs in zip(given, expected, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)
    assert not given[0][1].any()


def test_weights_come_back_from_a_folder_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    module, patches = made(7), draw(2, 8, 10)
    save_encoder(module, tmp_path / "mine")
    again = load_encoder(tmp_path / "mine")
    assert isinstance(again, NeuroBERT)
    assert again.sizes == SIZES
    with torch.no_grad():
        assert torch.equal(again.embed(patches, "last", 3), module.embed(patches, "last", 3))
    note = tmp_path / "mine" / "encoder.json"
    note.write_text(note.read_text().replace('"neurobert"', '"brainbert"'))
    with pytest.raises(CheckpointError, match="is missing"):
        load_encoder(tmp_path / "mine")
