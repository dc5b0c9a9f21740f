import threading
import time
import uuid

import numpy as np
import pylsl
import pytest

from rtbrain.marks import OPERATOR_MARK
from rtbrain.outlet.lsl import (
    DecodeOutlet,
    DetectionOutlet,
    MarkerOutlet,
    SignalOutlet,
    StatusOutlet,
)
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.types import Chunk, Decode, Detection, Montage, Quality
from rtbrain.view.streams.finder import StreamFinder
from rtbrain.view.streams.session import ViewSession, same_montage
from tests.conftest import montage_of

SFREQ_HZ = 512.0
DEADLINE_S = 15.0


@pytest.fixture
def name(monkeypatch):
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    return uuid.uuid4().hex


@pytest.fixture
def session(name):
    made = ViewSession(stream=name, decode=name)
    yield made
    made.close()


def feed_of(session, kind):
    (feed,) = [feed for feed in session.feeds if feed.kind == kind]
    return feed


def poll_until(session, condition, meanwhile=lambda: None):
    """Updates until it is so."""
    pause, updates, end = threading.Event(), [], time.monotonic() + DEADLINE_S
    while not condition(updates):
        assert time.monotonic() < end, [(f.kind, f.state) for f in session.feeds]
        meanwhile()
        updates.append(session.poll())
        pause.wait(0.01)
    return updates


class Sender:
    """Signal outlet that sends what is due, numbers in place of microvolts."""

    def __init__(self, name, montage, start=None):
        self.outlet = SignalOutlet(name, montage, source_id=name, origin="replay")
        self.n_channels, self.sfreq_hz = montage.n_channels, montage.sfreq_hz
        self.start = pylsl.local_clock() if start is None else start
        self.sent = int((pylsl.local_clock() - self.start) * self.sfreq_hz)

    def __call__(self):
        due = int((pylsl.local_clock() - self.start) * self.sfreq_hz)
        if due > self.sent:
            numbers = np.arange(self.sent, due)
            data = np.tile(numbers.astype(np.float32), (self.n_channels, 1))
            self.outlet.push(Chunk(data, self.start + numbers / self.sfreq_hz, self.sent))
            self.sent = due


def live(session):
    return lambda _: (
        feed_of(session, "signal").state == "live" and feed_of(session, "signal").received
    )


def is_state(session, kind, state):
    return lambda _: feed_of(session, kind).state == state


@pytest.mark.lsl
def test_without_any_stream_the_window_waits_and_polls_give_nothing(session):
    for _ in range(20):
        update = session.poll()
        assert not any((update.chunks, update.decodes, update.events, update.new_montage))
    assert {feed.state for feed in session.feeds} == {"absent"}
    assert session.montage is None
    assert session.decode is None


@pytest.mark.lsl
def test_a_signal_that_breaks_off_is_found_again_and_its_loss_is_a_gap(session, name):
    montage = montage_of(3, SFREQ_HZ)
    sender = Sender(name, montage)
    updates = poll_until(session, live(session), sender)
    assert sum(update.new_montage for update in updates) == 1
    assert session.montage.names == montage.names
    assert feed_of(session, "signal").origin == "replay"
    poll_until(session, lambda _: np.isfinite(feed_of(session, "signal").clock_offset_s), sender)
    assert abs(feed_of(session, "signal").clock_offset_s) < 0.01
    sender.outlet.close()
    poll_until(session, is_state(session, "signal", "lost"))
    again = Sender(name, montage, sender.start)
    after = poll_until(session, lambda updates: any(update.chunks for update in updates), again)
    assert not any(update.new_montage for update in after)
    updates += after
    chunks = [chunk for update in updates for chunk in update.chunks]
    assert sum(chunk.gap for chunk in chunks) > 0
    numbers = np.concatenate([chunk.data[0] for chunk in chunks])
    counted = np.concatenate([chunk.first_sample + np.arange(chunk.n_samples) for chunk in chunks])
    assert np.ptp(numbers - counted) == 0
    again.outlet.close()


@pytest.mark.lsl
def test_a_stream_that_returns_with_other_channels_begins_anew(session, name):
    sender = Sender(name, montage_of(3, SFREQ_HZ))
    poll_until(session, live(session), sender)
    session.mark("A1", True)
    session.mark("A3", True)
    sender.outlet.close()
    poll_until(session, is_state(session, "signal", "lost"))
    again = Sender(name, montage_of(2, 2 * SFREQ_HZ))
    updates = poll_until(session, live(session), again)
    assert sum(update.new_montage for update in updates) == 1
    assert session.montage.sfreq_hz == 2 * SFREQ_HZ
    assert session.bad == {"A1": OPERATOR_MARK}
    again.outlet.close()


