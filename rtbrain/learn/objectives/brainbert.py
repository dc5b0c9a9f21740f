"""Masked spectrogram modelling: what BrainBERT learns from.

Legend: B items (a window of one channel), T frames, F freqs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rtbrain.encoder import BrainBERT
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import (
    Batch,
    GoodItems,
    Objective,
    Reconstruction,
    input_target_output,
)
from rtbrain.types import Floats, Ints, Mask

_FIXED_P = 0.05
_FIXED_FRAMES = 5  # longest span along time
_FIXED_BINS = 2  # longest span along frequency
_ADAPTIVE_P = 0.10
# Of the spans: one in ten is left as it is, one in ten shows another stretch, the rest is zero.
_KEPT, _REPLACED = 0.1, 0.1
# The grid of the superlet spectrogram, which has no other.
_LOWEST_HZ, _HIGHEST_HZ = 0.1, 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches along one axis (n frames or bins) of each item that do not touch."""

    inside: Mask  # bool [B, n]
    zeroed: Mask  # bool [B, n]
    source: Ints  # int64 [B, n]
    offset: Ints  # int64 [B, n]


@dataclass(frozen=True, slots=True, eq=False)
class SpanMask:
    """Spans over time and over frequency, and the cells that the loss covers."""

    time: Spans
    freq: Spans
    rows: Mask  # bool [B, T, F]
    loss: Mask  # bool [B, T, F]

    def corrupt(self, target: Floats) -> Floats:
        """Spectrograms as the encoder sees them: spans over frequency laid over those over time."""
        seen = target.copy()
        item, frame = np.nonzero(self.time.inside)
        shown = target[item, self.time.source[item, frame]]  # [n, F]
        shown[self.time.zeroed[item, frame]] = 0
        seen[item, frame] = np.where(self.rows[item, frame], shown, seen[item, frame])
        item, bin_ = np.nonzero(self.freq.inside)
        shown = seen[item, :, self.freq.source[item, bin_]]  # [n, T]
        shown[self.freq.zeroed[item, bin_]] = 0
        seen[item, :, bin_] = shown
        return seen


def fixed_mask(
    rng: np.random.Generator,
    n_items: int,
    n_frames: int,
    n_freqs: int,
    *,
    upstream_labels: bool = False,
) -> SpanMask:
    """Masks for the STFT: spans of 1 to 5 frames and of 1 or 2 bins.

    A span starts at a frame (bin) with probability 0.05 where the last one has ended and one
    frame lies between; its length is uniform. Each span is left as it is (10 %), shows a random
    stretch of the same item (10 %), or is zero, the mean of a z-score (80 %).

    References
    ----------
    Wang et al. 2023, BrainBERT, section 3 and appendix, arXiv:2302.14367.
    """
    lengths = rng.integers(1, _FIXED_FRAMES + 1, (n_items, n_frames))
    time = _spans(rng, lengths, _FIXED_P, n_frames - _FIXED_FRAMES)
    lengths = rng.integers(1, _FIXED_BINS + 1, (n_items, n_freqs))
    freq = _spans(rng, lengths, _FIXED_P, n_freqs - _FIXED_FRAMES)
    columns = freq.inside
    if upstream_labels:
        columns = np.zeros_like(freq.inside)
        n_both = min(n_frames, n_freqs)
        columns[:, :n_both] = time.inside[:, :n_both]
    rows = np.broadcast_to(time.inside[:, :, None], (n_items, n_frames, n_freqs))
    return SpanMask(time, freq, rows, rows | columns[:, None, :])


