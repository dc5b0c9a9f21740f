"""7. Results out: decode, status and signal streams over LSL."""

from rtbrain.outlet.lsl import DecodeOutlet, SignalOutlet
from rtbrain.outlet.lsl_events import MarkerOutlet, StatusOutlet
from rtbrain.outlet.report import StatusReport

__all__ = ["DecodeOutlet", "MarkerOutlet", "SignalOutlet", "StatusOutlet", "StatusReport"]
