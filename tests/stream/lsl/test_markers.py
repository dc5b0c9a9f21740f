import time
import uuid

import numpy as np
import pylsl
import pytest

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.outlet.lsl import MarkerOutlet
from tests.stream.receiving import marker_source

pytestmark = pytest.mark.lsl

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Do not wait for a second stream to show itself: every name here is unique."""
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)


@pytest.fixture
def source_id():
    return uuid.uuid4().hex


def receive(source, n_markers):
    markers, end = [], time.monotonic() + DEADLINE_S
    while len(markers) < n_markers:
        assert time.monotonic() < end, f"{len(markers)} of {n_markers} markers"
        markers += source.pull(0.2)
    return markers


def test_a_burst_of_any_text_arrives_whole_and_dated(source_id):
    outlet = MarkerOutlet("task", source_id=source_id)
    source = marker_source(source_id=source_id)
    texts = ["", "stimulus/1", "naïve Ω 日本 🧠", "a\nb", *map(str, range(3000))]
    start = pylsl.local_clock()
    stamps = start + np.cumsum(np.random.default_rng(0).exponential(0.01, len(texts)))
    for text, stamp in zip(texts, stamps, strict=True):
        outlet.push(text, float(stamp))
    markers = receive(source, len(texts))
    assert [text for _, text in markers] == texts
    np.testing.assert_allclose([stamp for stamp, _ in markers], stamps, rtol=0, atol=1e-3)
    assert source.pull(0.0) == []
    source.close()
    source.close()
    assert source.pull(0.0) == []
    outlet.close()


def test_bytes_that_are_no_utf8_do_not_break_the_reader(source_id):
    info = pylsl.StreamInfo("other", "Markers", 1, 0, "string", source_id)
    outlet = pylsl.StreamOutlet(info)
    source = marker_source(source_id=source_id)
    outlet.push_sample([b"go\xff\x00!"], 12.0)
    ((_, text),) = receive(source, 1)
    assert text == "go\\xff\x00!"
    source.close()
    del outlet


def test_a_stream_of_numbers_is_no_marker_stream(source_id):
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("nr", "EEG", 1, 512, "float32", source_id))
    with pytest.raises(StreamError, match="'nr' has numbers at 512 Hz"):
        marker_source(source_id=source_id)
    del outlet


def test_a_lost_marker_stream_is_an_error(source_id):
    outlet = MarkerOutlet("task", source_id=source_id)
    source = marker_source(source_id=source_id)
    outlet.close()
    with pytest.raises(StreamLostError, match="was there and is gone"):
        receive(source, 1)
    source.close()


@pytest.mark.parametrize(
    ("value_format", "values", "texts"),
    [
        ("int8", [1, -2, 0], ["1", "-2", "0"]),
        ("int32", [1, 100_000, 0], ["1", "100000", "0"]),
        ("float32", [1.0, 2.0, 0.1], ["1", "2", "0.1"]),
        ("double64", [7.0, 1e6, -0.25], ["7", "1000000", "-0.25"]),
    ],
)
def test_numbers_without_a_regular_rate_are_markers(source_id, value_format, values, texts):
    info = pylsl.StreamInfo("trig", "Markers", 1, 0, value_format, source_id)
    outlet = pylsl.StreamOutlet(info)
    source = marker_source(source_id=source_id)
    for number, value in enumerate(values):
        outlet.push_sample([value], 12.0 + number)
    assert [text for _, text in receive(source, len(values))] == texts
    source.close()
    del outlet


def test_of_several_channels_the_first_counts_but_mne_lsl_calls_them_by_its_texts(source_id):
    info = pylsl.StreamInfo("keys", "", 2, 0, "int16", source_id)
    outlet = pylsl.StreamOutlet(info)
    source = marker_source(source_id=source_id)
    outlet.push_sample([5, 9], 12.0)
    assert [text for _, text in receive(source, 1)] == ["5"]
    source.close()
    played = pylsl.StreamInfo("p-annotations", "annotations", 2, 0, "double64", source_id + "p")
    channels = played.desc().append_child("channels")
    for label in ("go", "rest"):
        channels.append_child("channel").append_child_value("label", label)
    annotations = pylsl.StreamOutlet(played)
    source = marker_source(source_id=source_id + "p")
    annotations.push_sample([0.0, -1.0], 12.0)
    annotations.push_sample([0.5, 0.0], 13.0)
    assert [text for _, text in receive(source, 2)] == ["rest", "go"]
    source.close()
    del outlet, annotations
