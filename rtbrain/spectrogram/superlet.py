"""The superlet spectrogram: sharp in time and in frequency, always over a whole window."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import FrameGrid, WindowZScore
from rtbrain.types import Floats, Mask, Spectrogram, Window

_LOWEST_HZ, _HIGHEST_HZ = 0.1, 200.0
# A superlet of order o holds the wavelets of 1 (the published base) times 1, ..., o cycles; the
# published code begins with the least order's wavelet.
_LEAST_ORDER, _GREATEST_ORDER = 3, 30
# Standard deviations of the Gaussian in the time of a wavelet's cycles, and how far a wavelet is
# followed: 10 scales a cycle, where one period is 2 pi scales.
_DEVIATIONS = 5.0
_SUPPORT_SCALES = 10.0


class _Wavelets:
    """All wavelets of one frequency, as columns that a frame of signal is multiplied by."""

    def __init__(self, freq_hz: float, order: float, length_samples: int, sfreq_hz: float) -> None:
        n_whole = math.floor(order + 1e-9)
        cycles = list(range(_LEAST_ORDER, n_whole + 1))
        weights = [1.0] * len(cycles)
        if order - n_whole > 1e-9:
            cycles.append(n_whole + 1)
            weights.append(order - n_whole)
        kernels = [_morlet(freq_hz, n_cycles, sfreq_hz) for n_cycles in cycles]
        # Samples beyond the window are zeros, so lags beyond its length do not matter.
        self.reach = min(max(kernel.size // 2 for kernel in kernels), length_samples)
        columns = [_centred(kernel, self.reach) for kernel in kernels]
        parts = [part for column in columns for part in (column.real, column.imag)]
        self.columns: Floats = np.stack(parts, axis=1).astype(np.float32)  # [2 reach + 1, 2 O]
        # Powers are averaged, hence the half: |w|^p = (|w|^2)^(p / 2).
        self.exponents: Floats = (np.array(weights) / (order - _LEAST_ORDER + 1) / 2).astype(
            np.float32
        )


def _morlet(freq_hz: float, n_cycles: int, sfreq_hz: float) -> npt.NDArray[np.complex128]:
    """Morlet wavelet whose Gaussian has five deviations in its cycles, at the rate."""
    deviation_s = n_cycles / (_DEVIATIONS * freq_hz)
    support = _SUPPORT_SCALES * n_cycles * sfreq_hz / (2 * math.pi * freq_hz)
    t_s = np.arange((1 - support) / 2, (1 + support) / 2) / sfreq_hz
    # The published factor sqrt(dt) / 4 pi is not that of a unit-amplitude wavelet. It makes no
    # difference to z-scores and is kept for parity of the magnitudes.
    scale = sfreq_hz**-0.5 / (4 * math.pi) / (deviation_s * math.sqrt(2 * math.pi))
    return np.asarray(scale * np.exp(2j * math.pi * freq_hz * t_s - 0.5 * (t_s / deviation_s) ** 2))


def _centred(
    kernel: npt.NDArray[np.complex128], reach: int
) -> npt.NDArray[np.complex128]:  # [2 reach + 1]
    """Kernel turned for correlation, its middle sample as in a convolution of mode "same"."""
    middle = (kernel.size - 1) // 2
    lags = np.arange(-reach, reach + 1)
    taps = middle - lags
    inside = (taps >= 0) & (taps < kernel.size)
    column = np.zeros(lags.size, np.complex128)
    column[inside] = kernel[taps[inside]]
    return column


class Superlet:
    """BrainBERT's adaptive superlets with fractional orders, z-scored in the window.

    Magnitude at 40 frequencies from 0.1 to 200 Hz, each the geometric mean of the responses of
    Morlet wavelets of 3 cycles up to the frequency's order, which rises linearly from 3 to 30; of
    a fractional order the last wavelet enters to that power (Moca et al., Nat. Commun. 12 (2021)
    337; Bârzan et al., EUSIPCO 2020). Every `hop_samples` of the window is kept, the ends clipped,
    then z-scored per frequency over what is left.

    The slowest wavelets are longer than the window: windows share nothing, and this is far slower
    than the STFT. A dead channel gives zeros. A channel that is not good in the window's quality,
    or that has a non-finite sample, gives zeros and is not good in the spectrogram's.
    """

    def __init__(
        self,
        n_channels: int,
        length_samples: int,
        sfreq_hz: float,
        *,
        hop_samples: int = 50,
        n_freqs: int = 40,
        clip_frames: int = 5,
    ) -> None:
        _check(n_channels, sfreq_hz, hop_samples, n_freqs)
        n_all = -(-length_samples // hop_samples)
        if not 0 <= 2 * clip_frames < n_all:
            raise SettingsError(
                f"a window of {length_samples} samples has no frames left with {clip_frames} "
                f"clipped at each end of {n_all}: lengthen it"
            )
        starts = np.arange(clip_frames, n_all - clip_frames, dtype=np.float64)
        centres = starts * hop_samples - length_samples
        self.grid = FrameGrid(n_channels, length_samples, n_freqs, centres)
        self._hop_samples = hop_samples
        self._kept = slice(clip_frames, n_all - clip_frames)
        freqs_hz = np.linspace(_LOWEST_HZ, _HIGHEST_HZ, n_freqs)
        orders = np.linspace(_LEAST_ORDER, _GREATEST_ORDER, n_freqs)
        self._wavelets: Sequence[_Wavelets] = [
            _Wavelets(float(freq_hz), float(order), length_samples, sfreq_hz)
            for freq_hz, order in zip(freqs_hz, orders, strict=True)
        ]
        self._pad = max(wavelets.reach for wavelets in self._wavelets)
        self._z_score = WindowZScore(self.grid.n_frames, n_freqs, clip_frames=0)

    def __call__(self, item: Window) -> Spectrogram:
        """Spectrogram of a window."""
        self.grid.check(item)
        # Bad channels become zeros anyway.
        wanted: Mask = item.quality.good & np.logical_and.reduce(np.isfinite(item.data), axis=1)
        magnitudes = np.zeros(
            (self.grid.n_channels, self.grid.n_frames, self.grid.n_freqs), np.float32
        )
        if wanted.any():
            magnitudes[wanted] = self.magnitudes(item.data[wanted])[:, self._kept]
        z_scores, finite = self._z_score([magnitudes])
        return self.grid.spectrogram(item, z_scores, finite & wanted)

    def reset(self) -> None:
        """Do nothing: windows share nothing."""

    def magnitudes(self, data: Floats) -> Floats:
        """Magnitudes before clipping and z-score: float32 [n_channels, n_all_frames, n_freqs]."""
        padded = np.pad(data, ((0, 0), (self._pad, self._pad)))
        n_all = -(-data.shape[1] // self._hop_samples)
        out = np.empty((len(data), n_all, self.grid.n_freqs), np.float32)
        for channel, signal in enumerate(padded):
            for freq, wavelets in enumerate(self._wavelets):
                start = self._pad - wavelets.reach
                every = np.lib.stride_tricks.sliding_window_view(
                    signal[start : self._pad + data.shape[1] + wavelets.reach],
                    2 * wavelets.reach + 1,
                )
                frames = np.ascontiguousarray(every[:: self._hop_samples])  # [T, 2 reach + 1]
                response = frames @ wavelets.columns  # [T, 2 O]
                response *= response
                power = response[:, 0::2] + response[:, 1::2]  # [T, O]
                # A response of 0 makes the geometric mean 0.
                with np.errstate(divide="ignore"):
                    out[channel, :, freq] = np.exp(np.log(power) @ wavelets.exponents)
        return out


def _check(n_channels: int, sfreq_hz: float, hop_samples: int, n_freqs: int) -> None:
    if sfreq_hz < 2 * _HIGHEST_HZ:
        raise SettingsError(
            f"superlets reach up to {_HIGHEST_HZ:g} Hz and need a sampling rate of at least "
            f"{2 * _HIGHEST_HZ:g} Hz, got {sfreq_hz:g} Hz: use another form of spectrogram"
        )
    for name, value, least in (
        ("n_channels", n_channels, 1),
        ("hop_samples", hop_samples, 1),
        ("n_freqs", n_freqs, 2),
    ):
        if value < least:
            raise SettingsError(f"{name} must be at least {least}, got {value}: raise it")
