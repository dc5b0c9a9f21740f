"""Guided distillation: a causal encoder learns from one that sees the whole window.

Legend: B items (a window of one channel), T frames, F freqs, P frames of a patch, N patches,
D features of the student, G of the guide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder import StreamingBERT
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.cka import debiased_cka, gram
from rtbrain.learn.objectives.held_out import HeldOutScores, HeldOutTotals
from rtbrain.learn.objectives.objective import Batch, GoodItems, Objective
from rtbrain.learn.objectives.teacher import Teacher, layer_pairs
from rtbrain.types import Ints


class WholeSpectrograms:
    """Spectrograms of single channels with nothing hidden.

    Items are numbered over the sessions, and within one by window and channel, so that a shuffled
    batch mixes channels and subjects; those that are not good are passed over.

    Parameters
    ----------
    sessions : sequence of CorpusSession
        Of form "spectrogram".

    Raises
    ------
    SettingsError
        No item is good.
    """

    def __init__(self, sessions: Sequence[CorpusSession]) -> None:
        self._items = GoodItems(sessions)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._items)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Spectrograms of these items.

        Returns
        -------
        dict of Tensor
            ``spectrogram`` float32 [B, T, F].

        Raises
        ------
        RecordingError
            A window that the corpus calls good is not finite.
        """
        return {"spectrogram": torch.from_numpy(self._items.read(items))}


@dataclass(frozen=True, slots=True)
class Guidance:
    """Layers that are to be alike.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    first_steps : int or None
        Steps that are guided; None: all.
    tokenwise : bool
        Hold items against each other token by token, and take the mean; else all tokens of an
        item are one row, as published.
    """

    weight: float
    first_steps: int | None = None
    tokenwise: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """What a token says of its own frames, some time later than the guide says it.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    delay_patches : int
        How much later.
    cosine : bool
        1 - cosine of the two vectors; else the mean squared difference, in squared standard
        deviations of the guide.
    mapped : bool
        Through a linear map, thrown away in the end; else the student's features are to be the
        guide's, as z-scores.
    edge_share : float
        Share of this loss that is of the newest token alone: there the guide has seen no more
        than the student, and there a decoder reads.
    """

    weight: float
    delay_patches: int = 0
    cosine: bool = False
    mapped: bool = True
    edge_share: float = 0.0


@dataclass(frozen=True, slots=True)
class NextPatch:
    """The patch that comes next.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    alpha, gamma : float
        Weight of the cells that stand out, and by how much they do, in z-scores, as of
        :class:`rtbrain.learn.objectives.brainbert.MaskedSpectrogram`.
    """

    weight: float
    alpha: float = 2.0
    gamma: float = 1.0


