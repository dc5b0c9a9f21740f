"""bioFAME: its filter against the published formula, any length, its compiled form, its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rtbrain.encoder import (
    BioFAME,
    BioFAMESizes,
    EncoderModel,
    PopTSizes,
    TorchScriptRuntime,
    compile_torchscript,
    load_encoder,
    random_encoder,
    save_encoder,
)
from rtbrain.encoder.models.patch_encoders import BIOFAME_SIZES, FrequencyFilter
from rtbrain.errors import CompiledModelError

torch.set_num_threads(1)

SIZES = BioFAMESizes(16, 24, 4, 3, input_dim=10)
POPT = PopTSizes(input_dim=16, hidden_dim=32, layer_dim_feedforward=40, n_head=4, n_layers=2)


def made(seed: int = 0) -> BioFAME:
    module = random_encoder(SIZES, seed)
    with torch.no_grad():  # at their first size the filters hardly mix
        for layer in module.layers:
            layer.filter.weight.mul_(30)  # type: ignore[union-attr, operator]
    return module


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30)
@given(
    n_tokens=st.integers(1, 40),
    n_heads=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_the_filter_is_the_published_pool_over_heads_in_the_frequency_domain(
    n_tokens, n_heads, seed
):
    torch.manual_seed(seed)
    filters = FrequencyFilter(6, n_heads)
    x = draw(3, n_tokens, 6, seed=seed).double().numpy()
    weight = filters.weight.detach().double().numpy()
    spectrum = np.fft.rfft(x, axis=1)[:, :, None] * (weight[..., 0] + 1j * weight[..., 1])
    best = np.abs(spectrum).argmax(axis=2)[:, :, None]
    pooled = np.take_along_axis(spectrum, best, axis=2)[:, :, 0]
    expected = np.fft.irfft(pooled, n_tokens, axis=1)
    given_back = filters(torch.from_numpy(x)).detach().numpy()
    assert given_back.dtype == np.float32
    np.testing.assert_allclose(given_back, expected, rtol=0, atol=1e-6)


def test_one_head_a_feature_wins_for_every_input_and_gets_all_of_the_gradient():
    torch.manual_seed(0)
    filters = FrequencyFilter(6, 8)
    filters(draw(5, 20, 6)).square().sum().backward()
    assert filters.weight.grad is not None
    reached = filters.weight.grad.abs().sum(-1) > 0
    assert reached.sum(0).tolist() == [1] * 6
    assert torch.equal(reached.int().argmax(0), filters.weight.square().sum(-1).argmax(0))


def test_the_same_weights_take_any_number_of_tokens():
    module = made()
    with torch.no_grad():
        for n_tokens in (1, 2, 50, 333, 500):
            assert module(draw(2, n_tokens, 10)).shape == (2, n_tokens, 16)
    assert not [name for name, _ in module.named_buffers()]


def test_a_rhythm_held_twice_as_long_has_the_same_hidden_states():
    """Circular in time: a periodic input gives a periodic output, of whatever length."""
    module, once = made(), draw(1, 24, 10)
    with torch.no_grad():
        twice = module(torch.cat((once, once), dim=1))
        assert torch.allclose(twice[:, :24], module(once), atol=1e-5)
        assert torch.allclose(twice[:, 24:], module(once), atol=1e-5)


def test_tokens_are_mixed_both_ways_in_time():
    module, patches = made(), draw(1, 31, 10)
    other = patches.clone()
    other[0, 15] += 1
    with torch.no_grad():
        moved = (module(other) - module(patches)).abs().amax(-1)[0]
    assert (moved > 1e-6).all()


def test_the_published_size_has_this_number_of_parameters():
    counts = {
        name: sum(each.numel() for each in BioFAME(sizes).parameters())
        for name, sizes in BIOFAME_SIZES.items()
    }
    assert counts == {"published": 72768, "small": 37056, "compact": 38976}


@pytest.mark.parametrize("pool", ["centre", "last"])
@pytest.mark.parametrize("n_pooled", [1, 5, 12])
def test_the_embedding_is_the_mean_of_the_pooled_hidden_states(pool, n_pooled):
    module, patches = made(), draw(4, 12, 10)
    start = 12 - n_pooled if pool == "last" else 6 - n_pooled // 2
    with torch.no_grad():
        expected = module(patches)[:, start : start + n_pooled].mean(1)
        assert torch.allclose(module.embed(patches, pool, n_pooled), expected, atol=1e-5)


def test_sizes_that_cannot_be_are_refused():
    for wrong in ((15, 24, 4, 3, 10), (16, 24, 0, 3, 10)):
        with pytest.raises(ValueError, match="must be"):
            BioFAMESizes(*wrong)


@pytest.mark.parametrize("popt", [True, False])
def test_compiled_equals_eager_at_more_than_one_length(tmp_path: Path, popt: bool):
    population = random_encoder(POPT, 1) if popt else None
    eager = EncoderModel(made(), population, "last", 4).eval()
    positions = torch.randint(0, 200, (5, 3), generator=torch.Generator().manual_seed(0))
    good = torch.tensor([1, 0, 1, 1, 1], dtype=torch.bool)
    with pytest.raises(CompiledModelError, match="pools 4 frames, the spectrogram has 3"):
        compile_torchscript(eager, (5, 3, 10), cache_folder=tmp_path)
    for n_patches in (16, 33):
        path = compile_torchscript(eager, (5, n_patches, 10), cache_folder=tmp_path)
        runtime = TorchScriptRuntime(path, positions.numpy())
        patches = draw(5, n_patches, 10)
        patches[1] = torch.nan
        with torch.inference_mode():
            expected = eager(patches, positions, good)
        for mine, theirs in zip(runtime(patches.numpy(), good.numpy()), expected, strict=True):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5)


def test_weights_come_back_from_a_folder(tmp_path: Path):
    module, patches = made(7), draw(2, 8, 10)
    save_encoder(module, tmp_path / "mine")
    again = load_encoder(tmp_path / "mine")
    assert isinstance(again, BioFAME)
    with torch.no_grad():
        assert torch.equal(again.embed(patches, "last", 3), module.embed(patches, "last", 3))
