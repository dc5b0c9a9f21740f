"""Frames of overlapping windows in a ring, each normalised once: what the running forms share."""

from abc import ABC, abstractmethod
from copy import deepcopy

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.marks import BLANKED
from rtbrain.spectrogram.frames import FrameGrid, n_new_frames
from rtbrain.spectrogram.normaliser import FrameStatistics, FrameZScore
from rtbrain.types import Flags, Floats, Ints, Mask, Spectrogram, Window


class RunningFrames(ABC):
    """Magnitudes of a window's frames, z-scored by the statistics of what came before.

    A frame first feeds the statistics of `z_score`, and is normalised by them. The result is kept:
    later windows show the same values. Z-scores are limited to `clip`.

    **Time is fed once.** A frame feeds the statistics only if it ends at least a hop after the
    last one that was fed. A window that starts a multiple of the hop after the one before, with no
    samples lost between, adds its new frames; frames of windows that were skipped are fed as far
    as they lie in this window. In all other cases all frames are computed anew, and those of time
    already fed are normalised by the statistics as they stand. A window that ends before the
    previous one starts a new recording: all its frames are fed. The statistics survive this and
    any gap; `reset` returns to the initial state.

    A channel that is not good in the window's quality does not feed, nor does a frame with a
    non-finite value. Its row is zeros and it is not good in the spectrogram's quality; so is a
    row that still holds a non-finite frame, or one that came before its channel ever fed.

    A bin that reads `lengths_samples`, more than half of them blanked, keeps its value of the frame
    before, and the frame does not feed.

    Where only the newest `used_frames` are read, only those count for this. Older frames may be
    NaN then, where no signal had come yet; a channel without initial statistics must have fed as
    many frames as a window holds before those.
    """

    def __init__(
        self,
        grid: FrameGrid,
        ends_samples: Ints,  # of each frame, from the window's end
        z_score: FrameZScore,
        used_frames: int | None = None,
        *,
        hop_samples: int,
        clip: float | None = None,
        lengths_samples: Ints,  # [n_freqs], or one for all
    ) -> None:
        n_frames = grid.n_frames
        self._used = n_frames if used_frames is None else used_frames
        if not 1 <= self._used <= n_frames:
            raise SettingsError(
                f"used_frames: expected 1 to all {n_frames} frames of a window, got {used_frames}"
            )
        self.grid = grid
        self._ends = ends_samples
        self._hop_samples = hop_samples
        self._z_score = z_score
        self._clip = clip
        self._lengths = np.broadcast_to(lengths_samples, grid.n_freqs)
        self._least_fed = np.where(z_score.statistics.count > 0, 0, n_frames - self._used)
        # Normalised frames in a ring, the oldest at `_head`, and whether they are finite.
        self._kept = np.empty((grid.n_channels, n_frames, grid.n_freqs), np.float32)
        self._finite = np.empty((grid.n_channels, n_frames), np.bool_)
        self.reset()

    @property
    def statistics(self) -> FrameStatistics:
        """Copy of the current statistics, to store and to start from later."""
        return deepcopy(self._z_score.statistics)

    def reset(self) -> None:
        """Forget the frames, and return to the initial statistics."""
        self._z_score.reset()
        self._head = 0
        self._last: tuple[int, int] | None = None  # first sample and losses of the last measured
        self._normalised: int | None = None  # first sample of the last window that was normalised
        self._fed_stop: int | None = None  # number of the sample after the last frame fed

    def __call__(self, item: Window) -> Spectrogram:
        """Spectrogram of a window."""
        return self.normalise(item, self.measure(item))

    def measure(self, item: Window) -> Floats:
        """Magnitudes of those frames of a window that none before it held, oldest first.

        float32 [n_channels, n_new, n_freqs]; what `normalise` takes, at once or later.
        """
        self.grid.check(item)
        n_new = n_new_frames(item, self._last, self._hop_samples, self.grid.n_frames)
        self._last = (item.first_sample, item.quality.lost_samples)
        if n_new == 0:
            return np.empty((self.grid.n_channels, 0, self.grid.n_freqs), np.float32)
        return self._magnitudes(item.data, n_new)

    def normalise(self, item: Window, magnitudes: Floats) -> Spectrogram:
        """Spectrogram of a window by its new magnitudes; its samples are not read."""
        if self._normalised is not None and item.first_sample < self._normalised:
            self._fed_stop = None
        self._normalised = item.first_sample
        n_frames = self.grid.n_frames
        self._add(item, magnitudes)
        data = np.empty_like(self._kept)
        n_oldest = n_frames - self._head
        data[:, :n_oldest] = self._kept[:, self._head :]
        data[:, n_oldest:] = self._kept[:, : self._head]
        newest = (self._head - 1 - np.arange(self._used)) % n_frames
        finite: Mask = np.logical_and.reduce(self._finite[:, newest], axis=1)
        finite &= self._z_score.statistics.count >= self._least_fed
        return self.grid.spectrogram(item, data, finite)

    @abstractmethod
    def _magnitudes(self, data: Floats, n_new: int) -> Floats:
        """Newest frames of a window, oldest first: float32 [n_channels, n_new, n_freqs]."""

    def _add(self, window: Window, magnitudes: Floats) -> None:
        """Normalise the newest frames of a window into the ring, oldest first."""
        n_frames, n_new = self.grid.n_frames, magnitudes.shape[1]
        stop = window.first_sample + self.grid.length_samples
        finite: Mask = np.logical_and.reduce(np.isfinite(magnitudes), axis=2)
        lost = self._lost(window.flags, n_new)
        for index in range(n_new):
            frame_stop = stop + int(self._ends[n_frames - n_new + index])
            frame = magnitudes[:, index].astype(np.float64)
            if self._fed_stop is None or frame_stop >= self._fed_stop + self._hop_samples:
                self._fed_stop = frame_stop
                feeding = window.quality.good & finite[:, index] & ~lost[index].any()
                self._z_score.feed(frame, feeding)
            z_scores = self._z_score(frame)
            if self._clip is not None:
                np.clip(z_scores, -self._clip, self._clip, out=z_scores)
            known = self._z_score.statistics.count > 0
            finite_now = finite[:, index] & known
            if (n_new < n_frames or index) and lost[index].any():  # one before is known
                z_scores[:, lost[index]] = self._kept[:, self._head - 1, lost[index]]
                finite_now &= np.isfinite(z_scores).all(axis=1) & self._finite[:, self._head - 1]
            self._kept[:, self._head] = z_scores
            self._finite[:, self._head] = finite_now
            self._head = (self._head + 1) % n_frames

    def _lost(self, flags: Flags | None, n_new: int) -> Mask:
        """Which bins of the newest frames are more blanked than not: bool [n_new, n_freqs]."""
        if flags is None:
            return np.zeros((n_new, self.grid.n_freqs), np.bool_)
        n_blanked = np.concatenate([[0], np.cumsum(flags == BLANKED)])
        stop = self.grid.length_samples + self._ends[self.grid.n_frames - n_new :, None]
        lost: Mask = 2 * (n_blanked[stop] - n_blanked[stop - self._lengths]) > self._lengths
        return lost
