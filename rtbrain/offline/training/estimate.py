"""What a training will cost, before it is begun: counted where it can be, else measured."""

import contextlib
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rtbrain.offline.corpus.corpus import CorpusSession
from rtbrain.offline.objectives.objective import Examples, Objective
from rtbrain.offline.training.grains import draw_ahead
from rtbrain.offline.training.loop import autocast, moved, take_step
from rtbrain.offline.training.plan import Plan
from rtbrain.offline.training.ranks import Ranks
from rtbrain.types import Montage

__all__ = ["BF16_PEAKS_FLOPS", "MFU", "Cost", "Rate", "count_cost", "measure_rate", "stand_in"]

# Dense bfloat16 products of matrices at best, FLOP/s, from the makers' data sheets.
BF16_PEAKS_FLOPS = {
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA H100 SXM": 989e12,
    "NVIDIA H200": 989e12,
}
# Share of the peak that a plain loop at this size is expected to reach; 0.4 of an H200's is the
# 400 TFLOP/s that published estimates of this recipe go by.
MFU = 0.4

# Gradients and two moments lie beside each weight, all float32.
_FLOATS_A_WEIGHT = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What can be counted without training.

    Attributes
    ----------
    n_weights, n_encoder_weights : int
        Of the objective, and of the encoder that is kept of it.
    encoder_flop, forward_flop : int
        A forward pass of one item: of the encoder, and with the objective's heads; two a
        multiplication and addition.
    state_bytes : int
        Weights, gradients and moments.
    activation_bytes : int
        What backward needs of one item, by the kernels of this machine.
    """

    n_weights: int
    n_encoder_weights: int
    encoder_flop: int
    forward_flop: int
    state_bytes: int
    activation_bytes: int

    def training_flop(self, plan: Plan) -> float:
        """FLOP of a whole training: backward costs twice what forward does."""
        return 3.0 * self.forward_flop * plan.batch * plan.steps

    def memory_bytes(self, plan: Plan) -> int:
        """Memory of a process, without what torch itself needs."""
        return self.state_bytes + plan.micro_batch * self.activation_bytes


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured on this machine.

    Attributes
    ----------
    items_per_s : float
        Trained on, forward, backward and optimiser.
    micro_batch : int
        Items that went through at once.
    peak_bytes : int
        Most memory that a GPU had in use; 0 on a CPU.
    """

    items_per_s: float
    micro_batch: int
    peak_bytes: int

    def hours(self, plan: Plan) -> float:
        """Hours of a whole training at this rate."""
        return plan.steps * plan.batch / self.items_per_s / 3600


def stand_in(item_shape: tuple[int, ...], n_channels: int, hop_s: float = 0.5) -> CorpusSession:
    """Noise in the shape of a corpus, to price a training whose corpus is not there.

    Parameters
    ----------
    item_shape : tuple of int
        Of one window of one channel.
    n_channels : int
        Channels of the session.
    hop_s : float
        From one window to the next, s.
    """
    n_windows = 16
    rng = np.random.default_rng(0)
    names = tuple(f"A{number + 1}" for number in range(n_channels))
    positions = rng.integers(50, 200, (n_channels, 3)).astype(np.float32)
    data = rng.standard_normal((n_windows, n_channels, *item_shape), np.float32)
    # The rate is that of samples, which no objective reads: windows are cut already.
    montage = Montage(names, ("seeg",) * n_channels, 1.0, positions, "LIP voxels")
    return CorpusSession(
        "stand-in",
        "0",
        montage,
        (),
        hop_s * np.arange(1, n_windows + 1, dtype=np.float64),
        np.ones((n_windows, n_channels), np.bool_),
        [data],
    )


def count_cost(objective: Objective, examples: Examples, plan: Plan) -> Cost:
    """Count weights, FLOP and activations by forward passes of one item on the CPU.

    Parameters
    ----------
    objective : Objective
        On the CPU.
    examples : Examples
        To draw an item from.
    plan : Plan
        Its precision.
    """
    one = replace(plan, batch=1, micro_batch=1, prefetch=0)
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
    with counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad(), autocast(plan, cpu):
        objective(batch)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with autocast(plan, cpu), hooks:
        loss, _ = objective(batch)
    counts = counter.get_flop_counts()
    encoder = counts.get(f"{type(objective).__name__}.encoder", {})
    n_weights = sum(weight.numel() for weight in objective.parameters())
    del loss
    return Cost(
        n_weights,
        sum(weight.numel() for weight in objective.encoder.parameters()),
        sum(encoder.values()),
        counter.get_total_flops(),
        n_weights * _FLOATS_A_WEIGHT * torch.float32.itemsize,
        sum(kept.values()),
    )


def measure_rate(
    objective: Objective, examples: Examples, plan: Plan, ranks: Ranks, *, most_s: float
) -> Rate:
    """Train a few steps, and tell how fast that went.

    Parameters
    ----------
    objective : Objective
        Changed in place.
    examples : Examples
        To train on.
    plan : Plan
        Its micro-batch, precision and optimiser, and how many micro-batches a step has; where
        these would take longer than `most_s`, fewer are taken.
    ranks : Ranks
        The device.
    most_s : float
        Time to take, s; a first step is not counted, and one at least is.
    """
    objective.to(ranks.device)
    optimiser = plan.optimiser_of(objective.parameters())
    endless = replace(plan, steps=1_000_000_000)
    grains = draw_ahead(examples, endless, range(plan.n_grains), 0, ranks.device)

    def step(n_grains: int) -> float:
        begun_s = time.perf_counter()
        take_step(objective, optimiser, grains, n_grains, plan, plan.lr, ranks, lambda: False)
        return time.perf_counter() - begun_s

    with contextlib.closing(grains):
        step(1)  # memory and kernels are chosen in the first
        n_grains = max(1, min(plan.n_grains, int(most_s / step(1))))
        n_steps, took_s = 0, 0.0
        while took_s < most_s:
            took_s += step(n_grains)
            n_steps += 1
    cuda = ranks.device.type == "cuda"
    return Rate(
        n_steps * n_grains * plan.micro_batch / took_s,
        plan.micro_batch,
        torch.cuda.max_memory_allocated(ranks.device) if cuda else 0,
    )
