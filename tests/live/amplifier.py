"""An amplifier on real LSL, for tests of what decodes or records it."""

import contextlib
import threading
import uuid
from collections.abc import Iterator

import numpy as np

from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(8, SFREQ_HZ)


@contextlib.contextmanager
def sending(montage: Montage, *, counting: bool = False) -> Iterator[str]:
    """Name of a stream that is sent meanwhile; `counting` numbers the samples in its first contact.

    It sends in real time, four seconds over and over. A float32 holds such a number exactly.
    """
    name = f"amp-{uuid.uuid4().hex[:12]}"
    sfreq_hz, n_channels = montage.sfreq_hz, len(montage.names)
    outlet = SignalOutlet(name, montage, source_id=name, origin="synthetic")
    data = brain_like(n_channels, int(4 * sfreq_hz), sfreq_hz)
    done = threading.Event()

    def send() -> None:
        start_s, sent = lsl_clock(), 0
        while not done.wait(0.02):
            numbers = np.arange(sent, int((lsl_clock() - start_s) * sfreq_hz))
            values = data[:, numbers % data.shape[1]]
            if counting:
                values[0] = numbers
            outlet.push(Chunk(values, start_s + numbers / sfreq_hz, sent))
            sent += numbers.size
        outlet.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield name
    finally:
        done.set()
        thread.join()
