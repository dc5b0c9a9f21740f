"""STFT magnitudes, z-scored in the window as published, or frame by frame while it runs."""

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import (
    FrameGrid,
    FrameMagnitudes,
    WindowZScore,
    check_frames,
    cut_frames,
    frame_ends,
    n_new_frames,
)
from rtbrain.spectrogram.normaliser import FrameStatistics, RunningZScore
from rtbrain.spectrogram.running import RunningFrames
from rtbrain.types import Floats, Spectrogram, Window


class PublishedStft:
    """BrainBERT's STFT of a window, at the cost of its new frames only.

    Equals the magnitude of ``scipy.signal.stft`` (Hann, zero-padded at both ends), its lowest
    bins, z-scored per bin over all frames and then clipped (Wang et al., BrainBERT, ICLR 2023,
    arXiv:2302.14367). Frames that lie wholly inside the window are shared with the window before,
    where that overlaps and this one starts a multiple of `hop_samples` later; only the new ones
    and the zero-padded ones at both ends are computed. In all other cases all are. The result is
    the same to the bit.

    A dead channel (all samples 0) gives zeros. A channel that is not good in the window's
    quality, or that has a non-finite sample, gives zeros and is not good in the spectrogram's.
    """

    def __init__(
        self,
        n_channels: int,
        length_samples: int,
        *,
        frame_samples: int = 400,
        hop_samples: int = 50,
        n_freqs: int = 40,
        clip_frames: int = 10,
    ) -> None:
        check_frames(n_channels, frame_samples, hop_samples)
        half = frame_samples // 2
        n_all = -(-(length_samples + 2 * half - frame_samples) // hop_samples) + 1
        # Frame i starts at i * hop - half; those from `before` to `after` lie inside the window.
        before = -(-half // hop_samples)
        after = (length_samples - frame_samples + half) // hop_samples + 1
        if after <= before or not 0 <= 2 * clip_frames < n_all:
            raise SettingsError(
                f"a window of {length_samples} samples has no room for frames of {frame_samples} "
                f"every {hop_samples} samples with {clip_frames} clipped at each end: lengthen it"
            )
        starts = np.arange(clip_frames, n_all - clip_frames, dtype=np.float64)
        centres = starts * hop_samples - length_samples
        self.grid = FrameGrid(n_channels, length_samples, n_freqs, centres)
        self._frame_samples = frame_samples
        self._hop_samples = hop_samples
        self._magnitudes = FrameMagnitudes(frame_samples, n_freqs)
        self._z_score = WindowZScore(n_all, n_freqs, clip_frames=clip_frames)

        # Inner frames in a ring, the oldest at `_head`; it is at 0 while no window is kept.
        self._n_inner = after - before
        self._inner = np.empty((n_channels, self._n_inner, n_freqs), np.float32)
        self._inner_start = before * hop_samples - half
        self._head = 0
        self._kept: tuple[int, int] | None = None  # first sample and losses of the last window

        # The window's two ends, zero-padded, and their frames.
        self._pad = half
        self._left_stop = (before - 1) * hop_samples - half + frame_samples
        self._right_start = after * hop_samples - half
        right_stop = (n_all - 1) * hop_samples - half + frame_samples
        self._left_signal = np.zeros((n_channels, half + self._left_stop), np.float32)
        self._right_signal = np.zeros((n_channels, right_stop - self._right_start), np.float32)
        self._left = np.empty((n_channels, before, n_freqs), np.float32)
        self._right = np.empty((n_channels, n_all - after, n_freqs), np.float32)

    def __call__(self, item: Window) -> Spectrogram:
        """Spectrogram of a window."""
        self.grid.check(item)
        n_new = n_new_frames(item, self._kept, self._hop_samples, self._n_inner)
        self._compute_inner(item.data, n_new)
        self._compute_ends(item.data)
        self._kept = (item.first_sample, item.quality.lost_samples)
        head = self._head
        parts = (self._left, self._inner[:, head:], self._inner[:, :head], self._right)
        return self.grid.spectrogram(item, *self._z_score(parts))

    def reset(self) -> None:
        """Forget the frames kept."""
        self._kept = None

    def _compute_inner(self, data: Floats, n_new: int) -> None:
        if n_new == self._n_inner:
            self._head = 0
        start = self._inner_start + (self._n_inner - n_new) * self._hop_samples
        stop = start + (n_new - 1) * self._hop_samples + self._frame_samples
        if n_new == 0:
            return
        frames = cut_frames(data[:, start:stop], self._frame_samples, self._hop_samples)
        n_before_wrap = min(n_new, self._n_inner - self._head)
        tail = slice(self._head, self._head + n_before_wrap)
        self._magnitudes(frames[:, :n_before_wrap], out=self._inner[:, tail])
        self._magnitudes(frames[:, n_before_wrap:], out=self._inner[:, : n_new - n_before_wrap])
        self._head = (self._head + n_new) % self._n_inner

    def _compute_ends(self, data: Floats) -> None:
        rest = data[:, self._right_start :]
        self._left_signal[:, self._pad :] = data[:, : self._left_stop]
        self._right_signal[:, : rest.shape[1]] = rest
        for signal, out in ((self._left_signal, self._left), (self._right_signal, self._right)):
            self._magnitudes(cut_frames(signal, self._frame_samples, self._hop_samples), out)


class RunningStft(RunningFrames):
    """STFT whose frames are z-scored once, by the mean and deviation of what came before.

    Frames lie wholly inside the window and are counted back from its end, so nothing is padded
    and the newest frame ends with the newest sample. See `RunningFrames` for what feeds the
    statistics and which channels are good, `RunningZScore` for the statistics.
    """

    def __init__(
        self,
        n_channels: int,
        length_samples: int,
        *,
        frame_samples: int = 400,
        hop_samples: int = 50,
        n_freqs: int = 40,
        time_constant_frames: float,
        used_frames: int | None = None,
        statistics: FrameStatistics | None = None,
        frozen: bool = False,
    ) -> None:
        ends = frame_ends(n_channels, length_samples, [frame_samples], hop_samples)
        centres = ends.astype(np.float64) - frame_samples + frame_samples // 2
        grid = FrameGrid(n_channels, length_samples, n_freqs, centres)
        self._frame_samples = frame_samples
        self._of_frames = FrameMagnitudes(frame_samples, n_freqs)
        shape = n_channels, n_freqs
        z_score = RunningZScore(shape, time_constant_frames, statistics, frozen=frozen)
        super().__init__(
            grid,
            ends,
            z_score,
            used_frames,
            hop_samples=hop_samples,
            lengths_samples=np.array(frame_samples),
        )

    def _magnitudes(self, data: Floats, n_new: int) -> Floats:
        start = data.shape[1] - self._frame_samples - (n_new - 1) * self._hop_samples
        frames = cut_frames(data[:, start:], self._frame_samples, self._hop_samples)
        magnitudes = np.empty((len(data), n_new, self.grid.n_freqs), np.float32)
        self._of_frames(frames, out=magnitudes)
        return magnitudes
