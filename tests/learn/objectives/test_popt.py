"""Pairs of windows against what their tokens say, and that something is learned from them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rtbrain.config.training import PopTObjective
from rtbrain.encoder import PopT, PopTSizes, lip_positions
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.objectives.popt import PopulationObjective, PopulationPairs
from tests.conftest import brain_like
from tests.learn.objectives.sessions import numbered, session_of

HOP_S = 0.5
SIZES = PopTSizes(8, 32, 64, 4, 1)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Says(PopT):
    """A PopT whose logits are given."""

    def __init__(self, cls: np.ndarray, tokens: np.ndarray) -> None:
        super().__init__(SIZES)
        self.cls, self.tokens = torch.from_numpy(cls), torch.from_numpy(tokens)

    def forward(self, embedding, positions, seq_id=None, pad_mask=None):
        return embedding, self.cls[:, None], self.tokens[..., None]


def two_sessions():
    """Sessions of 20 windows of 12 channels and of 9 of 30, some not good."""
    bad = tuple((window, window % 12) for window in range(0, 20, 3))
    return [
        session_of(numbered(20, 12, (8,), 0), bad=bad),
        session_of(numbered(9, 30, (8,), 1), name="02", bad=((4, 3), (5, 3))),
    ]


def pairs(sessions, **choices):
    return PopulationPairs(sessions, hop_s=HOP_S, **choices)


def read_back(batch, sessions):
    """Of each row: session, first window and channels of both halves, told by the embeddings."""
    for row in range(len(batch["embedding"])):
        shown = ~batch["pad_mask"][row, 1:].numpy()
        said = batch["embedding"][row, :, 0].numpy().astype(int)
        yield (
            shown,
            said // 10000,
            said % 10000 // 100,
            said % 100,
            batch["seq_id"][row].numpy(),
            batch["replaced"][row].numpy() > 0,
        )


@pytest.mark.parametrize("upstream", [False, True])
def test_every_token_is_of_the_right_window_and_channel(upstream: bool) -> None:
    sessions = two_sessions()
    examples = pairs(sessions, upstream_negatives=upstream, replace_share=0.2)
    seen = set()
    for seed in range(30):
        items = np.random.default_rng(seed).permutation(len(examples))
        batch = examples.draw(items, np.random.default_rng(1000 + seed))
        assert not batch["pad_mask"][:, 0].any()
        for row, (shown, session, window, channel, half, false) in enumerate(
            read_back(batch, sessions)
        ):
            first = items[row] if items[row] < 19 else items[row] - 19
            number = 0 if items[row] < 19 else 1
            assert set(session[shown]) == {number}, "a pair crossed sessions"
            true = shown & ~false
            assert set(window[true & (half == 0)]) <= {first}
            partner = set(window[true & (half == 1)])
            assert len(partner) <= 1
            if not batch["not_consecutive"][row]:
                assert partner <= {first + 1}
            elif not upstream:
                assert not partner & {first - 1, first, first + 1}
            third = set(window[false])
            if not upstream:
                assert not third & ({first} | partner)
            # Two halves of one subset of channels: no channel twice, each good where it is read.
            places = batch["positions"][row].numpy()[shown]
            of = lip_positions(sessions[number].montage).tolist()
            labels = [of.index(place) for place in places.tolist()]
            assert len(set(labels)) == len(labels)
            assert labels == [
                name if not wrong else label
                for name, wrong, label in zip(channel[shown], false[shown], labels, strict=True)
            ]
            good = sessions[number].good
            assert good[window[shown], channel[shown]].all()
            assert good[first, labels].all()
            assert (half[shown] == 0).sum() == shown.sum() // 2
            seen.add(int(shown.sum()))
            assert not batch["embedding"][row].numpy()[~shown].any()
            assert not places.size or not batch["positions"][row].numpy()[~shown].any()
            assert not batch["scored"][row].numpy()[~shown].any()
    assert {10, 20, 29, 30} <= seen, "subset sizes, and all that is good where fewer are"


def test_half_of_the_scored_tokens_are_replaced() -> None:
    examples = pairs(two_sessions())
    scored = replaced = shown = apart = n = 0
    for seed in range(60):
        batch = examples.draw(np.arange(len(examples)), np.random.default_rng(seed))
        assert not (batch["replaced"].bool() & ~batch["scored"]).any()
        scored += int(batch["scored"].sum())
        replaced += int(batch["replaced"].sum())
        shown += int((~batch["pad_mask"][:, 1:]).sum())
        apart += int(batch["not_consecutive"].sum())
        n += len(examples)
    assert scored / shown == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / shown))
    assert replaced / scored == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / scored))
    assert apart / n == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / n))


def test_the_flag_lets_negatives_be_the_window_itself() -> None:
    sessions = [session_of(numbered(10, 12, (8,)))]
    for upstream in (False, True):
        examples = pairs(
            sessions, subset_sizes=(10,), replace_share=0.0, upstream_negatives=upstream
        )
        same = following = n = 0
        for seed in range(300):
            batch = examples.draw(np.arange(9), np.random.default_rng(seed))
            negative = batch["not_consecutive"].numpy() > 0
            window = batch["embedding"][:, :, 0].numpy().astype(int) // 100
            partner = window[:, -1][negative]
            first = np.arange(9)[negative]
            same += int((partner == first).sum())
            following += int((partner == first + 1).sum())
            n += int(negative.sum())
        expected = 1 / 10 if upstream else 0
        assert same / n == pytest.approx(expected, abs=4 * np.sqrt(0.09 / n) * upstream)
        assert following / n == pytest.approx(expected, abs=4 * np.sqrt(0.09 / n) * upstream)


def test_draws_depend_on_the_items_and_the_generator_alone() -> None:
    examples = pairs(two_sessions(), blur_voxels=5.0)
    items = np.array([3, 20, 11, 3])
    first = examples.draw(items, np.random.default_rng(1))
    examples.draw(np.arange(9), np.random.default_rng(2))
    again = examples.draw(items, np.random.default_rng(1))
    assert all(torch.equal(values, again[name]) for name, values in first.items())


def test_blur_moves_positions_by_its_deviation_and_stays_in_the_table() -> None:
    sessions = two_sessions()
    sharp, blurred = (
        [
            pairs(sessions, blur_voxels=blur).draw(np.arange(20), np.random.default_rng(seed))
            for seed in range(10)
        ]
        for blur in (0.0, 5.0)
    )
    moves = []
    for still, moved in zip(sharp, blurred, strict=True):
        shown = ~still["pad_mask"][:, 1:]
        assert torch.equal(still["embedding"], moved["embedding"])
        moves.append((moved["positions"] - still["positions"])[shown].double())
        assert moved["positions"].min() >= 0
    assert torch.cat(moves).std().item() == pytest.approx(5, abs=0.2)
    far = pairs(sessions, blur_voxels=4000.0).draw(np.arange(20), np.random.default_rng(0))
    assert far["positions"].min() >= 0
    assert far["positions"].max() <= 4999


def test_what_cannot_be_drawn_is_refused() -> None:
    sessions = two_sessions()
    wrong = {"subset_sizes": (1, 10), "replace_share": 1.5, "blur_voxels": -1.0}
    for name, value in wrong.items():
        with pytest.raises(ValidationError, match=name):
            PopTObjective.model_validate({name: value})
    with pytest.raises(SettingsError, match=r"follow each other by 0\.25 s"):
        PopulationPairs(sessions, hop_s=0.25)
    broken = numbered(8, 4, (8,)).copy()
    broken[:, 2] = np.inf
    with pytest.raises(RecordingError, match="of channel A3"):
        pairs([session_of(broken)]).draw(np.arange(7), np.random.default_rng(0))


def bce(logit: float, label: float) -> float:
    chance = 1 / (1 + np.exp(-logit))
    return float(-np.log(chance if label else 1 - chance))


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=40)
def test_the_loss_is_what_a_loop_over_tokens_gives(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    cls, tokens = rng.normal(0, 2, 3), rng.normal(0, 2, (3, 5))
    batch = {
        "embedding": torch.zeros(3, 5, 8),
        "positions": torch.zeros(3, 5, 3, dtype=torch.int64),
        "seq_id": torch.zeros(3, 5, dtype=torch.int64),
        "pad_mask": torch.zeros(3, 6, dtype=torch.bool),
        "not_consecutive": torch.from_numpy((rng.random(3) < 0.5).astype(np.float32)),
        "replaced": torch.from_numpy((rng.random((3, 5)) < 0.5).astype(np.float32)),
        "scored": torch.from_numpy(rng.random((3, 5)) < share),
    }
    objective = PopulationObjective(Says(cls, tokens))
    loss, measures = objective(batch)
    first = [bce(cls[b], batch["not_consecutive"][b].item()) for b in range(3)]
    second = [
        bce(tokens[b, c], batch["replaced"][b, c].item())
        for b, c in np.ndindex(3, 5)
        if batch["scored"][b, c]
    ]
    right = [
        (tokens[b, c] > 0) == (batch["replaced"][b, c].item() > 0)
        for b, c in np.ndindex(3, 5)
        if batch["scored"][b, c]
    ]
    replaced_loss = np.mean(second) if second else 0.0
    near = {
        "rel": 1e-5,
        "abs": 1e-6,
    }  # float32 rounds 1 + exp(-x), of which a small cost is the log
    assert measures["consecutive_loss"].item() == pytest.approx(np.mean(first), **near)
    assert measures["replaced_loss"].item() == pytest.approx(replaced_loss, **near)
    assert loss.item() == pytest.approx(np.mean(first) + replaced_loss, **near)
    assert measures["replaced_accuracy"].item() == pytest.approx(np.mean(right) if right else 0)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(5)
    examples = pairs(two_sessions())
    batches = [examples.draw(np.arange(27), np.random.default_rng(seed)) for seed in range(3)]
    most = max(batch["embedding"].shape[1] for batch in batches)
    cls, tokens = rng.normal(size=(3, 27)), rng.normal(size=(3, 27, most))
    objective = PopulationObjective(Says(cls[0], tokens[0]))

    def one_by_one():
        for number, batch in enumerate(batches):
            length = batch["embedding"].shape[1]
            objective.encoder.cls = torch.from_numpy(cls[number])
            objective.encoder.tokens = torch.from_numpy(tokens[number, :, :length])
            yield batch

    figures = objective.score(one_by_one())
    sets = {
        "consecutive": [(cls[k], batch["not_consecutive"]) for k, batch in enumerate(batches)],
        "replaced": [
            (tokens[k][:, : b["scored"].shape[1]][b["scored"].numpy()], b["replaced"][b["scored"]])
            for k, b in enumerate(batches)
        ],
    }
    for name, parts in sets.items():
        logits = np.concatenate([part for part, _ in parts])
        labels = np.concatenate([part.numpy() for _, part in parts]) > 0
        ordered = logits[labels][:, None] > logits[~labels][None]
        assert figures[f"{name}_auc"] == pytest.approx(ordered.mean(), abs=1e-5)
        losses = [bce(logit, label) for logit, label in zip(logits, labels, strict=True)]
        assert figures[f"{name}_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert figures[f"{name}_accuracy"] == pytest.approx(np.mean((logits > 0) == labels))


def test_padding_changes_nothing() -> None:
    examples = pairs(two_sessions())
    items = np.array([2, 22])  # 10 to 12 channels beside up to 30
    for seed in range(20):
        batch = examples.draw(items, np.random.default_rng(seed))
        if batch["pad_mask"].any():
            break
    torch.manual_seed(0)
    objective = PopulationObjective(PopT(SIZES)).eval()
    batch["embedding"] /= 1e4
    loss, _ = objective(batch)
    padding = batch["pad_mask"][:, 1:]
    other = batch | {"embedding": batch["embedding"].masked_fill(padding[..., None], 7.0)}
    torch.testing.assert_close(objective(other)[0], loss)


def tokens_of_a_brain(n_windows: int, n_channels: int) -> np.ndarray:
    """Means of overlapping stretches of slow signals, with an offset a channel: [W, C, 8]."""
    signal = brain_like(n_channels * 8, 2048, 256.0, seed=3).reshape(n_channels, 8, 2048)
    signal = signal - signal.mean(axis=2, keepdims=True)
    signal = signal / signal.std(axis=2, keepdims=True)
    hop = 2048 // (n_windows + 4)
    windows = [signal[:, :, k * hop : (k + 4) * hop].mean(axis=2) for k in range(n_windows)]
    own = np.random.default_rng(4).normal(0, 1, (1, n_channels, 8))
    common = np.stack(windows).mean(axis=1, keepdims=True) * 3
    return (common + own).astype(np.float32)


def test_a_tiny_popt_learns_which_windows_follow_and_what_was_replaced() -> None:
    examples = pairs([session_of(tokens_of_a_brain(8, 8))], replace_share=0.3)
    torch.manual_seed(0)
    objective = PopulationObjective(PopT(PopTSizes(8, 32, 64, 4, 2))).eval()
    optimiser = torch.optim.Adam(objective.encoder.parameters(), lr=5e-3)
    losses, items = [], np.tile(np.arange(7), 9)
    for step in range(150):
        loss, _ = objective(examples.draw(items, np.random.default_rng(step)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    with torch.no_grad():
        figures = objective.score(
            [examples.draw(items, np.random.default_rng(1000 + k)) for k in range(4)]
        )
    assert figures["consecutive_auc"] > 0.8
    assert figures["replaced_auc"] > 0.8


def test_the_head_that_the_loss_does_not_read_asks_for_no_gradient() -> None:
    objective = PopulationObjective(PopT(SIZES))
    examples = pairs(two_sessions())
    objective(examples.draw(np.arange(8), np.random.default_rng(0)))[0].backward()
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is None) == ("spec_prediction_head" in name), name
