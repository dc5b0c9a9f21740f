"""An amplifier and a task on real LSL: contacts with hum, a trigger channel, and int32 markers."""

import threading
import uuid
from contextlib import contextmanager

import numpy as np
import pylsl

from rtbrain.outlet.lsl_stream import describe_channels, new_info
from tests.conftest import brain_like

SFREQ_HZ, N_CONTACTS, _SECONDS = 256.0, 6, 60


def outlet_of(name, kind, n, rate, fmt, source_id, labels=(), kinds=()):
    info = new_info(name, kind, n, rate, fmt, source_id)
    if labels:
        units = ["microvolts" if kind != "stim" else "none" for kind in kinds]
        describe_channels(info, labels, kinds, units)
    return pylsl.StreamOutlet(info)


@contextmanager
def sending(mains_hz):
    """``amp-TOKEN`` and ``task-TOKEN`` until the block ends; contact A2 is flat."""
    token = uuid.uuid4().hex[:8]
    labels = (*(f"A{n + 1}" for n in range(N_CONTACTS)), "TRIG")
    kinds = ("seeg",) * N_CONTACTS + ("stim",)
    signal = outlet_of(
        f"amp-{token}", "EEG", N_CONTACTS + 1, SFREQ_HZ, "float32", f"a-{token}", labels, kinds
    )
    codes = outlet_of(f"task-{token}", "Markers", 1, 0.0, "int32", f"t-{token}")
    n_samples = round(_SECONDS * SFREQ_HZ)
    data = np.zeros((N_CONTACTS + 1, n_samples), np.float32)
    # Its hum is at 60 Hz of the rate that it is made for.
    data[:N_CONTACTS] = brain_like(N_CONTACTS, n_samples, SFREQ_HZ * 60 / mains_hz)
    data[1] = 3.0
    for shift in range(3):
        data[N_CONTACTS, shift::512] = 4
    stop = threading.Event()

    def send():
        began, sent = pylsl.local_clock(), 0
        while not stop.wait(0.05):
            until = int((pylsl.local_clock() - began) * SFREQ_HZ)
            stamps = began + np.arange(sent, until) / SFREQ_HZ
            if until > sent:
                at = np.arange(sent, until) % data.shape[1]
                signal.push_chunk(np.ascontiguousarray(data[:, at].T), stamps.tolist())
            if sent // 256 != until // 256:
                codes.push_sample([9 if until // 256 == 5 else 1 + until // 256 % 2])
            sent = until

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield token
    finally:
        stop.set()
        thread.join()
