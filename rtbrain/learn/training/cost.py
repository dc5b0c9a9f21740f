"""The cost of a training before it starts: counted where possible, measured otherwise."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rtbrain.config import PretrainSettings
from rtbrain.config.training import TrainingSettings
from rtbrain.learn.corpus.corpus import CorpusSession, open_corpus
from rtbrain.learn.objectives.objective import Examples, Objective
from rtbrain.learn.training.batches import draw_ahead
from rtbrain.learn.training.loop import Ranks, autocast, joined_ranks, moved, take_step
from rtbrain.learn.training.optimiser import make_optimiser
from rtbrain.learn.training.pretrain import (
    encoder_sizes,
    objective_name,
    pretraining_examples,
    pretraining_objective,
    require_pretrain_corpus,
)
from rtbrain.types import Montage

# Peak of dense bfloat16 matrix products, FLOP/s, from the manufacturers' data sheets.
BF16_PEAKS_FLOPS = {
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA H100 SXM": 989e12,
    "NVIDIA H200": 989e12,
}
# Expected share of the peak for a plain loop at this size; 0.4 of an H200's is the 400 TFLOP/s
# that published estimates of this recipe assume.
MFU = 0.4
# Each weight has a gradient and two moments, all float32.
_FLOATS_PER_WEIGHT = 4
_MEASURE_S = 8.0
_HOP_S = 0.5
# Per micro-batch on a CPU, to measure within seconds: a larger one gains nothing.
_CPU_FLOP = 4e11


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Costs counted without training."""

    n_weights: int
    n_encoder_weights: int
    encoder_flop: int
    forward_flop: int
    state_bytes: int
    activation_bytes: int

    def training_flop(self, settings: TrainingSettings) -> float:
        """FLOP of a whole training: backward costs twice what forward does."""
        return 3.0 * self.forward_flop * settings.batch * settings.steps


def synthetic_session(
    item_shape: tuple[int, ...], n_channels: int, hop_s: float = _HOP_S
) -> CorpusSession:
    """Noise in the shape of a corpus, to estimate the cost of a training without one."""
    n_windows = 16
    rng = np.random.default_rng(0)
    names = tuple(f"A{number + 1}" for number in range(n_channels))
    positions = rng.integers(50, 200, (n_channels, 3)).astype(np.float32)
    data = rng.standard_normal((n_windows, n_channels, *item_shape), np.float32)
    # The rate is that of samples, which no objective reads: windows are cut already.
    montage = Montage(names, ("seeg",) * n_channels, 1.0, positions, "LIP voxels")
    t_stop = hop_s * np.arange(1, n_windows + 1, dtype=np.float64)
    good = np.ones((n_windows, n_channels), np.bool_)
    return CorpusSession("noise", "0", montage, (), t_stop, good, [data])


