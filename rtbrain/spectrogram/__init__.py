"""4. Window to Spectrogram: STFT in two forms, superlets, raw patches, normalisation."""

from rtbrain.spectrogram.frames import Patches
from rtbrain.spectrogram.stft import PublishedStft, RunningStatistics, RunningStft
from rtbrain.spectrogram.superlet import Superlet

__all__ = [
    "Patches",
    "PublishedStft",
    "RunningStatistics",
    "RunningStft",
    "Superlet",
]
