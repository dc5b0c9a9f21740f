"""Status events in words, and a screen that shows them above a live view."""

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import rtbrain
from rtbrain.live.screen import LiveScreen, sentence

EVENTS = [
    ("connected", {"stream": "a", "channels": 2, "rate_hz": 512.0, "missing": ["A1"],
                   "notes": ["no unit"]},
     "connected to a: 2 channels at 512 Hz; missing A1; no unit"),
    ("recovered", {"gap": 12}, "the stream is back; samples lost meanwhile: 12"),
    ("pace", {"step_ms": 1.5, "steps": 15, "hop_ms": 125.0, "fits": True},
     "one decode takes 1.5 ms here, of a hop of 125 ms"),
    ("stream_missing", {"streams": ["a", "b"]}, "never found: a, b"),
    ("stopped", {"decodes": 4, "lost": 1, "skipped": 0},
     "4 decodes, 1 samples lost, 0 windows skipped"),
    ("stopped", {"streams": {"1 a": 7}, "dropped": 0, "clean_end": True}, "7 samples of a"),
    ("stopped", {"streams": {}, "dropped": 2, "clean_end": False},
     "no stream was recorded; 2 samples dropped; the file may be incomplete"),
    ("clock", {"samples": 3}, ""),
    ("rate", {"effective_rate_hz": None, "nominal_rate_hz": 512.0},
     "the stream's true rate is None Hz: resampled to 512 Hz"),
    ("something_new", {"is_good": True, "of": ["a", 1.25], "by": {"x": None}},
     "something new: is good yes, of a, 1.25, by x None"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "fields", "expected"), EVENTS)
def test_an_event_is_a_sentence(event, fields, expected):
    assert sentence(event, fields) == expected


def test_no_event_of_the_package_lacks_a_sentence():
    """Whatever a stage reports reads as words, with no Python lists, dicts or booleans."""
    source = "\n".join(
        path.read_text()
        for folder in ("live", "stream", "signal", "encoder", "outlet")
        for path in (Path(rtbrain.__file__).parent / folder).rglob("*.py")
    )
    call = r"(?:tell|emit|report|on_event)\(\s*\"([a-z_]+)\""
    events = set(re.findall(call, source))
    assert {"connected", "stream_added", "pace", "gap"} <= events
    unknown = [event for event in sorted(events) if sentence(event, {"zzz": 1}).endswith("zzz 1")]
    assert unknown == []


def test_text_of_a_sender_cannot_move_the_cursor():
    assert "\x1b" not in sentence("refused", {"reason": "a\x1b[2Jb\nc"})
    assert "\n" not in sentence("refused", {"reason": "a\x1b[2Jb\nc"})


def test_a_terminal_gets_one_live_view_and_a_file_a_line_every_10_s(monkeypatch):
    shown = {}
    for terminal in (True, False):
        out = io.StringIO()
        now = iter((0.0, 0.1, 9.9, 10.1, 10.2, 19.9))
        clock = SimpleNamespace(monotonic=lambda now=now: next(now))
        monkeypatch.setattr("rtbrain.live.screen.time", clock)
        screen = LiveScreen(Console(file=out, force_terminal=terminal, width=80))
        screen.report("live")
        for _ in range(5):
            screen.show(lambda: "the view [bold]")
        screen.close()
        shown[terminal] = out.getvalue()
        assert "samples arrive" in shown[terminal]
    assert shown[False].count("the view [bold]") == 1
    assert "\x1b" not in shown[False]
    assert "\x1b" in shown[True]


def test_a_closed_output_ends_no_session(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    screen = LiveScreen()
    screen.say("lost")
    screen.show(lambda: "lost")
    screen.close()


def test_a_recorders_events_survive_json():
    fields = {"streams": {"1 a": 7}, "dropped": 0, "clean_end": True}
    assert sentence("stopped", json.loads(json.dumps(fields))) == "7 samples of a"


def test_a_session_says_how_contacts_without_positions_are_joined() -> None:
    fields = {"mode": "edge", "to": "ward-decode", "population": "positions from the labels"}
    said = "decoding (edge; positions from the labels) to ward-decode; Ctrl-C ends it"
    assert sentence("decoding", fields) == said
    plain = sentence("decoding", fields | {"mode": "linear", "population": ""})
    assert plain == "decoding (linear) to ward-decode; Ctrl-C ends it"
