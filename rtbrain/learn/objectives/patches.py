"""Patches of waveforms of which some are hidden, and how well they are reconstructed.

Legend: B items (a window of one channel), T patches, F samples of a patch.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import Batch, GoodItems, Objective, input_target_output
from rtbrain.types import Floats, Ints


class MaskedPatches:
    """Windows of single channels in patches, the same number of each hidden.

    Raises
    ------
    SettingsError
        The share is not between 0 and 1, items are not of two patches or more, or none is good.
    """

    def __init__(self, sessions: Sequence[CorpusSession], *, mask_share: float) -> None:
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
        """Number of items."""
        return len(self._items)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """``patches`` float32 [B, T, F], and ``mask`` bool [B, T], what is hidden."""
        order = rng.random((len(items), self._items.shape[0])).argsort(axis=1)
        mask = np.zeros(order.shape, np.bool_)
        np.put_along_axis(mask, order[:, : self._n_hidden], True, axis=1)
        return {
            "patches": torch.from_numpy(self._items.read(items)),
            "mask": torch.from_numpy(mask),
        }


class PatchObjective(Objective):
    """An objective that reconstructs hidden patches; subclasses define `reconstruct` alone."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """The hidden patches of a batch of `MaskedPatches`, float32 [n_hidden, F]."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error of the hidden patches, and its ratio to that of predicting zero."""
        true = batch["patches"][batch["mask"]]
        loss = functional.mse_loss(self.reconstruct(batch), true)
        zero = true.square().mean().clamp(min=torch.finfo(true.dtype).tiny)
        return loss, {"loss_over_zero": loss.detach() / zero}

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean squared errors of held-out patches, beside those of untrained predictors."""
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
        """Input, target and reconstruction of the first two items."""
        two = {name: values[:2] for name, values in batch.items()}
        target, mask = two["patches"], two["mask"]
        output = target.clone()
        output[mask] = self.reconstruct(two).to(output.dtype)
        return input_target_output(target.masked_fill(mask[:, :, None], 0.0), target, output)


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
