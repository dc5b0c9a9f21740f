"""STFT magnitudes, z-scored in the window as published, or frame by frame while it runs."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import (
    FrameGrid,
    FrameMagnitudes,
    WindowZScore,
    check_frames,
    cut_frames,
)
from rtbrain.types import Doubles, Floats, Ints, Mask, Spectrogram, Window

_KNOWN_FRAMES = 100
_MOST_DEVIATIONS = 5.0


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
        n_new = _n_new_frames(item, self._kept, self._hop_samples, self._n_inner)
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


@dataclass(frozen=True, slots=True, eq=False)
class RunningStatistics:
    """Mean and variance of the magnitudes of a session so far."""

    mean: Doubles  # float64 [n_channels, n_freqs], µV
    variance: Doubles  # float64 [n_channels, n_freqs], µV², ddof 0
    count: Ints  # int64 [n_channels]: frames that each channel has fed


class RunningStft:
    """STFT whose frames are z-scored once, by the statistics of what came before.

    Frames lie wholly inside the window and are counted back from its end, so nothing is padded
    and the newest frame ends with the newest sample. A frame first feeds its channel's mean and
    variance, exponentially weighted (West, doi:10.1145/359146.359153), with the weight
    ``max(1 / n, 1 / time_constant_frames)`` of the nth frame, and is normalised by them; a
    deviation of 0 counts as 1. The result is kept: later windows show the same values. After a
    channel's first 100 frames, a frame feeds at most 5 deviations from the mean, so that an
    artefact does not hide the brain behind it for minutes.

    **Time is fed once.** A frame feeds the statistics only if it ends at least `hop_samples`
    after the last one that was fed. A window that starts a multiple of `hop_samples` after the
    one before, with no samples lost between, adds its new frames; frames of windows that were
    skipped are fed as far as they lie in this window. In all other cases all frames are computed
    anew, and those of time already fed are normalised by the statistics as they stand. A window
    that ends before the previous one starts a new recording: all its frames are fed. The
    statistics survive this and any gap; `reset` returns to `statistics`, the initial state, which
    `frozen` never updates.

    A channel that is not good in the window's quality does not feed, nor does a frame with a
    non-finite value. Its row is zeros and it is not good in the spectrogram's quality; so is a
    row that still holds a non-finite frame, or one that came before its channel ever fed.

    Where only the newest `used_frames` are read, only those count for this. Older frames may be
    NaN then, where no signal had come yet; a channel without initial statistics must have fed as
    many frames as a window holds before those.
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
        statistics: RunningStatistics | None = None,
        frozen: bool = False,
    ) -> None:
        check_frames(n_channels, frame_samples, hop_samples)
        if length_samples < frame_samples:
            raise SettingsError(
                f"a window of {length_samples} samples is shorter than a frame of {frame_samples}: "
                "lengthen the window"
            )
        if not time_constant_frames >= 1:
            raise SettingsError(
                f"time_constant_frames must be at least 1, got {time_constant_frames}: lengthen it"
            )
        n_frames = (length_samples - frame_samples) // hop_samples + 1
        self._used = n_frames if used_frames is None else used_frames
        if not 1 <= self._used <= n_frames:
            raise SettingsError(
                f"used_frames: expected 1 to all {n_frames} frames of a window, got {used_frames}"
            )
        # Where each frame ends relative to the window's end.
        self._ends = (np.arange(n_frames) - n_frames + 1) * hop_samples
        centres = self._ends.astype(np.float64) - frame_samples + frame_samples // 2
        self.grid = FrameGrid(n_channels, length_samples, n_freqs, centres)
        self._frame_samples = frame_samples
        self._hop_samples = hop_samples
        self._least_weight = 1 / time_constant_frames
        self._frozen = frozen
        self._given = _start(statistics, n_channels, n_freqs, frozen)
        self._least_fed = np.where(self._given.count > 0, 0, n_frames - self._used)
        self._magnitudes = FrameMagnitudes(frame_samples, n_freqs)
        # Normalised frames in a ring, the oldest at `_head`, and whether they are finite.
        self._kept = np.empty((n_channels, n_frames, n_freqs), np.float32)
        self._finite = np.empty((n_channels, n_frames), np.bool_)
        self.reset()

    @property
    def statistics(self) -> RunningStatistics:
        """Copy of the current statistics, to store and to start from later."""
        return deepcopy(self._now)

    def reset(self) -> None:
        """Forget the frames, and return to the initial statistics."""
        self._now = deepcopy(self._given)
        self._head = 0
        self._last: tuple[int, int] | None = None  # first sample and losses of the last window
        self._fed_stop: int | None = None  # number of the sample after the last frame fed

    def __call__(self, item: Window) -> Spectrogram:
        """Spectrogram of a window."""
        self.grid.check(item)
        if self._last is not None and item.first_sample < self._last[0]:
            self._fed_stop = None
        self._add(item, _n_new_frames(item, self._last, self._hop_samples, self.grid.n_frames))
        self._last = (item.first_sample, item.quality.lost_samples)
        data = np.empty_like(self._kept)
        n_oldest = self.grid.n_frames - self._head
        data[:, :n_oldest] = self._kept[:, self._head :]
        data[:, n_oldest:] = self._kept[:, : self._head]
        newest = (self._head - 1 - np.arange(self._used)) % self.grid.n_frames
        finite: Mask = np.logical_and.reduce(self._finite[:, newest], axis=1)
        finite &= self._now.count >= self._least_fed
        return self.grid.spectrogram(item, data, finite)

    def _add(self, window: Window, n_new: int) -> None:
        """Normalise the newest frames of a window into the ring, oldest first."""
        if n_new == 0:
            return
        stop = window.first_sample + self.grid.length_samples
        start = self.grid.length_samples - self._frame_samples - (n_new - 1) * self._hop_samples
        frames = cut_frames(window.data[:, start:], self._frame_samples, self._hop_samples)
        magnitudes = np.empty((self.grid.n_channels, n_new, self.grid.n_freqs), np.float32)
        self._magnitudes(frames, out=magnitudes)
        finite: Mask = np.logical_and.reduce(np.isfinite(magnitudes), axis=2)
        for index in range(n_new):
            frame_stop = stop + int(self._ends[self.grid.n_frames - n_new + index])
            frame = magnitudes[:, index].astype(np.float64)
            if self._fed_stop is None or frame_stop >= self._fed_stop + self._hop_samples:
                self._fed_stop = frame_stop
                if not self._frozen:
                    self._feed(frame, window.quality.good & finite[:, index])
            deviation = np.sqrt(self._now.variance)
            deviation[deviation == 0] = 1
            self._kept[:, self._head] = (frame - self._now.mean) / deviation
            self._finite[:, self._head] = finite[:, index] & (self._now.count > 0)
            self._head = (self._head + 1) % self.grid.n_frames

    def _feed(self, frame: Doubles, feeding: Mask) -> None:
        """Update the statistics of some channels with a frame, float64 [n_channels, n_freqs]."""
        mean, variance, count = self._now.mean, self._now.variance, self._now.count
        count += feeding
        weight = np.maximum(1 / np.maximum(count, 1), self._least_weight)
        weight = np.where(feeding, weight, 0)[:, None]  # [C, 1]
        delta = np.where(feeding[:, None], frame - mean, 0)
        # An artefact of 1 mV would dominate the variance for minutes: once a channel is known, a
        # frame counts for at most 5 deviations.
        bound = _MOST_DEVIATIONS * np.sqrt(variance)
        bound[(count <= _KNOWN_FRAMES)[:, None] | (variance == 0)] = np.inf
        np.clip(delta, -bound, bound, out=delta)
        step = weight * delta
        mean += step
        # (1 - w) (variance + w delta²), which for w = 1/n is the plain variance of n frames.
        step *= delta
        variance += step
        variance *= 1 - weight


