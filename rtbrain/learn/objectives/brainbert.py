"""Masked spectrogram modelling: what BrainBERT learns from.

Legend: B items (a window of one channel), T frames, F freqs.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rtbrain.encoder import BrainBERT
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.masks import SpanMask, adaptive_mask, fixed_mask
from rtbrain.learn.objectives.objective import (
    Batch,
    GoodItems,
    Objective,
    Reconstruction,
    input_target_output,
)
from rtbrain.types import Floats, Ints


class MaskedSpectrograms:
    """Spectrograms of single channels, a part of each hidden.

    Masks are ``"fixed"`` for the STFT and ``"adaptive"`` for superlets. With
    `upstream_mask_labels`, the loss covers the cells that it covers in the published code (see
    :func:`rtbrain.learn.objectives.masks.fixed_mask`).
    """

    def __init__(
        self,
        sessions: Sequence[CorpusSession],
        *,
        masking: Literal["fixed", "adaptive"] = "fixed",
        upstream_mask_labels: bool = False,
    ) -> None:
        if masking == "adaptive" and upstream_mask_labels:
            raise SettingsError(
                "upstream_mask_labels reproduces an error of fixed masks, got masking 'adaptive': "
                "leave it out, or use masking 'fixed'"
            )
        self._items = GoodItems(sessions)
        self._masking = masking
        self._upstream_mask_labels = upstream_mask_labels

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Spectrograms with new masks."""
        target = self._items.read(items)
        mask = self._mask(rng, target.shape)
        return {
            "input": torch.from_numpy(mask.corrupt(target)),
            "target": torch.from_numpy(target),
            "mask": torch.from_numpy(np.ascontiguousarray(mask.loss)),
        }

    def _mask(self, rng: np.random.Generator, shape: tuple[int, ...]) -> SpanMask:
        n_items, n_frames, n_freqs = shape
        if self._masking == "adaptive":
            return adaptive_mask(rng, n_items, n_frames, n_freqs)
        return fixed_mask(
            rng, n_items, n_frames, n_freqs, upstream_labels=self._upstream_mask_labels
        )


class MaskedSpectrogram(Objective):
    """Content-aware reconstruction of the hidden part of a spectrogram.

    With Y the spectrogram, Y^ its reconstruction and M the cells of the mask ::

        L = mean over M of |Y - Y^|  +  alpha * mean over M and |Y| > gamma of |Y - Y^|

    About two thirds of the cells of a z-scored spectrogram lie within one standard deviation; the
    second term keeps the encoder from learning to predict zero. It is 0 where no cell is above
    gamma.

    References
    ----------
    Wang et al. 2023, BrainBERT, section 3, arXiv:2302.14367.
    """

    encoder: BrainBERT

    def __init__(self, encoder: BrainBERT, *, alpha: float = 2.0, gamma: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of :class:`MaskedSpectrograms`, and its two means."""
        target, mask = batch["target"], batch["mask"]
        error = (target - self._reconstruct(batch)).abs()  # [B, T, F]
        masked = _mean_over(error, mask)
        content = _mean_over(error, mask & (target.abs() > self.gamma))
        measures = {"masked_l1": masked.detach(), "content_l1": content.detach()}
        return masked + self.alpha * content, measures

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Reconstruction of held-out items, beside untrained predictors."""
        sets = {name: Reconstruction() for name in ("masked", "content", "unseen")}
        for batch in batches:
            target, mask = batch["target"], batch["mask"]
            predicted = self._reconstruct(batch)
            shown = (~mask).sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1, F]
            bin_mean = torch.where(mask, 0.0, target).sum(dim=1, keepdim=True) / shown
            bin_mean = bin_mean.expand_as(target)
            cells = {
                "masked": mask,
                "content": mask & (target.abs() > self.gamma),
                "unseen": mask & (batch["input"] != target),
            }
            for name, where in cells.items():
                sets[name].add(target[where], predicted[where], bin_mean[where])
        return {
            f"{name}_{figure}": value
            for name, cells_of in sets.items()
            for figure, value in cells_of.figures().items()
        }

    @torch.no_grad()
    def pictures(self, batch: Batch) -> dict[str, Floats]:
        """Input, target and reconstruction of the first two items, as z-scores."""
        two = {name: values[:2] for name, values in batch.items()}
        return input_target_output(two["input"], two["target"], self._reconstruct(two))

    def _reconstruct(self, batch: Batch) -> Tensor:
        hidden = self.encoder(batch["input"])
        return self.encoder.reconstruct(hidden).float()  # [B, T, F]


def _mean_over(values: Tensor, where: Tensor) -> Tensor:
    """Mean over the cells; 0, with a gradient of 0, where there are none."""
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)
