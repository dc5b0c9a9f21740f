"""Windows in a row and replaced channels: what the Population Transformer learns from.

Legend: B items (pairs of windows), C channels that are shown, D features of a channel.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.encoder import PopT
from rtbrain.encoder.models.layers import N_POSITIONS
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession, placed_positions, where_placed
from rtbrain.learn.metrics import roc_auc
from rtbrain.learn.objectives.objective import Batch, GoodItems, Objective, read_good
from rtbrain.types import Doubles, Floats, Ints, Mask

# Share of the hop by which two consecutive windows may miss it: sample times jitter by milliseconds
# and drift from the nominal rate, while a missing window doubles the hop.
_SLACK = 0.25
# The standard deviation of a feature is then known to half a percent.
_MAX_ITEMS = 20_000


class Pairing:
    """Windows of one session that can be paired.

    A window counts where more than half of the channels that the session ever has are good, so
    that any two windows share two channels or more. It begins an item where the next window
    counts too and ends one hop later, but for the jitter of the stamps.
    """

    def __init__(self, session: CorpusSession, hop_s: float) -> None:
        n_ever_good = np.count_nonzero(session.good.any(axis=0))
        n_good = session.good.sum(axis=1)
        # a + b - n is what two windows share at least: 2 or more where 2 a >= n + 2.
        self.windows = np.flatnonzero((2 * n_good >= n_ever_good + 2) & (n_ever_good > 1))
        rises_s = np.diff(session.t_stop[self.windows])
        follows = (np.diff(self.windows) == 1) & (np.abs(rises_s - hop_s) <= _SLACK * hop_s)
        self.items = np.flatnonzero(follows) if self.windows.size > 3 else np.empty(0, np.int64)

    def apart(self, places: Ints, dice: Doubles) -> Ints:
        """Places of other windows, never a first itself nor those before and after it."""
        number = self.windows[places]
        lowest = np.searchsorted(self.windows, number - 1)
        n_shut = np.searchsorted(self.windows, number + 1, side="right") - lowest
        drawn = (dice * (self.windows.size - n_shut)).astype(np.int64)
        return drawn + np.where(drawn >= lowest, n_shut, 0)

    def anywhere(self, dice: Doubles) -> Ints:
        """Places of windows of the session, the first itself among them: as published."""
        return (dice * self.windows.size).astype(np.int64)

    def third(self, places: Ints, partners: Ints, dice: Doubles) -> Ints:
        """Places of windows that are neither of a pair."""
        low, high = np.minimum(places, partners), np.maximum(places, partners)
        differ = (low != high).astype(np.int64)
        drawn: Ints = (dice * (self.windows.size - 1 - differ)).astype(np.int64)
        drawn += drawn >= low
        drawn += differ * (drawn >= high)
        return drawn


def standardise_inputs(encoder: PopT, sessions: Sequence[CorpusSession], *, seed: int) -> None:
    r"""Fold the mean and the deviation of each feature into the first projection, in place.

    .. math:: W' = W \, \mathrm{diag}(1 / s), \quad b' = b - W' m

    so that :math:`W' x + b' = W (x - m) / s + b`, m and s of the good items, or of 20,000 of them
    chosen by `seed`: embeddings of channels share most of their direction.

    References
    ----------
    LeCun et al. 1998, Efficient BackProp, section 4.3, doi:10.1007/3-540-49430-8_2.
    """
    mean, deviation = _moments(GoodItems(sessions), seed)
    projection = encoder.input_encoding.in_proj
    weight = projection.weight.detach().double() / torch.from_numpy(deviation)  # [P, D]
    bias = projection.bias.detach().double() - weight @ torch.from_numpy(mean)
    with torch.no_grad():
        projection.weight.copy_(weight)
        projection.bias.copy_(bias)


def _moments(items: GoodItems, seed: int) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each feature, float64 [D] each."""
    numbers = np.arange(len(items))
    if len(items) > _MAX_ITEMS:
        rng = np.random.default_rng(seed)
        numbers = np.sort(rng.choice(len(items), _MAX_ITEMS, replace=False, shuffle=False))
    values = items.read(numbers)
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # What never varies, but for rounding, has no scale.
    varies = deviation > np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(varies, deviation, 1.0)


