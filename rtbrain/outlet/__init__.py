"""7. Results out: decode, status, marker and signal streams over LSL."""

from rtbrain.outlet.events import MarkerOutlet, StatusOutlet, StatusReport
from rtbrain.outlet.lsl import DecodeOutlet, SignalOutlet

__all__ = ["DecodeOutlet", "MarkerOutlet", "SignalOutlet", "StatusOutlet", "StatusReport"]