class Distillation(Objective):
    r"""A causal student beside a guide that sees the whole window.

    .. math::

        L = w_g \sum_{(g, t)} (1 - \mathrm{CKA}(A_g, A_t)) + w_m M + w_f F

    The sum is over layers mapped evenly (`layer_pairs`), CKA the debiased estimate over the
    items of a batch (`debiased_cka`) of their activations, the guide's as means over each patch.
    M holds what the student makes of each token against what the guide's last layer made of the
    frames of a token some time before (`Match`), in z-scores of the guide. F is the error of the
    next patch, content-aware as BrainBERT's (`NextPatch`). M and F are means over the tokens that
    have seen enough.

    Parameters
    ----------
    encoder : StreamingBERT
        Trained in place.
    guide : Guide or None
        None: nothing but F is learned.
    guidance : Guidance
    match : Match
    following : Following
        The losses.
    first_patch : int
        First token of M and F: those before have seen too little.

    References
    ----------
    Guidance: arXiv:2410.20035, section 3. Embeddings at a delay: Kurata and Saon 2020,
    Knowledge distillation from offline to streaming RNN transducer,
    doi:10.21437/Interspeech.2020-2442.
    """

    encoder: StreamingBERT
    target_mean: Tensor
    target_deviation: Tensor

    def __init__(
        self,
        encoder: StreamingBERT,
        guide: Teacher | None,
        *,
        guidance: Guidance,
        match: Match,
        following: NextPatch,
        first_patch: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.guide = guide
        self.guidance = guidance
        self.match = match
        self.following = following
        self.first_patch = first_patch
        self.step = 0
        n_teacher = guide.n_features if guide else 1
        self.register_buffer("target_mean", torch.zeros(n_teacher))
        self.register_buffer("target_deviation", torch.ones(n_teacher))
        self.map: nn.Module = nn.Identity()
        if guide and match.weight and match.mapped:
            self.map = nn.Linear(encoder.sizes.hidden_dim, n_teacher)
        # Processes that share a batch wait for the gradient of every weight that asks for one.
        if not following.weight:
            encoder.next_patch_head.requires_grad_(False)
            if not (guide and match.weight):
                encoder.norm.requires_grad_(False)

    def begin_step(self, step: int) -> None:
        """Remember how many steps were done, for guidance that ends."""
        self.step = step

    @torch.no_grad()
    def fit_targets(self, spectrograms: Iterable[Tensor]) -> None:
        """Take mean and deviation of what the guide says, feature by feature, where there is one.

        Parameters
        ----------
        spectrograms : iterable of Tensor, float32 [B, T, F]
            Of subjects that are trained on.
        """
        if self.guide is None:
            return
        last = torch.cat(
            [
                self.guide.layers_of(each, self.encoder.patch_frames)[-1].flatten(0, 1)
                for each in spectrograms
            ]
        )
        self.target_mean.copy_(last.mean(dim=0))
        deviation = last.std(dim=0)
        # What never varies has no scale to be brought to.
        self.target_deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of :class:`WholeSpectrograms`.

        Returns
        -------
        loss : Tensor, float32 []
            L.
        measures : dict of Tensor
            Its parts without their weights: ``guidance``, while there is any, ``match`` and
            ``following``.
        """
        spectrogram = batch["spectrogram"]
        layers = self.encoder.layers_of(spectrogram)
        hidden = self.encoder.norm(layers[-1])
        parts: dict[str, tuple[float, Tensor]] = {}
        guided = self._guided
        if self.guide and (guided or self.match.weight):
            said = self.guide.layers_of(spectrogram, self.encoder.patch_frames)
            if guided:
                parts["guidance"] = self.guidance.weight, self._unlike(layers, said)
            if self.match.weight:
                parts["match"] = self.match.weight, self._mismatch(*self._pair(hidden, said[-1]))
        if self.following.weight:
            parts["following"] = self.following.weight, self._surprise(hidden, spectrogram)
        loss = torch.stack([weight * part for weight, part in parts.values()]).sum()
        return loss, {name: part.detach() for name, (_, part) in parts.items()}

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures of held-out items, as of `HeldOutScores.figures`."""
        return self.look(batches).figures()

    @torch.no_grad()
    def look(self, batches: Iterable[Batch]) -> HeldOutScores:
        """What held-out items give, in arrays."""
        held = HeldOutTotals()
        for batch in batches:
            spectrogram = batch["spectrogram"]
            layers = self.encoder.layers_of(spectrogram)
            hidden = self.encoder.norm(layers[-1])
            if self.guide:
                said = self.guide.layers_of(spectrogram, self.encoder.patch_frames)
                held.add_layers(layers, said)
                if self.match.weight:
                    held.add_match(*self._pair(hidden, said[-1]), self._first_pair)
            if self.following.weight:
                held.add_following(*self._next(hidden, spectrogram))
        return held.out()

    @property
    def _guided(self) -> bool:
        """Whether layers are held against each other in this step."""
        first = self.guidance.first_steps
        return self.guidance.weight > 0 and (first is None or self.step < first)

    @property
    def _first_pair(self) -> int:
        """Place of `first_patch` in what `_pair` gives."""
        return max(0, self.first_patch - self.match.delay_patches)

    def _unlike(self, layers: list[Tensor], said: list[Tensor]) -> Tensor:
        """Sum of 1 - CKA over the mapped layers."""
        grams: dict[tuple[str, int], Tensor] = {}
        costs = []
        for g, t in layer_pairs(len(said), len(layers)):
            for key, values in ((("guide", g), said[g]), (("target", t), layers[t])):
                if key not in grams:
                    rows = values.transpose(0, 1) if self.guidance.tokenwise else values.flatten(1)
                    grams[key] = gram(rows)
            costs.append(1 - debiased_cka(grams["guide", g], grams["target", t]).mean())
        return torch.stack(costs).sum()

    def _pair(self, hidden: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
        """What the student says and should say of each token but the first few, as z-scores.

        Both are [B, N - delay, G].
        """
        delay = self.match.delay_patches
        target = (said - self.target_mean) / self.target_deviation
        return self.map(hidden).float()[:, delay:], target[:, : target.shape[1] - delay]

    def _mismatch(self, made: Tensor, target: Tensor) -> Tensor:
        if self.match.cosine:
            costs = 1 - functional.cosine_similarity(made, target, dim=-1)
        else:
            costs = (made - target).square().mean(dim=-1)  # [B, N - delay]
        edge = self.match.edge_share
        return (1 - edge) * costs[:, self._first_pair :].mean() + edge * costs[:, -1].mean()

    def _next(self, hidden: Tensor, spectrogram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Patches as predicted, as they are, and as they were before: [B, N - first - 1, P, F]."""
        whole = spectrogram[:, spectrogram.shape[1] % self.encoder.patch_frames :]
        B, n_frames, F = whole.shape
        P = self.encoder.patch_frames
        patches = whole.reshape(B, n_frames // P, P, F)
        predicted = self.encoder.predict(hidden[:, self.first_patch : -1]).float()
        return predicted, patches[:, self.first_patch + 1 :], patches[:, self.first_patch : -1]

    def _surprise(self, hidden: Tensor, spectrogram: Tensor) -> Tensor:
        predicted, target, _ = self._next(hidden, spectrogram)
        error = (target - predicted).abs()
        stands_out = target.abs() > self.following.gamma
        content = torch.where(stands_out, error, 0.0).sum() / stands_out.sum().clamp(min=1)
        return error.mean() + self.following.alpha * content
