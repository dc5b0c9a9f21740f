"""Marks by hand are heard from every window of the name, whenever it comes and goes."""

import time
from collections.abc import Callable
from uuid import uuid4

import pylsl
import pytest

from rtbrain.outlet import MarkerOutlet
from rtbrain.stream.lsl.markers import ManualMarks

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
        heard.extend(marks())
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
        assert told == [{"event": "manual_marks", "stream": name}] * 2
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
    outlet = MarkerOutlet(name, source_id=uuid4().hex)
    marks = ManualMarks(name, on_event=lambda event, **fields: told.append((event, fields)))
    try:
        assert until(lambda: marks() == [] and len(told) == 2)
        why = {"stream": name, "reason": f"stream '{name}' cannot be received now: {CANNOT}"}
        assert told == [("manual_marks_failed", why), ("manual_marks", {"stream": name})]
        outlet.push("bad LA3", pylsl.local_clock())
        assert until(lambda: heard.extend(marks()) or heard == ["bad LA3"])
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
