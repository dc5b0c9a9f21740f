"""Taps over real liblsl: all samples and stamps as sent, streams that come, go and return."""

import contextlib
import ctypes
import gc
import math
import time
import uuid
import weakref
from types import SimpleNamespace

import numpy as np
import pylsl
import pytest

from rtbrain.outlet.lsl_stream import SentStream
from rtbrain.stream.lsl.raw_inlet import (
    ClockOffset,
    RawHeader,
    RawInlet,
    RawInletLost,
    RawInletRefused,
    RawSamples,
    _NumericPull,
)
from rtbrain.stream.lsl.raw_inlets import RawInlets
from rtbrain.stream.lsl.resolve import StreamSummary

pytestmark = pytest.mark.lsl
WITHIN_S = 15.0


class Sender:
    def __init__(self, name, n_channels=3, sfreq_hz=500.0, value_format="float32", label="Aµ1"):
        info = pylsl.StreamInfo(name, "EEG", n_channels, sfreq_hz, value_format, name)
        info.desc().append_child("channels").append_child_value("label", label)
        self._stream = SentStream(info)
        self.outlet = self._stream.outlet

    def push(self, values, stamps):
        assert self.outlet.wait_for_consumers(WITHIN_S)
        # In chunks of 50, as amplifiers send: a burst of single ones outlasts the outlet's end.
        for first in range(0, len(values), 50):
            chunk = values[first : first + 50]
            self.outlet.push_chunk(chunk, [float(stamp) for stamp in stamps[first : first + 50]])

    def close(self):
        self.outlet = None
        self._stream.close()


@contextlib.contextmanager
def tapping(*names):
    taps = RawInlets(lambda row: row.name in names)
    told = []

    def until(condition):
        end = time.monotonic() + WITHIN_S
        while not condition(told):
            assert time.monotonic() < end, f"never told; told {told[-5:]}"
            told.extend(taps.poll())
            time.sleep(0.01)  # leaves the cores to what is waited for
        return told

    try:
        yield until
    finally:
        taps.end(5.0)


def of(told, kind):
    return [event for _, event in told if isinstance(event, kind)]


def n_samples(told):
    return sum(len(event.stamps) for event in of(told, RawSamples))


def joined(told):
    values = np.concatenate([event.values for event in of(told, RawSamples)])
    return values, np.concatenate([event.stamps for event in of(told, RawSamples)])


@pytest.mark.parametrize(
    ("value_format", "dtype"),
    [
        ("float32", np.float32),
        ("double64", np.float64),
        ("int16", np.int16),
        ("int8", np.int8),
        ("int64", np.int64),
    ],
)
def test_numbers_and_stamps_come_as_they_were_sent(value_format, dtype):
    name = uuid.uuid4().hex
    sender = Sender(name, value_format=value_format)
    rng = np.random.default_rng(0)
    values = rng.normal(0, 40, (700, 3)).astype(dtype)
    # Of a clock that is not ours, with a gap and a step back: nothing is smoothed.
    stamps = 12.5 + np.arange(700) / 500.0
    stamps[300:] += 7.0
    stamps[600:] -= 20.0
    with tapping(name) as until:
        until(lambda told: of(told, RawHeader))
        sender.push(values.tolist(), stamps)
        told = until(lambda told: n_samples(told) == 700 and of(told, ClockOffset))
        got, got_stamps = joined(told)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, values)
        np.testing.assert_array_equal(got_stamps, stamps)
        (header,) = of(told, RawHeader)
        assert isinstance(told[0][1], RawHeader)
        assert "<label>Aµ1</label>".encode() in header.xml
        assert abs(of(told, ClockOffset)[0].offset_s) < 0.01
        sender.close()


def test_strings_come_whole_with_their_stamps():
    name = uuid.uuid4().hex
    sender = Sender(name, 1, 0.0, "string")
    texts = ["grün 🧠", "", "x" * 5000, '{"event": "gap"}'] * 50
    with tapping(name) as until:
        until(lambda told: of(told, RawHeader))
        sender.push([[text] for text in texts], np.arange(1.0, 201.0))
        got, stamps = joined(until(lambda told: n_samples(told) == 200))
        assert [value.decode() for value in got[:, 0]] == texts
        np.testing.assert_array_equal(stamps, np.arange(1.0, 201.0))
        sender.close()


def test_a_sender_is_known_to_answer_before_its_first_marker():
    name = uuid.uuid4().hex
    sender = Sender(name, 1, 0.0, "string")
    with tapping(name) as until:
        until(lambda told: told and math.isfinite(told[0][0].last_s))
        sender.close()


