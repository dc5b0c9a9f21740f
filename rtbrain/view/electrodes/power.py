"""High-gamma power of every contact, against its own past."""

import numpy as np
import scipy.fft

from rtbrain.buffer.rings import Ring
from rtbrain.types import Chunk, Floats, Montage

_BAND_HZ = (70.0, 150.0)
_WINDOW_S = 0.5
_HOP_S = 0.25
_HISTORY_S = 60.0
_MIN_HISTORY_S = 10.0
# Harmonics of 50 and 60 Hz mains, and how far a Hann window of 0.5 s spreads a line.
_MAINS_HZ = (100.0, 120.0, 150.0)
_SPREAD_HZ = 4.0
# Of log10 of power: a contact whose power does not vary has no z-score.
_MIN_SPREAD = 1e-6


class HighGamma:
    """Power from 70 to 150 Hz over the last 0.5 s, every 0.25 s, as a z-score of its logarithm.

    Bins within 4 Hz of the mains harmonics at 100, 120 and 150 Hz are left out. The signal is not
    re-referenced. A gap restarts the 0.5 s. Memory is bounded.

    References
    ----------
    Ray et al. 2008, J. Neurosci. 28:11526, doi:10.1523/JNEUROSCI.2848-08.2008; the window after
    Harris 1978, doi:10.1109/PROC.1978.10837.
    """

    def __init__(self, montage: Montage) -> None:
        n_channels, sfreq_hz = montage.n_channels, montage.sfreq_hz
        self.z: Floats = np.full(n_channels, np.nan, np.float32)
        self.n_windows = 0
        self.possible = sfreq_hz > 2 * _BAND_HZ[1]
        # A display may round its window to whole samples at any rate.
        self._n_window = max(1, round(_WINDOW_S * sfreq_hz))
        self._n_hop = max(1, round(_HOP_S * sfreq_hz))
        self._ring = Ring(n_channels, self._n_window)
        self._n_due = self._n_window
        freqs_hz = np.fft.rfftfreq(self._n_window, 1 / sfreq_hz)
        in_band = (freqs_hz >= _BAND_HZ[0]) & (freqs_hz <= _BAND_HZ[1])
        for mains_hz in _MAINS_HZ:
            in_band &= np.abs(freqs_hz - mains_hz) > _SPREAD_HZ
        self._bins = np.flatnonzero(in_band)
        self._taper = np.hanning(self._n_window).astype(np.float32)
        self._logs = np.full((round(_HISTORY_S / _HOP_S), n_channels), np.nan, np.float32)
        self._n_min = round(_MIN_HISTORY_S / _HOP_S)

    @property
    def waits_s(self) -> float:
        """Signal needed before there are z-scores, s."""
        return max(0, self._n_min - self.n_windows) * _HOP_S

    def push(self, chunk: Chunk) -> None:
        """Add a chunk, and compute every window it completes."""
        if not self.possible:
            return
        if chunk.gap:
            self._n_due = self._n_window
        start = 0
        while start < chunk.n_samples:
            stop = min(chunk.n_samples, start + self._n_due)
            self._ring.push(chunk.data[:, start:stop])
            self._n_due -= stop - start
            start = stop
            if self._n_due == 0:
                self._compute()
                self._n_due = self._n_hop

    def _compute(self) -> None:
        log_power = self._log_power()
        place = self.n_windows % len(self._logs)
        self._logs[place] = log_power
        self.n_windows += 1
        if self.n_windows < self._n_min:
            return
        past = np.ma.masked_invalid(self._logs[: min(self.n_windows, len(self._logs))])
        spread = np.ma.filled(past.std(axis=0), 0.0)
        known = (past.count(axis=0) >= self._n_min) & (spread > _MIN_SPREAD)
        z = (log_power - np.ma.filled(past.mean(axis=0), np.nan)) / np.maximum(spread, _MIN_SPREAD)
        self.z = np.where(known, z, np.nan).astype(np.float32)

    def _log_power(self) -> Floats:
        """log10 of the mean power of the band's bins, float32 [n_channels]; NaN without power."""
        recent = self._ring.last(self._n_window)
        tapered = (recent - recent.mean(axis=1, keepdims=True)) * self._taper
        spectrum = scipy.fft.rfft(tapered, axis=1)[:, self._bins]
        power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(power > 0, np.log10(power), np.nan).astype(np.float32)
