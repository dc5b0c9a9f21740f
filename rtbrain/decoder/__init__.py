"""6. Embedding to Decode: readouts, and the bundle that carries a fitted decoder."""

from rtbrain.decoder.bundle import Bundle, Manifest, read_bundle, require_matching, write_bundle
from rtbrain.decoder.readout import LinearReadout, Readout

__all__ = [
    "Bundle",
    "LinearReadout",
    "Manifest",
    "Readout",
    "read_bundle",
    "require_matching",
    "write_bundle",
]
