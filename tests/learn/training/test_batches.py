"""Order of items, seeds of micro-batches, sharing among processes."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rtbrain.errors import SettingsError
from rtbrain.learn.training.batches import draw_ahead, items_of, share_of_rank, validation_batches
from tests.learn.training.tiny import Rows, settings_of

CPU = torch.device("cpu")


@given(st.integers(1, 20), st.lists(st.integers(1, 17), min_size=1, max_size=8), st.integers(0, 5))
def test_items_do_not_depend_on_the_pieces_they_are_asked_in(
    n_items: int, pieces: list[int], seed: int
) -> None:
    edges = np.cumsum([0, *pieces])
    whole = items_of(seed, 0, int(edges[-1]), n_items)
    cut = [items_of(seed, int(a), int(b), n_items) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)
    for epoch in range(len(whole) // n_items):
        assert sorted(whole[epoch * n_items :][:n_items]) == list(range(n_items))


def test_epochs_are_shuffled_anew_and_seeds_differ() -> None:
    first, second = items_of(0, 0, 40, 40), items_of(0, 40, 80, 40)
    assert (first != second).any()
    assert (first != items_of(1, 0, 40, 40)).any()


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_processes_share_the_micro_batches_of_a_step_without_overlap(n_ranks: int) -> None:
    settings = settings_of(steps=3)
    alone = list(draw_ahead(Rows(), settings, share_of_rank(settings, 0, 1), 0, CPU))
    found: dict[int, list[torch.Tensor]] = {}
    for rank in range(n_ranks):
        numbers = share_of_rank(settings, rank, n_ranks)
        drawn = iter(draw_ahead(Rows(), settings, numbers, 0, CPU))
        for step in range(settings.steps):
            for number in numbers:
                found.setdefault(step * settings.n_micro_batches + number, []).append(
                    next(drawn).batch["input"]
                )
    assert sorted(found) == list(range(12))
    for number, inputs in found.items():
        assert len(inputs) == 1
        assert torch.equal(inputs[0], alone[number].batch["input"])


def test_micro_batches_that_do_not_divide_are_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"4 micro-batches .* 3 processes cannot share"):
        share_of_rank(settings_of(), 0, 3)
    with pytest.raises(ValidationError, match="batch 8 is no multiple of micro_batch 3"):
        settings_of(micro_batch=3)


@pytest.mark.parametrize("prefetch", [0, 1, 5, 99])
def test_a_later_start_and_drawing_ahead_change_nothing(prefetch: int) -> None:
    whole = list(draw_ahead(Rows(), settings_of(steps=5, prefetch=0), range(4), 0, CPU))
    late = list(draw_ahead(Rows(), settings_of(steps=5, prefetch=prefetch), range(4), 2, CPU))
    assert len(late) == 12
    for then, now in zip(whole[8:], late, strict=True):
        assert then.seed == now.seed
        assert torch.equal(then.batch["input"], now.batch["input"])
    assert len({micro_batch.seed for micro_batch in whole}) == len(whole)


def test_held_out_items_are_the_same_at_each_look_and_each_comes_once() -> None:
    settings = settings_of(validate_items=11)
    first, second = (list(validation_batches(Rows(), settings)) for _ in range(2))
    items = torch.cat([batch["item"] for batch in first])
    assert len(set(items.tolist())) == 11
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one["input"], other["input"])
    few = list(validation_batches(Rows(5), settings))
    assert sum(len(batch["item"]) for batch in few) == 5


def test_an_error_of_the_thread_that_draws_reaches_the_loop() -> None:
    class Broken(Rows):
        def draw(self, items: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        next(draw_ahead(Broken(), settings_of(), range(4), 0, CPU))
