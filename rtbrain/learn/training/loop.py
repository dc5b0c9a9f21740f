"""The training loop."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rtbrain.config.training import TrainingSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch, Examples, Objective
from rtbrain.learn.training.batches import MicroBatch, draw_ahead, share_of_rank, validation_batches
from rtbrain.learn.training.optimiser import learning_rate, make_optimiser
from rtbrain.learn.training.records import (
    Logbook,
    StepRecord,
    last_checkpoint,
    restore,
    save_checkpoint,
)


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among those that train together."""

    rank: int
    n_ranks: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def spread(self, objective: Objective) -> nn.Module:
        """The objective, with gradients that are means over all processes after each backward."""
        if self.n_ranks == 1:
            return objective
        cuda = self.device.type == "cuda"
        # Every weight that requires a gradient gets one: objectives freeze heads they do not use.
        return DistributedDataParallel(objective, device_ids=[self.device.index] if cuda else None)

    def exchange(self, model: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Around forward and backward: gradients are averaged once per step, at its last batch."""
        if isinstance(model, DistributedDataParallel) and not last:
            no_sync: contextlib.AbstractContextManager[None] = model.no_sync()
            return no_sync
        return contextlib.nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, the same in each."""
        if self.n_ranks > 1:
            dist.all_reduce(values)
            values = values / self.n_ranks
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.n_ranks > 1:
            dist.barrier()


@contextlib.contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone where it did not start this one."""
    rank, n_ranks, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    chosen = torch.device("cpu")
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise SettingsError(
                f"process {local} of this machine has no GPU of its own, there are "
                f"{torch.cuda.device_count()}: start as many by torchrun --nproc-per-node"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if n_ranks == 1:
        yield Ranks(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, n_ranks, chosen)
    finally:
        dist.destroy_process_group()


@dataclass(slots=True)
class TrainingProgress:
    """Steps done, and when they would have begun without a stop."""

    step: int
    begun_s: float

    @property
    def time_s(self) -> float:
        """Time so far, s, over all runs of this training."""
        return time.monotonic() - self.begun_s


def train(
    objective: Objective,
    examples: Examples,
    held_out: Examples | None,
    settings: TrainingSettings,
    *,
    folder: Path,
    identity: Mapping[str, Any],
    ranks: Ranks,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[StepRecord], None] = lambda record: None,
) -> TrainingProgress:
    """Train an objective from its last checkpoint, or from the start where there is none."""
    objective.to(ranks.device)
    optimiser = make_optimiser(settings, objective.parameters())
    checkpoints = folder / "checkpoints"
    last = last_checkpoint(checkpoints, identity)
    progress = TrainingProgress(0, time.monotonic())
    if last:
        restore(last, objective, optimiser)
        progress = TrainingProgress(last.step, time.monotonic() - last.time_s)

    model = ranks.spread(objective)
    numbers = share_of_rank(settings, ranks.rank, ranks.n_ranks)
    micro_batches = draw_ahead(examples, settings, numbers, progress.step, ranks.device)
    with contextlib.closing(micro_batches), _open_log(folder, progress.step, ranks) as log:
        if progress.step == 0:
            _log_validation(objective, held_out, settings, progress, log)
        while progress.step < settings.steps:
            lr = learning_rate(settings, progress.step)
            objective.begin_step(progress.step)
            means, grad_norm = take_step(
                model, optimiser, micro_batches, len(numbers), settings, lr, ranks, stop
            )
            progress.step += 1
            stopped, loss = means.pop("stop") > 0, means.pop("loss")
            _require_finite(loss, grad_norm, progress.step)
            record = StepRecord(progress.step, loss, means, lr, grad_norm)
            if log:
                log.step(record)
                on_step(record)
            ended = progress.step == settings.steps
            if ended or progress.step % settings.validate_every == 0:
                _log_validation(objective, held_out, settings, progress, log)
            due = ended or stopped or progress.step % settings.checkpoint_every == 0
            if due and ranks.first:
                step, time_s = progress.step, progress.time_s
                save_checkpoint(
                    checkpoints, objective, optimiser, step=step, time_s=time_s, identity=identity
                )
            if stopped:
                break
    ranks.wait()
    return progress


def take_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    micro_batches: Iterator[MicroBatch],
    n_micro_batches: int,
    settings: TrainingSettings,
    lr: float,
    ranks: Ranks,
    stop: Callable[[], bool],
) -> tuple[dict[str, float], float]:
    """One step of the optimiser."""
    model.train()
    measured: list[dict[str, Tensor]] = []
    for number in range(n_micro_batches):
        drawn = next(micro_batches)
        batch = moved(drawn.batch, ranks.device)
        torch.manual_seed(drawn.seed)
        with ranks.exchange(model, last=number == n_micro_batches - 1):
            with autocast(settings, ranks.device):
                loss, measures = model(batch)
            (loss / n_micro_batches).backward()
        measured.append({"loss": loss.detach(), **measures})
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.step()
    optimiser.zero_grad()
    names = list(measured[0])
    rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in measured])
    stopping = torch.full((1,), float(stop()), device=ranks.device)
    means = ranks.mean(torch.cat((rows.mean(0), stopping))).tolist()
    return dict(zip([*names, "stop"], means, strict=True)), float(norm)


def validate(
    objective: Objective, held_out: Examples, settings: TrainingSettings, device: torch.device
) -> dict[str, float]:
    """Figures of the objective over held-out items, the same at each call."""
    objective.eval()
    batches = (moved(batch, device) for batch in validation_batches(held_out, settings))
    with torch.no_grad(), autocast(settings, device):
        figures = objective.score(batches)
    objective.train()
    return {name: float(value) for name, value in figures.items()}


def _log_validation(
    objective: Objective,
    held_out: Examples | None,
    settings: TrainingSettings,
    progress: TrainingProgress,
    log: Logbook | None,
) -> None:
    """Validate and draw, in the process that writes; the others wait at the next step."""
    if log is None or held_out is None:
        return
    device = next(objective.parameters()).device
    figures = validate(objective, held_out, settings, device)
    objective.eval()
    first = moved(next(validation_batches(held_out, settings)), device)
    with torch.no_grad(), autocast(settings, device):
        pictures = objective.pictures(first)
    objective.train()
    log.validation(progress.step, figures, pictures)


@contextlib.contextmanager
def _open_log(folder: Path, step: int, ranks: Ranks) -> Iterator[Logbook | None]:
    if not ranks.first:
        yield None
        return
    with contextlib.closing(Logbook(folder, step)) as log:
        yield log


def autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    """Around a forward pass: matrix products in the precision of the settings."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on this device."""
    return {name: item.to(device, non_blocking=True) for name, item in batch.items()}


def _require_finite(loss: float, grad_norm: float, step: int) -> None:
    """Refuse a step before it is saved: a gradient that is not finite has spoiled the weights."""
    for name, value in (("loss", loss), ("gradient", grad_norm)):
        if not math.isfinite(value):
            raise SettingsError(
                f"the {name} of step {step} is {value}: expected a number: lower lr or clip, or "
                f"look for NaN in the corpus; --resume continues from the last checkpoint"
            )
