"""Recordings in several files, and what a recorder warns of: streams that are missing, units."""

import errno

import numpy as np
import pytest

from rtbrain.errors import SettingsError
from rtbrain.live.recorder_alarms import ExpectedStreams
from rtbrain.live.recorder_files import parse_duration
from rtbrain.marks import SCREEN_MARKER
from rtbrain.recording.xdf.writer import XdfWriter
from rtbrain.stream.lsl.header import StreamHeader
from rtbrain.stream.lsl.raw_inlet import ClockOffset, RawHeader, RawInletLost, RawSamples
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.types import Montage
from tests.conftest import brain_like
from tests.live.bedside import Bedside, second_of
from tests.recording.xdf.fakes import FakeDisk, header, read


@pytest.fixture
def bedside(tmp_path):
    return Bedside(tmp_path)


def numbers_of(data, name):
    (stream,) = [
        one for one in read(data, synchronize_clocks=False) if one["info"]["name"] == [name]
    ]
    return np.rint(stream["time_stamps"] * 512).astype(int)


def test_a_recording_goes_on_in_another_file_without_a_sample_lost_or_twice(bedside):
    first, away = bedside.taps.tap("first"), bedside.taps.tap("away")
    bedside.step((first, RawHeader(header("first"))), (first, ClockOffset(100.0, 0.5)))
    bedside.step((first, second_of(0)), (away, RawHeader(header("away"))), (away, second_of(0)))
    bedside.step((away, RawInletLost("gone")), (first, second_of(1)), seconds=0.0)
    disk = FakeDisk()
    counts, clean = bedside.recording.go_on_in(XdfWriter(disk))
    back = bedside.taps.tap("away")
    bedside.step((first, second_of(2)))
    bedside.step((back, RawHeader(header("away"))), (back, second_of(5)))
    assert bedside.recording.close() is True
    assert clean is True
    assert [(one["name"], one["samples"]) for one in counts] == [("first", 1024), ("away", 512)]
    whole = np.concatenate([numbers_of(one.data, "first") for one in (bedside.disk, disk)])
    np.testing.assert_array_equal(whole, np.arange(3 * 512))
    assert [numbers_of(one.data, "away")[0] for one in (bedside.disk, disk)] == [0, 5 * 512]
    totals = [bedside.recording.total(entry) for entry in bedside.recording.entries]
    assert totals == [(1536, 0), (1024, 0)]
    # Each file can be read alone: the second has the clock's offset too.
    assert read(disk.data, synchronize_clocks=False)[0]["clock_values"] == [0.5]
    assert bedside.named("stream_added")[-1][1]["again"] is True


def test_a_file_that_could_not_be_finished_is_counted_and_the_next_one_begun(bedside):
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header())), (tap, second_of(0)))
    bedside.taps.told.append((tap, second_of(1)))
    bedside.recording.step()
    bedside.disk.broken = errno.EIO
    disk = FakeDisk()
    counts, clean = bedside.recording.go_on_in(XdfWriter(disk))
    assert clean is False
    assert sum(one["dropped"] for one in counts) == 512
    bedside.step((tap, second_of(2)))
    bedside.recording.close()
    assert numbers_of(disk.data, "sig").size == 512
    assert bedside.recording.total(bedside.recording.entries[0]) == (1024, 512)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("60min", 3600), ("1.5 h", 5400)])
def test_a_duration_is_read_with_its_unit(text, seconds):
    assert parse_duration(text, "--split") == seconds


@pytest.mark.parametrize("text", ["", "60", "min", "-1h", "0.5s", "1e3s", "60 minutes", "9" * 5000])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="such as 60min"):
        parse_duration(text, "--split")


def test_an_expected_stream_that_is_not_recorded_alarms_until_it_is():
    now, events = [0.0], []
    watched = ExpectedStreams(
        ("amp", "task"),
        lambda event, **fields: events.append((now[0], event, fields["streams"])),
        lambda: now[0],
    )
    for second in range(40):
        now[0] = float(second)
        there = {"amp"} if second < 20 else {"amp", "task"}
        watched.check(there - ({"amp"} if 30 <= second < 32 else set()))
    assert events == [
        (5.0, "expected_missing", ["task"]),
        (15.0, "expected_missing", ["task"]),
        (20.0, "expected_recorded", ["amp", "task"]),
        (30.0, "expected_missing", ["amp"]),
        (32.0, "expected_recorded", ["amp", "task"]),
    ]


def test_a_stream_of_a_regular_rate_that_is_silent_does_not_arrive(bedside):
    signal, texts = bedside.taps.tap("signal"), bedside.taps.tap("texts", 1)
    texts.row = StreamSummary("texts", "Markers", "t", "here", 1, 0.0)
    bedside.step((signal, RawHeader(header("signal"))), (signal, second_of(0)))
    bedside.step((texts, RawHeader(header("texts", 1, "string", 0.0))))
    assert bedside.recording.arriving() == {"signal", "texts"}
    bedside.step(seconds=4.0)
    assert bedside.recording.arriving() == {"texts"}


@pytest.mark.parametrize("announced", [True, False])
def test_cues_that_have_announced_their_end_are_not_missed_and_a_killed_screen_is(
    bedside, announced
):
    texts = bedside.taps.tap("cues", 1)
    texts.row = StreamSummary("cues", "Markers", "t", "here", 1, 0.0)
    sent = [b"rest", b"speech", *([f"{SCREEN_MARKER}{{}}".encode()] if announced else [])]
    values = np.array(sent, object)[:, None]
    bedside.step((texts, RawHeader(header("cues", 1, "string", 0.0))))
    bedside.step((texts, RawSamples(values, np.arange(len(sent), dtype=float))))
    bedside.step((texts, RawInletLost("gone")))
    assert bedside.recording.arriving() == ({"cues"} if announced else set())
    said = "stream_ended" if announced else "stream_lost"
    assert [fields["samples"] for _, fields in bedside.named(said)] == [len(sent)]
    again = bedside.taps.tap("cues", 1)
    again.row = texts.row
    bedside.step((again, RawHeader(header("cues", 1, "string", 0.0))))
    bedside.step((again, RawSamples(values[:1], np.array([9.0]))), (again, RawInletLost("gone")))
    assert not bedside.recording.arriving()


@pytest.mark.parametrize(("factor", "alarms"), [(1e-6, 1), (1.0, 0)])
def test_an_amplitude_that_no_brain_has_is_told_once(bedside, factor, alarms):
    montage = Montage(("A1", "A2", "A3"), ("seeg",) * 3, 512.0)
    signal = StreamHeader(montage, np.ones(3), "", ())
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header(), signal)))
    data = factor * brain_like(3, 4 * 512, 512.0).T
    for second in range(4):
        rows = slice(512 * second, 512 * (second + 1))
        bedside.step(
            (tap, RawSamples(data[rows].astype(np.float32), second + np.arange(512) / 512))
        )
    told = bedside.named("amplitude")
    assert len(told) == alarms
    assert all("unit is probably wrong" in fields["reason"] for _, fields in told)
