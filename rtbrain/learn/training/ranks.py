"""The processes that torchrun started, or this one alone."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Objective


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
def joined_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone where it did not start this one."""
    rank, n_ranks, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    chosen = torch.device("cpu")
    if device == "auto" and torch.cuda.is_available():
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
