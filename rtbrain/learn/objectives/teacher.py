"""The guide of a distillation: a frozen encoder that sees the whole window, before and after.

Legend: B items (a window of one channel), T frames, F freqs, P frames of a patch, N patches,
D features.
"""

import torch
from torch import Tensor

from rtbrain.encoder import BrainBERT


class Teacher:
    """A BrainBERT that is looked at, layer by layer, and never changed.

    It is no module: it has no part in the weights, moments and checkpoints of what it guides.

    Parameters
    ----------
    encoder : BrainBERT
        Trained, or not; put in eval mode, without gradients.
    bfloat16 : bool
        Multiply matrices in half precision, where the machine is faster so.
    """

    def __init__(self, encoder: BrainBERT, *, bfloat16: bool = False) -> None:
        self._encoder = encoder.eval().requires_grad_(False)
        self._bfloat16 = bfloat16

    @property
    def n_layers(self) -> int:
        """How many layers it has."""
        return self._encoder.sizes.encoder_num_layers

    @property
    def n_features(self) -> int:
        """Width D of a layer."""
        return self._encoder.sizes.hidden_dim

    @torch.no_grad()
    def layers_of(self, spectrogram: Tensor, patch_frames: int) -> list[Tensor]:
        """Hidden state after each layer, mean over the frames of each patch.

        Parameters
        ----------
        spectrogram : Tensor, float32 [B, T, F]
            Z-scores of the whole window.
        patch_frames : int
            P. The oldest T % P frames are seen, and belong to no patch.

        Returns
        -------
        list of Tensor, float32 [B, T // P, D]
            One a layer.
        """
        device = spectrogram.device
        self._encoder.to(device)
        layers = []
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bfloat16):
            hidden = self._encoder.input_encoding(spectrogram)
            for layer in self._encoder.transformer.layers:
                hidden = layer(hidden)
                layers.append(_patches(hidden.float(), patch_frames))
        return layers


def _patches(hidden: Tensor, patch_frames: int) -> Tensor:
    whole = hidden[:, hidden.shape[1] % patch_frames :]
    B, n_frames, D = whole.shape
    return whole.reshape(B, n_frames // patch_frames, patch_frames, D).mean(dim=2)


def layer_pairs(n_teacher: int, n_target: int) -> list[tuple[int, int]]:
    """Which layer of the target each layer of the guide is held against: (guide, target) pairs.

    They are spread evenly, the first to the first and the last to the last; of a guide with one
    layer, that to the last.


    References
    ----------
    arXiv:2410.20035: round(i (n_target - 1) / (n_teacher - 1)).
    """
    if n_teacher == 1:
        return [(0, n_target - 1)]
    return [(i, round(i * (n_target - 1) / (n_teacher - 1))) for i in range(n_teacher)]