def adaptive_mask(rng: np.random.Generator, n_items: int, n_frames: int, n_freqs: int) -> SpanMask:
    """Masks for superlets, as long and as wide as their resolution is at a frequency f.

    A time span reaches max(1, int(200 / (25 + f))) frames to either side of its centre, a span
    over frequency holds max(1, int(4.9 f / 250)) bins; each centre (first bin) comes with
    probability 0.10 where the last span has ended, at its longest, and one frame (bin) lies
    between. What becomes of a span is as in `fixed_mask`; the loss covers all spans.

    References
    ----------
    Wang et al. 2023, BrainBERT, section 3 and appendix, arXiv:2302.14367.
    """
    freqs_hz = np.linspace(_LOWEST_HZ, _HIGHEST_HZ, n_freqs)
    reach = np.maximum(1, (200 / (25 + freqs_hz)).astype(np.int64))  # frames, [F]
    width = np.maximum(1, (4.9 * freqs_hz / 250).astype(np.int64))  # bins, [F]
    longest = int(2 * reach.max() + 1)
    lengths = np.full((n_items, n_frames), longest)
    time = _spans(rng, lengths, _ADAPTIVE_P, n_frames - longest + 1)
    distance = np.abs(time.offset - reach.max())  # from the centre, [B, T]
    rows = time.inside[:, :, None] & (distance[:, :, None] <= reach)
    lengths = np.broadcast_to(width, (n_items, n_freqs))
    freq = _spans(rng, lengths, _ADAPTIVE_P, n_freqs - int(width.max()) + 1)
    return SpanMask(time, freq, rows, rows | freq.inside[:, None, :])


def _spans(rng: np.random.Generator, lengths: Ints, p: float, n_starts: int) -> Spans:
    """Spans that start with probability p below `n_starts`; `lengths` [B, n] of one started there.

    Every draw is made for every position, used or not: what an item's spans are does not depend
    on those of another.
    """
    n_items, n = lengths.shape
    starts = rng.random((n_items, n)) < p
    fate, where = rng.random((2, n_items, n))
    first = np.full((n_items, n), -1)  # first position of the span that a position is in
    free = np.zeros(n_items, np.int64)  # first position where a span may start
    position = np.arange(n)
    for start in range(max(n_starts, 0)):
        items = np.flatnonzero(starts[:, start] & (free <= start))
        length = lengths[items, start]
        free[items] = start + length + 1  # one between: spans do not touch
        for step in range(int(length.max(initial=0))):
            first[items[length > step], start + step] = start
    inside = first >= 0
    item, at = np.nonzero(inside)
    begun = first[item, at]
    offset = np.zeros((n_items, n), np.int64)
    offset[item, at] = at - begun
    zeroed = np.zeros_like(inside)
    zeroed[item, at] = fate[item, begun] >= _KEPT + _REPLACED
    replaced = (fate[item, begun] >= _KEPT) & ~zeroed[item, at]
    source = np.broadcast_to(position, (n_items, n)).copy()
    stretch = (where[item, begun] * (n - lengths[item, begun] + 1)).astype(np.int64)
    source[item, at] = np.where(replaced, stretch + at - begun, at)
    return Spans(inside, zeroed, source, offset)


class MaskedSpectrograms:
    """Spectrograms of single channels, a part of each hidden.

    Masks are ``"fixed"`` for the STFT and ``"adaptive"`` for superlets. With
    `upstream_mask_labels`, the loss covers the cells that it covers in the published code.
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
        if self._masking == "adaptive":
            mask = adaptive_mask(rng, *target.shape)
        else:
            mask = fixed_mask(rng, *target.shape, upstream_labels=self._upstream_mask_labels)
        return {
            "input": torch.from_numpy(mask.corrupt(target)),
            "target": torch.from_numpy(target),
            "mask": torch.from_numpy(np.ascontiguousarray(mask.loss)),
        }


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
        """Loss of a batch of `MaskedSpectrograms`, and its two means."""
        target, mask = batch["target"], batch["mask"]
        error = (target - self._reconstruct(batch)).abs()  # [B, T, F]
        masked = _mean_over(error, mask)
        content = _mean_over(error, mask & (target.abs() > self.gamma))
        measures = {"masked_l1": masked.detach(), "content_l1": content.detach()}
        return masked + self.alpha * content, measures

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Reconstruction of held-out items, beside untrained predictors."""
        sets = {name: Reconstruction("l1", "bin_mean") for name in ("masked", "content", "unseen")}
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
