"""Spectrograms and power spectrum for the spectra panel, computed column by column."""

from collections import deque
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from rtbrain.buffer.rings import Ring
from rtbrain.spectrogram import RunningStft
from rtbrain.types import Chunk, Doubles, Floats, Mask, Montage, Quality, Window

Codes = npt.NDArray[np.uint8]
PAGE_S = 10.0
# BrainBERT's frames, 400 samples every 50 at 2048 Hz, and its 40 bins.
_FRAME_S = 400 / 2048
_HOP_S = 50 / 2048
_MOST_AT_EACH = 256  # contacts; with more, frames come less often, or the window held up the rest
_N_FREQS = 40
_TIME_CONSTANT_S = 60.0
_WIDE_FRAME_S = 0.25
_SEGMENT_S = 1.0
_POWER_OVER_S = 4.0
_MIN_POWER = 1e-12  # µV²/Hz, for a contact that is all zeros
NO_DATA = 255
Z_SCORES = (-3.0, 3.0)
POWER_DB = (-30.0, 40.0)  # re 1 µV²/Hz: from an amplifier's noise to the slow waves of sleep


def colour_codes(values: npt.NDArray[np.floating], limits: tuple[float, float]) -> Codes:
    """Values as colours of a scale: 0 to 254 between the limits, 255 where not finite."""
    low, high = limits
    with np.errstate(invalid="ignore"):
        steps = np.clip((values - low) * (254 / (high - low)), 0, 254)
    return np.where(np.isfinite(values), steps, NO_DATA).round().astype(np.uint8)


