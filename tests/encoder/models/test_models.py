"""BrainBERT and PopT against torch's own transformer, and against the published figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    BrainBERT,
    BrainBERTSizes,
    EncoderModel,
    PopT,
    PopTSizes,
    import_checkpoint,
    load_encoder,
    random_encoder,
)
from rtbrain.errors import CheckpointError, MontageError, SettingsError

torch.set_num_threads(1)

SIZES = BrainBERTSizes(hidden_dim=36, layer_dim_feedforward=50, nhead=3, encoder_num_layers=3)
POPT = PopTSizes(input_dim=36, hidden_dim=40, layer_dim_feedforward=72, n_head=5, n_layers=3)


def torchs_own(d: int, heads: int, feedforward: int, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(d, heads, feedforward, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).eval()


def shaken(module: nn.Module, seed: int) -> nn.Module:
    """Every weight moved, norms and biases too, so that none is there without effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return module


def largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25)
@given(
    width=st.sampled_from([(24, 4), (36, 3), (50, 1)]),
    n_layers=st.integers(1, 3),
    n_frames=st.integers(1, 61),
    padded=st.booleans(),
    seed=st.integers(0, 999),
)
def test_brainbert_equals_torchs_own_transformer(width, n_layers, n_frames, padded, seed):
    d, heads = width
    sizes = BrainBERTSizes(d, 2 * d, heads, n_layers, input_dim=17)
    mine = shaken(random_encoder(sizes, seed), seed)
    oracle = torchs_own(d, heads, 2 * d, n_layers)
    oracle.load_state_dict(mine.transformer.state_dict())
    x = draw(2, n_frames, 17, seed=seed)
    pad_mask = torch.zeros(2, n_frames, dtype=torch.bool)
    if padded:
        pad_mask[1, n_frames // 2 + 1 :] = True
    with torch.no_grad():
        theirs = oracle(mine.input_encoding(x), src_key_padding_mask=pad_mask)
        ours = mine(x, pad_mask if padded else None)
    assert largest(ours[~pad_mask], theirs[~pad_mask]) < 1e-5


def test_state_dict_keys_are_those_of_torchs_transformer():
    mine = BrainBERT(SIZES).transformer
    oracle = torchs_own(36, 3, 50, 3)
    assert mine.state_dict().keys() == oracle.state_dict().keys()


def test_published_sizes_have_the_published_number_of_parameters():
    with torch.device("meta"):
        counts = {
            name: sum(item.numel() for item in BrainBERT(sizes).parameters())
            for name, sizes in BRAINBERT_SIZES.items()
        }
        popt = PopT(POPT_SIZES["published"])
        assert len(BrainBERT(BRAINBERT_SIZES["large"]).state_dict()) == 83
    assert counts["large"] == pytest.approx(43.18e6, abs=5e3)
    assert counts["base"] == pytest.approx(21.92e6, abs=5e3)
    assert counts["small"] == pytest.approx(4.73e6, abs=5e3)
    assert len(popt.state_dict()) == 87
    assert sum(item.numel() for item in popt.parameters()) == pytest.approx(19.97e6, abs=5e3)


@settings(max_examples=25)
@given(
    n_frames=st.integers(1, 61),
    n_pooled=st.integers(1, 12),
    pool=st.sampled_from(["centre", "last"]),
    seed=st.integers(0, 999),
)
def test_trimmed_embedding_equals_the_mean_of_full_hidden_states(n_frames, n_pooled, pool, seed):
    if n_pooled > n_frames:
        n_pooled = n_frames
    model = shaken(random_encoder(SIZES, seed), seed)
    x = draw(3, n_frames, 40, seed=seed)
    start = n_frames // 2 - n_pooled // 2 if pool == "centre" else n_frames - n_pooled
    with torch.no_grad():
        full = model(x)[:, start : start + n_pooled].mean(1)
        assert largest(model.embed(x, pool, n_pooled), full) < 1e-5


def test_published_pooling_reads_frames_88_to_97_of_186():
    model = random_encoder(SIZES, 3)
    x = draw(1, 186, 40)
    with torch.no_grad():
        assert largest(model.embed(x), model(x)[:, 88:98].mean(1)) < 1e-5


@pytest.mark.parametrize(
    ("pool", "n_pooled", "n_frames"), [("mean", 10, 30), ("last", 10, 9), ("centre", 0, 30)]
)
def test_impossible_pooling_is_refused(pool, n_pooled, n_frames):
    model = random_encoder(SIZES, 0)
    with pytest.raises(ValueError, match="pool"):
        model.embed(draw(1, n_frames, 40), pool, n_pooled)


def test_more_frames_than_positions_are_refused():
    with pytest.raises(ValueError, match="5001 frames"):
        random_encoder(SIZES, 0)(torch.zeros(1, 5001, 40))


@pytest.mark.parametrize("n_channels", [1, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_popt_equals_torchs_own_transformer(n_channels, seed):
    model = shaken(random_encoder(POPT, seed), seed)
    oracle = torchs_own(40, 5, 72, 3)
    oracle.load_state_dict(model.transformer_encoder.state_dict())
    embedding = draw(2, n_channels, 36, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randint(0, 5000, (2, n_channels, 3), generator=generator)
    seq_id = torch.randint(0, 2, (2, n_channels), generator=generator)
    pad_mask = torch.zeros(2, 1 + n_channels, dtype=torch.bool)
    pad_mask[1, 1 + n_channels // 2 :] = True

    encoding = model.input_encoding
    table = encoding.positional_encoding.pe[0]
    parts = [table[positions[..., axis]] for axis in range(3)] + [table[seq_id]]
    code = torch.cat([table[0].repeat(4).expand(2, 1, 40), torch.cat(parts, -1)], 1)
    tokens = torch.cat([torch.ones(2, 1, 36), embedding], 1)
    with torch.no_grad():
        tokens = encoding.layer_norm(encoding.in_proj(tokens) + code)
        theirs = oracle(tokens, src_key_padding_mask=pad_mask)
        hidden, cls_logit, token_logit = model(embedding, positions, seq_id, pad_mask)
        assert largest(hidden[~pad_mask], theirs[~pad_mask]) < 1e-5
        assert largest(cls_logit, model.cls_head(theirs[:, 0])) < 1e-5
        assert token_logit.shape == (2, n_channels, 1)
        plain = model(embedding, positions, pad_mask=pad_mask)[0][:, 0]
        assert largest(model.population(embedding, positions, ~pad_mask[:, 1:]), plain) < 1e-5


@pytest.mark.parametrize("wrong", [-1, 5000])
def test_positions_outside_the_table_are_refused(wrong):
    model = random_encoder(POPT, 0)
    positions = torch.full((1, 4, 3), 7)
    positions[0, 2, 1] = wrong
    with pytest.raises(MontageError, match=r"channel number 2 is outside 0 to 4999"):
        model(draw(1, 4, 36), positions)


@pytest.mark.parametrize(
    "sizes",
    [
        lambda: BrainBERTSizes(0, 8, 1, 1),
        lambda: BrainBERTSizes(36, 8, 5, 1),
        lambda: PopTSizes(36, 44, 72, 4, 1),
        lambda: PopTSizes(36, 40, 72, 3, 1),
    ],
)
def test_sizes_that_do_not_divide_are_refused(sizes):
    with pytest.raises(ValueError, match="must be"):
        sizes()


def test_random_encoders_do_not_touch_the_global_generator():
    torch.manual_seed(5)
    first = random_encoder(SIZES, 1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert after == torch.rand(1)
    second = random_encoder(SIZES, 1)
    third = random_encoder(SIZES, 2)
    x = draw(1, 20, 40)
    with torch.no_grad():
        assert torch.equal(first(x), second(x))
        assert not torch.equal(first(x), third(x))


def test_gradients_reach_every_weight_that_an_embedding_reads():
    model = random_encoder(SIZES, 0).train()
    model.embed(draw(2, 20, 40)).square().sum().backward()
    silent = {name for name, item in model.named_parameters() if item.grad is None}
    assert all(name.startswith("spec_prediction_head.") for name in silent)


def join(n_channels: int, seed: int) -> tuple[EncoderModel, Tensor, Tensor]:
    model = EncoderModel(random_encoder(SIZES, seed), random_encoder(POPT, 1))
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randint(0, 300, (n_channels, 3), generator=generator)
    return model.eval(), draw(n_channels, 25, 40, seed=seed), positions


def test_a_bad_channel_is_as_good_as_absent():
    model, spectrogram, positions = join(6, 0)
    good = torch.tensor([True, True, False, True, False, True])
    spectrogram[~good] = torch.nan
    with torch.no_grad():
        channels, population = model(spectrogram, positions, good)
        kept, without = model(spectrogram[good], positions[good], good[good])
    assert torch.equal(channels[~good], torch.zeros(2, 36))
    assert largest(channels[good], kept) < 1e-5
    assert largest(population, without) < 1e-5


def test_the_order_of_channels_changes_nothing_but_the_order():
    model, spectrogram, positions = join(5, 2)
    order = torch.tensor([3, 0, 4, 1, 2])
    good = torch.ones(5, dtype=torch.bool)
    with torch.no_grad():
        channels, population = model(spectrogram, positions, good)
        shuffled, same = model(spectrogram[order], positions[order], good)
    assert largest(channels[order], shuffled) < 1e-5
    assert largest(population, same) < 1e-5


def test_nan_in_a_good_channel_is_not_hidden():
    model, spectrogram, positions = join(3, 0)
    spectrogram[1] = torch.nan
    with torch.no_grad():
        channels, population = model(spectrogram, positions, torch.ones(3, dtype=torch.bool))
    assert channels[1].isnan().all()
    assert channels[[0, 2]].isfinite().all()
    assert population.isnan().all()


def test_without_popt_the_population_is_all_channels_in_a_row():
    model, spectrogram, positions = join(4, 0)
    alone = EncoderModel(model.channel_encoder, None).eval()
    with torch.no_grad():
        channels, population = alone(spectrogram, positions, torch.ones(4, dtype=torch.bool))
    assert torch.equal(population, channels.reshape(-1))


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(CheckpointError, match="36 features, BrainBERT gives 24"):
        EncoderModel(BrainBERT(BrainBERTSizes(24, 8, 4, 1)), PopT(POPT))
    with pytest.raises(SettingsError, match="'centre' or 'last', got 'first'"):
        EncoderModel(BrainBERT(SIZES), None, "first")
    with pytest.raises(SettingsError, match="1 or more"):
        EncoderModel(BrainBERT(SIZES), None, "last", 0)


@pytest.mark.shared
def test_brainbert_gives_the_published_figures(shared: Path, tmp_path: Path):
    import_checkpoint("brainbert", shared / "golden" / "brainbert_tiny.pth", tmp_path / "w")
    model = load_encoder(tmp_path / "w")
    assert isinstance(model, BrainBERT)
    golden = np.load(shared / "golden" / "brainbert_stft_golden.npz")
    given_, hidden, embedding, back = (
        torch.from_numpy(golden[name]) for name in ("spec", "hidden", "embedding", "reconstruction")
    )
    with torch.no_grad():
        assert largest(model(given_), hidden) < 1e-5
        assert largest(model.embed(given_), embedding) < 1e-5
        assert largest(model.reconstruct(hidden), back) < 1e-5


@pytest.mark.shared
@pytest.mark.parametrize("case", ["", "_seqid", "_padded"])
def test_popt_gives_the_published_figures(shared: Path, tmp_path: Path, case: str):
    import_checkpoint("popt", shared / "golden" / "popt_tiny.pth", tmp_path / "w")
    model = load_encoder(tmp_path / "w")
    assert isinstance(model, PopT)
    golden = np.load(shared / "golden" / "popt_golden.npz")
    seq_id = torch.from_numpy(golden["seq_id_seqid"]) if case == "_seqid" else None
    pad_mask = torch.from_numpy(golden["pad_mask_padded"]) if case == "_padded" else None
    embedding, coords = (torch.from_numpy(golden[name]) for name in ("embedding", "coords"))
    with torch.no_grad():
        given_ = model(embedding, coords, seq_id, pad_mask)
        for name, ours in zip(("hidden", "cls_logit", "token_logit"), given_, strict=True):
            assert largest(ours, torch.from_numpy(golden[name + case])) < 1e-5
        if seq_id is None:
            cls = torch.from_numpy(golden["hidden" + case])[:, 0]
            all_good = torch.ones(embedding.shape[:2], dtype=torch.bool)
            good = all_good if pad_mask is None else ~pad_mask[:, 1:]
            assert largest(model.population(embedding, coords, good), cls) < 1e-5
