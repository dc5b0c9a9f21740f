"""Raw patches of a window in the place of a spectrogram: what encoders of waveforms read."""

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import check_frames, check_window, make_spectrogram
from rtbrain.types import Floats, Mask, Spectrogram, Times, Window

# Channels a block: its float64 scratch stays small.
_BLOCK_CHANNELS = 16


class Patches:
    """The waveform of a window, standardised a channel and cut into patches side by side.

    Each channel loses its mean over the window and is divided by its deviation (ddof 0), as
    reversible instance normalisation does before an encoder; so gain and offset of an amplifier
    change nothing. A patch takes the place of a frame, its samples that of the frequencies.
    Patches are counted back from the window's end; what is left over at its beginning, less than
    a patch, is not shown.

    A flat channel (deviation 0) gives zeros. A channel that is not good in the window's quality,
    or that has a non-finite sample, gives zeros and is not good in the quality that goes on.

    Parameters
    ----------
    n_channels : int
        Channels of the windows.
    length_samples : int
        Length of the windows.
    patch_samples : int
        Length of a patch; the next begins where it ends.

    Attributes
    ----------
    n_frames : int
        Patches of a window: 512 of 20 samples in 10,240.
    n_freqs : int
        Samples of a patch.
    frame_centres_samples : ndarray, float64 [n_frames]
        Centre of each patch relative to the window's end: below 0.

    Raises
    ------
    SettingsError
        The window is shorter than a patch, or a patch than 2 samples.

    References
    ----------
    Kim et al., Reversible instance normalization, ICLR 2022 (without its learned scale).
    """

    def __init__(self, n_channels: int, length_samples: int, *, patch_samples: int) -> None:
        check_frames(n_channels, patch_samples, patch_samples)
        if length_samples < patch_samples:
            raise SettingsError(
                f"a window of {length_samples} samples is shorter than a patch of "
                f"{patch_samples}: lengthen the window"
            )
        self.n_frames = length_samples // patch_samples
        self.n_freqs = patch_samples
        starts = np.arange(-self.n_frames, 0, dtype=np.float64) * patch_samples
        self.frame_centres_samples: Times = starts + patch_samples // 2
        self._n_channels = n_channels
        self._length_samples = length_samples

    def __call__(self, item: Window) -> Spectrogram:
        """Patches of a window."""
        check_window(item, self._n_channels, self._length_samples)
        shown = self.n_frames * self.n_freqs
        out = np.empty((self._n_channels, shown), np.float32)
        finite = np.empty(self._n_channels, np.bool_)
        # NaN is a value here: the channel that has it is told apart by `finite`.
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, self._n_channels, _BLOCK_CHANNELS):
                rows = slice(first, first + _BLOCK_CHANNELS)
                finite[rows] = _standardise(item.data[rows], out[rows])
        patches = out.reshape(self._n_channels, self.n_frames, self.n_freqs)
        return make_spectrogram(item, patches, finite)

    def reset(self) -> None:
        """Nothing to forget: each window stands for itself."""


def _standardise(data: Floats, out: Floats) -> Mask:
    """Write the newest samples as standard scores of all of them; which rows are finite."""
    # In float64 the mean of a flat channel is exact, so that its deviation is 0 and not rounding.
    centred = data.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred * centred, axis=1, keepdims=True))
    finite: Mask = np.isfinite(deviation[:, 0])
    deviation[deviation == 0] = 1
    np.divide(centred[:, -out.shape[1] :], deviation, out=out, casting="same_kind")
    return finite
