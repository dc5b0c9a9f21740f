"""The published pipeline gives what rtbrain gives, and encoders cost what was published."""

import numpy as np
import pytest
import torch

from rtbrain.check.bench.child import PublishedPipeline, count_flop, population_flop
from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    BrainBERT,
    BrainBERTSizes,
    EncoderModel,
    PopT,
    PopTSizes,
    random_encoder,
)
from rtbrain.spectrogram import PublishedStft
from rtbrain.types import Quality, Window
from tests.conftest import brain_like

SMALL, SMALL_POPT = BrainBERTSizes(24, 40, 3, 2), PopTSizes(24, 32, 40, 2, 2)
C = 5


def test_the_published_way_gives_what_rtbrain_gives() -> None:
    torch.set_num_threads(1)
    data = brain_like(C, 10240, 2048.0)
    way = PublishedPipeline(C, SMALL, SMALL_POPT)
    spectrogram = way.spectrogram(data)
    stage = PublishedStft(C, 10240)
    ours = stage(Window(data, 5.0, 0, Quality(np.ones(C, np.bool_)))).data
    np.testing.assert_allclose(spectrogram.numpy(), ours, atol=1e-3)
    model = EncoderModel(random_encoder(SMALL, 0), random_encoder(SMALL_POPT, 1)).eval()
    positions = way._index[0, 1:, :3]
    with torch.inference_mode():
        channels, population = model(spectrogram, positions, torch.ones(C, dtype=torch.bool))
    torch.testing.assert_close(way.channels(spectrogram), channels, atol=1e-5, rtol=0)
    torch.testing.assert_close(way.population(channels), population, atol=1e-5, rtol=0)


def test_published_sizes_cost_what_was_published() -> None:
    # Only shapes count: on this device nothing is computed.
    with torch.device("meta"):
        model = BrainBERT(BRAINBERT_SIZES["large"]).eval()
        spectrogram = torch.zeros(1, 186, 40)
        plain = count_flop(lambda: model.transformer(model.input_encoding(spectrogram)))
        trimmed = count_flop(lambda: model.embed(spectrogram, "centre", 10))
    assert plain / 1e9 == pytest.approx(16.45, abs=0.01)
    assert trimmed / 1e9 == pytest.approx(13.92, abs=0.01)
    joined = population_flop(PopT(POPT_SIZES["published"]).eval(), 128)
    assert joined / 1e9 == pytest.approx(4.34, abs=0.01)


def test_each_of_the_published_channels_costs_the_same() -> None:
    way = PublishedPipeline(C, SMALL, SMALL_POPT)
    spectrogram = torch.zeros(C, 46, 40)
    channels, population = way.flop(spectrogram)
    assert channels == count_flop(lambda: way._brainbert(spectrogram))
    assert population > population_flop(way._popt, C)
