"""Decodes of other channels are never shown with the signal."""

import uuid

import numpy as np
import pytest

from rtbrain.outlet.lsl import DecodeOutlet, StatusOutlet
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.types import Decode, Montage, Quality
from rtbrain.view.health.indicators import stream_tip
from rtbrain.view.streams.choice import choose_streams, explain_mismatch
from rtbrain.view.streams.session import ViewSession
from tests.conftest import montage_of
from tests.view.streams.test_choice import info, texts
from tests.view.streams.test_session import (
    SFREQ_HZ,
    Sender,
    feed_of,
    is_state,
    live,
    poll_until,
)

HERE = montage_of(4, SFREQ_HZ)
OTHERS = Montage(("Z1", "Z2", "Z3", "Z4", "Z5", "Z6"), ("seeg",) * 6, SFREQ_HZ)


@pytest.fixture
def name(monkeypatch):
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    return uuid.uuid4().hex


class Decoder:
    """Decode and status streams of a decoder that reads these channels."""

    def __init__(self, name, montage):
        self.n_channels = montage.n_channels
        self.decode = DecodeOutlet(
            name, ("a", "b"), hop_s=0.25, montage=montage, bundle_id="b", source_id=f"{name}-d"
        )
        self.status = StatusOutlet(name, source_id=f"{name}-s")

    def say(self):
        quality = Quality(np.ones(self.n_channels, bool))
        self.decode.push(Decode(np.array([0.25, 0.75], np.float32), 9.5, 10.0, quality, 10.0, 10.5))
        self.status.emit("channel_bad", channel="A1", reason="flat")

    def close(self):
        self.decode.close()
        self.status.close()


def heard(updates):
    return [item for update in updates for item in (*update.decodes, *update.events)]


@pytest.mark.lsl
def test_the_only_decoder_on_the_network_is_not_taken_where_it_reads_other_channels(monkeypatch):
    name = uuid.uuid4().hex
    only_ours(monkeypatch, name)
    sender, decoder = Sender(name, HERE), Decoder(f"{name}-z", OTHERS)
    session = ViewSession(stream=name, decode=None)

    def send():
        sender()
        decoder.say()

    refused = poll_until(
        session, lambda _: "other channels" in feed_of(session, "decode").problem, send
    )
    later = poll_until(session, lambda updates: len(updates) > 50, send)
    assert not heard(refused + later)
    assert session.decode is None
    assert not session.bad
    assert feed_of(session, "decode").state == feed_of(session, "status").state == "absent"
    said = feed_of(session, "decode").problem
    assert said.startswith(f"{name}-z-decode reads other channels: Z1, Z2, Z3, Z4 and 2 more")
    tip = stream_tip(feed_of(session, "decode"))
    assert tip == f"decode: not connected. {said}"
    # One that fits is taken beside it.
    ours = Decoder(f"{name}-a", montage_of(3, SFREQ_HZ))
    poll_until(session, is_state(session, "status", "live"), send)
    poll_until(session, lambda _: session.decode is not None, send)
    assert session.decode.name == f"{name}-a-decode"
    assert session.decode.contacts == HERE.names[:3]
    ours.say()
    poll_until(session, lambda updates: any(update.decodes for update in updates), send)
    session.close()
    for each in (decoder, ours, sender.outlet):
        each.close()


@pytest.mark.lsl
def test_a_decoder_that_was_named_is_refused_too_if_its_channels_are_others(name):
    sender, decoder = Sender(name, HERE), Decoder(f"{name}-z", OTHERS)
    session = ViewSession(stream=name, decode=f"{name}-z")
    poll_until(session, lambda _: "other channels" in feed_of(session, "decode").problem, sender)
    assert session.decode is None
    assert feed_of(session, "decode").state == "absent"
    poll_until(session, is_state(session, "status", "absent"), sender)  # may have just been opened
    session.close()
    for each in (decoder, sender.outlet):
        each.close()


@pytest.mark.lsl
def test_a_decoder_is_parted_with_when_the_signal_becomes_another_one(name):
    sender, decoder = Sender(name, HERE), Decoder(name, HERE)
    session = ViewSession(stream=name, decode=name)

    def send():
        sender()
        decoder.say()

    poll_until(session, lambda updates: session.bad and heard(updates), send)
    poll_until(session, live(session), send)
    sender.outlet.close()
    poll_until(session, is_state(session, "signal", "lost"))
    sender = Sender(name, OTHERS)
    updates = poll_until(session, lambda _: session.montage.names == OTHERS.names, send)
    assert updates[-1].new_montage
    assert updates[-1].other_decoder
    assert not heard(updates[-1:])
    assert session.decode is None
    assert not session.bad
    assert feed_of(session, "decode").state == "absent"
    poll_until(session, lambda _: "other channels" in feed_of(session, "decode").problem, send)
    session.close()
    for each in (decoder, sender.outlet):
        each.close()


def only_ours(monkeypatch, name):
    """Hide what others have on this network from a window that asks for no name."""
    look = StreamWatcher.look
    monkeypatch.setattr(
        StreamWatcher, "look", lambda self: [i for i in look(self) if i.name().startswith(name)]
    )


def test_all_channels_of_the_decoder_must_be_there_or_a_share_if_it_was_named():
    signal = ("A1", "A2", "A3")
    assert explain_mismatch("d", ("A3", "A1"), signal, named=False) == ""
    assert explain_mismatch("d", ("A1", "B1"), signal, named=False) == (
        "d reads other channels: B1 is not in this signal"
    )
    assert explain_mismatch("d", ("A1", "B1"), signal, named=True) == ""
    assert explain_mismatch("d", ("A1", "B1", "B2", "B3"), signal, named=True)
    assert (
        explain_mismatch("d", (), signal, named=False)
        == explain_mismatch("d", ("B1",), (), named=False)
        == ""
    )


def test_a_pair_is_of_the_signal_where_both_of_its_contacts_are():
    assert explain_mismatch("d", ("A1-A2",), ("A1", "A2"), named=False) == ""
    assert explain_mismatch("d", ("A-1-A-2",), ("A-1", "A-2"), named=False) == ""
    assert explain_mismatch("d", ("A1-REF",), ("A1-REF", "A2-REF"), named=False) == ""
    assert explain_mismatch("d", ("A1-B2",), ("A1", "A2"), named=False)


def test_neither_status_nor_recorder_of_a_foreign_decoder_is_taken():
    there = [info("a"), info("x-decode", "Decode", 4.0), info("y-decode", "Decode", 4.0)]
    there += [texts(f"{of}{what}") for of in "xy" for what in ("-status", "-record-status")]
    chosen, problems = choose_streams(
        there, None, None, {"x-decode": "x-decode reads other channels"}
    )
    assert {key: found.name() for key, found in chosen.items()} == {
        "signal": "a",
        "decode": "y-decode",
        "status": "y-status",
        "record:y-record-status": "y-record-status",
    }
    assert not problems
    chosen, problems = choose_streams(
        there, None, "x", {"x-decode": "x-decode reads other channels", "y-decode": "no"}
    )
    assert chosen.keys() == {"signal"}
    assert problems == {"decode": "x-decode reads other channels"}
