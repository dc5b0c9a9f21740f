"""What the forms of the spectrogram share, and the simplest of them: raw patches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy

from rtbrain.config import SpectrogramSettings
from rtbrain.errors import MontageError, SettingsError
from rtbrain.types import Floats, Ints, Mask, Spectrogram, Times, Window

# Blocks that stay in the processor's second-level cache.
_BLOCK_BYTES = 2**18
_BLOCK_CHANNELS = 16
_MAX_VALUES = 1e8  # of one window: 5 s of 400 channels at 30 kHz are 6e7


def require_feasible(
    settings: SpectrogramSettings, n_channels: int, length_samples: int, sfreq_hz: float
) -> None:
    """Refuse windows and frames that would not fit into memory, before any of it is taken."""
    n_freqs, frame_samples = settings.n_bins, settings.longest_frame_s * sfreq_hz
    n_frames = length_samples / max(1.0, settings.frame_hop_s * sfreq_hz)
    for key, n_values in (
        ("window.length_s", n_channels * length_samples),
        ("spectrogram.frame_hop_s", n_channels * n_frames * n_freqs),
        ("spectrogram.n_freqs", length_samples * n_freqs),
        ("spectrogram.frame_s", frame_samples),
    ):
        if n_values > _MAX_VALUES:
            raise SettingsError(
                f"{key}: a window of {length_samples:.6g} samples of {n_channels} channels would "
                f"need {n_values:.2g} values in memory, expected at most {_MAX_VALUES:.2g}: "
                "shorten the window, or compute less of it"
            )


@dataclass(frozen=True, slots=True, eq=False)
class FrameGrid:
    """Windows that a spectrogram is made for, and the frames and bins that it makes of each.

    Attributes
    ----------
    centres_samples : ndarray, float64 [n_frames]
        Middle of what each frame reads, in samples from the window's end, of all its frequencies.
    offsets_samples : ndarray, float64 [n_freqs], or None
        How far after that the middle of each frequency lies, where frames of several lengths are
        side by side.
    """

    n_channels: int
    length_samples: int
    n_freqs: int
    centres_samples: Times
    offsets_samples: Times | None = None

    @property
    def n_frames(self) -> int:
        """Frames of a spectrogram."""
        return self.centres_samples.size

    @property
    def bin_centres_samples(self) -> Times:
        """Middle of what each bin reads, from the window's end: float64 [n_frames, n_freqs]."""
        offsets = np.zeros(self.n_freqs) if self.offsets_samples is None else self.offsets_samples
        return np.asarray(self.centres_samples[:, None] + offsets)

    def check(self, window: Window) -> None:
        """Refuse a window of another size."""
        n_channels, n_samples = window.data.shape
        if n_channels != self.n_channels:
            raise MontageError(
                f"window has {n_channels} channels, the spectrogram was made for "
                f"{self.n_channels}: build it anew for this montage"
            )
        if n_samples != self.length_samples:
            raise SettingsError(
                f"window has {n_samples} samples, the spectrogram was made for "
                f"{self.length_samples}: give windows and spectrogram the same length"
            )

    def spectrogram(self, window: Window, values: Floats, finite: Mask) -> Spectrogram:
        """Spectrogram of a window; bad and non-finite channels become zeros and are not good."""
        good = window.quality.good & finite
        values[~good] = 0
        quality = replace(window.quality, good=good)
        return Spectrogram(values, window.t_stop, quality, window.first_sample)


def cut_frames(signal: Floats, frame_samples: int, hop_samples: int) -> Floats:
    """All whole frames of a signal, as a read-only view."""
    every = np.lib.stride_tricks.sliding_window_view(signal, frame_samples, axis=1)
    return every[:, ::hop_samples]


