"""Which items each step trains on, drawn in micro-batches.

No state is carried from step to step: a micro-batch follows from (seed, step, number) alone. So a
training that was stopped resumes as if it had not been, and processes that share the micro-batches
of a step see together what one process would see.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from rtbrain.config.training import TrainingSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch, Examples
from rtbrain.types import Ints

# The last word of each seed: no two generators draw the same numbers.
_ORDER, _MASKS, _DROPOUT, _VALIDATION = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """Items that go through the model at once."""

    batch: Batch
    seed: int


def items_of(seed: int, start: int, stop: int, n_items: int) -> Ints:
    """Items at the places `start` to `stop` of an endless sequence of shuffled epochs, int64."""
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


def share_of_rank(settings: TrainingSettings, rank: int, n_ranks: int) -> range:
    """Numbers of the micro-batches of a step that one of several processes computes."""
    if settings.n_micro_batches % n_ranks:
        raise SettingsError(
            f"a step has {settings.n_micro_batches} micro-batches (batch {settings.batch} of "
            f"{settings.micro_batch}), which {n_ranks} processes cannot share: change batch, "
            f"micro_batch or --nproc-per-node"
        )
    return range(rank, settings.n_micro_batches, n_ranks)


def _draw(
    examples: Examples, settings: TrainingSettings, step: int, number: int, pin: bool
) -> MicroBatch:
    first = step * settings.batch + number * settings.micro_batch
    items = items_of(settings.seed, first, first + settings.micro_batch, len(examples))
    batch = examples.draw(items, np.random.default_rng((settings.seed, step, number, _MASKS)))
    if pin:
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    words = np.random.SeedSequence((settings.seed, step, number, _DROPOUT)).generate_state(
        1, np.uint64
    )
    return MicroBatch(batch, int(words[0]))


def draw_ahead(
    examples: Examples, settings: TrainingSettings, numbers: range, start: int, device: torch.device
) -> Generator[MicroBatch, None, None]:
    """Micro-batches of each step from `start` on, in order, drawn ahead by a thread."""
    pin = device.type == "cuda"
    jobs = ((step, number) for step in range(start, settings.steps) for number in numbers)
    if not settings.prefetch:
        for step, number in jobs:
            yield _draw(examples, settings, step, number, pin)
        return
    waiting: deque[Future[MicroBatch]] = deque()
    thread = ThreadPoolExecutor(1, "draw")
    try:
        for step, number in jobs:
            waiting.append(thread.submit(_draw, examples, settings, step, number, pin))
            if len(waiting) > settings.prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)


def validation_batches(held_out: Examples, settings: TrainingSettings) -> Iterator[Batch]:
    """The held-out items to score, in micro-batches: the same at each call."""
    items = np.sort(
        items_of(settings.seed, 0, min(settings.validate_items, len(held_out)), len(held_out))
    )
    for number, first in enumerate(range(0, items.size, settings.micro_batch)):
        rng = np.random.default_rng((settings.seed, number, _VALIDATION))
        yield held_out.draw(items[first : first + settings.micro_batch], rng)
