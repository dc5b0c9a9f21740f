"""Formulae of operations against torch's own count of them."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rtbrain.check.bench.references import channel_encoder_flop, population_encoder_flop, step_flop
from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    STREAMING_SIZES,
    BioFAMESizes,
    BrainBERT,
    BrainBERTSizes,
    EncoderModel,
    PopT,
    PopTSizes,
    StreamingBERT,
    StreamingBERTSizes,
)
from rtbrain.encoder.runtimes.streaming_runtime import StreamingModel

C, T = 3, 46


def counted(function) -> int:
    # The fused kernel of CPUs is not among those that torch counts; what it computes is the same.
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("sizes", [BrainBERTSizes(24, 40, 3, 2), BrainBERTSizes(32, 16, 4, 1)])
@pytest.mark.parametrize("n_pooled", [1, 10])
def test_brainbert_costs_what_torch_counts(sizes: BrainBERTSizes, n_pooled: int) -> None:
    model = BrainBERT(sizes).eval()
    spectrogram = torch.randn(C, T, 40)
    trimmed = counted(lambda: model.embed(spectrogram, "last", n_pooled))
    assert C * channel_encoder_flop(sizes, T, n_pooled) == trimmed
    plain = counted(lambda: model.transformer(model.input_encoding(spectrogram)))
    assert C * channel_encoder_flop(sizes, T, n_pooled, plain=True) == plain


def test_population_transformer_costs_what_torch_counts() -> None:
    sizes = PopTSizes(24, 32, 40, 2, 3)
    model = PopT(sizes).eval()
    embedding, positions = torch.randn(1, C, 24), torch.randint(0, 200, (1, C, 3))
    good = torch.ones(1, C, dtype=torch.bool)
    trimmed = counted(lambda: model.population(embedding, positions, good))
    assert population_encoder_flop(sizes, C) == trimmed
    tokens, index = torch.randn(1, 1 + C, 24), torch.zeros(1, 1 + C, 4, dtype=torch.int64)
    plain = counted(lambda: model.transformer_encoder(model.input_encoding(tokens, index)))
    assert population_encoder_flop(sizes, C, plain=True) == plain


def test_step_of_the_streaming_encoder_costs_what_torch_counts() -> None:
    sizes = StreamingBERTSizes(24, 40, 3, 2, 5, 7)
    live = StreamingModel(EncoderModel(StreamingBERT(sizes), None, "last", 5), 10).eval()
    state, known = live.new_state(C), torch.ones(C, dtype=torch.bool)
    step = counted(lambda: live.advance(torch.randn(C, 10, 40), known, state))
    assert C * channel_encoder_flop(sizes, 10, 5) == step


def test_published_sizes_cost_what_was_published() -> None:
    large, popt = BRAINBERT_SIZES["large"], POPT_SIZES["published"]
    assert channel_encoder_flop(large, 186, 10, plain=True) / 1e9 == pytest.approx(16.45, abs=0.01)
    assert channel_encoder_flop(large, 186, 10) / 1e9 == pytest.approx(13.92, abs=0.01)
    assert population_encoder_flop(popt, 128, plain=True) / 1e9 == pytest.approx(5.18, abs=0.01)
    assert population_encoder_flop(popt, 128) / 1e9 == pytest.approx(4.34, abs=0.01)
    assert step_flop(large, popt, 128, 186, 10, plain=True) / 1e9 == pytest.approx(2110, abs=1)
    assert step_flop(None, None, 128, 197, 10) == 0
    assert (
        channel_encoder_flop(STREAMING_SIZES["compact"], 5, 5)
        < channel_encoder_flop(large, 186, 10) / 1e4
    )


def test_encoder_without_a_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="no formula for BioFAMESizes"):
        channel_encoder_flop(BioFAMESizes(16, 16, 32, 4, 2), 20, 10)
