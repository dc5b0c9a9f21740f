"""4. Window to Spectrogram: STFT in two forms, superlets, raw patches, normalisation."""

from rtbrain.spectrogram.patches import Patches
from rtbrain.spectrogram.running import RunningStatistics, RunningStft
from rtbrain.spectrogram.stft import PublishedStft
from rtbrain.spectrogram.superlet import Superlet

__all__ = ["Patches", "PublishedStft", "RunningStatistics", "RunningStft", "Superlet"]
