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
import numpy.typing as npt
import torch

from rtbrain.errors import SettingsError
from rtbrain.offline.objectives.objective import Batch, Examples
from rtbrain.offline.training.plan import Plan

__all__ = ["Grain", "draw_ahead", "items_of", "share", "validation_batches"]

Items = npt.NDArray[np.int64]

# The last word of a seed says what it is for, so that no two streams of numbers are one.
_ORDER, _MASKS, _DROPOUT, _VALIDATION = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class Grain:
    """What goes through the model at once.

    Attributes
    ----------
    batch : dict of str to Tensor
        Inputs, targets and masks.
    seed : int
        For torch's generator, before the forward pass: of dropout.
    """

    batch: Batch
    seed: int


def items_of(seed: int, start: int, stop: int, n_items: int) -> Items:
    """Items of the places `start` to `stop` in an endless row of shuffled epochs, int64.

    Parameters
    ----------
    seed : int
        Of the shuffling.
    start, stop : int
        Items drawn before, and with these.
    n_items : int
        Length of an epoch: each holds every item once.
    """
    found = []
    while start < stop:
        epoch, first = divmod(start, n_items)
        last = min(n_items, first + stop - start)
        found.append(_order(seed, epoch, n_items)[first:last])
        start += last - first
    return np.concatenate(found) if found else np.empty(0, np.int64)


@lru_cache(maxsize=4)  # the end of an epoch, the start of the next, the held-out items
def _order(seed: int, epoch: int, n_items: int) -> Items:
    order: Items = np.random.default_rng((seed, epoch, _ORDER)).permutation(n_items)
    order.flags.writeable = False
    return order


def share(plan: Plan, rank: int, n_ranks: int) -> range:
    """Grains of a step that one of several processes computes; together they are all, once.

    Raises
    ------
    SettingsError
        The grains of a step do not divide among the processes.
    """
    if plan.n_grains % n_ranks:
        raise SettingsError(
            f"a step has {plan.n_grains} micro-batches (batch {plan.batch} of {plan.micro_batch}), "
            f"which {n_ranks} processes cannot share: change batch, micro_batch or "
            f"--nproc-per-node"
        )
    return range(rank, plan.n_grains, n_ranks)


def _draw(examples: Examples, plan: Plan, step: int, number: int, pin: bool) -> Grain:
    first = step * plan.batch + number * plan.micro_batch
    items = items_of(plan.seed, first, first + plan.micro_batch, len(examples))
    batch = examples.draw(items, np.random.default_rng((plan.seed, step, number, _MASKS)))
    if pin:
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    words = np.random.SeedSequence((plan.seed, step, number, _DROPOUT)).generate_state(1, np.uint64)
    return Grain(batch, int(words[0]))


def draw_ahead(
    examples: Examples, plan: Plan, numbers: range, start: int, device: torch.device
) -> Generator[Grain, None, None]:
    """Grains of each step from `start` on, in order, drawn by a thread ahead of their use.

    Parameters
    ----------
    examples : Examples
        What to draw from.
    plan : Plan
        Batches, seed, and how many grains to draw ahead.
    numbers : range
        Grains of a step to draw.
    start : int
        Steps that were done before.
    device : torch.device
        Where grains are used; for a GPU they lie in pinned memory.
    """
    pin = device.type == "cuda"
    jobs = ((step, number) for step in range(start, plan.steps) for number in numbers)
    if not plan.prefetch:
        for step, number in jobs:
            yield _draw(examples, plan, step, number, pin)
        return
    waiting: deque[Future[Grain]] = deque()
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


def validation_batches(held_out: Examples, plan: Plan) -> Iterator[Batch]:
    """The held-out items that are scored, in micro-batches: the same at each call.

    Parameters
    ----------
    held_out : Examples
        Of subjects that are not trained on.
    plan : Plan
        Seed, micro-batch, and how many items at most.
    """
    items = np.sort(items_of(plan.seed, 0, min(plan.validate_items, len(held_out)), len(held_out)))
    for number, first in enumerate(range(0, items.size, plan.micro_batch)):
        rng = np.random.default_rng((plan.seed, number, _VALIDATION))
        yield held_out.draw(items[first : first + plan.micro_batch], rng)
