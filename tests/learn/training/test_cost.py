"""Weights, FLOP and memory of a training against formulas, and the rate that is measured."""

import pytest
import torch

from rtbrain.encoder import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.models.layers import set_dropout
from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.learn.training.cost import count_cost, measure_rate, synthetic_session
from rtbrain.learn.training.loop import Ranks
from tests.learn.training.tiny import settings_of

N_FRAMES, N_FREQS = 186, 40
PUBLISHED = settings_of(steps=500_000, batch=256, micro_batch=8)


def encoder_macs(sizes: BrainBERTSizes) -> int:
    """Attention, its projections and the feed-forward part, of each layer, and the first map."""
    T, d, f = N_FRAMES, sizes.hidden_dim, sizes.layer_dim_feedforward
    layer = 4 * T * d * d + 2 * T * d * f + 2 * T * T * d
    return sizes.encoder_num_layers * layer + T * N_FREQS * d


@pytest.mark.parametrize("name", ["compact", "large"])
def test_flop_are_those_of_the_formula(name: str) -> None:
    sizes = BRAINBERT_SIZES[name]
    objective = MaskedSpectrogram(BrainBERT(sizes))
    examples = MaskedSpectrograms([synthetic_session((N_FRAMES, N_FREQS), 2)])
    cost = count_cost(objective, examples, PUBLISHED)
    assert cost.encoder_flop == 2 * encoder_macs(sizes)
    head = N_FRAMES * (sizes.hidden_dim**2 + sizes.hidden_dim * N_FREQS)
    assert cost.forward_flop == 2 * (encoder_macs(sizes) + head)
    assert cost.training_flop(PUBLISHED) == 3 * cost.forward_flop * 128e6
    assert cost.state_bytes == 16 * cost.n_weights
    # Each layer keeps its tokens several times over, and the shares of its attention.
    a_layer = 4 * (N_FRAMES * sizes.hidden_dim + N_FRAMES**2)
    assert cost.activation_bytes > 3 * sizes.encoder_num_layers * a_layer
    if name == "large":
        assert cost.n_weights / 1e6 == pytest.approx(43.18, abs=0.01)
        assert cost.encoder_flop / 1e9 == pytest.approx(16.45, abs=0.01)


def test_fused_attention_costs_the_same_flop_and_keeps_less() -> None:
    objective = MaskedSpectrogram(BrainBERT(BRAINBERT_SIZES["compact"]))
    examples = MaskedSpectrograms([synthetic_session((N_FRAMES, N_FREQS), 2)])
    published = count_cost(objective, examples, PUBLISHED)
    set_dropout(objective, 0.0)
    fused = count_cost(objective, examples, PUBLISHED)
    assert fused.forward_flop == published.forward_flop
    assert fused.encoder_flop == published.encoder_flop
    assert fused.activation_bytes < published.activation_bytes


def test_the_rate_is_measured_on_real_steps() -> None:
    objective = MaskedSpectrogram(BrainBERT(BrainBERTSizes(8, 16, 2, 1, 8)))
    before = {name: weight.clone() for name, weight in objective.named_parameters()}
    examples = MaskedSpectrograms([synthetic_session((20, 8), 2)])
    alone = Ranks(0, 1, torch.device("cpu"))
    items_per_s, peak_bytes = measure_rate(objective, examples, settings_of(), alone, max_s=0.05)
    assert items_per_s > 0
    assert peak_bytes == 0
    assert any(
        not torch.equal(weight, before[name]) for name, weight in objective.named_parameters()
    )
