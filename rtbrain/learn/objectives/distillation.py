"""Guided distillation: a causal student learns from a teacher that sees the whole window.

Legend: B items (a window of one channel), T frames, F freqs, P frames per patch, N patches,
D features of the student, G of the teacher.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.config.training import GuidanceSettings, MatchSettings, NextPatchSettings
from rtbrain.encoder import BrainBERT, StreamingBERT
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.distillation_scores import (
    DistillationScores,
    DistillationTotals,
    debiased_cka,
    gram,
)
from rtbrain.learn.objectives.objective import Batch, GoodItems, Objective
from rtbrain.types import Ints


class WholeSpectrograms:
    """Spectrograms of single channels with nothing hidden."""

    def __init__(self, sessions: Sequence[CorpusSession]) -> None:
        self._items = GoodItems(sessions)

    def __len__(self) -> int:
        """Number of items."""
        return len(self._items)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Spectrograms of these items: ``spectrogram`` float32 [B, T, F]."""
        return {"spectrogram": torch.from_numpy(self._items.read(items))}


class Teacher:
    """A BrainBERT that is read layer by layer and never changed; no module of its student."""

    def __init__(self, encoder: BrainBERT, *, bfloat16: bool = False) -> None:
        self._encoder = encoder.eval().requires_grad_(False)
        self._bfloat16 = bfloat16

    @property
    def n_layers(self) -> int:
        """Number of its layers."""
        return self._encoder.sizes.encoder_num_layers

    @property
    def n_features(self) -> int:
        """Width G of a layer."""
        return self._encoder.sizes.hidden_dim

    @torch.no_grad()
    def layers_of(self, spectrogram: Tensor, patch_frames: int) -> list[Tensor]:
        """Mean over each patch of each layer's hidden state: [B, T, F] to [B, T // P, G] each."""
        device = spectrogram.device
        self._encoder.to(device)
        layers = []
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            hidden = self._encoder.input_encoding(spectrogram)
            for layer in self._encoder.transformer.layers:
                hidden = layer(hidden)
                layers.append(_patches(hidden.float(), patch_frames).mean(dim=2))
        return layers


def layer_pairs(n_teacher: int, n_student: int) -> list[tuple[int, int]]:
    """Layers (of the teacher, of the student) in pairs, spread evenly (arXiv:2410.20035)."""
    if n_teacher == 1:
        return [(0, n_student - 1)]
    return [(i, round(i * (n_student - 1) / (n_teacher - 1))) for i in range(n_teacher)]


