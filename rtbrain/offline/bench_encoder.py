"""Benchmark of the encoders: torch's own transformer against the trimmed and compiled ones."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    BrainBERT,
    EncoderModel,
    TorchScriptRuntime,
    compile_artefact,
    random_encoder,
)
from rtbrain.offline.timing import Row, Timing, measure

__all__ = ["run"]

# 5 s at 2048 Hz in the published spectrogram.
_N_FRAMES, _N_FREQS = 186, 40
_BATCH = 8
_MIDDLE = slice(_N_FRAMES // 2 - 5, _N_FRAMES // 2 + 5)

_Case = tuple[str, Callable[[], Tensor]]


def run(n_channels: int) -> list[Row]:
    """Measure BrainBERT-large, PopT and the compact encoder, with random weights.

    Each group is measured in turns, a call of each after the other, so that a busy machine slows
    all alike; its first line is what the others are compared with, in time and in numbers.

    Parameters
    ----------
    n_channels : int
        Channels of PopT and of the compact encoder; BrainBERT-large takes 8 at a time.

    Returns
    -------
    list of Row
        The largest difference from the reference stands in each name.
    """
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        return (
            _in_turns(_large(Path(folder)), repeats=7)
            + _in_turns(_population(n_channels), repeats=15)
            + _in_turns(_compact(n_channels, Path(folder)), repeats=15)
        )


def _in_turns(cases: Sequence[_Case], repeats: int) -> list[Row]:
    reference, expected = cases[0][0], cases[0][1]()
    names = [reference]
    for name, function in cases[1:]:
        difference = float((function() - expected).abs().max())
        names.append(f"{name} (differs by {difference:.1e})")
    durations_ms = np.array(
        [
            [measure(function, repeats=1, warmup=0).median_ms for _, function in cases]
            for _ in range(repeats)
        ]
    )
    timings = [
        Timing(float(np.median(column)), float(np.percentile(column, 99)), repeats)
        for column in durations_ms.T
    ]
    first = Row.of(reference, timings[0])
    return [first] + [
        Row.of(name, timing, reference, timings[0].median_ms)
        for name, timing in zip(names[1:], timings[1:], strict=True)
    ]


def _torchs_own(
    d: int, n_heads: int, n_feedforward: int, weights: dict[str, Tensor]
) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        d, n_heads, n_feedforward, activation="gelu", batch_first=True
    )
    n_layers = sum(name.endswith("norm2.bias") for name in weights)
    encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
    encoder.load_state_dict(weights)
    return encoder.eval()


def _plain(model: BrainBERT) -> nn.TransformerEncoder:
    sizes = model.sizes
    weights = model.transformer.state_dict()
    return _torchs_own(sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward, weights)


def _runtime(model: EncoderModel, n_channels: int, folder: Path) -> TorchScriptRuntime:
    path = compile_artefact(model, n_channels, _N_FRAMES, _N_FREQS, cache_folder=folder)
    positions = np.full((n_channels, 3), 100)
    return TorchScriptRuntime(path, positions, threads=torch.get_num_threads())


def _large(folder: Path) -> list[_Case]:
    model = random_encoder("brainbert", BRAINBERT_SIZES["large"], 0)
    plain = _plain(model)
    runtime = _runtime(EncoderModel(model, None), _BATCH, folder)
    spectrogram = torch.randn(_BATCH, _N_FRAMES, _N_FREQS)
    array, good = spectrogram.numpy(), np.ones(_BATCH, np.bool_)
    of = f"BrainBERT-large, {_BATCH} channels"
    return [
        (
            f"{of}: nn.TransformerEncoder",
            lambda: plain(model.input_encoding(spectrogram))[:, _MIDDLE].mean(1),
        ),
        (f"{of}: last layer trimmed", lambda: model.embed(spectrogram)),
        (f"{of}: trimmed, TorchScript", lambda: torch.from_numpy(runtime(array, good)[0])),
    ]


def _population(n_channels: int) -> list[_Case]:
    model = random_encoder("popt", POPT_SIZES["published"], 0)
    sizes = model.sizes
    weights = model.transformer_encoder.state_dict()
    plain = _torchs_own(sizes.hidden_dim, sizes.n_head, sizes.layer_dim_feedforward, weights)
    embedding = torch.randn(1, n_channels, sizes.input_dim)
    positions = torch.randint(50, 200, (1, n_channels, 3))
    tokens = torch.cat((torch.ones(1, 1, sizes.input_dim), embedding), 1)
    index = nn.functional.pad(positions, (0, 1, 1, 0))
    of = f"PopT, {n_channels} channels"
    return [
        (
            f"{of}: nn.TransformerEncoder",
            lambda: plain(model.input_encoding(tokens, index))[:, 0],
        ),
        (f"{of}: last layer for CLS only", lambda: model.population(embedding, positions)),
    ]


def _compact(n_channels: int, folder: Path) -> list[_Case]:
    brainbert = random_encoder("brainbert", BRAINBERT_SIZES["compact"], 0)
    model = EncoderModel(brainbert, random_encoder("popt", POPT_SIZES["compact"], 1)).eval()
    runtime = _runtime(model, n_channels, folder)
    spectrogram = torch.randn(n_channels, _N_FRAMES, _N_FREQS)
    array, good = spectrogram.numpy(), np.ones(n_channels, np.bool_)
    positions, mask = torch.full((n_channels, 3), 100), torch.from_numpy(good)
    of = f"compact BrainBERT and PopT, {n_channels} channels"
    return [
        (f"{of}: eager", lambda: model(spectrogram, positions, mask)[1]),
        (f"{of}: TorchScript", lambda: torch.from_numpy(runtime(array, good)[1])),
    ]
