"""4. Window to Spectrogram: STFT in two forms, superlets, normalisation."""

from rtbrain.spectrogram.running import RunningStatistics, RunningStft
from rtbrain.spectrogram.stft import PublishedStft
from rtbrain.spectrogram.superlet import Superlet

__all__ = ["PublishedStft", "RunningStatistics", "RunningStft", "Superlet"]
