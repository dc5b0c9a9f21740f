"""2. Chunk to Chunk: causal filters, references and resampling, state carried."""

from rtbrain.signal.chain import Chain
from rtbrain.signal.filters import HighPass, NotchComb
from rtbrain.signal.hands import BadByHand
from rtbrain.signal.pick import Pick
from rtbrain.signal.published import PublishedLaplacian
from rtbrain.signal.quality import ChannelQuality
from rtbrain.signal.reference import Bipolar, CommonAverage, Laplacian
from rtbrain.signal.resample import Resample

__all__ = [
    "BadByHand",
    "Bipolar",
    "Chain",
    "ChannelQuality",
    "CommonAverage",
    "HighPass",
    "Laplacian",
    "NotchComb",
    "Pick",
    "PublishedLaplacian",
    "Resample",
]
