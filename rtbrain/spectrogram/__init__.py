"""4. Window to Spectrogram: STFT in two forms, bands, superlets, raw patches, normalisation."""

from rtbrain.spectrogram.bands import Bands
from rtbrain.spectrogram.frames import Patches
from rtbrain.spectrogram.normaliser import FrameStatistics, RobustStatistics, RunningStatistics
from rtbrain.spectrogram.running import RunningFrames
from rtbrain.spectrogram.stft import PublishedStft, RunningStft
from rtbrain.spectrogram.superlet import Superlet

__all__ = [
    "Bands",
    "FrameStatistics",
    "Patches",
    "PublishedStft",
    "RobustStatistics",
    "RunningFrames",
    "RunningStatistics",
    "RunningStft",
    "Superlet",
]
