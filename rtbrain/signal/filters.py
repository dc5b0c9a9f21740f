"""Causal filters, first in the signal chain: the mains comb and the high-pass.

Both run sample by sample with their state carried in float64, so that a recording filtered in
chunks equals the recording filtered whole.
"""

import numpy as np
from scipy.signal import butter, iirnotch, sosfilt

from rtbrain.errors import SettingsError
from rtbrain.types import Chunk, Doubles, Floats, Mask, Montage


class NotchComb:
    """Removes mains hum and its harmonics, up to `up_to_hz` and below the Nyquist rate.

    Notches of ``scipy.signal.iirnotch`` follow one another from zero state, as in the published
    front end of BrainBERT (Wang et al., ICLR 2023, arXiv:2302.14367); a constant offset rings for
    about a second. A non-finite sample comes out as NaN while the filter continues from the
    channel's last finite value, so that one lost sample does not silence a channel for good.

    `frequencies_hz` are the centres of the notches, `sos` their sections, float64 [n_notches, 6].
    SettingsError if no harmonic lies in range, or `mains_hz` or `q` is not above 0.
    """

    def __init__(
        self, montage: Montage, mains_hz: float, *, q: float = 30.0, up_to_hz: float = 360.0
    ) -> None:
        if not (mains_hz > 0 and q > 0):
            raise SettingsError(
                f"notch: mains_hz and q must be above 0, got mains_hz {mains_hz} and q {q}"
            )
        self.montage = montage
        harmonics_hz = (mains_hz * k for k in range(1, int(up_to_hz // mains_hz) + 1))
        self.frequencies_hz = tuple(hz for hz in harmonics_hz if hz < montage.sfreq_hz / 2)
        if not self.frequencies_hz:
            raise SettingsError(
                f"notch: no harmonic of {mains_hz} Hz lies below both up_to_hz {up_to_hz} Hz and "
                f"the Nyquist rate {montage.sfreq_hz / 2} Hz: leave the notch out"
            )
        # One row (b0 b1 b2 a0 a1 a2) per notch: the biquads themselves, with no roots to find.
        self.sos = np.asarray(
            [np.r_[iirnotch(f, q, montage.sfreq_hz)] for f in self.frequencies_hz]
        )
        self._cascade = _Cascade(self.sos, montage.n_channels, from_first=False)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk without mains hum."""
        return self._cascade(chunk)

    def reset(self) -> None:
        """Start again from zero state."""
        self._cascade.reset()


class HighPass:
    """Removes drift and offset with a causal Butterworth high-pass.

    It starts in the steady state of each channel's first finite sample, so that an amplifier's
    offset leaves no transient. Non-finite samples are treated as by `NotchComb`. SettingsError if
    the cutoff is not between 0 and the Nyquist rate, or the order is below 1.
    """

    def __init__(self, montage: Montage, cutoff_hz: float, *, order: int = 2) -> None:
        nyquist_hz = montage.sfreq_hz / 2
        if not 0 < cutoff_hz < nyquist_hz:
            raise SettingsError(
                f"high-pass: cutoff_hz must lie between 0 and the Nyquist rate {nyquist_hz} Hz, "
                f"got {cutoff_hz}"
            )
        if order < 1:
            raise SettingsError(f"high-pass: order must be 1 or more, got {order}")
        self.montage = montage
        sos = butter(order, cutoff_hz, "highpass", fs=montage.sfreq_hz, output="sos")
        self._cascade = _Cascade(np.asarray(sos), montage.n_channels, from_first=True)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk without drift."""
        return self._cascade(chunk)

    def reset(self) -> None:
        """Start again from the steady state of the next sample."""
        self._cascade.reset()


class _Cascade:
    """Second-order sections with carried state; restarts by itself after a gap."""

    def __init__(self, sos: Doubles, n_channels: int, *, from_first: bool) -> None:
        self._sos = sos  # [n_sections, 6]
        self._n_channels = n_channels
        self._from_first = from_first
        self.reset()

    def reset(self) -> None:
        self._state = np.zeros((len(self._sos), self._n_channels, 2))
        # Subtracted from each channel. A high-pass gives 0 for a constant, so subtracting the
        # first sample and starting from zero state is its steady state.
        self._origin = np.full(self._n_channels, np.nan if self._from_first else 0.0)
        self._held = np.zeros(self._n_channels)  # last finite value, less the origin

    def __call__(self, chunk: Chunk) -> Chunk:
        if chunk.gap > 0:
            self.reset()
        if chunk.n_samples == 0:
            return chunk
        signal = chunk.data.astype(np.float64)
        finite = np.isfinite(signal)
        whole = bool(finite.all())
        if self._from_first:
            self._take_origins(signal, finite)
            signal -= np.where(np.isnan(self._origin), 0.0, self._origin)[:, None]
        if not whole:
            self._bridge(signal, finite)
        self._held = signal[:, -1].copy()
        filtered, self._state = sosfilt(self._sos, signal, axis=1, zi=self._state)
        data: Floats = filtered.astype(np.float32)
        if not whole:
            data[~finite] = np.nan
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def _take_origins(self, signal: Doubles, finite: Mask) -> None:
        fresh = np.isnan(self._origin) & finite.any(axis=1)
        rows = np.flatnonzero(fresh)
        self._origin[rows] = signal[rows, finite[rows].argmax(axis=1)]

    def _bridge(self, signal: Doubles, finite: Mask) -> None:
        """Replace each non-finite sample by the last finite value."""
        for row in np.flatnonzero(~finite.all(axis=1)):
            latest = np.maximum.accumulate(np.where(finite[row], np.arange(len(finite[row])), -1))
            signal[row] = np.where(latest >= 0, signal[row, latest], self._held[row])
