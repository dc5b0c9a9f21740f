import numpy as np
import torch

from rtbrain.check.bench.references import PublishedPipeline
from rtbrain.encoder import BrainBERTSizes, EncoderModel, PopTSizes, random_encoder
from rtbrain.spectrogram import PublishedStft
from rtbrain.types import Quality, Window
from tests.conftest import brain_like

SIZES, POPT_SIZES = BrainBERTSizes(24, 40, 3, 2), PopTSizes(24, 32, 40, 2, 2)
C = 5


def test_the_published_way_gives_what_rtbrain_gives() -> None:
    torch.set_num_threads(1)
    data = brain_like(C, 10240, 2048.0)
    way = PublishedPipeline(C, SIZES, POPT_SIZES)
    spectrogram = way.spectrogram(data)
    stage = PublishedStft(C, 10240)
    ours = stage(Window(data, 5.0, 0, Quality(np.ones(C, np.bool_)))).data
    np.testing.assert_allclose(spectrogram.numpy(), ours, atol=1e-3)
    model = EncoderModel(random_encoder(SIZES, 0), random_encoder(POPT_SIZES, 1)).eval()
    positions = way._index[0, 1:, :3]
    with torch.inference_mode():
        channels, population = model(spectrogram, positions, torch.ones(C, dtype=torch.bool))
    torch.testing.assert_close(way.channels(spectrogram), channels, atol=1e-5, rtol=0)
    torch.testing.assert_close(way.population(channels), population, atol=1e-5, rtol=0)
