"""Hidden patches of waveforms, reconstructed: what Neuro-BERT and bioFAME learn from.

Legend: B items (a window of one channel), T patches, F samples of a patch, K bins, D features,
V visible and n hidden patches.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder import BioFAME, NeuroBERT
from rtbrain.encoder.models.layers import N_POSITIONS, PositionTable, TransformerStack
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import (
    Batch,
    GoodItems,
    Objective,
    Reconstruction,
    input_target_output,
)
from rtbrain.types import Floats, Ints

_N_HEADS = 4  # of the second transformer


class MaskedPatches:
    """Windows of single channels in patches, the same number of each hidden."""

    def __init__(self, sessions: Sequence[CorpusSession], *, mask_share: float) -> None:
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
        totals = Reconstruction("mse", "line")
        for batch in batches:
            true = batch["patches"][batch["mask"]]
            totals.add(true, self.reconstruct(batch), _lines(batch).to(true.device))
        return totals.figures()

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


def invert(amplitude: Tensor, phase: Tensor, n_samples: int) -> Tensor:
    r"""Waveform whose spectrum has these amplitudes and phases.

    .. math:: x_t = F^{-1/2} \sum_{k=0}^{F-1} A_k e^{i \varphi_k} e^{2 \pi i k t / F}

    The bins above F / 2 are mirrored, :math:`A_{F-k} = A_k`, :math:`\varphi_{F-k} = -\varphi_k`; of
    bin 0, and of bin F / 2 where there is one, only the real part counts.
    """
    amplitude, phase = amplitude.float(), phase.float()  # the transform knows no half precision
    spectrum = torch.complex(amplitude * phase.cos(), amplitude * phase.sin())
    waveform: Tensor = torch.fft.irfft(spectrum, n=n_samples, dim=-1, norm="ortho")
    return waveform


class FourierInversion(PatchObjective):
    r"""Hidden patches by way of their spectrum.

    From the hidden state of each hidden patch, two linear decoders give amplitude and phase of
    the patch's discrete Fourier transform; its inverse (`invert`) is compared with the waveform ::

        L = mean over the hidden patches and their samples of (x - F^-1(A e^(i phi)))^2

    References
    ----------
    Wu et al. 2024, Neuro-BERT, arXiv:2204.12440.
    """

    encoder: NeuroBERT

    def __init__(self, encoder: NeuroBERT) -> None:
        super().__init__()
        self.encoder = encoder

    def reconstruct(self, batch: Batch) -> Tensor:
        """The hidden patches of a batch, float32 [n, F]."""
        patches, mask = batch["patches"], batch["mask"]
        hidden = self.encoder(patches, mask)[mask]  # [n, D]
        amplitude, phase = self.encoder.amplitude_and_phase(hidden)  # [n, K]
        return invert(amplitude, phase, patches.shape[-1])


class FrequencyMaintain(PatchObjective):
    """Patches reconstructed from half of the latents that the frequency encoder makes of them.

    The encoder sees the whole window, so that no mask cuts into its spectrum. Hidden latents are
    removed; a second transformer reads the rest, a learned token takes the place of each that was
    removed, positions are added, and a decoder with a linear layer gives the patches ::

        L = mean over the hidden patches and their samples of (x - x^)^2

    As the encoder mixes all tokens, the loss cannot be compared with that of an encoder whose input
    is masked.

    References
    ----------
    Liu et al. 2023, Frequency-aware masked autoencoders, arXiv:2309.05927.
    """

    encoder: BioFAME

    def __init__(self, encoder: BioFAME) -> None:
        super().__init__()
        self.encoder = encoder
        n_features = encoder.sizes.hidden_dim
        n_heads = math.gcd(_N_HEADS, n_features)
        self.visible_encoder = TransformerStack(1, n_features, n_heads, n_features)
        self.decoder = TransformerStack(1, n_features, n_heads, n_features)
        self.mask_token = nn.Parameter(torch.zeros(n_features))
        self.positional_encoding = PositionTable(n_features)
        self.reconstruction = nn.Linear(n_features, encoder.sizes.input_dim)

    def reconstruct(self, batch: Batch) -> Tensor:
        """The hidden patches of a batch, float32 [n, F]."""
        mask = batch["mask"]
        if mask.shape[1] > N_POSITIONS:
            raise SettingsError(
                f"windows have {mask.shape[1]} patches, expected at most {N_POSITIONS}: shorten "
                f"them, or lengthen the patches"
            )
        latents = self.encoder(batch["patches"])  # [B, T, D]
        B, T, D = latents.shape
        visible = self.visible_encoder(latents[~mask].view(B, -1, D))  # [B, V, D]
        tokens = self.mask_token.to(visible.dtype).expand(B, T, D).clone()
        tokens[~mask] = visible.reshape(-1, D)
        decoded = self.decoder(tokens + self.positional_encoding.pe[:, :T])
        patches: Tensor = self.reconstruction(decoded[mask]).float()  # [n, F]
        return patches
