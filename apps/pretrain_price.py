"""`rtbrain pretrain --dry-run`: what a training costs, counted, and measured on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .pretrain_objective import examples_of, objective_of, refuse_corpus, sizes_of
from .training_run import plan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtbrain.config import PretrainSettings
    from rtbrain.offline.corpus.corpus import CorpusSession
    from rtbrain.offline.training.estimate import Cost, Rate
    from rtbrain.offline.training.plan import Plan

_MEASURE_S = 8.0
_HOP_S = 0.5
# Of a micro-batch on a CPU, that is to be measured within seconds: a larger one gains nothing.
_CPU_FLOP = 4e11


def price(settings: "PretrainSettings", folder: Path | None) -> None:
    """Print weights, FLOP, memory and hours; noise stands in where there is no corpus.

    Parameters
    ----------
    settings : PretrainSettings
        What would be trained.
    folder : Path or None
        Of the corpus.
    """
    from rtbrain.offline.training.estimate import count_cost, measure_rate
    from rtbrain.offline.training.ranks import joined_ranks

    sessions, hop_s = _sessions(settings, folder)
    examples = examples_of(settings, sessions, hop_s)
    objective, plan = objective_of(settings), plan_of(settings)
    cost = count_cost(objective, examples_of(_widest(settings), sessions, hop_s), plan)
    _tell_cost(cost, plan)
    with joined_ranks() as ranks:
        length = plan.micro_batch
        if ranks.device.type == "cpu":
            most = max(1, int(_CPU_FLOP / (3 * cost.forward_flop)))
            length = next(n for n in range(min(length, most), 0, -1) if plan.batch % n == 0)
        few = replace(plan, micro_batch=length)
        rate = measure_rate(objective, examples, few, ranks, most_s=_MEASURE_S)
        _tell_rate(cost, rate, plan, str(ranks.device))


def _widest(settings: "PretrainSettings") -> "PretrainSettings":
    """The same with the most channels an example: all of a micro-batch are padded to the widest."""
    popt = settings.objective.popt
    if popt is None:
        return settings
    widest = popt.model_copy(update={"subset_sizes": (max(popt.subset_sizes),)})
    objective = settings.objective.model_copy(update={"popt": widest})
    return settings.model_copy(update={"objective": objective})


def _sessions(
    settings: "PretrainSettings", folder: Path | None
) -> "tuple[Sequence[CorpusSession], float]":
    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.training.estimate import stand_in

    if folder is not None:
        corpus = open_corpus(folder)
        refuse_corpus(settings, corpus)
        return corpus.sessions, corpus.hop_s
    chosen, width = settings.objective, sizes_of(settings).input_dim
    if chosen.popt is not None:
        return [stand_in((width,), max(chosen.popt.subset_sizes), _HOP_S)], _HOP_S
    channel = chosen.brainbert or chosen.neurobert or chosen.biofame
    n_frames = channel.n_frames if channel else 0
    return [stand_in((n_frames, width), 4, _HOP_S)], _HOP_S


def _tell_cost(cost: "Cost", plan: "Plan") -> None:
    flop = cost.training_flop(plan)
    typer.echo(
        f"weights        {cost.n_weights / 1e6:.2f} M ({cost.n_encoder_weights / 1e6:.2f} M kept)"
    )
    typer.echo(
        f"forward        {cost.encoder_flop / 1e9:.2f} GFLOP an item in the encoder, "
        f"{cost.forward_flop / 1e9:.2f} with its heads"
    )
    typer.echo(
        f"training       {plan.steps} steps x {plan.batch} items x 3 forward = {_flop(flop)}"
    )
    typer.echo(
        f"memory         {_bytes(cost.memory_bytes(plan))} a process: {_bytes(cost.state_bytes)} "
        f"of weights, gradients and moments, {_bytes(cost.activation_bytes)} of activations an "
        f"item, {plan.micro_batch} at once"
    )


def _tell_rate(cost: "Cost", rate: "Rate", plan: "Plan", device: str) -> None:
    from rtbrain.offline.training.estimate import BF16_PEAKS_FLOPS, MFU

    done = 3 * cost.forward_flop * rate.items_per_s
    peak = f", {_bytes(rate.peak_bytes)} in use" if rate.peak_bytes else ""
    typer.echo(
        f"this machine   {_hours(rate.hours(plan))} on {device}: measured {rate.items_per_s:.3g} "
        f"items/s in micro-batches of {rate.micro_batch}, {plan.precision}, {_flop(done)}/s{peak}"
    )
    for name, flops in BF16_PEAKS_FLOPS.items():
        hours = cost.training_flop(plan) / (MFU * flops) / 3600
        typer.echo(
            f"{name:<14} {_hours(hours)} on one, computed at {MFU:.0%} of {flops / 1e12:.0f} "
            f"TFLOP/s (dense bfloat16)"
        )


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