class FrameMagnitudes:
    """Magnitude spectra of frames, their lowest bins.

    Each frame is transformed on its own, so that its bits do not depend on the frames beside it:
    a spectrogram of kept frames equals one computed at once. A matrix product on the needed bins
    was no faster and loses that, since BLAS sums in another order for another number of rows.
    """

    def __init__(self, frame_samples: int, n_freqs: int) -> None:
        n_bins = frame_samples // 2 + 1
        if not 1 <= n_freqs <= n_bins:
            raise SettingsError(
                f"n_freqs must lie in 1 to {n_bins}, the bins of a frame of {frame_samples} "
                f"samples, got {n_freqs}: keep fewer bins or lengthen the frame"
            )
        hann = scipy.signal.get_window("hann", frame_samples)
        # SciPy's scaling "spectrum": a sine of amplitude a on a bin gives a / 2.
        self._taper: Floats = (hann / hann.sum()).astype(np.float32)
        self._n_freqs = n_freqs

    def __call__(self, frames: Floats, out: Floats) -> None:
        """Write the magnitudes of frames."""
        n_channels, n_frames, frame_samples = frames.shape
        if n_frames == 0:
            return
        block = max(1, _BLOCK_BYTES // (n_frames * frame_samples * frames.itemsize))
        # A non-finite sample spoils only its own channel's frames.
        with np.errstate(invalid="ignore"):
            for first in range(0, n_channels, block):
                rows = slice(first, first + block)
                spectra = scipy.fft.rfft(frames[rows] * self._taper, axis=-1, workers=1)
                np.abs(spectra[..., : self._n_freqs], out=out[rows])


def check_frames(n_channels: int, frame_samples: int, hop_samples: int) -> None:
    """Refuse frames that cannot be cut."""
    if n_channels < 1:
        raise SettingsError(f"n_channels must be at least 1, got {n_channels}: pick some channels")
    if frame_samples < 2:
        raise SettingsError(f"frame_samples must be at least 2, got {frame_samples}: lengthen it")
    if not 1 <= hop_samples <= frame_samples:
        raise SettingsError(
            f"hop_samples must lie in 1 to frame_samples, here {frame_samples}, so that no sample "
            f"is left out, got {hop_samples}: set it in that range"
        )


def frame_ends(
    n_channels: int, length_samples: int, frames_samples: Sequence[int], hop_samples: int
) -> Ints:
    """Where frames of these lengths end before their window's end, all inside: int64 [n_frames]."""
    check_frames(n_channels, min(frames_samples), hop_samples)
    longest = max(frames_samples)
    if length_samples < longest:
        raise SettingsError(
            f"a window of {length_samples} samples is shorter than a frame of {longest}: "
            "lengthen the window"
        )
    n_frames = (length_samples - longest) // hop_samples + 1
    return (np.arange(n_frames) - n_frames + 1) * hop_samples


def n_new_frames(
    window: Window, kept: tuple[int, int] | None, hop_samples: int, n_frames: int
) -> int:
    """Number of frames that are not kept, by the first sample and losses of the window before."""
    if kept is None or window.quality.lost_samples != kept[1]:
        return n_frames
    frames, off_grid = divmod(window.first_sample - kept[0], hop_samples)
    return frames if not off_grid and 0 <= frames < n_frames else n_frames


class WindowZScore:
    """Z-score over the frames of a window, then the first and last frames clipped.

    The deviation is over all frames (ddof 0), the clipped ones included, as published. A
    deviation of 0 counts as 1, so that a dead channel (all samples 0) becomes zeros; the
    published code for one channel gives ones there, that for many channels zeros.

    Sums run in float32 over differences from the middle frame, whose rounding is relative to the
    spread and not to the offset, and in the same order for any history.
    """

    def __init__(self, n_frames: int, n_freqs: int, *, clip_frames: int) -> None:
        self._n_frames = n_frames
        self._kept = slice(clip_frames, n_frames - clip_frames)
        self._mean_row = np.full((1, n_frames), 1 / n_frames, np.float32)
        self._centred = np.empty((_BLOCK_CHANNELS, n_frames, n_freqs), np.float32)
        self._squared = np.empty_like(self._centred)

    def __call__(self, parts: Sequence[Floats]) -> tuple[Floats, Mask]:
        """Z-scores of consecutive parts of a window's frames, and which channels are finite."""
        n_channels, _, n_freqs = parts[0].shape
        out = np.empty((n_channels, self._kept.stop - self._kept.start, n_freqs), np.float32)
        finite = np.empty(n_channels, np.bool_)
        # NaN is a value here, marked in `finite`.
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, n_channels, _BLOCK_CHANNELS):
                rows = slice(first, min(first + _BLOCK_CHANNELS, n_channels))
                finite[rows] = self._block([part[rows] for part in parts], out[rows])
        return out, finite

    def _block(self, parts: Sequence[Floats], out: Floats) -> Mask:
        centred = self._centred[: len(out)]
        squared = self._squared[: len(out)]
        frame = 0
        for part in parts:
            centred[:, frame : frame + part.shape[1]] = part
            frame += part.shape[1]
        centred -= centred[:, self._n_frames // 2, None].copy()
        centred -= np.matmul(self._mean_row, centred)
        np.multiply(centred, centred, out=squared)
        deviation = np.sqrt(np.matmul(self._mean_row, squared))  # [C, 1, F]
        finite: Mask = np.isfinite(deviation).all(axis=(1, 2))
        deviation[deviation == 0] = 1
        np.multiply(centred[:, self._kept], 1 / deviation, out=out)
        return finite


class Patches:
    """The waveform of a window, standardised per channel and cut into adjacent patches.

    Each channel is z-scored over the window (ddof 0), so that an amplifier's gain and offset change
    nothing: reversible instance normalisation (Kim et al., ICLR 2022) without its learned scale. A
    patch takes the place of a frame, its samples that of the frequencies. Patches are counted back
    from the window's end; a remainder at its beginning is left out.

    A flat channel gives zeros. A channel that is not good in the window's quality, or that has a
    non-finite sample, gives zeros and is not good in the quality that goes on.
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
