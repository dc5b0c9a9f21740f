"""What a supervised source finds in the signal itself: codes of a trigger channel, amplitude."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.errors import StreamError
from rtbrain.stream.supervise.states import StreamState
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like
from tests.stream.supervise.bedside import MONTAGE, REQUIREMENTS, SFREQ_HZ, Bedside


def test_codes_of_a_trigger_channel_are_markers_by_the_stamp_of_their_first_sample():
    names = (*MONTAGE.names, "TRIG")
    bedside = Bedside(requirements=replace(REQUIREMENTS, trigger="TRIG"))
    world = bedside.world
    world.put("a", Montage(names, (*MONTAGE.kinds, "stim"), SFREQ_HZ))
    try:
        assert bedside.source.connect(1.0)
        bedside.until_state(StreamState.WARMING)
        trigger = np.zeros(200)
        trigger[30:60], trigger[90:] = 3, 7  # 7 holds over the gap
        for start, stop in ((0, 31), (31, 100), (120, 200)):
            numbers = np.arange(start, stop)
            data = np.vstack([np.ones((4, numbers.size)), trigger[numbers]]).astype(np.float32)
            world.inlets[-1].given.append(Chunk(data, 1000 + numbers / SFREQ_HZ))
        chunks = bedside.until(lambda: not world.inlets[-1].given)
        assert {chunk.data.shape[0] for chunk in chunks} == {4}
        assert chunks[-1].gap == 20
        markers = bedside.source.markers(0.0)
        assert [(round((t - 1000) * SFREQ_HZ), text) for t, text in markers] == [
            (30, "3"),
            (90, "7"),
        ]
        assert bedside.source.markers(0.0) == []
    finally:
        bedside.source.close()


def test_a_stream_without_the_trigger_channel_is_refused():
    bedside = Bedside(requirements=replace(REQUIREMENTS, trigger="TRIG:0xFF"))
    bedside.world.put("a")
    with pytest.raises(StreamError, match=r"'fake': --trigger: no channel fits 'TRIG'.*--markers"):
        bedside.source.connect(1.0)
    bedside.source.close()


def test_an_amplitude_that_no_brain_makes_is_told_once_a_connection():
    bedside = Bedside()
    bedside.live()
    data = brain_like(4, 3000, SFREQ_HZ) * np.float32(1e6)
    bedside.world.inlets[-1].given.append(Chunk(data, 1010 + np.arange(3000) / SFREQ_HZ))
    bedside.source.pull(0.0)
    assert bedside.fields("amplitude")["factor"] == pytest.approx(1e-6)
    assert bedside.events.count("amplitude") == 1
    bedside.source.close()
