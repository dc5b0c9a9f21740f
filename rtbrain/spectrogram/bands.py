"""Frames of several lengths side by side: long ones for slow rhythms, short ones for fast."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtbrain.config import BandSettings
from rtbrain.errors import SettingsError
from rtbrain.spectrogram.frames import FrameGrid, frame_ends
from rtbrain.spectrogram.normaliser import FrameStatistics, RobustZScore, RunningZScore
from rtbrain.spectrogram.running import RunningFrames
from rtbrain.types import Doubles, Floats

LEAST_MAGNITUDE = 1e-3  # µV, before a logarithm


class BandBasis(NamedTuple):
    """Frames of one length: what turns them into magnitudes of the bins of one band."""

    frame_samples: int
    freqs_hz: Doubles  # [n_bins]
    basis: Floats  # [frame_samples, 2 n_bins]: tapered cosines, then sines


class Bands(RunningFrames):
    """Magnitudes of bands of frequency, each of frames as long as suits it, z-scored once.

    At every hop a frame of each band ends with the same sample, the newest of them with the
    window's last; frames of all bands side by side are one frame of the spectrogram. A bin is
    ``|rfft(hann * x)|``, periodic Hann, not scaled: of a sine of amplitude a on a bin of frames
    of N samples a N / 4, of white noise of deviation s Rayleigh with scale s sqrt(3 N / 16).
    Durations are rounded to samples; a band has the bins of its settings, whose frequencies move
    with the rounding. Bins from half the rate on are omitted; `note` says which remain.

    The magnitudes, or with `log` their logarithms, are z-scored as `RunningFrames` says, by the
    mean and deviation (`RunningZScore`) or with `robust` by the median and spread (`RobustZScore`),
    and limited to `clip`.

    Of frames so short only the needed bins are computed, as a product with their cosines and
    sines: four times faster than an FFT. It has one shape, whatever the number of new frames, so
    that each frame has the same bits in any window.
    """

    def __init__(
        self,
        n_channels: int,
        length_samples: int,
        sfreq_hz: float,
        *,
        bands: Sequence[BandSettings],
        hop_samples: int,
        time_constant_frames: float,
        log: bool = False,
        robust: bool = False,
        clip: float | None = None,
        used_frames: int | None = None,
        statistics: FrameStatistics | None = None,
        frozen: bool = False,
    ) -> None:
        notes: list[str] = []
        self._bands = [band_basis(band, sfreq_hz, notes) for band in bands]
        self.note = "; ".join(notes)
        self.freqs_hz: Doubles = np.concatenate([band.freqs_hz for band in self._bands])
        lengths = [band.frame_samples for band in self._bands]
        ends = frame_ends(n_channels, length_samples, lengths, hop_samples)
        n_bins = [band.freqs_hz.size for band in self._bands]
        from_end: Doubles = np.repeat(lengths, n_bins) / -2.0
        centre = float(from_end.mean())
        grid = FrameGrid(
            n_channels,
            length_samples,
            self.freqs_hz.size,
            centre + ends.astype(np.float64),
            from_end - centre,
        )
        self._log = log
        z_score = RobustZScore if robust else RunningZScore
        shape = n_channels, self.freqs_hz.size
        super().__init__(
            grid,
            ends,
            z_score(shape, time_constant_frames, statistics, frozen=frozen),
            used_frames,
            hop_samples=hop_samples,
            clip=clip,
            lengths_samples=np.repeat(lengths, n_bins),
        )

    def _magnitudes(self, data: Floats, n_new: int) -> Floats:
        out = np.empty((len(data), n_new, self.freqs_hz.size), np.float32)
        # NaN is a value here, of its own channel alone.
        with np.errstate(invalid="ignore", over="ignore"):
            for index in range(n_new):
                stop = data.shape[1] - (n_new - 1 - index) * self._hop_samples
                first = 0
                for frame_samples, freqs_hz, basis in self._bands:
                    parts = data[:, stop - frame_samples : stop] @ basis
                    parts *= parts
                    n_bins = freqs_hz.size
                    power = parts[:, :n_bins] + parts[:, n_bins:]
                    np.sqrt(power, out=out[:, index, first : first + n_bins])
                    first += n_bins
            if self._log:
                np.log(np.maximum(out, LEAST_MAGNITUDE), out=out)
        return out


def band_basis(settings: BandSettings, sfreq_hz: float, notes: list[str]) -> BandBasis:
    """Basis of a band at a rate; what the rate leaves out of it is added to the notes."""
    frame_samples = round(settings.frame_s * sfreq_hz)
    bins = np.asarray([k for k in settings.bins if 2 * k < frame_samples])
    named = f"{settings.low_hz:g} to {settings.high_hz:g} Hz"
    if not bins.size:
        raise SettingsError(
            f"spectrogram.bands: {named} lies above half the rate of {sfreq_hz:g} Hz: leave the "
            "band out, or record or resample at a higher rate"
        )
    freqs_hz = bins * (sfreq_hz / frame_samples)
    if bins.size < len(settings.bins):
        notes.append(
            f"of the band {named}, {freqs_hz[0]:.4g} to {freqs_hz[-1]:.4g} Hz are left, below half "
            f"the rate of {sfreq_hz:g} Hz"
        )
    # Whole turns are taken out before the cosine, for accuracy.
    turns = np.outer(np.arange(frame_samples), bins) % frame_samples / frame_samples
    taper = np.sin(np.pi * np.arange(frame_samples) / frame_samples)[:, None] ** 2  # Hann
    basis = np.concatenate(
        [taper * np.cos(2 * np.pi * turns), taper * np.sin(2 * np.pi * turns)], 1
    )
    return BandBasis(frame_samples, freqs_hz, basis.astype(np.float32))
