"""A recorded stream whose connection falls silent, on a virtual clock, without sockets."""

import math
import queue
from types import SimpleNamespace

import numpy as np
import pytest

from rtbrain.stream.lsl import raw_inlets
from rtbrain.stream.lsl.raw_inlet import RawHeader, RawInletLost, RawSamples
from rtbrain.stream.lsl.raw_inlets import RawInlets
from rtbrain.stream.lsl.resolve import StreamSummary


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class FakeInlet:
    """An inlet whose samples the test gives."""

    def __init__(self, found, *, standby=False):
        self.row, self.events = found.row, queue.Queue()
        self.reading, self.stopped = not standby, False
        self.last_s = CLOCK() if found.row.sfreq_hz else math.inf
        self.waits_s = None
        self.waiting = []
        self.events.put(RawHeader(b"<info/>"))
        MADE.append(self)

    def give(self, number):
        self.waiting.append(RawSamples(np.full((1, 1), number), np.array([float(number)])))
        if self.reading:
            self.read()
        elif self.waits_s is None:
            self.waits_s = CLOCK()

    def read(self):
        self.reading = True
        for samples in self.waiting:
            self.events.put(samples)
            self.last_s = max(self.last_s, CLOCK())
        self.waiting = []

    def end(self):
        self.stopped = True

    @property
    def ended(self):
        return self.stopped

    def join(self, within_s):
        pass


CLOCK = Clock()
MADE = []


class Bedside:
    """One stream, the inlets of a recorder, and what they report."""

    def __init__(self, sfreq_hz):
        self.there = True
        row = StreamSummary("amp", "EEG", "amp", "host", 1, sfreq_hz)
        self.found = SimpleNamespace(uid=lambda: "a", row=row)
        self.inlets, self.told = RawInlets(lambda row: True), []

    def look(self):
        return [self.found]

    def n_misses(self, uid):
        return 0 if self.there else 5

    def put_off(self, uid):
        pass

    refuse = put_off

    def wait(self, seconds):
        for _ in range(round(seconds / 0.1)):
            CLOCK.now += 0.1
            self.told += [event for _, event in self.inlets.poll()]

    @property
    def numbers(self):
        return [int(event.stamps[0]) for event in self.told if isinstance(event, RawSamples)]

    @property
    def kinds(self):
        return [type(event) for event in self.told]


@pytest.fixture
def bedside(monkeypatch, request):
    MADE.clear()
    monkeypatch.setattr(raw_inlets, "RawInlet", FakeInlet)
    monkeypatch.setattr(raw_inlets, "stream_summary", lambda found: found.row)
    monkeypatch.setattr(raw_inlets, "time", SimpleNamespace(monotonic=CLOCK))
    made = Bedside(getattr(request, "param", 500.0))
    monkeypatch.setattr(raw_inlets, "StreamWatcher", lambda: made)
    made.inlets = RawInlets(lambda row: True)
    made.wait(0.1)
    MADE[0].give(1)
    made.wait(0.1)
    return made


def test_a_silent_connection_that_delivers_in_time_is_kept_and_the_second_dropped(bedside):
    bedside.there = False
    bedside.wait(8.0)
    assert len(MADE) == 1
    bedside.there = True
    bedside.wait(0.1)
    first, second = MADE
    second.give(3)
    bedside.wait(8.0)
    first.give(2)
    first.give(3)
    bedside.wait(1.0)
    assert bedside.numbers == [1, 2, 3]
    assert RawInletLost not in bedside.kinds
    assert second.stopped
    assert not first.stopped


def test_one_that_stays_silent_for_as_long_again_is_replaced_by_the_second_with_all_it_holds(
    bedside,
):
    bedside.there = False
    bedside.wait(3.0)
    bedside.there = True
    bedside.wait(0.1)
    first, second = MADE
    second.give(7)
    bedside.wait(3.5)
    assert bedside.numbers == [1]
    second.give(8)
    bedside.wait(1.0)
    assert bedside.numbers == [1, 7, 8]
    assert bedside.kinds == [RawHeader, RawSamples, RawInletLost, RawHeader, RawSamples, RawSamples]
    assert "fell silent" in bedside.told[2].reason
    assert first.stopped
    second.give(9)
    bedside.wait(0.1)
    assert bedside.numbers[-1] == 9


def test_a_sender_that_pauses_gets_one_second_connection_and_keeps_the_first(bedside):
    bedside.wait(60.0)
    first, second = MADE
    for inlet in (second, first):
        inlet.give(2)
    bedside.wait(5.0)
    assert bedside.numbers == [1, 2]
    assert second.stopped
    assert RawInletLost not in bedside.kinds


def test_a_second_connection_is_read_where_the_recording_ends_meanwhile(bedside):
    bedside.wait(2.5)
    MADE[1].give(5)
    bedside.told += [event for _, event in bedside.inlets.end(1.0)]
    assert bedside.numbers == [1, 5]
    assert all(inlet.stopped for inlet in MADE)


@pytest.mark.parametrize("bedside", [0.0], indirect=True)
def test_silence_of_an_irregular_stream_means_nothing(bedside):
    bedside.wait(60.0)
    assert len(MADE) == 1


@pytest.mark.parametrize("bedside", [0.0], indirect=True)
def test_an_irregular_stream_is_read_anew_where_its_sender_answers_at_another_address_alone(
    bedside,
):
    first = MADE[0]
    first.last_s = CLOCK()  # it answers
    bedside.wait(4.5)
    assert len(MADE) == 1
    bedside.wait(1.0)
    second = MADE[1]
    second.waits_s = CLOCK()  # the second is answered
    second.give(2)
    bedside.wait(5.0)
    assert bedside.numbers == [1]
    bedside.wait(2.0)
    assert bedside.numbers == [1, 2]
    assert first.stopped


@pytest.mark.parametrize("bedside", [0.0], indirect=True)
def test_an_irregular_stream_whose_sender_answers_again_is_kept(bedside):
    first = MADE[0]
    first.last_s = CLOCK()
    bedside.wait(5.5)
    MADE[1].waits_s = CLOCK()
    bedside.wait(2.0)
    first.last_s = CLOCK()
    bedside.wait(3.0)
    assert MADE[1].stopped
    assert not first.stopped
    assert len(MADE) == 2
