"""7. Results out: streams over LSL, and triggers that act on the world."""

from rtbrain.outlet.lsl import (
    DecodeOutlet,
    DetectionOutlet,
    MarkerOutlet,
    SignalOutlet,
    StatusOutlet,
    StatusReport,
)
from rtbrain.outlet.triggers import Triggers, open_triggers

__all__ = [
    "DecodeOutlet",
    "DetectionOutlet",
    "MarkerOutlet",
    "SignalOutlet",
    "StatusOutlet",
    "StatusReport",
    "Triggers",
    "open_triggers",
]
