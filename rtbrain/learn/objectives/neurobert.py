"""Fourier inversion prediction: what Neuro-BERT learns from.

Legend: B items (a window of one channel), T patches, F samples of a patch, K bins, n hidden ones.
"""

import torch
from torch import Tensor

from rtbrain.encoder import NeuroBERT
from rtbrain.learn.objectives.objective import Batch
from rtbrain.learn.objectives.patches import PatchObjective


def invert(amplitude: Tensor, phase: Tensor, n_samples: int) -> Tensor:
    r"""Waveform whose spectrum has these amplitudes and phases.

    .. math:: x_t = F^{-1/2} \sum_{k=0}^{F-1} A_k e^{i \varphi_k} e^{2 \pi i k t / F}

    where the bins above F / 2 are mirrored, :math:`A_{F-k} = A_k` and
    :math:`\varphi_{F-k} = -\varphi_k`, so that x is real. Of bin 0, and of bin F / 2 where there
    is one, only the real part counts.
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

    Notes
    -----
    There is no second term in the frequency domain: the transform is orthonormal, so by Parseval
    it would be L again. The reference code (neuro2vec) does otherwise in four ways: its
    "amplitude" and "phase" are the real and the imaginary part; the decoders of all patches
    together give the F T / 2 coefficients of the *whole* window, not each those of its patch; the
    loss is over all patches, the visible ones too; and to it is added the error of a third
    decoder that predicts the samples of a patch directly.

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