def test_the_last_samples_before_a_sender_ends_are_not_missed():
    name = uuid.uuid4().hex
    sender = Sender(name)
    with tapping(name) as until:
        until(lambda told: of(told, RawHeader))
        sender.push(np.zeros((2000, 3)).tolist(), np.arange(1.0, 2001.0))
        sender.close()
        told = until(lambda told: of(told, RawInletLost))
        assert n_samples(told) == 2000
        assert isinstance(told[-1][1], RawInletLost)


def test_streams_that_come_later_or_come_back_are_tapped_and_others_are_not():
    first, second, other = (uuid.uuid4().hex for _ in range(3))
    with tapping(first, second) as until:
        sender, stranger = Sender(first), Sender(other)
        told = until(lambda told: len(of(told, RawHeader)) == 1)
        later = Sender(second)
        until(lambda told: len(of(told, RawHeader)) == 2)
        sender.close()
        until(lambda told: of(told, RawInletLost))
        sender = Sender(first)
        until(lambda told: len(of(told, RawHeader)) == 3)
        sender.push([[1.0, 2.0, 3.0]], [4.0])
        until(lambda told: n_samples(told) == 1)
        assert {tap.row.name for tap, _ in told} == {first, second}
        for each in (sender, later, stranger):
            each.close()


def once_failing(make):
    """As pylsl where liblsl has no room or no socket, then as ever."""
    failed = []

    def made(*args, **kwargs):
        if not failed:
            failed.append(True)
            raise RuntimeError("could not create stream inlet.")
        return make(*args, **kwargs)

    return made


def test_an_inlet_that_cannot_be_made_is_told_and_made_later(monkeypatch):
    name = uuid.uuid4().hex
    monkeypatch.setattr(pylsl, "StreamInlet", once_failing(pylsl.StreamInlet))
    sender = Sender(name)
    with tapping(name) as until:
        told = until(lambda told: of(told, RawHeader))
        assert "cannot be received now: could not create stream inlet" in told[0][1].reason
        assert isinstance(told[0][1], RawInletLost)
        sender.push([[1.0, 2.0, 3.0]], [4.0])
        until(lambda told: n_samples(told) == 1)
        sender.close()


class NoChannels:
    def __init__(self, uid="one"):
        self.uid = lambda: uid

    def __getattr__(self, name):
        answers = {"channel_count": 0, "nominal_srate": 100.0}
        return lambda: answers.get(name, "empty")


def test_refused_streams_are_remembered_in_bounded_memory(monkeypatch):
    there = [NoChannels(str(number)) for number in range(300)]
    monkeypatch.setattr(
        pylsl, "ContinuousResolver", lambda **_: SimpleNamespace(results=lambda: there)
    )
    with tapping("empty") as until:
        # More than are remembered: the oldest are judged, and refused, anew.
        told = until(lambda told: len(of(told, RawInletRefused)) > 300)
        assert len({id(tap) for tap, _ in told}) > 300


def test_a_tap_that_was_ended_is_let_go_and_its_stream_not_tapped_again():
    name, other = uuid.uuid4().hex, uuid.uuid4().hex
    sender = Sender(name)
    with tapping(name, other) as until:
        told = until(lambda told: of(told, RawHeader))
        ended = weakref.ref(told[0][0])
        ended().end()
        ended().join(WITHIN_S)
        told.clear()
        until(lambda told: told.clear() or (gc.collect() >= 0 and ended() is None))
        later = Sender(other)
        told = until(lambda told: of(told, RawHeader))
        assert {tap.row.name for tap, _ in told} == {other}
        for each in (sender, later):
            each.close()


def test_a_stream_without_channels_is_refused_with_a_reason():
    tap = RawInlet(NoChannels())
    event = tap.events.get(timeout=WITHIN_S)
    assert isinstance(event, RawInletRefused)
    assert "'empty' has 0 channels" in event.reason
    assert tap.row == StreamSummary("empty", "empty", "empty", "empty", 0, 100.0)


class LosingInlet:
    """As liblsl does where a stream is lost in a pull: three samples in hand, and an error."""

    channel_count, np_dtype, obj = 2, np.float32, None

    def do_pull_chunk(self, obj, values, stamps, n_values, n_stamps, timeout_s, code):
        for sample in range(3):
            for channel in range(2):
                number = 10 * sample + channel
                ctypes.cast(values, ctypes.POINTER(ctypes.c_float))[2 * sample + channel] = number
            ctypes.cast(stamps, ctypes.POINTER(ctypes.c_double))[sample] = 5.0 + sample
        code._obj.value = -2
        return 0


def test_what_a_pull_had_in_hand_when_the_stream_was_lost_is_kept():
    samples, gone = _NumericPull(LosingInlet())(LosingInlet())
    assert gone
    assert samples.values.tolist() == [[0, 1], [10, 11], [20, 21]]
    assert samples.stamps.tolist() == [5, 6, 7]
