"""Spectrogram of one contact, over its own mean, computed column by column."""

import numpy as np
import numpy.typing as npt

from rtbrain.buffer.rings import Ring
from rtbrain.types import Chunk, Doubles, Floats, Montage

Codes = npt.NDArray[np.uint8]
PAGE_S = 10.0
N_ROWS = 120
LOWEST_HZ, HIGHEST_HZ = 2.0, 200.0
LIMITS_DB = (-6.0, 6.0)
NO_DATA = 255
_FRAME_S, _HOP_S, _MEAN_S = 1.0, 0.05, 60.0
_N_TAPERS = 3
_FINER, _LONG_FRAME = 4, 8192  # samples
_MIN_POWER = 1e-12  # µV²/Hz, for a contact that is all zeros
_MAINS_HZ = (50.0, 60.0)
_MAINS_DB = 6.0
_MAINS_ROWS = 6


def colour_codes(values: npt.NDArray[np.floating], limits: tuple[float, float]) -> Codes:
    """Values as colours of a scale: 0 to 254 between the limits, 255 where not finite."""
    low, high = limits
    with np.errstate(invalid="ignore"):
        steps = np.clip((values - low) * (254 / (high - low)), 0, 254)
    return np.where(np.isfinite(values), steps, NO_DATA).round().astype(np.uint8)


