"""Whether the network is too slow for a stream, in numbers that a network's owner understands."""

import numpy as np

from rtbrain.types import Chunk

_SPAN_S = 5.0
_LATE_S = 1.0
# Less of the signal than this arrives in its own time: a backlog grows at the sender.
_KEEPS_UP = 0.98
_AGAIN_S = 30.0
# What liblsl sends with each sample, bytes: a tag and a time stamp.
_OVERHEAD = 9
_BYTES = {"double64": 8, "int64": 8, "int16": 2, "int8": 1}


class LinkSpeed:
    """Reports the rate of the data and that of the link where the signal falls behind.

    It does where for 5 s the newest sample is more than 1 s old, and less of the signal arrives
    than was made meanwhile, although nothing waits here to be read.
    """

    def __init__(self, n_channels: int, sample_format: str, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        n_bytes = n_channels * _BYTES.get(sample_format, np.float32().nbytes) + _OVERHEAD
        self._data_mbit_s = 8e-6 * n_bytes * sfreq_hz
        self._start_s = self._silent_until_s = -np.inf
        self._n_samples = 0
        self._all_read = self._was_late = False

    def nothing_waits(self) -> None:
        """Note that all that arrived was read."""
        self._all_read = True

    def __call__(self, chunk: Chunk, now_s: float) -> dict[str, float] | None:
        """What to report now that a chunk has arrived: rates, Mbit/s, and latency, s."""
        passed_s = now_s - self._start_s
        self._n_samples += chunk.n_samples
        if passed_s < _SPAN_S:
            return None
        kept_up = self._n_samples / (passed_s * self._sfreq_hz)
        # The first span begins with the first chunk, a longer one held a silence.
        whole = passed_s < 2 * _SPAN_S
        latency_s = now_s - float(chunk.timestamps[-1])
        late, was_late = latency_s > _LATE_S, self._was_late
        slow = whole and late and was_late and self._all_read and kept_up < _KEEPS_UP
        self._start_s, self._n_samples, self._all_read, self._was_late = now_s, 0, False, late
        if not slow or now_s < self._silent_until_s:
            return None
        self._silent_until_s = now_s + _AGAIN_S
        return {
            "data_mbit_s": round(self._data_mbit_s, 3),
            "link_mbit_s": round(kept_up * self._data_mbit_s, 3),
            "latency_s": round(latency_s, 1),
        }
