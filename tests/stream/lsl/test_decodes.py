"""Decodes and status events, read back from the streams that the outlets make."""

import json
import time
from collections import deque
from uuid import uuid4

import numpy as np
import pytest

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.outlet import DecodeOutlet, SignalOutlet, StatusOutlet
from rtbrain.stream.lsl.decodes import (
    DecodeListener,
    ReceivedDecode,
    parse_status_line,
    received_decodes,
)
from rtbrain.types import Decode, Montage, Quality

pytestmark = pytest.mark.lsl
MONTAGE = Montage(("A1", "A2"), ("seeg", "seeg"), 500.0)
GOOD = Quality(np.array([True, False]))


def decode(t_stop: float) -> Decode:
    values = np.array([0.25, 0.75], np.float32)
    return Decode(values, t_stop - 0.5, t_stop, GOOD, t_stop + 0.01, t_stop + 0.03, drift=1.25)


def outlet(name: str) -> DecodeOutlet:
    return DecodeOutlet(
        name,
        ("rest", "move"),
        hop_s=0.25,
        montage=MONTAGE,
        bundle_id="x",
        source_id=f"{name}-decode",
        delay_s=0.5,
    )


def first_decodes(listener: DecodeListener) -> list[ReceivedDecode]:
    return next(filter(None, (listener.pull(0.5) for _ in range(20))))


def test_a_listener_reads_what_the_outlets_sent() -> None:
    name = uuid4().hex
    sent, status = outlet(name), StatusOutlet(name, source_id=f"{name}-status")
    listener = DecodeListener(name)
    listener.wait(10.0)
    header = listener.header
    assert header is not None
    assert (header.labels, header.hop_s, header.contacts) == (("rest", "move"), 0.25, ("A1", "A2"))
    assert header.delay_s == 0.5
    status.emit("gap", lost=3)
    sent.push(decode(100.0))
    (got,) = first_decodes(listener)
    assert got.values.tolist() == [0.25, 0.75]
    assert (got.valid, got.coverage, got.drift) == (True, 0.5, 1.25)
    assert (got.age_s, got.compute_s) == pytest.approx((0.53, 0.02))
    (event,) = next(filter(None, iter(listener.pull_events, None)))
    assert (event.event, event.fields) == ("gap", {"lost": 3})
    status.close()
    sent.close()
    with pytest.raises(StreamLostError):
        deque(iter(lambda: listener.pull(0.5), None), maxlen=0)
    listener.close()
    assert listener.pull() == []


def test_decodes_are_found_whenever_they_appear() -> None:
    name = uuid4().hex
    listener = DecodeListener(name)
    listener.look(0.1)
    assert listener.header is None
    assert listener.pull() == []
    sent = outlet(name)
    end = time.monotonic() + 10
    while listener.header is None and time.monotonic() < end:
        listener.look()
    sent.push(decode(100.0))
    assert len(first_decodes(listener)) == 1
    sent.close()


def test_a_stream_of_another_kind_is_refused() -> None:
    name = uuid4().hex
    sent = SignalOutlet(f"{name}-decode", MONTAGE, source_id=name, origin="synthetic")
    with pytest.raises(StreamError, match="its channels are not outputs and then valid, coverage"):
        DecodeListener(name).wait(10.0)
    sent.close()


@pytest.mark.parametrize(
    "line",
    ["no JSON", "[1]", '{"event": 3}', "[" * 100_000, '{"event":"disk","n":' + "9" * 5000 + "}"],
)
def test_a_line_that_is_no_event_is_unreadable(line: str) -> None:
    event = parse_status_line(1.0, line, "x-status")
    assert event.event == "unreadable"
    cut = line if len(line) <= 200 else f"{line[:200]}..."
    assert event.fields == {"text": cut, "stream": "x-status"}


def test_what_a_line_holds_can_be_shown_and_computed_with() -> None:
    line = {
        "event": "disk\x1b[2J",
        "free_bytes": 10**400,
        "reason": "<img src=/dev/zero>\x1b]0;x\x07\n" + "x" * 60_000,
        "bad": {"A\u202e1": [float("nan"), float("inf"), 3, True]},
    }
    event = parse_status_line(1.0, json.dumps(line), "x-status")
    assert event.event == "disk?[2J"
    assert event.fields["free_bytes"] is None
    assert event.fields["reason"].startswith("<img src=/dev/zero>?]0;x??xxx")
    assert len(event.fields["reason"]) < 1100
    assert event.fields["bad"] == {"A?1": [None, None, 3, True]}


def test_decodes_of_an_older_sender_have_no_drift() -> None:
    (got,) = received_decodes([[0.25, 0.75, 1, 0.5, 0.53, 0.02]], [100.0], 2, 100.1)
    assert (got.valid, got.coverage, got.compute_s) == (True, 0.5, pytest.approx(0.02))
    assert np.isnan(got.drift)