class SpectrumCache:
    """Spectrogram of the last 10 s of the chosen channel, dB over its mean of up to 60 s.

    Its rows are bands of equal ratio. A column is the power of 1 s, by three sine tapers; lost
    samples are columns without data. The past of the other channels is kept for when one of them
    is chosen.

    References
    ----------
    Riedel and Sidorenko 1995, IEEE Trans. Signal Process. 43:188, doi:10.1109/78.365298.
    """

    def __init__(self, montage: Montage) -> None:
        rate_hz = montage.sfreq_hz
        self._hop = max(1, round(_HOP_S * rate_hz))
        self._frame = max(8, round(_FRAME_S * rate_hz))
        self.hop_s, self.frame_s = self._hop / rate_hz, self._frame / rate_hz
        self.n_columns = round(PAGE_S / self.hop_s)
        self._capacity = self.n_columns * self._hop + self._frame
        self._n_channels = montage.n_channels
        self._ring = Ring(montage.n_channels, self._capacity)
        # Low bands are narrower than bins are apart: these are made finer.
        finer = _FINER if self._frame <= _LONG_FRAME else 2
        n_padded = 1 << (finer * self._frame - 1).bit_length()
        self._freqs_hz = np.fft.rfftfreq(n_padded, 1 / rate_hz).astype(np.float64)
        at = np.arange(1, self._frame + 1) * np.pi / (self._frame + 1)
        orders = np.arange(1, _N_TAPERS + 1)[:, None]
        self._tapers = np.sqrt(2 / (self._frame + 1)) * np.sin(orders * at) / np.sqrt(rate_hz / 2)
        self._n_padded = n_padded
        self.n_samples = 0  # so far, lost ones included
        self.t_stop = float("nan")
        self._row, self.full = 0, False
        self.choose(0)

    def choose(self, row: int, full: bool | None = None) -> None:
        """Show another channel or range, with the past as far as it is kept."""
        self._row, self.full = row, self.full if full is None else full
        nyquist_hz = float(self._freqs_hz[-1])
        top_hz = nyquist_hz if self.full else min(HIGHEST_HZ, nyquist_hz)
        lowest_hz = min(LOWEST_HZ, top_hz / 2)
        self.edges_hz: Doubles = np.geomspace(lowest_hz, top_hz, N_ROWS + 1)
        bands = band_weights(self._freqs_hz, self.edges_hz)
        used = np.flatnonzero(bands.any(axis=1))
        self._bins = slice(int(used[0]), int(used[-1]) + 1)  # a fifth of all, up to 200 Hz
        self._bands = bands[self._bins]
        self._db: Floats = np.full((round(_MEAN_S / self.hop_s), N_ROWS), np.nan, np.float32)
        past = self._ring.last(self._capacity)[row]
        # The newest column ends at the last multiple of the hop.
        whole = past[: self._capacity - self.n_samples % self._hop]
        frames = np.lib.stride_tricks.sliding_window_view(whole, self._frame)[:: -self._hop]
        newest_first = self._decibels(frames[: self.n_columns])
        self._db[-len(newest_first) :] = newest_first[::-1]
        self._head = 0  # oldest column

    def take(self, chunk: Chunk) -> None:
        """Add a chunk."""
        if chunk.gap:
            self._lose(chunk.gap)
        start = 0
        while start < chunk.n_samples:
            stop = min(start + self._hop - self.n_samples % self._hop, chunk.n_samples)
            self._ring.push(chunk.data[:, start:stop])
            self.n_samples += stop - start
            if self.n_samples % self._hop == 0:
                self.t_stop = float(chunk.timestamps[stop - 1])
                self._add(self._decibels(self._ring.last(self._frame)[self._row][None])[0])
            start = stop

    def image(self) -> Codes:
        """Colours on `LIMITS_DB`: uint8 [n_columns, `N_ROWS`], oldest and lowest first."""
        at = (self._head - self.n_columns + np.arange(self.n_columns)) % len(self._db)
        return colour_codes(self._db[at] - self.mean_db(), LIMITS_DB)

    def mean_db(self) -> Floats:
        """Mean of each row over up to 60 s, float32 [`N_ROWS`], dB re 1 µV²/Hz; NaN without any."""
        there = np.isfinite(self._db[:, 0])
        if not there.any():
            return np.full(N_ROWS, np.nan, np.float32)
        return np.asarray(self._db[there].mean(axis=0), np.float32)

    def mains_hz(self) -> float | None:
        """Frequency of the mains, where its band stands out from those around it."""
        mean_db, found = self.mean_db(), []
        for hertz in _MAINS_HZ:
            row = int(np.searchsorted(self.edges_hz, hertz)) - 1
            around = mean_db[max(0, row - _MAINS_ROWS) : row + _MAINS_ROWS + 1]
            if hertz < self.edges_hz[-1] and around.size:
                found.append((float(mean_db[row] - np.median(around)), hertz))
        most_db, hertz = max(found, default=(0.0, 0.0))
        return hertz if most_db >= _MAINS_DB else None

    def _lose(self, n_lost: int) -> None:
        kept = min(n_lost, self._capacity)
        self._ring.push(np.full((self._n_channels, kept), np.nan, np.float32))
        columns = (self.n_samples + n_lost) // self._hop - self.n_samples // self._hop
        self.n_samples += n_lost
        for _ in range(min(columns, len(self._db))):
            self._add(np.full(N_ROWS, np.nan, np.float32))

    def _add(self, column: Floats) -> None:
        self._db[self._head] = column
        self._head = (self._head + 1) % len(self._db)

    def _decibels(self, frames: Floats) -> Floats:
        """Power of each band, float32 [n_frames, `N_ROWS`], dB re 1 µV²/Hz."""
        with np.errstate(invalid="ignore"):
            centred = frames - frames.mean(axis=1, keepdims=True, dtype=np.float64)
            power = np.zeros((len(frames), len(self._bands)))
            for taper in self._tapers:
                spectrum = np.fft.rfft(centred * taper, self._n_padded, axis=1)
                power += np.abs(spectrum[:, self._bins]) ** 2
            bands = (power / _N_TAPERS) @ self._bands
            return np.asarray(10 * np.log10(np.maximum(bands, _MIN_POWER)), np.float32)


def band_weights(freqs_hz: Doubles, edges_hz: Doubles) -> Doubles:
    """Weights of bins in the mean of each band, float64 [n_bins, n_bands].

    The spectrum is taken as linear between its bins, so that a band may be narrower than they are
    apart.
    """
    step_hz = freqs_hz[1] - freqs_hz[0]
    # Integral of the hat of each bin up to an edge.
    away = np.clip((edges_hz[None, :] - freqs_hz[:, None]) / step_hz, -1, 1)
    hats = step_hz * (0.5 + away - np.sign(away) * away**2 / 2)
    return np.asarray(np.diff(hats, axis=1) / np.diff(edges_hz))
