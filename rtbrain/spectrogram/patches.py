"""Raw patches of a window in place of a spectrogram, for encoders that read waveforms."""

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import FrameGrid, check_frames
from rtbrain.types import Floats, Mask, Spectrogram, Window

# Channels a block: its float64 scratch stays small.
_BLOCK_CHANNELS = 16


class Patches:
    """The waveform of a window, standardised per channel and cut into adjacent patches.

    Each channel is z-scored over the window (ddof 0), as reversible instance normalisation does
    before an encoder, so that an amplifier's gain and offset change nothing. A patch takes the
    place of a frame, its samples that of the frequencies. Patches are counted back from the
    window's end; a remainder at its beginning is left out.

    A flat channel (deviation 0) gives zeros. A channel that is not good in the window's quality,
    or that has a non-finite sample, gives zeros and is not good in the quality that goes on.

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
        starts = np.arange(-(length_samples // patch_samples), 0, dtype=np.float64)
        centres = starts * patch_samples + patch_samples // 2
        self.grid = FrameGrid(n_channels, length_samples, patch_samples, centres)

    def __call__(self, item: Window) -> Spectrogram:
        """Patches of a window."""
        self.grid.check(item)
        n_channels, n_frames, n_freqs = self.grid.n_channels, self.grid.n_frames, self.grid.n_freqs
        out = np.empty((n_channels, n_frames * n_freqs), np.float32)
        finite = np.empty(n_channels, np.bool_)
        # NaN is a value here, marked in `finite`.
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, n_channels, _BLOCK_CHANNELS):
                rows = slice(first, first + _BLOCK_CHANNELS)
                finite[rows] = _standardise(item.data[rows], out[rows])
        return self.grid.spectrogram(item, out.reshape(n_channels, n_frames, n_freqs), finite)

    def reset(self) -> None:
        """Do nothing: windows share nothing."""


def _standardise(data: Floats, out: Floats) -> Mask:
    """Write the newest samples, z-scored over all of them; which rows are finite."""
    # In float64 the mean of a flat channel is exact, so that its deviation is 0 and not rounding.
    centred = data.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred * centred, axis=1, keepdims=True))
    finite: Mask = np.isfinite(deviation[:, 0])
    deviation[deviation == 0] = 1
    np.divide(centred[:, -out.shape[1] :], deviation, out=out, casting="same_kind")
    return finite