class SpectraCache:
    """Spectrograms of the last 10 s and the power spectrum of the last 4 s.

    The encoder's z-scores are computed for every channel, since their statistics run; the wide
    spectrogram and the power spectrum only for the chosen channel. Lost samples are columns
    without data.
    """

    def __init__(self, montage: Montage) -> None:
        rate_hz = montage.sfreq_hz
        self._rate_hz = rate_hz
        # Where the encoder's durations are not whole samples, the nearest are used.
        frame = max(4, round(_FRAME_S * rate_hz))
        hop_s = _HOP_S * -(-montage.n_channels // _MOST_AT_EACH)
        self._frame, self._hop = frame, max(1, round(hop_s * rate_hz))
        self._wide = max(4, round(_WIDE_FRAME_S * rate_hz))
        self._segment = max(8, round(_SEGMENT_S * rate_hz))
        n_freqs = min(_N_FREQS, frame // 2 + 1)
        self.hop_s = self._hop / rate_hz
        self.frame_s, self.wide_frame_s = frame / rate_hz, self._wide / rate_hz
        self.highest_hz = n_freqs * rate_hz / frame
        self.wide_highest_hz = (self._wide // 2 + 1) * rate_hz / self._wide
        self.n_columns = round(PAGE_S / self.hop_s)
        self._capacity = self.n_columns * self._hop + self._wide
        self._names = montage.names
        self._ring = Ring(montage.n_channels, self._capacity)
        self._stft = RunningStft(
            montage.n_channels,
            frame,
            frame_samples=frame,
            hop_samples=self._hop,
            n_freqs=n_freqs,
            time_constant_frames=max(1.0, _TIME_CONSTANT_S / self.hop_s),
        )
        self._encoder: Codes = np.full(
            (montage.n_channels, self.n_columns, n_freqs), NO_DATA, np.uint8
        )
        self._head = 0  # oldest column of both rings
        self.n_samples = 0  # so far, lost ones included
        self.t_stop = float("nan")
        self.choose(0)

    def choose(self, row: int) -> None:
        """Show another channel, with its past as far as it is kept."""
        self._row = row
        n_bins = self._wide // 2 + 1
        past = self._ring.last(self._capacity)[row]
        # The newest column ends at the last multiple of the hop.
        after = self.n_samples % self._hop
        whole = past[: self._capacity - after]
        frames = np.lib.stride_tricks.sliding_window_view(whole, self._wide)[:: -self._hop]
        newest_first = colour_codes(self._decibels(frames), POWER_DB)
        self._wide_codes: Codes = np.full((self.n_columns, n_bins), NO_DATA, np.uint8)
        ordered = newest_first[: self.n_columns][::-1]
        self._wide_codes[self.n_columns - len(ordered) :] = ordered
        self._wide_codes = np.roll(self._wide_codes, self._head, axis=0)
        n_segments = round((_POWER_OVER_S - _SEGMENT_S) / (_SEGMENT_S / 2)) + 1
        self._segments: deque[Doubles] = deque(maxlen=n_segments)
        since = self.n_samples % (self._segment // 2)
        for back in reversed(range(n_segments)):
            stop = self._capacity - since - back * (self._segment // 2)
            if stop >= self._segment:
                self._add_segment(past[stop - self._segment : stop])

    def take(self, chunk: Chunk, bad: Collection[str]) -> None:
        """Add a chunk; `bad` channels do not feed the running statistics."""
        if chunk.gap:
            self._lose(chunk.gap)
        good = np.array([name not in bad for name in self._names])
        start = 0
        while start < chunk.n_samples:
            stop = min(start + self._hop - self.n_samples % self._hop, chunk.n_samples)
            self._ring.push(chunk.data[:, start:stop])
            self.n_samples += stop - start
            if self.n_samples % self._hop == 0:
                self.t_stop = float(chunk.timestamps[stop - 1])
                self._add_column(good)
            if self.n_samples % (self._segment // 2) < stop - start:
                since = self.n_samples % (self._segment // 2)
                past = self._ring.last(self._segment + since)[self._row]
                self._add_segment(past[: self._segment])
            start = stop

    def encoder(self) -> Codes:
        """Colours on `Z_SCORES` of the chosen channel: uint8 [n_columns, n_freqs], oldest first."""
        return np.roll(self._encoder[self._row], -self._head, axis=0)

    def wide(self) -> Codes:
        """Colours on `POWER_DB` of the chosen channel: uint8 [n_columns, n_bins], oldest first."""
        return np.roll(self._wide_codes, -self._head, axis=0)

    def power(self) -> tuple[Doubles, Doubles]:
        """Welch's estimate over the last 4 s: Hz and µV²/Hz; empty before the first second.

        References
        ----------
        Welch, IEEE Trans. Audio Electroacoust. 15 (1967), doi:10.1109/TAU.1967.1161901.
        """
        freqs = np.fft.rfftfreq(self._segment, 1 / self._rate_hz).astype(np.float64)
        known = [segment for segment in self._segments if np.isfinite(segment).all()]
        if not known:
            return freqs[:0], freqs[:0]
        return freqs, np.asarray(np.mean(known, axis=0), np.float64)

    def _lose(self, n_lost: int) -> None:
        kept = min(n_lost, self._capacity)
        self._ring.push(np.full((len(self._names), kept), np.nan, np.float32))
        columns = (self.n_samples + n_lost) // self._hop - self.n_samples // self._hop
        self.n_samples += n_lost
        for _ in range(min(columns, self.n_columns)):
            self._encoder[:, self._head] = NO_DATA
            self._wide_codes[self._head] = NO_DATA
            self._head = (self._head + 1) % self.n_columns
        self._segments.clear()

    def _add_column(self, good: Mask) -> None:
        frame = self._ring.last(self._frame)
        first = self.n_samples - self._frame
        item = Window(frame, self.t_stop, first, Quality(good))
        spectrogram = self._stft(item)
        column = colour_codes(spectrogram.data[:, -1], Z_SCORES)
        column[~spectrogram.quality.good] = NO_DATA
        self._encoder[:, self._head] = column
        wide = self._ring.last(self._wide)[self._row]
        self._wide_codes[self._head] = colour_codes(self._decibels(wide[None])[0], POWER_DB)
        self._head = (self._head + 1) % self.n_columns

    def _add_segment(self, samples: Floats) -> None:
        self._segments.append(_density(samples[None], self._rate_hz)[0])

    def _decibels(self, frames: Floats) -> Doubles:
        density = _density(frames, self._rate_hz)
        with np.errstate(invalid="ignore"):
            return np.asarray(10 * np.log10(np.maximum(density, _MIN_POWER)))


def _density(frames: Floats, rate_hz: float) -> Doubles:
    """One-sided power density of Hann-tapered frames, less their means, float64."""
    n_samples = frames.shape[1]
    taper = np.sin(np.pi * np.arange(n_samples) / n_samples) ** 2
    with np.errstate(invalid="ignore"):
        centred = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64)
        spectrum = np.abs(np.fft.rfft(centred * taper, axis=1)) ** 2
    density = spectrum * (2 / (rate_hz * (taper**2).sum()))
    density[:, 0] /= 2
    if n_samples % 2 == 0:
        density[:, -1] /= 2
    return np.asarray(density)
