"""The training loop, to be read aloud."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch, Examples, Objective
from rtbrain.learn.training.batches import MicroBatch, draw_ahead, share_of_rank, validation_batches
from rtbrain.learn.training.checkpoint import last_checkpoint, restore, save_checkpoint
from rtbrain.learn.training.logbook import Logbook, StepRecord
from rtbrain.learn.training.optimiser import TrainingPlan
from rtbrain.learn.training.ranks import Ranks


class TrainingProgress:
    """How far a training is."""

    def __init__(self, step: int, time_s: float) -> None:
        self.step = step
        self._begun_s = time.monotonic() - time_s

    @property
    def time_s(self) -> float:
        """Time so far, s."""
        return time.monotonic() - self._begun_s


def train(
    objective: Objective,
    examples: Examples,
    held_out: Examples | None,
    plan: TrainingPlan,
    *,
    folder: Path,
    identity: Mapping[str, Any],
    ranks: Ranks,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[StepRecord], None] = lambda record: None,
) -> TrainingProgress:
    """Train an objective from its last checkpoint, or from the start where there is none."""
    objective.to(ranks.device)
    optimiser = plan.optimiser_of(objective.parameters())
    checkpoints = folder / "checkpoints"
    last = last_checkpoint(checkpoints, identity)
    if last:
        restore(last, objective, optimiser)
    progress = TrainingProgress(last.step, last.time_s) if last else TrainingProgress(0, 0.0)

    model = ranks.spread(objective)
    numbers = share_of_rank(plan, ranks.rank, ranks.n_ranks)
    grains = draw_ahead(examples, plan, numbers, progress.step, ranks.device)
    with contextlib.closing(grains), _book(folder, progress.step, ranks) as book:
        if progress.step == 0:
            _look(objective, held_out, plan, progress, book)
        while progress.step < plan.steps:
            lr = plan.lr_at(progress.step)
            objective.begin_step(progress.step)
            means, grad_norm = take_step(
                model, optimiser, grains, len(numbers), plan, lr, ranks, stop
            )
            progress.step += 1
            stopped, loss = means.pop("stop") > 0, means.pop("loss")
            _refuse_no_number(loss, grad_norm, progress.step)
            record = StepRecord(progress.step, loss, means, lr, grad_norm)
            if book:
                book.step(record)
                tell(record)
            ended = progress.step == plan.steps
            if ended or progress.step % plan.validate_every == 0:
                _look(objective, held_out, plan, progress, book)
            due = ended or stopped or progress.step % plan.checkpoint_every == 0
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
    grains: Iterator[MicroBatch],
    n_micro_batches: int,
    plan: TrainingPlan,
    lr: float,
    ranks: Ranks,
    stop: Callable[[], bool],
) -> tuple[dict[str, float], float]:
    """One step of the optimiser."""
    model.train()
    told: list[dict[str, Tensor]] = []
    for number in range(n_micro_batches):
        grain = next(grains)
        batch = moved(grain.batch, ranks.device)
        torch.manual_seed(grain.seed)
        with ranks.exchange(model, last=number == n_micro_batches - 1):
            with autocast(plan, ranks.device):
                loss, measures = model(batch)
            (loss / n_micro_batches).backward()
        told.append({"loss": loss.detach(), **measures})
    norm = nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.step()
    optimiser.zero_grad()
    names = list(told[0])
    rows = torch.stack([torch.stack([row[name].float() for name in names]) for row in told])
    asked = torch.full((1,), float(stop()), device=ranks.device)
    means = ranks.mean(torch.cat((rows.mean(0), asked))).tolist()
    return dict(zip([*names, "stop"], means, strict=True)), float(norm)


def validate(
    objective: Objective, held_out: Examples, plan: TrainingPlan, device: torch.device
) -> dict[str, float]:
    """Figures of the objective over held-out items, always the same ones."""
    objective.eval()
    batches = (moved(batch, device) for batch in validation_batches(held_out, plan))
    with torch.no_grad(), autocast(plan, device):
        figures = objective.score(batches)
    objective.train()
    return {name: float(value) for name, value in figures.items()}


def _look(
    objective: Objective,
    held_out: Examples | None,
    plan: TrainingPlan,
    progress: TrainingProgress,
    book: Logbook | None,
) -> None:
    """Validate and draw, in the process that writes; the others wait at the next step."""
    if book is None or held_out is None:
        return
    device = next(objective.parameters()).device
    figures = validate(objective, held_out, plan, device)
    objective.eval()
    first = moved(next(validation_batches(held_out, plan)), device)
    with torch.no_grad(), autocast(plan, device):
        pictures = objective.pictures(first)
    objective.train()
    book.validation(progress.step, figures, pictures)


@contextlib.contextmanager
def _book(folder: Path, step: int, ranks: Ranks) -> Iterator[Logbook | None]:
    if not ranks.first:
        yield None
        return
    with contextlib.closing(Logbook(folder, step)) as book:
        yield book


def autocast(plan: TrainingPlan, device: torch.device) -> torch.autocast:
    """Around a forward pass: products of matrices in the precision of the plan."""
    return torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16")


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch where it is used."""
    return {name: item.to(device, non_blocking=True) for name, item in batch.items()}


def _refuse_no_number(loss: float, grad_norm: float, step: int) -> None:
    """Refuse a step before it is kept: a gradient that is no number has spoiled the weights."""
    for name, value in (("loss", loss), ("gradient", grad_norm)):
        if not math.isfinite(value):
            raise SettingsError(
                f"the {name} of step {step} is {value}: expected a number; lower lr or clip, or "
                f"look for NaN in the corpus; --resume goes on from the last checkpoint"
            )
