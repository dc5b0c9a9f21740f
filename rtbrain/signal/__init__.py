"""2. Chunk to Chunk: causal filters, references and resampling, state carried."""

from rtbrain.signal.artifacts import ArtifactGuard
from rtbrain.signal.chain import Chain, ManualMask, Pick
from rtbrain.signal.filters import HighPass, NotchComb, Resample
from rtbrain.signal.mains import Mains, MainsCheck, MainsMeter, contradiction, measure_mains
from rtbrain.signal.periodic import PeriodicTemplate, find_rate
from rtbrain.signal.quality import ChannelQuality
from rtbrain.signal.reference import (
    Bipolar,
    CommonAverage,
    Laplacian,
    PublishedLaplacian,
    ShaftMean,
)
from rtbrain.signal.steps import build_signal
from rtbrain.signal.stimulation import Blanking

__all__ = [
    "ArtifactGuard",
    "Bipolar",
    "Blanking",
    "Chain",
    "ChannelQuality",
    "CommonAverage",
    "HighPass",
    "Laplacian",
    "Mains",
    "MainsCheck",
    "MainsMeter",
    "ManualMask",
    "NotchComb",
    "PeriodicTemplate",
    "Pick",
    "PublishedLaplacian",
    "Resample",
    "ShaftMean",
    "build_signal",
    "contradiction",
    "find_rate",
    "measure_mains",
]