@pytest.mark.lsl
def test_a_signal_that_falls_silent_is_stalled_after_a_second_and_then_live_again(session, name):
    sender = Sender(name, montage_of(2, SFREQ_HZ))
    poll_until(session, live(session), sender)
    silent_at = sender.start + sender.sent / SFREQ_HZ
    poll_until(session, is_state(session, "signal", "stalled"))
    assert 0.9 < pylsl.local_clock() - silent_at < 5
    poll_until(session, is_state(session, "signal", "live"), sender)
    sender.outlet.close()


@pytest.mark.lsl
def test_decodes_status_and_markers_arrive_as_they_were_sent(session, name):
    montage = montage_of(4, SFREQ_HZ)
    decode = DecodeOutlet(
        name, ("rest", "move"), hop_s=0.25, montage=montage, bundle_id="b", source_id=f"{name}-d",
        about={"mode": "linear", "window_s": "5"},
    )  # fmt: skip
    status = StatusOutlet(name, source_id=f"{name}-s")
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-m")
    good = np.array([True, True, True, False])
    item = Decode(np.array([0.25, 0.75], np.float32), 9.5, 10.0, Quality(good), 10.0, 10.5)
    poll_until(
        session,
        lambda _: (
            {"decode", "status", "markers"}
            <= {feed.kind for feed in session.feeds if feed.name and feed.state != "absent"}
            and feed_of(session, "status").state == "live"
            and session.decode is not None
        ),
    )
    decode.push(item)
    status.emit("channel_bad", channel="A2", reason="flat")
    markers.push("go", 12.5)
    updates = poll_until(
        session,
        lambda updates: all(
            any(getattr(update, what) for update in updates)
            for what in ("decodes", "events", "markers")
        ),
    )
    (row,) = [row for update in updates for row in update.decodes]
    np.testing.assert_array_equal(row.values, item.values)
    assert (row.valid, row.coverage, row.age_s, row.compute_s) == (True, 0.75, 1.0, 0.5)
    assert row.t_stop == pytest.approx(10.0, abs=0.01)
    assert session.decode.labels == ("rest", "move")
    assert (session.decode.hop_s, session.decode.unit) == (0.25, "probability")
    assert (session.decode.mode, session.decode.window_s) == ("linear", 5.0)
    ((t, text),) = [marker for update in updates for marker in update.markers]
    assert (t, text) == (pytest.approx(12.5, abs=0.01), "go")
    assert session.bad == {"A2": "flat"}
    session.mark("A2", True)
    status.emit("channel_good", channel="A2", reason="flat")
    poll_until(session, lambda updates: any(update.events for update in updates))
    assert session.bad == {"A2": OPERATOR_MARK}
    session.mark("A2", False)
    assert not session.bad
    # What was reported before anybody listened is reported again.
    status.emit("summary", state="live", bad={"A1": "mains"})
    poll_until(session, lambda updates: any(update.events for update in updates))
    assert session.bad == {"A1": "mains"}
    for outlet in (decode, status, markers):
        outlet.close()
    poll_until(session, is_state(session, "decode", "lost"))


@pytest.mark.lsl
def test_detections_arrive_with_their_number_and_what_is_none_is_left_out(session, name):
    events = DetectionOutlet(name, source_id=f"{name}-e", bundle_id="b")
    poll_until(session, lambda _: "events" in session._inlets)
    made = Detection("speech", 0.5, 9.75, 10.0, 10.25, 1.0, np.nan, calibrated=True)
    events.push(made)
    for line in ("<b>", '{"label": 7}', "[" * 10_000):
        events._stream.outlet.push_sample([line], 9.8)
    events.push(made)
    got = poll_until(session, lambda updates: sum(len(u.detections) for u in updates) == 2)
    found = [one for update in got for one in update.detections]
    assert [(one.label, one.value, one.calibrated) for one in found] == [("speech", 0.5, True)] * 2
    assert [one.number for one in found] == [1, 2]
    assert found[0].t == pytest.approx(9.75, abs=0.01)
    events.close()


@pytest.mark.lsl
def test_a_stream_that_cannot_be_read_is_not_taken_and_the_reason_is_shown(session, name):
    made = pylsl.StreamInfo(name, "EEG", 2, SFREQ_HZ, "float32", name)
    channels = made.desc().append_child("channels")
    for _ in range(2):
        channels.append_child("channel").append_child_value("label", "A\x7f")
    outlet = pylsl.StreamOutlet(made)
    poll_until(session, lambda _: "control" in feed_of(session, "signal").problem)
    assert feed_of(session, "signal").state == "absent"
    assert session.montage is None
    del outlet


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("last_words", "state"), [(["stopped"], "ended"), (["failed", "stopped"], "lost"), ([], "lost")]
)
def test_a_decoder_that_announced_its_end_has_ended_and_is_not_lost(
    session, name, last_words, state
):
    montage = montage_of(4, SFREQ_HZ)
    decode = DecodeOutlet(
        name, ("rest", "move"), hop_s=0.25, montage=montage, bundle_id="b", source_id=f"{name}-d"
    )
    status = StatusOutlet(name, source_id=f"{name}-s")
    poll_until(session, is_state(session, "status", "live"))
    poll_until(session, lambda _: session.decode is not None)
    for event in ("live", *last_words):
        status.emit(event)
    poll_until(session, lambda seen: sum(len(each.events) for each in seen) == 1 + len(last_words))
    decode.close()
    status.close()
    poll_until(session, is_state(session, "status", state))
    poll_until(session, is_state(session, "decode", state))


