"""Masked spectrograms: which items, what loss, and that something is learned."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.encoder import BrainBERT, BrainBERTSizes
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from tests.learn.objectives.sessions import numbered, session_of, spectrograms

SIZES = BrainBERTSizes(32, 64, 4, 1, 20)


class Says(BrainBERT):
    """A BrainBERT whose reconstruction is given."""

    def __init__(self, predicted: torch.Tensor) -> None:
        super().__init__(BrainBERTSizes(8, 8, 1, 1, predicted.shape[-1]))
        self.predicted = predicted

    def forward(self, spectrogram, pad_mask=None):
        return spectrogram

    def reconstruct(self, hidden):
        return self.predicted[: len(hidden)]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loss_cell_by_cell(target, predicted, mask, alpha, gamma):
    over_mask, over_content = [], []
    for index in np.ndindex(target.shape):
        if mask[index]:
            error = abs(float(target[index]) - float(predicted[index]))
            over_mask.append(error)
            if abs(float(target[index])) > gamma:
                over_content.append(error)
    first = sum(over_mask) / len(over_mask) if over_mask else 0.0
    second = sum(over_content) / len(over_content) if over_content else 0.0
    return first + alpha * second, first, second


def test_items_are_the_good_ones_in_the_order_of_session_window_and_channel() -> None:
    sessions = [
        session_of(numbered(4, 3, (6, 2), session=0), bad=((0, 1), (3, 0), (3, 1), (3, 2))),
        session_of(numbered(2, 2, (6, 2), session=1), bad=((1, 0),)),
    ]
    examples = MaskedSpectrograms(sessions)
    expected = [0, 2, 100, 101, 102, 200, 201, 202, 10000, 10001, 10101]
    assert len(examples) == len(expected)
    items = np.array([10, 3, 0, 8, 3])
    batch = examples.draw(items, np.random.default_rng(0))
    assert batch["target"][:, 0, 0].tolist() == [expected[item] for item in items]
    assert {name: values.dtype for name, values in batch.items()} == {
        "input": torch.float32,
        "target": torch.float32,
        "mask": torch.bool,
    }


@pytest.mark.parametrize("masking", ["fixed", "adaptive"])
def test_draws_depend_on_the_items_and_the_generator_alone(masking) -> None:
    examples = MaskedSpectrograms([session_of(spectrograms(5, 4, 40, 20))], masking=masking)
    items = np.array([1, 7, 19, 3])
    first = examples.draw(items, np.random.default_rng(5))
    examples.draw(np.arange(10), np.random.default_rng(6))
    again = examples.draw(items, np.random.default_rng(5))
    for name, values in first.items():
        assert torch.equal(values, again[name])
    other = examples.draw(items, np.random.default_rng(7))
    assert torch.equal(first["target"], other["target"])
    assert not torch.equal(first["mask"], other["mask"])
    outside = ~first["mask"]
    assert torch.equal(first["input"][outside], first["target"][outside])


def test_upstream_labels_reach_the_loss() -> None:
    sessions = [session_of(spectrograms(5, 4, 40, 20))]
    right, upstream = (
        MaskedSpectrograms(sessions, upstream_mask_labels=flag).draw(
            np.arange(20), np.random.default_rng(1)
        )
        for flag in (False, True)
    )
    assert torch.equal(right["input"], upstream["input"])
    hidden = right["input"] != right["target"]
    assert not (hidden & ~right["mask"]).any()
    assert (hidden & ~upstream["mask"]).any()


def test_upstream_labels_of_adaptive_masks_are_refused() -> None:
    with pytest.raises(SettingsError, match="an error of fixed masks"):
        MaskedSpectrograms(
            [session_of(numbered(2, 1, (6, 2)))], masking="adaptive", upstream_mask_labels=True
        )


def test_sessions_without_a_good_channel_are_refused() -> None:
    with pytest.raises(SettingsError, match="none in 1 sessions"):
        MaskedSpectrograms([session_of(numbered(1, 1, (6, 2)), bad=((0, 0),))])


def test_a_window_that_is_not_finite_is_named() -> None:
    items = numbered(3, 2, (6, 2)).copy()
    items[2, 1, 3, 0] = np.nan
    examples = MaskedSpectrograms([session_of(items)])
    examples.draw(np.arange(5), np.random.default_rng(0))
    with pytest.raises(RecordingError, match="window 2 of channel A2"):
        examples.draw(np.array([5]), np.random.default_rng(0))


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 3), st.floats(0, 4))
@settings(max_examples=40)
def test_the_loss_is_what_a_loop_over_cells_gives(seed, share, gamma, alpha) -> None:
    rng = np.random.default_rng(seed)
    target, predicted = rng.standard_normal((2, 2, 7, 3)).astype(np.float32)
    mask = rng.random(target.shape) < share
    objective = MaskedSpectrogram(Says(torch.from_numpy(predicted)), alpha=alpha, gamma=gamma)
    batch = {
        "input": torch.from_numpy(target),
        "target": torch.from_numpy(target),
        "mask": torch.from_numpy(mask),
    }
    loss, measures = objective(batch)
    expected = loss_cell_by_cell(target, predicted, mask, alpha, gamma)
    got = loss.detach(), measures["masked_l1"], measures["content_l1"]
    np.testing.assert_allclose([float(value) for value in got], expected, rtol=1e-5, atol=1e-6)


def test_without_masked_cells_the_loss_and_its_gradient_are_zero() -> None:
    objective = MaskedSpectrogram(BrainBERT(SIZES))
    blank = torch.zeros(2, 12, 20)
    loss, _ = objective({"input": blank, "target": blank, "mask": blank.bool()})
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in objective.parameters() if p.grad is not None)


def test_figures_are_those_of_all_cells_together() -> None:
    rng = np.random.default_rng(3)
    target, predicted, seen = rng.standard_normal((3, 5, 30, 6)).astype(np.float32)
    mask = rng.random(target.shape) < 0.3
    seen = np.where(mask & (rng.random(target.shape) < 0.8), seen, target)
    objective = MaskedSpectrogram(Says(torch.zeros(5, 30, 6)))
    batches = []
    for rows in (slice(0, 2), slice(2, 5)):
        batches.append(
            {
                "input": torch.from_numpy(seen[rows]),
                "target": torch.from_numpy(target[rows]),
                "mask": torch.from_numpy(mask[rows]),
            }
        )

    def one_by_one():
        for rows, batch in zip((slice(0, 2), slice(2, 5)), batches, strict=True):
            objective.encoder.predicted = torch.from_numpy(predicted[rows])
            yield batch

    figures = objective.score(one_by_one())
    hidden = np.ma.array(target, mask=mask)
    bin_mean = np.broadcast_to(hidden.mean(axis=1, keepdims=True).data, target.shape)
    sets = {
        "masked": mask,
        "content": mask & (np.abs(target) > 1),
        "unseen": mask & (seen != target),
    }
    for name, cells in sets.items():
        y = target[cells]
        expected = {
            "l1": np.abs(y - predicted[cells]).mean(),
            "l1_of_zero": np.abs(y).mean(),
            "l1_of_bin_mean": np.abs(y - bin_mean[cells]).mean(),
            "r2": 1 - np.square(y - predicted[cells]).sum() / np.square(y - y.mean()).sum(),
        }
        for figure, value in expected.items():
            assert figures[f"{name}_{figure}"] == pytest.approx(value, rel=1e-5), (name, figure)
    assert len(figures) == 12


def test_pictures_show_seen_true_and_reconstructed_of_two_items() -> None:
    rng = np.random.default_rng(4)
    target, predicted, seen = torch.from_numpy(rng.random((3, 3, 30, 6), dtype=np.float32))
    batch = {"input": seen, "target": target, "mask": torch.ones(3, 30, 6, dtype=torch.bool)}
    shown = MaskedSpectrogram(Says(predicted)).pictures(batch)
    assert len(shown) == 2
    for item, image in enumerate(shown.values()):
        assert image.shape == (3 * 6 + 2, 30)
        for row, part in ((0, seen), (7, target), (14, predicted)):
            np.testing.assert_array_equal(image[row : row + 6], part[item].numpy().T[::-1])


def test_a_tiny_brainbert_learns_what_was_hidden() -> None:
    examples = MaskedSpectrograms([session_of(spectrograms(2, 2, 30, 20))])
    torch.manual_seed(0)
    objective = MaskedSpectrogram(BrainBERT(BrainBERTSizes(48, 96, 4, 1, 20))).eval()
    optimiser = torch.optim.Adam(objective.parameters(), lr=5e-3)
    losses, items = [], np.tile(np.arange(4), 4)
    for step in range(150):
        loss, _ = objective(examples.draw(items, np.random.default_rng(step)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    with torch.no_grad():
        figures = objective.score(
            [examples.draw(items, np.random.default_rng(1000 + k)) for k in range(4)]
        )
    assert figures["unseen_l1"] < 0.7 * figures["unseen_l1_of_zero"]
    assert figures["unseen_l1"] < 0.7 * figures["unseen_l1_of_bin_mean"]
    assert figures["unseen_r2"] > 0.4
