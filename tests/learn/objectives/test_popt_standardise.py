"""A folded projection against an unfolded one of z-scores made elsewhere."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import zscore

from rtbrain.encoder import PopT, PopTSizes
from rtbrain.errors import SettingsError
from rtbrain.learn.objectives import popt
from rtbrain.learn.objectives.popt import standardise_inputs
from tests.learn.objectives.sessions import session_of

SIZES = PopTSizes(8, 16, 32, 2, 1)


def embeddings(n_windows: int, n_channels: int, seed: int) -> np.ndarray:
    """Mostly one direction, as those of trained encoders are; the last feature never varies."""
    rng = np.random.default_rng(seed)
    direction = np.random.default_rng(99).normal(0, 3, 8)
    values = direction + rng.normal(0, 0.3, (n_windows, n_channels, 8)) * np.arange(1, 9)
    values[..., 7] = 0.1
    return values.astype(np.float32)


def fresh() -> PopT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PopT(SIZES).eval()


def channel_tokens(encoder: PopT, values: np.ndarray) -> torch.Tensor:
    tokens = torch.from_numpy(values.astype(np.float32))[None]
    return encoder.input_encoding(tokens, torch.ones(1, len(values), 4, dtype=torch.int64))


def test_raw_embeddings_become_what_z_scores_would_be() -> None:
    first, second = embeddings(11, 4, 0), embeddings(6, 3, 1)
    bad = ((2, 1), (5, 0))
    for window, channel in bad:
        first[window, channel] = np.nan
    sessions = [session_of(first, bad=bad), session_of(second, name="02")]
    rows = np.concatenate([first[sessions[0].good], second.reshape(-1, 8)])
    plain, folded = fresh(), fresh()
    standardise_inputs(folded, sessions, seed=0)
    wanted = zscore(rows.astype(np.float64)[:, :7], axis=0)
    wanted = np.concatenate([wanted, np.zeros((len(rows), 1))], axis=1)  # no variance, no scale
    torch.testing.assert_close(
        channel_tokens(folded, rows), channel_tokens(plain, wanted), rtol=1e-4, atol=1e-4
    )
    other = {name: weight for name, weight in folded.state_dict().items() if "in_proj." not in name}
    assert all(torch.equal(weight, plain.state_dict()[name]) for name, weight in other.items())


def test_a_sample_of_many_items_is_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(popt, "_MAX_ITEMS", 50)
    sessions = [session_of(embeddings(40, 5, 2))]
    folded = [copy.deepcopy(fresh()) for _ in range(3)]
    for encoder, seed in zip(folded, (0, 0, 1), strict=True):
        standardise_inputs(encoder, sessions, seed=seed)
    weights = [encoder.input_encoding.in_proj.weight for encoder in folded]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    whole = fresh()
    monkeypatch.undo()
    standardise_inputs(whole, sessions, seed=0)
    torch.testing.assert_close(weights[0], whole.input_encoding.in_proj.weight, rtol=0.4, atol=0.05)


def test_without_a_good_item_there_is_nothing_to_go_by() -> None:
    bad = tuple(np.ndindex(2, 2))
    with pytest.raises(SettingsError, match="with a good channel, got none in 1 sessions"):
        standardise_inputs(fresh(), [session_of(embeddings(2, 2, 0), bad=bad)], seed=0)
