"""7. Results out: decode, detection, status, marker and signal streams over LSL."""

from rtbrain.outlet.lsl import (
    DecodeOutlet,
    DetectionOutlet,
    MarkerOutlet,
    SignalOutlet,
    StatusOutlet,
    StatusReport,
)

__all__ = [
    "DecodeOutlet",
    "DetectionOutlet",
    "MarkerOutlet",
    "SignalOutlet",
    "StatusOutlet",
    "StatusReport",
]
