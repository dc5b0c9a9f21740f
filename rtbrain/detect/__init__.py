"""7. Decode to Detection: thresholds with hysteresis, hold, refractory time and a cap."""

from rtbrain.detect.detector import Detector

__all__ = ["Detector"]
