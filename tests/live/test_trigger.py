"""A session cuts its windows at the codes of a channel in the signal itself."""

import math
import threading
import uuid
from types import SimpleNamespace

import numpy as np
import pytest

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.live.run import session_settings
from rtbrain.live.source import trigger_of
from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage
from tests.apps.test_decode_events import SFREQ_HZ, event_bundle
from tests.conftest import brain_like, montage_of

CODES = ((1, 2.0), (2, 2.5), (1, 3.2))  # code, s of the signal


@pytest.mark.lsl
def test_each_code_gives_one_decode_at_its_own_place(tmp_path):
    montage = montage_of(4, SFREQ_HZ)
    # The settings name no trigger: the one of fitting counts.
    event_bundle(tmp_path / "bundle", montage, texts=["1", "2"], trigger="Status")
    name = f"trig-{uuid.uuid4().hex[:12]}"
    sent = Montage((*montage.names, "Status"), (*montage.kinds, "stim"), SFREQ_HZ)
    outlet = SignalOutlet(name, sent, source_id=name, origin="replay")
    brain, starts = brain_like(4, int(4 * SFREQ_HZ), SFREQ_HZ), []
    listening, done = threading.Event(), threading.Event()

    def send():
        outlet.wait_for_listeners(60)
        began_s, n_sent, first = lsl_clock(), 0, math.inf
        while not done.wait(0.02):
            numbers = np.arange(n_sent, int((lsl_clock() - began_s) * SFREQ_HZ))
            if listening.is_set() and not starts:  # the codes count from here
                first = n_sent
                starts.append(began_s + first / SFREQ_HZ)
            status = np.full(numbers.size, 0x30000)  # what BioSemi says above its 16 bits
            for code, start_s in CODES:
                at = numbers - first - round(start_s * SFREQ_HZ)
                status += code * ((at >= 0) & (at < 20))
            data = np.vstack([brain[:, numbers % brain.shape[1]], status]).astype(np.float32)
            outlet.push(Chunk(data, began_s + numbers / SFREQ_HZ))
            n_sent += numbers.size
        outlet.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with rtbrain.run(tmp_path / "bundle", name, name=name, allow_late=True):
            feed = rtbrain.listen(name, timeout_s=60)
            listening.set()
            decodes = [next(feed) for _ in CODES]
    finally:
        done.set()
        thread.join()
    assert [decode.reason for decode in decodes] == ["", "", ""]
    expected = starts[0] + np.array([start_s for _, start_s in CODES]) + 1.25 - 1 / SFREQ_HZ
    found = [decode.t_stop for decode in decodes]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1 / SFREQ_HZ)


def test_markers_and_a_trigger_are_one_or_the_other():
    settings = session_settings(None, stream="amp", trigger="TRIG")
    window = SimpleNamespace(hop_s=None)
    bundle = SimpleNamespace(trigger="STI", recipe=SimpleNamespace(window=window))
    assert trigger_of(settings.stream, bundle) == "TRIG"
    settings = session_settings(None, stream="amp", markers="task")
    assert trigger_of(settings.stream, bundle) is None
    settings = session_settings(None, stream="amp")
    assert trigger_of(settings.stream, bundle) == "STI"
    settings = session_settings(None, trigger="TRIG", overrides=["stream.fieldtrip=host:1972"])
    assert trigger_of(settings.stream, bundle) == "TRIG"
    window.hop_s = 0.25  # windows slide
    assert trigger_of(settings.stream, bundle) is None
    with pytest.raises(SettingsError, match="trigger and markers: give one of them"):
        session_settings(None, stream="amp", markers="task", trigger="TRIG")
