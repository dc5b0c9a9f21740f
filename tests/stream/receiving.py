"""What a test has received so far, gathered until it is enough."""

import time

import numpy as np

from rtbrain.stream.lsl.inlet import LslSource
from rtbrain.stream.lsl.markers import MarkerSource
from rtbrain.stream.lsl.resolve import resolve_one, stream_properties

SFREQ_HZ = 512.0
DEADLINE_S = 20.0


def find(name=None, stream_type=None, source_id=None, timeout_s=DEADLINE_S):
    return resolve_one(stream_properties(name, stream_type, source_id), timeout_s)


def lsl_source(max_buffer_s=30, scale=1.0, counter=None, trigger=None, **called):
    options = {"max_buffer_s": max_buffer_s, "scale": scale, "counter": counter}
    return LslSource(find(**called), triggers=[trigger] if trigger else [], **options)


def marker_source(**called):
    return MarkerSource(find(**called))


def receive(source, n_samples):
    """Chunks until so many samples are there."""
    chunks, n_received, end = [], 0, time.monotonic() + DEADLINE_S
    while n_received < n_samples:
        assert time.monotonic() < end, f"{n_received} of {n_samples} samples in {DEADLINE_S} s"
        chunk = source.pull(0.2)
        if chunk.n_samples:
            chunks.append(chunk)
            n_received += chunk.n_samples
    return chunks


def joined(chunks):
    return np.concatenate([c.data for c in chunks], 1), np.concatenate(
        [c.timestamps for c in chunks]
    )
