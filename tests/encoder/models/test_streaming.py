"""The streaming encoder in one shot: causal, bounded, the sums as written out."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.encoder import (
    StreamingBERT,
    StreamingBERTSizes,
    encoder_kind,
    load_encoder,
    save_encoder,
)

torch.set_num_threads(1)

SIZES = StreamingBERTSizes(16, 24, 4, 2, patch_frames=3, context_patches=6, input_dim=8)


def made(sizes: StreamingBERTSizes = SIZES) -> StreamingBERT:
    torch.manual_seed(0)
    return StreamingBERT(sizes).eval()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plainly(model: StreamingBERT, spectrogram: Tensor) -> Tensor:
    """Token after token, head after head, with the sums written out."""
    sizes, patches = model.sizes, spectrogram.unflatten(1, (-1, model.patch_frames)).flatten(2)
    x = model.in_proj(patches)
    _, N, D = x.shape
    E = D // sizes.nhead
    for layer in model.layers:
        query, key, value = layer.in_proj(layer.norm1(x)).split(D, dim=-1)  # type: ignore[operator, union-attr]
        mixed = torch.zeros_like(x)
        for token in range(N):
            seen = range(max(0, token - sizes.context_patches), token + 1)
            for head in range(sizes.nhead):
                of = slice(head * E, (head + 1) * E)
                slope = 2 ** (-8 * (head + 1) / sizes.nhead)
                scores = torch.stack(
                    [
                        (query[:, token, of] * key[:, other, of]).sum(-1) / math.sqrt(E)
                        - slope * (token - other)
                        for other in seen
                    ],
                    dim=-1,
                )
                share = torch.softmax(scores, dim=-1)
                for column, other in enumerate(seen):
                    mixed[:, token, of] += share[:, column, None] * value[:, other, of]
        x = x + layer.out_proj(mixed)  # type: ignore[operator]
        x = x + layer.linear2(functional.gelu(layer.linear1(layer.norm2(x))))  # type: ignore[operator]
    out: Tensor = model.norm(x)
    return out


def test_one_shot_is_the_sum_written_out() -> None:
    model, spectrogram = made(), draw(2, 36, 8)
    with torch.inference_mode():
        assert (model(spectrogram) - plainly(model, spectrogram)).abs().max() < 1e-5


def test_what_comes_later_changes_nothing() -> None:
    model, spectrogram = made(), draw(1, 30, 8)
    other = spectrogram.clone()
    other[:, 18:] = draw(1, 12, 8, seed=1)
    with torch.inference_mode():
        assert torch.equal(model(spectrogram)[:, :6], model(other)[:, :6])


def test_a_token_sees_its_context_and_no_further() -> None:
    model, reach = made(), SIZES.encoder_num_layers * SIZES.context_patches
    spectrogram = draw(1, (reach + 2) * SIZES.patch_frames, 8)
    older, just = spectrogram.clone(), spectrogram.clone()
    older[:, : SIZES.patch_frames] += 1  # one patch too old for the last token
    just[:, SIZES.patch_frames : 2 * SIZES.patch_frames] += 1
    with torch.inference_mode():
        last = model(spectrogram)[:, -1]
        assert (model(older)[:, -1] - last).abs().max() < 1e-6
        assert (model(just)[:, -1] - last).abs().max() > 1e-6


def test_layers_end_in_the_hidden_state_before_the_norm() -> None:
    model, spectrogram = made(), draw(2, 31, 8)
    with torch.inference_mode():
        layers = model.layers_of(spectrogram)
        assert len(layers) == 2
        assert torch.equal(model.norm(layers[-1]), model(spectrogram))


def test_the_embedding_is_the_mean_of_the_newest_patches() -> None:
    model, spectrogram = made(), draw(2, 31, 8)
    with torch.inference_mode():
        expected = model(spectrogram[:, 1:])[:, -2:].mean(1)  # 31 frames are 10 patches and one
        assert torch.equal(model.embed(spectrogram, "last", 6), expected)


@pytest.mark.parametrize(("pool", "n_pooled"), [("centre", 3), ("last", 4), ("last", 0)])
def test_a_pool_that_cannot_be_is_refused(pool: str, n_pooled: int) -> None:
    with pytest.raises(ValueError, match="pool"):
        made().embed(draw(1, 30, 8), pool, n_pooled)


def test_the_next_patch_has_the_shape_of_a_patch() -> None:
    model = made()
    assert model.predict(model(draw(2, 30, 8))).shape == (2, 10, 3, 8)


def test_its_sizes_know_their_encoder() -> None:
    assert encoder_kind(SIZES) == "streaming"
    assert isinstance(SIZES.make(), StreamingBERT)
    with pytest.raises(ValueError, match="multiple of nhead"):
        StreamingBERTSizes(10, 16, 4, 1, 5, 40)


def test_its_weights_come_back_from_a_folder(tmp_path: Path) -> None:
    model, spectrogram = made(), draw(2, 30, 8)
    save_encoder(model, tmp_path / "streaming")
    again = load_encoder(tmp_path / "streaming")
    assert isinstance(again, StreamingBERT)
    with torch.inference_mode():
        assert torch.equal(again(spectrogram), model(spectrogram))
