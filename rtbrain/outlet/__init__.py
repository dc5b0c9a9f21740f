"""7. Results out: decode, status, marker and signal streams over LSL."""

from rtbrain.outlet.lsl import DecodeOutlet, MarkerOutlet, SignalOutlet, StatusOutlet, StatusReport

__all__ = ["DecodeOutlet", "MarkerOutlet", "SignalOutlet", "StatusOutlet", "StatusReport"]