def count_cost(
    objective: Objective, examples: Examples, settings: TrainingSettings
) -> TrainingCost:
    """Count weights, FLOP and activations by forward passes of one item on the CPU."""
    one = settings.model_copy(update={"batch": 1, "micro_batch": 1, "prefetch": 0})
    cpu = torch.device("cpu")
    batch = moved(next(draw_ahead(examples, one, range(1), 0, cpu)).batch, cpu)
    weights = {weight.data_ptr() for weight in objective.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    objective.train()
    counter = FlopCounterMode(display=False)
    # The counter does not know the fused attention of CPUs.
    with counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad(), autocast(settings, cpu):
        objective(batch)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with autocast(settings, cpu), hooks:
        loss, _ = objective(batch)
    counts = counter.get_flop_counts()
    encoder = counts.get(f"{type(objective).__name__}.encoder", {})
    n_weights = sum(weight.numel() for weight in objective.parameters())
    del loss
    return TrainingCost(
        n_weights,
        sum(weight.numel() for weight in objective.encoder.parameters()),
        sum(encoder.values()),
        counter.get_total_flops(),
        n_weights * _FLOATS_PER_WEIGHT * torch.float32.itemsize,
        sum(kept.values()),
    )


def measure_rate(
    objective: Objective,
    examples: Examples,
    settings: TrainingSettings,
    ranks: Ranks,
    *,
    max_s: float,
) -> tuple[float, int]:
    """Items per second of a few steps, and their peak of GPU memory in bytes."""
    objective.to(ranks.device)
    optimiser = make_optimiser(settings, objective.parameters())
    endless = settings.model_copy(update={"steps": 1_000_000_000})
    micro_batches = draw_ahead(examples, endless, range(settings.n_micro_batches), 0, ranks.device)

    def step(n_micro_batches: int) -> float:
        begun_s = time.perf_counter()
        lr = settings.optimiser.lr
        take_step(
            objective, optimiser, micro_batches, n_micro_batches, settings, lr, ranks, lambda: False
        )
        return time.perf_counter() - begun_s

    with contextlib.closing(micro_batches):
        step(1)  # memory and kernels are chosen in the first
        n_micro_batches = max(1, min(settings.n_micro_batches, int(max_s / step(1))))
        n_steps, took_s = 0, 0.0
        while took_s < max_s:
            took_s += step(n_micro_batches)
            n_steps += 1
    cuda = ranks.device.type == "cuda"
    peak_bytes = torch.cuda.max_memory_allocated(ranks.device) if cuda else 0
    return n_steps * n_micro_batches * settings.micro_batch / took_s, peak_bytes


def print_cost(settings: PretrainSettings, folder: Path | None) -> None:
    """Print weights, FLOP, memory and hours; without a corpus, of training on noise."""
    sessions, hop_s = _sessions(settings, folder)
    examples = pretraining_examples(settings, sessions, hop_s)
    objective = pretraining_objective(settings)
    cost = count_cost(objective, pretraining_examples(_widest(settings), sessions, hop_s), settings)
    flop = cost.training_flop(settings)
    memory = cost.state_bytes + settings.micro_batch * cost.activation_bytes
    typer.echo(
        f"weights        {cost.n_weights / 1e6:.2f} M ({cost.n_encoder_weights / 1e6:.2f} M kept)\n"
        f"forward        {cost.encoder_flop / 1e9:.2f} GFLOP per item in the encoder, "
        f"{cost.forward_flop / 1e9:.2f} with its heads\n"
        f"training       {settings.steps} steps x {settings.batch} items x 3 forward "
        f"= {_flop(flop)}\n"
        f"memory         {_bytes(memory)} per process: "
        f"{_bytes(cost.state_bytes)} of weights, gradients and moments, "
        f"{_bytes(cost.activation_bytes)} of activations per item, {settings.micro_batch} at once"
    )
    with joined_ranks() as ranks:
        length = settings.micro_batch
        if ranks.device.type == "cpu":
            largest = max(1, int(_CPU_FLOP / (3 * cost.forward_flop)))
            length = next(n for n in range(min(length, largest), 0, -1) if settings.batch % n == 0)
        small = settings.model_copy(update={"micro_batch": length})
        items_per_s, peak_bytes = measure_rate(objective, examples, small, ranks, max_s=_MEASURE_S)
    peak = f", {_bytes(peak_bytes)} in use" if peak_bytes else ""
    hours = settings.steps * settings.batch / items_per_s / 3600
    typer.echo(
        f"this machine   {_hours(hours)} on {ranks.device}: measured {items_per_s:.3g} items/s in "
        f"micro-batches of {length}, {settings.precision}, "
        f"{_flop(3 * cost.forward_flop * items_per_s)}/s{peak}"
    )
    for name, flops in BF16_PEAKS_FLOPS.items():
        typer.echo(
            f"{name:<14} {_hours(flop / (MFU * flops) / 3600)} on one, computed at {MFU:.0%} of "
            f"{flops / 1e12:.0f} TFLOP/s (dense bfloat16)"
        )


def _widest(settings: PretrainSettings) -> PretrainSettings:
    """The same with the most channels per example: a micro-batch is padded to its widest."""
    popt = settings.objective.popt
    if popt is None:
        return settings
    widest = popt.model_copy(update={"subset_sizes": (max(popt.subset_sizes),)})
    objective = settings.objective.model_copy(update={"popt": widest})
    return settings.model_copy(update={"objective": objective})


def _sessions(
    settings: PretrainSettings, folder: Path | None
) -> tuple[Sequence[CorpusSession], float]:
    if folder is not None:
        corpus = open_corpus(folder)
        require_pretrain_corpus(settings, corpus)
        return corpus.sessions, corpus.hop_s
    chosen, width = settings.objective, encoder_sizes(settings).input_dim
    if chosen.popt is not None:
        return [synthetic_session((width,), max(chosen.popt.subset_sizes))], _HOP_S
    n_frames = getattr(chosen, objective_name(settings)).n_frames
    return [synthetic_session((n_frames, width), 4)], _HOP_S


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.1f} min" if hours > 1 / 60 else f"{3600 * hours:.1f} s"
    return f"{hours:.1f} h" if hours < 100 else f"{hours:.0f} h"


def _flop(count: float) -> str:
    for unit, factor in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e6:.3g} MFLOP"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
