"""Marks by hand are heard from every window of the name, whenever it comes and goes."""

import socket
import time
from collections.abc import Callable
from uuid import uuid4

import pylsl
import pytest

from rtbrain.marks import Mark
from rtbrain.outlet import MarkerOutlet
from rtbrain.stream.lsl.markers import ManualMarks
from rtbrain.stream_names import window_source_id

pytestmark = pytest.mark.lsl
CANNOT = "could not create stream inlet."


def until(true: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)  # leaves the cores to what is waited for
    return False


def test_marks_are_heard_of_windows_that_come_go_and_come_back() -> None:
    name = f"marks'{uuid4().hex}"
    told: list[dict[str, str]] = []
    marks = ManualMarks(
        name, on_event=lambda event, **fields: told.append({"event": event} | fields)
    )
    heard: list[str] = []

    def got(count: int) -> bool:
        heard.extend(mark.text for mark in marks())
        return len(heard) >= count

    try:
        assert marks() == []
        one = MarkerOutlet(name, source_id=uuid4().hex)
        two = MarkerOutlet(name, source_id=uuid4().hex)
        other = MarkerOutlet(f"{name}-other", source_id=uuid4().hex)
        assert one.wait_for_listeners(10)
        assert two.wait_for_listeners(10)
        one.push("bad LA3", pylsl.local_clock())
        assert until(lambda: got(1))
        two.push("good LA3", pylsl.local_clock())
        assert until(lambda: got(2))
        assert heard == ["bad LA3", "good LA3"]
        assert [each["event"] for each in told] == ["manual_marks"] * 2
        assert {each["host"] for each in told} == {socket.gethostname()}
        assert not other.wait_for_listeners(0.1)
        one.close()
        del one
        again = MarkerOutlet(name, source_id=uuid4().hex)
        assert again.wait_for_listeners(10)
        again.push("bad?", pylsl.local_clock())
        assert until(lambda: got(3))
        assert heard[-1] == "bad?"
        for outlet in (two, other, again):
            outlet.close()
    finally:
        marks.close()


def test_an_inlet_that_cannot_be_made_is_told_once_and_made_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"marks-{uuid4().hex}"
    told: list[tuple[str, dict[str, str]]] = []
    heard: list[str] = []
    make, failures = pylsl.StreamInlet, iter(range(3))

    def inlet(*args: object, **kwargs: object) -> object:
        if next(failures, None) is not None:
            raise RuntimeError(CANNOT)
        return make(*args, **kwargs)

    monkeypatch.setattr(pylsl, "StreamInlet", inlet)
    source_id = uuid4().hex
    outlet = MarkerOutlet(name, source_id=source_id)
    marks = ManualMarks(name, on_event=lambda event, **fields: told.append((event, fields)))
    try:
        assert until(lambda: marks() == [] and len(told) == 2)
        who = {"stream": name, "source_id": source_id, "host": socket.gethostname()}
        why = who | {"reason": f"stream '{name}' cannot be received now: {CANNOT}"}
        assert told == [("manual_marks_failed", why), ("manual_marks", who)]
        outlet.push("bad LA3", pylsl.local_clock())
        assert until(lambda: heard.extend(mark.text for mark in marks()) or heard == ["bad LA3"])
    finally:
        marks.close()
        outlet.close()


def test_a_stream_of_numbers_under_the_name_is_left_alone() -> None:
    name = f"marks-{uuid4().hex}"
    info = pylsl.StreamInfo(name, "EEG", 1, 100.0, "float32", name)
    outlet = pylsl.StreamOutlet(info)
    marks = ManualMarks(name, on_event=lambda event, **fields: None)
    try:
        assert not outlet.wait_for_consumers(2)
        assert marks() == []
    finally:
        marks.close()
        marks.close()


def received(marks: ManualMarks, count: int) -> list[Mark]:
    got: list[Mark] = []
    assert until(lambda: got.extend(marks()) or len(got) >= count)
    return got


def test_a_mark_says_who_sent_it_and_only_live_windows_of_this_machine_are_the_operator() -> None:
    name = f"marks-{uuid4().hex}"
    window = window_source_id(name, uuid4().hex)
    marks = ManualMarks(name, on_event=lambda event, **fields: None)
    outlets = [MarkerOutlet(name, source_id=source_id) for source_id in (window, "evil")]
    try:
        assert all(outlet.wait_for_listeners(10) for outlet in outlets)
        for number, outlet in enumerate(outlets):
            outlet.push(f"bad LA{number}", pylsl.local_clock())
        host = socket.gethostname()
        assert sorted(received(marks, 2), key=str) == [
            Mark("bad LA0", window, host, by_operator=True),
            Mark("bad LA1", "evil", host, by_operator=False),
        ]
    finally:
        marks.close()
        for outlet in outlets:
            outlet.close()


def test_where_senders_are_named_the_marks_of_all_others_are_refused_and_told_once() -> None:
    name = f"marks-{uuid4().hex}"
    told: list[tuple[str, str]] = []
    marks = ManualMarks(
        name,
        senders=("nurse",),
        on_event=lambda event, **fields: told.append((event, fields["source_id"])),
    )
    nurse, stranger = (MarkerOutlet(name, source_id=source_id) for source_id in ("nurse", "evil"))
    try:
        assert nurse.wait_for_listeners(10)
        nurse.push("bad LA1", pylsl.local_clock())
        (mark,) = received(marks, 1)
        assert (mark.source_id, mark.by_operator) == ("nurse", True)
        assert until(lambda: marks() == [] and len(told) == 2)
        assert sorted(told) == [("manual_marks", "nurse"), ("manual_marks_refused", "evil")]
        assert not stranger.wait_for_listeners(0.5)
    finally:
        marks.close()
        nurse.close()
        stranger.close()


def test_a_flood_of_marks_costs_no_more_than_its_different_texts() -> None:
    name = f"marks-{uuid4().hex}"
    marks = ManualMarks(name, on_event=lambda event, **fields: None)
    outlet = MarkerOutlet(name, source_id="evil")
    try:
        assert outlet.wait_for_listeners(10)
        for number in range(20_000):
            outlet.push(f"{'bad' if number % 2 else 'good'} LA1", pylsl.local_clock())
        outlet.push("x" * 10_000, pylsl.local_clock())
        got: list[Mark] = []
        assert until(lambda: got.extend(marks()) or any(mark.text[0] == "x" for mark in got))
        assert len(got) < 200
        assert len(got[-1].text) < 300
    finally:
        marks.close()
        outlet.close()
