"""Which items each step trains on, and the grains that they are drawn in.

Nothing is carried from step to step: what a grain holds follows from (seed, step, grain) alone.
So a training that was stopped goes on as if it had not been, and processes that share the grains
of a step see together what one alone would see.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch, Examples
from rtbrain.learn.training.optimiser import TrainingPlan
from rtbrain.types import Ints

# The last word of a seed says what it is for, so that no two streams of numbers are one.
_ORDER, _MASKS, _DROPOUT, _VALIDATION = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """What goes through the model at once."""

    batch: Batch  # dict of str to Tensor
    seed: int


def items_of(seed: int, start: int, stop: int, n_items: int) -> Ints:
    """Items of the places `start` to `stop` in an endless row of shuffled epochs, int64."""
    found = []
    while start < stop:
        epoch, first = divmod(start, n_items)
        last = min(n_items, first + stop - start)
        found.append(_order(seed, epoch, n_items)[first:last])
        start += last - first
    return np.concatenate(found) if found else np.empty(0, np.int64)


@lru_cache(maxsize=4)  # the end of an epoch, the start of the next, the held-out items
def _order(seed: int, epoch: int, n_items: int) -> Ints:
    order: Ints = np.random.default_rng((seed, epoch, _ORDER)).permutation(n_items)
    order.flags.writeable = False
    return order


def share_of_rank(plan: TrainingPlan, rank: int, n_ranks: int) -> range:
    """Grains of a step that one of several processes computes; together they are all, once."""
    if plan.n_micro_batches % n_ranks:
        raise SettingsError(
            f"a step has {plan.n_micro_batches} micro-batches (batch {plan.batch} of {plan.micro_batch}), "
            f"which {n_ranks} processes cannot share: change batch, micro_batch or "
            f"--nproc-per-node"
        )
    return range(rank, plan.n_micro_batches, n_ranks)


def _draw(examples: Examples, plan: TrainingPlan, step: int, number: int, pin: bool) -> MicroBatch:
    first = step * plan.batch + number * plan.micro_batch
    items = items_of(plan.seed, first, first + plan.micro_batch, len(examples))
    batch = examples.draw(items, np.random.default_rng((plan.seed, step, number, _MASKS)))
    if pin:
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    words = np.random.SeedSequence((plan.seed, step, number, _DROPOUT)).generate_state(1, np.uint64)
    return MicroBatch(batch, int(words[0]))


def draw_ahead(
    examples: Examples, plan: TrainingPlan, numbers: range, start: int, device: torch.device
) -> Generator[MicroBatch, None, None]:
    """Grains of each step from `start` on, in order, drawn by a thread ahead of their use."""
    pin = device.type == "cuda"
    jobs = ((step, number) for step in range(start, plan.steps) for number in numbers)
    if not plan.prefetch:
        for step, number in jobs:
            yield _draw(examples, plan, step, number, pin)
        return
    waiting: deque[Future[MicroBatch]] = deque()
    thread = ThreadPoolExecutor(1, "draw")
    try:
        for step, number in jobs:
            waiting.append(thread.submit(_draw, examples, plan, step, number, pin))
            if len(waiting) > plan.prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)


def validation_batches(held_out: Examples, plan: TrainingPlan) -> Iterator[Batch]:
    """The held-out items that are scored, in micro-batches: the same at each call."""
    items = np.sort(items_of(plan.seed, 0, min(plan.validate_items, len(held_out)), len(held_out)))
    for number, first in enumerate(range(0, items.size, plan.micro_batch)):
        rng = np.random.default_rng((plan.seed, number, _VALIDATION))
        yield held_out.draw(items[first : first + plan.micro_batch], rng)
