"""The cells of the status line say how each part is, and what alarms depend on."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.buffer.windows import coverage_flaw
from rtbrain.marks import SCREEN_MARKER
from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.view.alarms.conditions import Alarm, conditions
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.health.cells import Health, elapsed
from rtbrain.view.streams.session import SessionUpdate
from tests.conftest import montage_of
from tests.view.health.test_recorder import OTHER, THIS, event
from tests.view.stub import StubSession, feed, row, status_event

INFO = DecodeHeader("ward-decode", ("speech", "rest"), "probability", 0.25)
SIGNAL = feed("signal", name="amp", source_id="amp-1", nominal_hz=2048.0)


class Shown:
    """A session and its health, fed by hand."""

    def __init__(self, **fields):
        decode = feed("decode", name="ward-decode")
        status = feed("status", name="ward-status")
        record = feed("record", "absent", name="")
        self.session = StubSession(montage_of(4, 2048.0), INFO, (SIGNAL, decode, status, record))
        for name, value in fields.items():
            setattr(self.session, name, value)
        self.health = Health(self.session, Decoding(self.session))

    def take(self, now, **fields):
        self.health.take(SessionUpdate(now, **fields))

    def situation(self, now):
        return self.health.situation(now)

    def cell(self, key, now=100.0, alarm=None):
        cells = self.health.cells(self.situation(now), lambda cell: alarm)
        return next(cell for cell in cells if cell.key == key)


@pytest.fixture
def shown():
    made = Shown()
    made.take(100.0, chunks=(None,), decodes=(row(99.9, [0.9, 0.1], age_s=0.22),))
    return made


def test_what_is_fine_has_a_tick_and_its_figures(shown):
    said = {key: shown.cell(key) for key in ("signal", "decoder", "age", "contacts")}
    assert {cell.icon for cell in said.values()} == {"fine"}
    assert (said["signal"].value, said["signal"].note) == ("amp", "2048 Hz, 0 lost")
    assert (said["decoder"].value, said["decoder"].note) == ("ward", "running")
    assert said["age"].value == "0.22 s"
    assert (said["contacts"].value, said["contacts"].note) == ("4", "of 4 good")


def test_lost_samples_are_shown_for_a_minute(shown):
    shown.session.set("signal", lost=512)
    shown.take(101.0)
    cell = shown.cell("signal", 101.0)
    assert (cell.note, cell.icon, cell.level) == ("512 lost", "look", "look")
    for now in (150.0, 162.0):
        shown.take(now)
    assert shown.cell("signal", 162.0).note == "2048 Hz, 0 lost"


def test_a_silent_signal_is_an_alarm_with_its_time(shown):
    assert math.isnan(shown.situation(101.0).silent_s)
    shown.session.set("signal", state="stalled")
    assert shown.situation(104.2).silent_s == pytest.approx(4.2)
    cell = shown.cell("signal", 104.2)
    assert (cell.icon, cell.note) == ("fix", "silent 4.2 s")


def test_a_signal_that_is_opened_again_is_silent_until_its_samples_come(shown):
    shown.session.set("signal", state="lost")
    shown.take(102.0)
    shown.session.set("signal", state="connecting")
    shown.take(103.0)
    assert shown.situation(103.0).silent_s == pytest.approx(3.0)
    assert shown.cell("signal", 103.0).note == "silent 3.0 s"
    shown.session.set("signal", state="live")
    shown.take(104.0, chunks=(None,))
    assert math.isnan(shown.situation(104.0).silent_s)


def test_a_signal_that_returns_with_another_rate_is_counted_anew(shown):
    shown.session.set("signal", lost=8602)
    shown.take(101.0)
    shown.session.set("signal", lost=0)
    shown.take(102.0)
    assert shown.cell("signal", 102.0).note == "2048 Hz, 0 lost"


def test_a_decoder_that_hangs_is_late_in_its_cell_too(shown):
    shown.take(100.0, events=(status_event("live", stream="ward-status"),))
    assert (shown.cell("decoder").note, shown.cell("decoder").icon) == ("live", "fine")
    cell = shown.cell("decoder", 160.0)
    assert (cell.note, cell.icon, cell.level) == ("late", "look", "look")


def test_what_the_last_run_of_a_decoder_sent_is_no_alarm_of_the_next_one(shown):
    ended = [status_event(one, stream="ward-status") for one in ("stopping", "stopped")]
    shown.take(101.0, events=ended)
    for kind in ("decode", "status"):
        shown.session.set(kind, state="ended")
    shown.take(102.0)
    for kind in ("decode", "status"):
        shown.session.set(kind, state="live")
    shown.take(700.0, events=(status_event("connecting", stream="ward-status"),))
    assert conditions(shown.situation(700.0)) == []
    filling = (row(700.9, [0.5, 0.5], valid=False),)
    shown.take(701.0, events=(status_event("warming", stream="ward-status"),), decodes=filling)
    shown.take(704.0, events=(status_event("live", stream="ward-status"),))
    shown.take(704.0, decodes=(row(703.9, [0.5, 0.5], valid=False),))
    assert shown.situation(704.0).invalid_s == pytest.approx(3.1)


def test_several_signals_want_a_choice(shown):
    shown.session.choices = (StreamSummary("a", "EEG", "1", "ward", 4, 512.0),)
    assert (shown.cell("signal").value, shown.cell("signal").icon) == ("choose", "unchecked")


def test_an_old_decode_says_how_old_it_is(shown):
    assert math.isnan(shown.situation(100.8).decode_age_s)
    assert shown.situation(101.9).decode_age_s == pytest.approx(2.0)
    assert (shown.cell("age", 101.8).value, shown.cell("age", 101.8).level) == ("1.9 s", "fix")


def test_decodes_that_are_not_valid_say_since_when_and_why(shown):
    invalid = status_event(
        "invalid", 100.0, "ward-status", reason=coverage_flaw(np.arange(4) < 1, 0.3)
    )
    shown.session.decode = DecodeHeader(
        "ward-decode", INFO.labels, "probability", 0.25, contacts=("A1", "A2", "A3", "A4")
    )
    shown.take(101.0, decodes=(row(100.0, [0.9, 0.1]),))
    shown.take(112.0, events=(invalid,), decodes=(row(112.0, [0.9, 0.1], valid=False),))
    situation = shown.situation(112.0)
    assert situation.invalid_s == pytest.approx(12.0)
    assert situation.invalid_why == "1 of 4 contacts are good; 2 are needed. Look at the contacts."
    assert shown.cell("decoder", 112.0).note == "not valid"


def test_a_decoder_that_fills_its_window_is_no_alarm(shown):
    shown.take(101.0, events=(status_event("warming", stream="ward-status"),))
    shown.take(120.0, decodes=(row(120.0, [0.9, 0.1], valid=False),))
    assert math.isnan(shown.situation(120.0).invalid_s)
    assert shown.cell("decoder", 120.0).icon == "checking"


def test_a_decoder_that_vanished_has_stopped_and_one_that_ended_has_not(shown):
    for kind in ("decode", "status"):
        shown.session.set(kind, state="lost")
    assert shown.situation(101.0).decoder_stopped
    assert shown.cell("decoder", 101.0).icon == "fix"
    for kind in ("decode", "status"):
        shown.session.set(kind, state="ended")
    assert not shown.situation(101.0).decoder_stopped


def test_detections_count_where_the_decoder_has_thresholds(shown):
    assert not shown.situation(100.0).detects
    found = {"sends": True, "thresholds": {"speech": {"up": 0.7}}}
    shown.take(100.1, events=(status_event("summary", detections=found),))
    assert shown.situation(100.1).detects


def test_bad_contacts_are_counted_and_named_in_the_tip():
    shown = Shown(bad={"A1": "flat", "Z9": "of another montage"})
    cell = shown.cell("contacts")
    assert (cell.value, cell.icon, cell.tip) == ("3", "look", "A1: flat")


def test_contacts_are_not_checked_while_no_decoder_runs():
    for bad, value in (({}, "4"), ({"A1": "flat"}, "3")):
        shown = Shown(bad=bad)
        assert shown.cell("contacts").note == "of 4 good"
        for state in ("lost", "ended", "absent"):
            shown.session.set("status", state=state)
            cell = shown.cell("contacts")
            assert (cell.value, cell.note, cell.icon) == (value, "not checked", "unchecked")


def test_markers_that_stop_are_an_alarm_and_few_ones_are_not(shown):
    here = feed("markers", name="task", received=4)
    shown.session.feeds += (here,)
    shown.take(101.0)
    shown.take(200.0)
    assert math.isnan(shown.situation(200.0).markers_silent_s)
    shown.session.feeds = (*shown.session.feeds[:-1], feed("markers", name="task", received=5))
    shown.take(201.0)
    situation = shown.situation(262.0)
    assert (situation.markers, situation.markers_silent_s) == ("task", pytest.approx(61.0))
    assert shown.cell("markers", 262.0).value == "task"


def test_cues_that_have_announced_their_end_are_silent_without_an_alarm_until_others_begin(shown):
    shown.session.feeds += (feed("markers", name="cues", received=5),)
    end = [(200.0, f"{SCREEN_MARKER}{{}}")]
    shown.take(200.0, markers=end, marker_streams=("cues",))
    assert math.isnan(shown.situation(900.0).markers_silent_s)
    shown.session.feeds = (*shown.session.feeds[:-1], feed("markers", name="cues", received=6))
    shown.take(1000.0, markers=[(1000.0, "rest")], marker_streams=("cues",))
    assert shown.situation(1100.0).markers_silent_s == pytest.approx(100.0)


def test_the_recording_says_what_it_holds_and_since_when(shown):
    assert shown.cell("recording").value == "none"
    late = ("summary", dict(THIS[1], seconds=751.0))
    shown.take(100.0, recorder_events=(event(*late, t=100.0),))
    cell = shown.cell("recording", 100.0)
    assert cell.label == "Recording  ·  this signal, 2 streams"
    assert (cell.value, cell.note) == ("00:12:31", "a.xdf")
    shown.take(100.0, recorder_events=(event(*OTHER, t=100.0),))
    assert shown.cell("recording", 100.0).label == "Recording  ·  not this signal: task"


def test_the_disk_is_in_gigabytes_and_hours(shown):
    free = ("disk", {"free_bytes": 58_000_000_000, "minutes_left": 3660.0})
    shown.take(100.0, recorder_events=(event(*THIS), event(*free)))
    assert (shown.cell("disk").value, shown.cell("disk").note) == ("58 GB", "61 h")


def test_a_cell_with_an_alarm_is_shown_and_keeps_its_place(shown):
    assert shown.cell("contacts").may_go
    alarm = Alarm("detections_off", False, "DETECTIONS OFF", "", "decoder", "Detections off")
    cell = shown.cell("decoder", alarm=alarm)
    assert (cell.icon, cell.note, cell.may_go) == ("look", "Detections off", False)
    shown.session.set("signal", lost=512)
    shown.take(101.0)
    assert shown.cell("signal", alarm=replace(alarm, high=True)).note == "512 lost"


def test_the_load_is_read_every_two_seconds(monkeypatch):
    loads = iter([0.0, 25.0, 95.0])
    monkeypatch.setattr("psutil.cpu_percent", lambda: next(loads))
    shown = Shown()
    for now, value, icon in (
        (100.0, "25 %", "fine"),
        (101.5, "25 %", "fine"),
        (102.1, "95 %", "look"),
    ):
        cell = shown.cell("load", now)
        assert (cell.value, cell.icon) == (value, icon)


def test_skipped_decodes_are_counted(shown):
    assert shown.cell("skipped").value == "0"
    shown.take(101.0, events=(status_event("skipped", stream="ward-status", windows=3),) * 2)
    assert (shown.cell("skipped").value, shown.cell("skipped").icon) == ("6", "look")


def test_what_a_decoder_of_other_channels_reported_is_forgotten(shown):
    shown.take(101.0, events=(status_event("refused", stream="ward-status"),))
    assert shown.cell("decoder").icon == "fix"
    shown.session.decode = None
    for kind in ("decode", "status"):
        shown.session.set(kind, state="absent")
    shown.take(102.0, other_decoder=True)
    assert shown.cell("decoder").value == "none"


def test_elapsed_time_is_in_hours_minutes_and_seconds():
    assert [elapsed(s) for s in (0, 751, 36_001, math.nan)] == [
        "00:00:00",
        "00:12:31",
        "10:00:01",
        "–",
    ]