@pytest.mark.lsl
def test_the_marks_of_a_closed_window_are_not_lost(session, name):
    there = MarkerOutlet(f"{name}-marks", source_id=f"{name}-1")
    poll_until(session, lambda _: any(f.name == f"{name}-marks" for f in session.feeds))
    there.close()
    poll_until(session, lambda _: all(f.name != f"{name}-marks" for f in session.feeds))


def test_two_montages_differ_when_their_positions_do():
    montage = montage_of(2, SFREQ_HZ)
    assert same_montage(montage, montage_of(2, SFREQ_HZ))
    assert not same_montage(montage, Montage(montage.names, montage.kinds, SFREQ_HZ))
    assert not same_montage(None, montage)


@pytest.mark.lsl
def test_a_silent_stream_of_markers_is_not_given_up_while_its_answers_flicker(name, monkeypatch):
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-m")
    finder = StreamFinder(name, name, pylsl.local_clock)
    _, inlet = finder.opened.get(timeout=DEADLINE_S)
    monkeypatch.setattr(StreamWatcher, "n_misses", lambda *_: 200)
    assert finder.is_announced(inlet)
    monkeypatch.setattr(StreamWatcher, "n_misses", lambda *_: 1000)
    assert not finder.is_announced(inlet)
    finder.close()
    markers.close()


@pytest.mark.lsl
def test_of_several_signals_the_one_that_is_chosen_is_opened(name, monkeypatch):
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    senders = [Sender(f"{name}-{letter}", montage_of(2, SFREQ_HZ)) for letter in "ab"]
    session = ViewSession(stream=None, decode=name)

    def send():
        for sender in senders:
            sender()

    def ours():
        return [one for one in session.choices if one.name.startswith(name)]

    poll_until(session, lambda _: len(ours()) == 2, send)
    assert session.montage is None
    session.choose(max(ours(), key=str))
    poll_until(session, live(session), send)
    assert feed_of(session, "signal").name == f"{name}-b"
    assert session.choices == ()
    session.close()
    for sender in senders:
        sender.outlet.close()


@pytest.mark.lsl
def test_a_flood_of_status_lines_costs_the_newest_few_a_poll(session, name):
    status = StatusOutlet(name, source_id=f"{name}-s")
    poll_until(session, is_state(session, "status", "live"))
    for number in range(2000):
        status.emit("channel_bad", channel=f"A{number}", reason="<b>")
    status.emit("channel_bad", channel="last", reason="x" * 50_000)
    # The inlet's queue, of 2000, is full before the first poll, however slow the machine is.
    waiting, pause = session._inlets["status"]._inlet.samples_available, threading.Event()
    end = time.monotonic() + DEADLINE_S
    while waiting() < 2000:
        assert time.monotonic() < end, waiting()
        pause.wait(0.01)
    updates = poll_until(session, lambda _: "last" in session.bad)
    assert max(len(update.events) for update in updates) <= 64
    assert feed_of(session, "status").lost > 500
    assert len(session.bad["last"]) < 1100
    status.close()


@pytest.mark.lsl
def test_a_window_that_was_held_up_hears_a_senders_last_words_and_then_its_loss(session, name):
    status = StatusOutlet(name, source_id=name)
    poll_until(session, is_state(session, "status", "live"))
    status.emit("stopping")
    status.emit("stopped", decodes=9)
    status.close()
    deadline, inlet = time.monotonic() + DEADLINE_S, session._inlets["status"]
    while not inlet._is_lost():  # liblsl knows of it before the window reads
        assert time.monotonic() < deadline
    updates = poll_until(session, is_state(session, "status", "ended"))
    told = [event.event for update in updates for event in update.events]
    assert told[-2:] == ["stopping", "stopped"]


@pytest.mark.lsl
def test_the_samples_of_a_silence_are_counted_with_the_first_that_come_after_it(session, name):
    sender = Sender(name, montage_of(3, SFREQ_HZ))
    poll_until(session, live(session), sender)
    poll_until(session, is_state(session, "signal", "stalled"))
    sender.sent = int((pylsl.local_clock() - sender.start) * SFREQ_HZ)  # these are never sent
    updates = poll_until(session, lambda updates: bool(updates and updates[-1].chunks), sender)
    n_lost = sum(chunk.gap for chunk in updates[-1].chunks)
    assert n_lost > SFREQ_HZ
    assert feed_of(session, "signal").lost == n_lost
