"""The TorchScript runtime: blocks of good channels, bfloat16, threads, and the plain modules."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    BioFAME,
    BioFAMESizes,
    BrainBERTSizes,
    EncoderModel,
    PopTSizes,
    TorchScriptRuntime,
    compile_population,
    compile_torchscript,
    random_encoder,
)
from rtbrain.encoder.runtimes.contract import (
    block_length,
    require_precision,
    require_small_error,
)
from rtbrain.encoder.runtimes.packed import pack_model
from rtbrain.encoder.runtimes.torchscript import open_torchscript
from rtbrain.encoder.runtimes.window_runtime import ChannelBlocks, on_threads
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Mask

torch.set_num_threads(1)

SIZES = BrainBERTSizes(hidden_dim=24, layer_dim_feedforward=40, nhead=3, encoder_num_layers=2)
POPT = PopTSizes(input_dim=24, hidden_dim=32, layer_dim_feedforward=40, n_head=4, n_layers=2)
SHAPE = (11, 21, 40)
RNG = np.random.default_rng(0)
POSITIONS = RNG.integers(0, 300, (11, 3))
NO_BF16 = "this CPU has no bfloat16"


def model(sizes: BrainBERTSizes = SIZES, popt: PopTSizes | None = POPT) -> EncoderModel:
    population = None if popt is None else random_encoder(popt, 1)
    return EncoderModel(random_encoder(sizes, 0), population).eval()


def has_bf16() -> bool:
    try:
        require_precision("bf16")
    except CompiledModelError:
        return False
    return True


def torchs_own(stack: nn.Module, n_features: int, n_heads: int, n_feedforward: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        n_features, n_heads, n_feedforward, activation="gelu", batch_first=True
    )
    weights = stack.state_dict()
    n_layers = sum(name.endswith("norm2.bias") for name in weights)
    plain = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
    plain.load_state_dict(weights)
    return plain.eval()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_torchscript(model(), SHAPE, cache_folder=tmp_path_factory.mktemp("cache"))


@given(
    st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 20), st.integers(0, 2**32 - 1)
)
def test_blocks_give_each_good_channel_its_own_and_read_no_other(
    good: list[bool], length: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spectrogram = rng.standard_normal((len(good), 3, 2), dtype=np.float32)
    spectrogram[~np.array(good)] = np.nan
    seen = []

    def encode(block: Floats) -> Floats:
        seen.append(block.copy())
        return block.sum(axis=1)

    given = ChannelBlocks(encode, (length, 3, 2), 2)(spectrogram, np.array(good))
    expected = np.where(np.array(good)[:, None], spectrogram.sum(axis=1), 0)
    assert np.array_equal(given, expected)
    assert all(block.shape == (length, 3, 2) and np.isfinite(block).all() for block in seen)
    assert len(seen) == -(-sum(good) // length)
    assert not seen or not seen[-1][(sum(good) - 1) % length + 1 :].any()


def test_narrow_encoders_take_longer_blocks() -> None:
    assert block_length(128, BRAINBERT_SIZES["large"].hidden_dim) == 8
    assert block_length(5, BRAINBERT_SIZES["large"].hidden_dim) == 5
    assert block_length(128, BRAINBERT_SIZES["compact"].hidden_dim) == 32


def test_blocks_of_a_window_equal_the_eager_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtbrain.encoder.runtimes.contract.block_length", lambda *_: 4)
    eager = model()
    path = compile_torchscript(eager, SHAPE, cache_folder=tmp_path)
    runtime = TorchScriptRuntime(path, POSITIONS)
    assert runtime.contract.block_length == 4
    for n_bad in (0, 2, 3, 10, 11):
        good = np.arange(11) >= n_bad
        RNG.shuffle(good)
        spectrogram = RNG.standard_normal(SHAPE, dtype=np.float32)
        spectrogram[~good] = np.nan
        with torch.inference_mode():
            expected = eager(*map(torch.from_numpy, (spectrogram, POSITIONS, good)))
        channels, population = runtime(spectrogram, good)
        assert np.abs(channels - expected[0].numpy()).max() <= 1e-5
        assert np.abs(population - expected[1].numpy()).max() <= 1e-5


def test_layers_of_published_sizes_equal_torchs_own_transformers(tmp_path: Path) -> None:
    large = replace(BRAINBERT_SIZES["large"], encoder_num_layers=2)
    whole = model(large, replace(POPT_SIZES["published"], n_layers=2))
    shape = (3, 40, 40)
    runtime = TorchScriptRuntime(
        compile_torchscript(whole, shape, cache_folder=tmp_path), POSITIONS[:3]
    )
    good = np.array([True, False, True])
    spectrogram = RNG.standard_normal(shape, dtype=np.float32)
    brainbert, popt = whole.channel_encoder, whole.popt
    assert popt is not None
    channel = torchs_own(brainbert.transformer, 768, 12, 3072)
    population = torchs_own(popt.transformer_encoder, 512, 8, 2048)
    with torch.inference_mode():
        frames = channel(brainbert.input_encoding(torch.from_numpy(spectrogram[good])))
        embedded = frames[:, 15:25].mean(1)
        tokens = popt._tokens(embedded[None], torch.from_numpy(POSITIONS[:3][good])[None], None)
        expected = population(tokens)[0, 0]
    given = runtime(spectrogram, good)
    assert np.abs(given[0][good] - embedded.numpy()).max() <= 1e-5
    assert np.abs(given[1] - expected.numpy()).max() <= 1e-5
    assert not given[0][1].any()


def test_without_onednn_the_plain_layers_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    path = compile_torchscript(model(), SHAPE, cache_folder=tmp_path)
    runtime = TorchScriptRuntime(path, POSITIONS)
    assert np.isfinite(runtime(np.zeros(SHAPE, np.float32), np.ones(11, bool))[1]).all()


def test_the_population_compiled_alone_equals_the_eager_one(tmp_path: Path) -> None:
    eager = model()
    compiled, contract = open_torchscript(compile_population(eager, SHAPE, cache_folder=tmp_path))
    assert (contract.runtime, contract.precision) == ("population", "fp32")
    embedding, positions = torch.randn(11, 24), torch.from_numpy(POSITIONS)
    good = torch.arange(11) % 4 != 0
    with torch.inference_mode():
        expected = eager.popt.population(embedding[None], positions[None], good[None])[0]
        given = compiled.population(embedding, compiled.codes(positions), good)
    assert float((given - expected).abs().max()) <= 1e-5


@pytest.mark.skipif(not has_bf16(), reason=NO_BF16)
def test_bfloat16_is_near_and_another_compiled_model(tmp_path: Path) -> None:
    eager = model()
    paths = [
        compile_torchscript(eager, SHAPE, precision=precision, cache_folder=tmp_path)
        for precision in ("fp32", "bf16")
    ]
    exact, fast = (TorchScriptRuntime(path, POSITIONS) for path in paths)
    assert paths[0] != paths[1]
    assert (exact.precision, fast.precision) == ("fp32", "bf16")
    spectrogram, good = RNG.standard_normal(SHAPE, dtype=np.float32), np.ones(11, bool)
    (expected, _), (given, _) = exact(spectrogram, good), fast(spectrogram, good)
    error = np.linalg.norm(given - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert 1e-4 < error.max() < 0.03
    assert given.dtype == np.float32


@pytest.mark.skipif(not has_bf16(), reason=NO_BF16)
def test_packed_attention_in_bfloat16_leaves_masked_tokens_out() -> None:
    popt = random_encoder(POPT, 1).eval()
    fast = pack_model(popt).to(torch.bfloat16)
    codes = popt.codes(torch.from_numpy(POSITIONS)[None])
    embedding, good = torch.randn(1, 11, 24), torch.arange(1, 12)[None] % 4 != 1
    with torch.inference_mode():
        expected = popt.population_of_codes(embedding, codes, good)
        given = [
            fast.population_of_codes(
                torch.where(good[:, :, None], embedding, other).bfloat16(),
                codes.bfloat16(),
                good,
            )
            for other in (0.0, 1e4)
        ]
    assert torch.equal(*given)
    assert float((given[0].float() - expected).norm() / expected.norm()) < 0.03


def test_a_precision_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CompiledModelError, match="int8 needs runtime openvino"):
        compile_torchscript(model(), SHAPE, precision="int8", cache_folder=tmp_path)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    fame = EncoderModel(BioFAME(BioFAMESizes(24, 40, 3, 2, 40)), None)
    with pytest.raises(CompiledModelError, match="no half precision"):
        compile_torchscript(fame, SHAPE, precision="bf16", cache_folder=tmp_path)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    with pytest.raises(CompiledModelError, match="would emulate it, slower than fp32"):
        compile_torchscript(model(), SHAPE, precision="bf16", cache_folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_embeddings_too_far_off_or_nan_are_refused() -> None:
    exact = torch.ones(2, 4)
    require_small_error(exact + 1e-6, exact, "fp32")
    require_small_error(exact * 1.05, exact, "bf16")
    for far, precision in (
        (exact + 1e-4, "fp32"),
        (exact * 1.2, "bf16"),
        (exact * torch.tensor([1, torch.nan])[:, None], "int8"),
    ):
        with pytest.raises(CompiledModelError, match="differs from the eager one"):
            require_small_error(far, exact, precision)


def test_threads_are_the_encoders_alone(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = TorchScriptRuntime(compiled, POSITIONS, threads=2)
    seen, encode = [], ChannelBlocks.__call__

    def watched(self: ChannelBlocks, spectrogram: Floats, good: Mask) -> Floats:
        seen.append(torch.get_num_threads())
        return encode(self, spectrogram, good)

    monkeypatch.setattr(ChannelBlocks, "__call__", watched)
    runtime(np.zeros(SHAPE, np.float32), np.ones(11, bool))
    assert seen == [2]
    assert torch.get_num_threads() == 1


def test_training_after_a_runtime_was_loaded_has_the_threads_of_before(compiled: Path) -> None:
    with on_threads(3):
        TorchScriptRuntime(compiled, POSITIONS, threads=2)
        assert torch.get_num_threads() == 3


def test_a_runtime_is_warm_and_says_what_that_took(compiled: Path) -> None:
    runtime = TorchScriptRuntime(compiled, POSITIONS)
    assert runtime.load_s > 0
    assert runtime.warm_up_s > 0
    assert 4 <= runtime.warm_up_calls <= 30


def test_what_it_gave_is_not_changed_by_the_next_window(tmp_path: Path) -> None:
    path = compile_torchscript(model(popt=None), SHAPE, cache_folder=tmp_path)
    runtime = TorchScriptRuntime(path, None)
    windows = RNG.standard_normal((2, *SHAPE), dtype=np.float32)
    first = runtime(windows[0], np.ones(11, bool))
    kept = [array.copy() for array in first]
    runtime(windows[1], np.ones(11, bool))
    assert all(map(np.array_equal, first, kept))
    first[0][:] = 0
    assert np.array_equal(first[1], kept[1])