class Distillation(Objective):
    r"""A causal student beside a teacher that sees the whole window.

    .. math::

        L = w_g \sum_{(g, s)} (1 - \mathrm{CKA}(A_g, A_s)) + w_m M + w_n F

    The sum is over pairs of layers (`layer_pairs`), CKA the debiased estimate over the items of a
    batch (`debiased_cka`) of their activations, the teacher's as means over each patch. M is the
    difference between the student's prediction at each token, after an optional linear
    projection, and the teacher's last layer `delay_patches` tokens before, in z-scores of the
    teacher; a share of M is of the newest token alone, where the teacher has seen no more than
    the student and where a decoder reads. F is the error of the next patch, content-aware as
    BrainBERT's (:class:`rtbrain.learn.objectives.brainbert.MaskedSpectrogram`). M and F are means
    over the tokens from `first_patch` on: earlier ones have seen too little.

    Without a teacher, only F is learned.

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
        teacher: Teacher | None,
        *,
        guidance: GuidanceSettings,
        match: MatchSettings,
        next_patch: NextPatchSettings,
        delay_patches: int,
        first_patch: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.teacher = teacher
        self.guidance = guidance
        self.match = match
        self.next_patch = next_patch
        self.delay_patches = delay_patches
        self.first_patch = first_patch
        self.step = 0
        n_features = teacher.n_features if teacher else 1
        self.register_buffer("target_mean", torch.zeros(n_features))
        self.register_buffer("target_deviation", torch.ones(n_features))
        self.projection: nn.Module = nn.Identity()
        if teacher and match.weight and match.projection:
            self.projection = nn.Linear(encoder.sizes.hidden_dim, n_features)
        # Processes that share a batch wait for the gradient of every weight that requires one.
        if not next_patch.weight:
            encoder.next_patch_head.requires_grad_(False)
            if not (teacher and match.weight):
                encoder.norm.requires_grad_(False)

    def begin_step(self, step: int) -> None:
        """Remember the number of steps done, for guidance that ends."""
        self.step = step

    @torch.no_grad()
    def fit_targets(self, spectrograms: Iterable[Tensor]) -> None:
        """Take mean and deviation of the teacher's features over training items [B, T, F]."""
        if self.teacher is None:
            return
        last = torch.cat(
            [
                self.teacher.layers_of(each, self.encoder.patch_frames)[-1].flatten(0, 1)
                for each in spectrograms
            ]
        )
        self.target_mean.copy_(last.mean(dim=0))
        deviation = last.std(dim=0)
        # What never varies has no scale.
        self.target_deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch of :class:`WholeSpectrograms`, and its parts without their weights."""
        spectrogram = batch["spectrogram"]
        layers = self.encoder.layers_of(spectrogram)
        hidden = self.encoder.norm(layers[-1])
        parts: dict[str, tuple[float, Tensor]] = {}
        guided = self._guided
        if self.teacher and (guided or self.match.weight):
            theirs = self.teacher.layers_of(spectrogram, self.encoder.patch_frames)
            if guided:
                parts["guidance"] = self.guidance.weight, self._guidance_loss(layers, theirs)
            if self.match.weight:
                pair = self._match_pair(hidden, theirs[-1])
                parts["match"] = self.match.weight, self._match_loss(*pair)
        if self.next_patch.weight:
            loss = self._next_patch_loss(hidden, spectrogram)
            parts["next_patch"] = self.next_patch.weight, loss
        total = torch.stack([weight * part for weight, part in parts.values()]).sum()
        return total, {name: part.detach() for name, (_, part) in parts.items()}

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures of held-out items, as `DistillationScores.figures` names them."""
        return self.scores(batches).figures()

    @torch.no_grad()
    def scores(self, batches: Iterable[Batch]) -> DistillationScores:
        """Figures of held-out items, as arrays."""
        totals = DistillationTotals()
        for batch in batches:
            spectrogram = batch["spectrogram"]
            layers = self.encoder.layers_of(spectrogram)
            hidden = self.encoder.norm(layers[-1])
            if self.teacher:
                theirs = self.teacher.layers_of(spectrogram, self.encoder.patch_frames)
                totals.add_layers(layers, theirs)
                if self.match.weight:
                    totals.add_match(*self._match_pair(hidden, theirs[-1]), self._first_pair)
            if self.next_patch.weight:
                totals.add_next_patch(*self._next_patches(hidden, spectrogram))
        return totals.scores()

    @property
    def _guided(self) -> bool:
        """Whether layers are compared in this step."""
        first = self.guidance.first_steps
        return self.guidance.weight > 0 and (first is None or self.step < first)

    @property
    def _first_pair(self) -> int:
        """Index of `first_patch` in what `_match_pair` returns."""
        return max(0, self.first_patch - self.delay_patches)

    def _guidance_loss(self, layers: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """Sum of 1 - CKA over the paired layers."""

        def grams(several: list[Tensor], numbers: set[int]) -> dict[int, Tensor]:
            tokenwise = self.guidance.tokenwise
            return {
                k: gram(several[k].transpose(0, 1) if tokenwise else several[k].flatten(1))
                for k in numbers
            }

        pairs = layer_pairs(len(theirs), len(layers))
        of_teacher = grams(theirs, {g for g, _ in pairs})
        of_student = grams(layers, {s for _, s in pairs})
        return torch.stack(
            [1 - debiased_cka(of_teacher[g], of_student[s]).mean() for g, s in pairs]
        ).sum()

    def _match_pair(self, hidden: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and targets of each token but the first few: z-scores [B, N - delay, G]."""
        delay = self.delay_patches
        target = (theirs - self.target_mean) / self.target_deviation
        return self.projection(hidden).float()[:, delay:], target[:, : target.shape[1] - delay]

    def _match_loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        if self.match.loss == "cosine":
            costs = 1 - functional.cosine_similarity(predicted, target, dim=-1)
        else:
            costs = (predicted - target).square().mean(dim=-1)  # [B, N - delay]
        edge = self.match.edge_share
        return (1 - edge) * costs[:, self._first_pair :].mean() + edge * costs[:, -1].mean()

    def _next_patches(self, hidden: Tensor, spectrogram: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Patches as predicted, as they are, and those before them: [B, N - first - 1, P, F]."""
        patches = _patches(spectrogram, self.encoder.patch_frames)
        predicted = self.encoder.predict(hidden[:, self.first_patch : -1]).float()
        return predicted, patches[:, self.first_patch + 1 :], patches[:, self.first_patch : -1]

    def _next_patch_loss(self, hidden: Tensor, spectrogram: Tensor) -> Tensor:
        predicted, target, _ = self._next_patches(hidden, spectrogram)
        error = (target - predicted).abs()
        is_content = target.abs() > self.next_patch.gamma
        content = torch.where(is_content, error, 0.0).sum() / is_content.sum().clamp(min=1)
        return error.mean() + self.next_patch.alpha * content


def _patches(frames: Tensor, patch_frames: int) -> Tensor:
    """The newest whole patches of frames [B, T, *]: [B, T // P, P, *]."""
    whole = frames[:, frames.shape[1] % patch_frames :]
    B, T, D = whole.shape
    return whole.reshape(B, T // patch_frames, patch_frames, D)
