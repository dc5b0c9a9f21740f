"""Patches of waveforms of which some are hidden, and how well they were found again.

Legend: B items (a window of one channel), T patches, F samples of a patch.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import Batch, GoodItems, Objective, picture
from rtbrain.types import Floats, Ints


class HiddenPatches:
    """Windows of single channels in patches, an equal number of each hidden.

    Items are numbered over the sessions, and within one by window and channel; those that are
    not good are passed over.
    """

    def __init__(self, sessions: Sequence[CorpusSession], mask_share: float) -> None:
        if not 0 < mask_share < 1:
            raise SettingsError(
                f"mask_share must lie between 0 and 1, got {mask_share}: set it there"
            )
        self._items = GoodItems(sessions)
        shape = self._items.shape
        if len(shape) != 2 or shape[0] < 2:
            raise SettingsError(
                f"expected items of two or more patches, got items of shape {shape}: build "
                f"a corpus of form patches, its windows longer than a patch"
            )
        n_patches = shape[0]
        self._n_hidden = min(max(1, round(mask_share * n_patches)), n_patches - 1)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._items)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Patches with fresh masks."""
        order = rng.random((len(items), self._items.shape[0])).argsort(axis=1)
        mask = np.zeros(order.shape, np.bool_)
        np.put_along_axis(mask, order[:, : self._n_hidden], True, axis=1)
        return {
            "patches": torch.from_numpy(self._items.read(items)),
            "mask": torch.from_numpy(mask),
        }


class PatchObjective(Objective):
    """An objective that finds hidden patches again: only `reconstruct` is its own."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """The hidden patches of a batch of `HiddenPatches`, float32 [n_hidden, F]."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of `HiddenPatches`."""
        true = batch["patches"][batch["mask"]]
        loss = functional.mse_loss(self.reconstruct(batch), true)
        zero = true.square().mean().clamp(min=torch.finfo(true.dtype).tiny)
        return loss, {"loss_over_zero": loss.detach() / zero}

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Reconstruction of held-out patches, beside predictors that learned nothing."""
        n_samples = 0
        squared = dict.fromkeys(("mse", "mse_of_zero", "mse_of_line"), 0.0)
        total = 0.0
        for batch in batches:
            true = batch["patches"][batch["mask"]].double()
            guesses = (
                self.reconstruct(batch),
                torch.zeros_like(true),
                _lines(batch).to(true.device),
            )
            for name, guess in zip(squared, guesses, strict=True):
                squared[name] += float((true - guess.double()).square().sum())
            n_samples += true.numel()
            total += float(true.sum())
        if not n_samples:
            return dict.fromkeys((*squared, "r2"), float("nan"))
        spread = squared["mse_of_zero"] - total**2 / n_samples
        r2 = 1 - squared["mse"] / spread if spread > 0 else float("nan")
        return {name: value / n_samples for name, value in squared.items()} | {"r2": r2}

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, Floats]:
        """What was seen, what was true and what was made of it, of the first two items."""
        two = {name: values[:2] for name, values in batch.items()}
        true, mask = two["patches"], two["mask"]
        seen = true.masked_fill(mask[:, :, None], 0.0)
        made = true.clone()
        made[mask] = self.reconstruct(two).to(made.dtype)
        items = zip(*(part.numpy(force=True) for part in (seen, true, made)), strict=True)
        return {f"seen_true_reconstructed_{n}": picture(*item) for n, item in enumerate(items)}


def _lines(batch: Batch) -> Tensor:
    """Hidden patches as straight lines between what is seen on both sides, [n_hidden, F]."""
    patches, mask = batch["patches"].numpy(force=True), batch["mask"].numpy(force=True)
    n_samples = patches.shape[1] * patches.shape[2]
    time = np.arange(n_samples)
    out = []
    for item, hidden in zip(patches, mask, strict=True):
        seen = np.repeat(~hidden, patches.shape[2])
        line = np.interp(time, time[seen], item.reshape(-1)[seen])
        out.append(line.reshape(item.shape)[hidden])
    return torch.from_numpy(np.concatenate(out))