def _n_new_frames(
    window: Window, kept: tuple[int, int] | None, hop_samples: int, n_frames: int
) -> int:
    """Number of frames that are not kept, by the first sample and losses of the window before."""
    if kept is None or window.quality.lost_samples != kept[1]:
        return n_frames
    frames, off_grid = divmod(window.first_sample - kept[0], hop_samples)
    return frames if not off_grid and 0 <= frames < n_frames else n_frames


def _start(
    statistics: RunningStatistics | None, n_channels: int, n_freqs: int, frozen: bool
) -> RunningStatistics:
    shape = (n_channels, n_freqs)
    if statistics is None:
        if frozen:
            raise SettingsError(
                "frozen statistics need statistics to begin with: give those of a decoder, or "
                "do not freeze"
            )
        return RunningStatistics(np.zeros(shape), np.zeros(shape), np.zeros(n_channels, np.int64))
    got = (statistics.mean.shape, statistics.variance.shape, statistics.count.shape)
    if got != (shape, shape, shape[:1]):
        raise SettingsError(
            f"statistics of shapes {got} do not fit {n_channels} channels and {n_freqs} bins: "
            "give those of the same montage and spectrogram"
        )
    # A bundle may hold them in single precision.
    return RunningStatistics(
        statistics.mean.astype(np.float64),
        statistics.variance.astype(np.float64),
        statistics.count.astype(np.int64),
    )
