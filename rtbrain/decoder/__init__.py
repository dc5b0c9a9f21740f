"""6. Embedding to Decode: readouts, and the bundle that carries a fitted decoder."""

from rtbrain.decoder.adaptation import Adaptation
from rtbrain.decoder.bundle import Bundle, Manifest, read_bundle, require_matching, write_bundle
from rtbrain.decoder.memory import MOST_REMEMBERED, Memory
from rtbrain.decoder.readout import LinearReadout, Readout

__all__ = [
    "MOST_REMEMBERED",
    "Adaptation",
    "Bundle",
    "LinearReadout",
    "Manifest",
    "Memory",
    "Readout",
    "read_bundle",
    "require_matching",
    "write_bundle",
]