class PopulationPairs:
    """Two windows of a session, each through other channels, some of these replaced.

    An item is a window that another follows by one hop. With probability 1/2 its partner is that
    one, else another of the same session. A number of channels that are good in both is drawn from
    `subset_sizes`, or all where fewer are good; half of them show the first window, the others the
    partner. The loss scores a share `replace_share` of their tokens: half of these show a random
    channel of a third window. Channels without a position are never shown; `n_unplaced` counts
    those that are good somewhere.

    Noise of `blur_voxels` may be added to the coordinates; as released, there is none. Partners
    that do not follow are never the item itself nor the windows before and after it; with
    `upstream_negatives` they are drawn from the whole session, as published, and can be either
    about once in n windows.

    References
    ----------
    Chau et al. 2025, Population Transformer, section 3, arXiv:2406.03044.
    """

    def __init__(
        self,
        sessions: Sequence[CorpusSession],
        *,
        subset_sizes: Sequence[int] = tuple(range(10, 101, 10)),
        replace_share: float = 0.1,
        blur_voxels: float = 0.0,
        hop_s: float,
        upstream_negatives: bool = False,
    ) -> None:
        places = [placed_positions(session.montage) for session in sessions]
        self._positions = [positions for positions, _ in places]
        self._sessions = tuple(
            where_placed(session, placed)
            for session, (_, placed) in zip(sessions, places, strict=True)
        )
        self.n_unplaced = sum(
            int((session.good.any(axis=0) & ~placed).sum())
            for session, (_, placed) in zip(sessions, places, strict=True)
        )
        self._subset_sizes = np.array(subset_sizes)
        self._replace_share = replace_share
        self._blur_voxels = blur_voxels
        self._upstream_negatives = upstream_negatives
        self._pairings = [Pairing(session, hop_s) for session in self._sessions]
        self._starts = np.cumsum([0, *(pairing.items.size for pairing in self._pairings)])
        if not len(self):
            raise SettingsError(
                f"expected windows that follow each other by {hop_s} s, got none in "
                f"{len(self._sessions)} sessions: see rtbrain corpus inspect for the hop"
            )
        self._n_channels = max(session.montage.n_channels for session in self._sessions)

    def __len__(self) -> int:
        """Number of items."""
        return int(self._starts[-1])

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Pairs with new partners, channels and replacements."""
        of = np.searchsorted(self._starts, items, side="right") - 1
        apart = rng.random(len(items)) < 0.5
        windows = self._windows(items, of, apart, rng.random((2, len(items))))
        channels, n_shown = self._channels(of, windows, rng)
        column = np.arange(self._n_channels)
        shown = column < n_shown[:, None]  # [B, n_channels], of which C are kept below
        second = shown & (column >= n_shown[:, None] // 2)
        dice = rng.random(shown.shape)
        scored = shown & (dice < self._replace_share)
        replaced = scored & (dice < self._replace_share / 2)
        false = self._good_channels(of, windows[2], rng.random(shown.shape))
        blur = self._blur(rng, shown.shape)
        source = np.take_along_axis(windows.T, np.where(replaced, 2, 1 * second), axis=1)
        read = np.where(replaced, false, channels)
        kept = np.s_[:, : int(n_shown.max(initial=0))]
        embedding = self._read(of, source[kept], read[kept], shown[kept])
        return {
            "embedding": torch.from_numpy(embedding),
            "positions": torch.from_numpy(self._place(of, channels, shown, blur)[kept]),
            "seq_id": torch.from_numpy(second[kept].astype(np.int64)),
            "pad_mask": torch.from_numpy(np.pad(~shown[kept], ((0, 0), (1, 0)))),
            "not_consecutive": torch.from_numpy(apart.astype(np.float32)),
            "replaced": torch.from_numpy(replaced[kept].astype(np.float32)),
            "scored": torch.from_numpy(scored[kept]),
        }

    def _windows(self, items: Ints, of: Ints, apart: Mask, dice: Doubles) -> Ints:
        """First window, partner and third window of each item: int64 [3, B]."""
        out = np.empty((3, len(items)), np.int64)
        for number in np.unique(of).tolist():
            rows, pairing = np.flatnonzero(of == number), self._pairings[number]
            first = pairing.items[items[rows] - self._starts[number]]
            if self._upstream_negatives:
                other = pairing.anywhere(dice[0, rows])
            else:
                other = pairing.apart(first, dice[0, rows])
            partner = np.where(apart[rows], other, first + 1)
            third = pairing.third(first, partner, dice[1, rows])
            out[:, rows] = pairing.windows[[first, partner, third]]
        return out

    def _channels(self, of: Ints, windows: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Channels good in both windows, shuffled, before the others; and how many are shown."""
        both = self._good(of, windows[0]) & self._good(of, windows[1])
        order = np.argsort(np.where(both, rng.random(both.shape), 2.0), axis=1)
        wanted = self._subset_sizes[rng.integers(self._subset_sizes.size, size=len(of))]
        return order, np.minimum(wanted, both.sum(axis=1))

    def _good_channels(self, of: Ints, windows: Ints, dice: Doubles) -> Ints:
        """Channels that are good in a window, one per die: int64, shaped like `dice`."""
        good = self._good(of, windows)
        first = np.argsort(~good, axis=1, kind="stable")  # the good ones before the others
        place = (dice * good.sum(axis=1, keepdims=True)).astype(np.int64)
        return np.take_along_axis(first, place, axis=1)

    def _good(self, of: Ints, windows: Ints) -> Mask:
        """Channels that are good in these windows, False past a session's last: [B, most]."""
        out = np.zeros((len(of), self._n_channels), bool)
        for number in np.unique(of).tolist():
            rows, good = np.flatnonzero(of == number), self._sessions[number].good
            out[rows, : good.shape[1]] = good[windows[rows]]
        return out

    def _read(self, of: Ints, windows: Ints, channels: Ints, shown: Mask) -> Floats:
        """Embeddings of the tokens that are shown, 0 in the padding: float32 [B, C, D]."""
        n_features = self._sessions[0].shards[0].shape[2]
        out = np.zeros((*windows.shape, n_features), np.float32)
        for number in np.unique(of).tolist():
            at = np.nonzero(shown & (of == number)[:, None])
            out[at] = read_good(self._sessions[number], windows[at], channels[at])
        return out

    def _blur(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints | None:
        if not self._blur_voxels:
            return None
        return np.rint(rng.normal(0, self._blur_voxels, (*shape, 3))).astype(np.int64)

    def _place(self, of: Ints, channels: Ints, shown: Mask, blur: Ints | None) -> Ints:
        """Voxels of the tokens that are shown, 0 in the padding: int64 [B, C, 3]."""
        out = np.zeros((*channels.shape, 3), np.int64)
        for number in np.unique(of).tolist():
            at = np.nonzero(shown & (of == number)[:, None])
            out[at] = self._positions[number][channels[at]]
            if blur is not None:
                out[at] = np.clip(out[at] + blur[at], 0, N_POSITIONS - 1)
        return out


class PopulationObjective(Objective):
    """Whether two windows follow each other, and which channels were replaced.

    With BCE the binary cross-entropy of a logit ::

        L = mean over items of BCE(CLS, not consecutive)
            + mean over the scored tokens of BCE(token, replaced)

    The second term is 0 where no token is scored. The third head is kept as it is.

    References
    ----------
    Chau et al. 2025, Population Transformer, section 3, arXiv:2406.03044.
    """

    encoder: PopT

    def __init__(self, encoder: PopT) -> None:
        super().__init__()
        self.encoder = encoder
        encoder.spec_prediction_head.requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of :class:`PopulationPairs`, its two means, and their accuracies."""
        cls, tokens = self._logits(batch)
        scored, replaced = batch["scored"], batch["replaced"]
        n_scored = scored.sum().clamp(min=1)
        costs = functional.binary_cross_entropy_with_logits(tokens, replaced, reduction="none")
        consecutive_loss = functional.binary_cross_entropy_with_logits(
            cls, batch["not_consecutive"]
        )
        replaced_loss = torch.where(scored, costs, 0.0).sum() / n_scored
        measures = {
            "consecutive_loss": consecutive_loss.detach(),
            "replaced_loss": replaced_loss.detach(),
            "consecutive_accuracy": ((cls > 0) == (batch["not_consecutive"] > 0)).float().mean(),
            "replaced_accuracy": (scored & ((tokens > 0) == (replaced > 0))).sum() / n_scored,
        }
        return consecutive_loss + replaced_loss, measures

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """AUC, loss and accuracy of both tasks over held-out pairs; NaN where none is scored."""
        consecutive: list[tuple[Tensor, Tensor]] = []
        replaced: list[tuple[Tensor, Tensor]] = []
        for batch in batches:
            cls, tokens = self._logits(batch)
            consecutive.append((cls, batch["not_consecutive"]))
            scored = batch["scored"]
            replaced.append((tokens[scored], batch["replaced"][scored]))
        return _figures("consecutive", consecutive) | _figures("replaced", replaced)

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of CLS, float32 [B], and of the tokens, float32 [B, C]."""
        _, cls, tokens = self.encoder(
            batch["embedding"], batch["positions"], batch["seq_id"], batch["pad_mask"]
        )
        return cls[:, 0].float(), tokens[..., 0].float()


def _figures(name: str, parts: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Area under the curve, loss and accuracy of logits against labels."""
    logits = torch.cat([part for part, _ in parts]).double().cpu()
    labels = torch.cat([part for _, part in parts]).double().cpu()
    positive = (labels > 0).numpy()
    auc = float("nan")
    if 0 < np.count_nonzero(positive) < positive.size:
        columns = np.stack([-logits.numpy(), logits.numpy()], axis=1)
        auc = roc_auc(columns, positive.astype(np.int64))
    loss = functional.binary_cross_entropy_with_logits(logits, labels)
    right = ((logits > 0) == (labels > 0)).double().mean()
    return {f"{name}_auc": auc, f"{name}_loss": loss.item(), f"{name}_accuracy": right.item()}
