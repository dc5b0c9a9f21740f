"""The encoders that there are, and which sizes make which."""

from typing import Literal, overload

from rtbrain.encoder.biofame import BioFAME, BioFAMESizes
from rtbrain.encoder.brainbert import BrainBERT, BrainBERTSizes
from rtbrain.encoder.neurobert import NeuroBERT, NeuroBERTSizes
from rtbrain.encoder.popt import PopT, PopTSizes
from rtbrain.encoder.streaming import StreamingBERT, StreamingBERTSizes

__all__ = [
    "SIZES",
    "ChannelEncoder",
    "ChannelSizes",
    "Encoder",
    "Kind",
    "Sizes",
    "encoder_of_sizes",
    "kind_of",
]

ChannelEncoder = BrainBERT | NeuroBERT | BioFAME | StreamingBERT
ChannelSizes = BrainBERTSizes | NeuroBERTSizes | BioFAMESizes | StreamingBERTSizes
Encoder = ChannelEncoder | PopT
Sizes = ChannelSizes | PopTSizes
Kind = Literal["brainbert", "neurobert", "biofame", "streaming", "popt"]

SIZES: dict[Kind, type[Sizes]] = {
    "brainbert": BrainBERTSizes,
    "neurobert": NeuroBERTSizes,
    "biofame": BioFAMESizes,
    "streaming": StreamingBERTSizes,
    "popt": PopTSizes,
}


def kind_of(sizes: Sizes) -> Kind:
    """Name of the encoder that these sizes are of, as recipes and files have it."""
    (kind,) = (kind for kind, each in SIZES.items() if isinstance(sizes, each))
    return kind


@overload
def encoder_of_sizes(sizes: ChannelSizes) -> ChannelEncoder: ...
@overload
def encoder_of_sizes(sizes: Sizes) -> Encoder: ...
def encoder_of_sizes(sizes: Sizes) -> Encoder:
    """Encoder of these sizes, with weights from the global generator."""
    if isinstance(sizes, BrainBERTSizes):
        return BrainBERT(sizes)
    if isinstance(sizes, NeuroBERTSizes):
        return NeuroBERT(sizes)
    if isinstance(sizes, BioFAMESizes):
        return BioFAME(sizes)
    return StreamingBERT(sizes) if isinstance(sizes, StreamingBERTSizes) else PopT(sizes)
