"""The recorder's loop on a disk in memory and taps that a test plays: no network, no waiting."""

import errno
import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from rtbrain.config import DecodeSettings, StreamSettings
from rtbrain.errors import SettingsError
from rtbrain.live import record as recording
from rtbrain.live.record import selected_names, stream_filter
from rtbrain.live.recorder import stream_counts
from rtbrain.live.recorder_alarms import FLOOR_BYTES, DiskGuard
from rtbrain.live.recorder_files import Sidecar, parse_notes
from rtbrain.live.recorder_process import record_flags
from rtbrain.stream.lsl.raw_inlet import (
    ClockOffset,
    RawHeader,
    RawInletLost,
    RawInletRefused,
    RawSamples,
)
from rtbrain.stream.lsl.resolve import StreamSummary
from tests.live.bedside import Bedside, Played, second_of
from tests.recording.xdf.fakes import header, read


@pytest.fixture
def bedside(tmp_path):
    return Bedside(tmp_path)


def test_streams_are_added_as_they_come_and_all_they_send_is_recorded(bedside):
    first, second = bedside.taps.tap("first"), bedside.taps.tap("second", 1)
    bedside.step((first, RawHeader(header("first"))), (first, second_of(0)))
    texts = RawSamples(np.array([[b"go"], ["grün".encode()]], object), np.array([0.5, 0.6]))
    bedside.step(
        (second, RawHeader(header("second", 1, "string", 0.0))),
        (second, texts),
        (first, ClockOffset(100.0, 0.5)),
        (first, second_of(1)),
    )
    bedside.taps.told.append((first, second_of(2)))
    assert bedside.recording.close() is True
    signal, markers = read(bedside.disk.data, synchronize_clocks=False)
    assert signal["info"]["name"] == ["first"]
    assert signal["time_stamps"].size == 3 * 512
    assert signal["clock_values"] == [0.5]
    assert signal["clock_times"] == [99.5]
    assert markers["time_series"] == [["go"], ["grün"]]
    assert [fields["stream"] for _, fields in bedside.named("stream_added")] == ["first", "second"]


def test_a_stream_that_returns_goes_on_where_it_was_and_another_header_is_another_stream(bedside):
    old, new, changed = (bedside.taps.tap("sig") for _ in range(3))
    run = "<uid>{}</uid><desc>".format
    headers = [header().replace(b"<desc>", run(uid).encode()) for uid in "ab"]
    bedside.step((old, RawHeader(headers[0])), (old, second_of(0)), (old, RawInletLost("gone")))
    bedside.step((new, RawHeader(headers[1])), (new, second_of(5)), (new, RawInletLost("gone")))
    bedside.step((changed, RawHeader(header(sfreq_hz=1000.0))), (changed, second_of(9)))
    bedside.recording.close()
    same, other = read(bedside.disk.data, synchronize_clocks=False)
    assert same["time_stamps"].size == 2 * 512
    assert other["time_stamps"].size == 512
    assert [fields["samples"] for _, fields in bedside.named("stream_lost")] == [512, 1024]
    assert [fields.get("again") for _, fields in bedside.named("stream_added")] == [
        None,
        True,
        None,
    ]


def test_what_cannot_be_recorded_is_told_and_the_rest_goes_on(bedside):
    good, bad, none = (bedside.taps.tap(name) for name in ("good", "bad", "none"))
    bedside.step(
        (none, RawInletRefused("0 channels")),
        (bad, RawHeader(header("bad", value_format="complex"))),
        (bad, second_of(0)),
        (good, RawHeader(header("good&#01;"))),
        (good, second_of(0)),
    )
    away = bedside.taps.tap("away")
    bedside.step((away, RawInletLost("no answer")))
    bedside.step((away, RawInletLost("no answer")))
    assert bedside.recording.close() is True
    (stream,) = read(bedside.disk.data)
    assert stream["time_stamps"].size == 512
    refused = {fields["stream"] for _, fields in bedside.named("stream_refused")}
    assert refused == {"bad", "none"}
    assert "replaced" in bedside.named("stream_added")[0][1]["note"]
    assert len(bedside.named("stream_unreachable")) == 1


def test_a_full_disk_alarms_at_once_and_nothing_is_lost_where_there_is_room_again(tmp_path):
    bedside = Bedside(tmp_path, room=40_000)
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header())))
    n_seconds = 25
    for number in range(n_seconds):
        bedside.step((tap, second_of(number)), seconds=1.0)
        if number == 20:
            bedside.disk.room = 1 << 30
    (first, fields), *later = bedside.named("disk_full")
    # 10.7 kB a second: the fourth does not fit.
    assert first <= 0.5 + 4 + 1
    assert fields["waiting_samples"] == 512
    assert fields["dropped_samples"] == 0
    assert len(later) == 1  # again every ten seconds
    ((resumed, _),) = bedside.named("write_resumed")
    assert resumed <= 22.5
    assert bedside.recording.close() is True
    (stream,) = read(bedside.disk.data)
    assert stream["time_stamps"].size == n_seconds * 512


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_disk_that_fails_to_the_end_is_told_and_what_is_missing_counted(bedside, code):
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header())), (tap, second_of(0)))
    bedside.disk.broken = code
    bedside.step((tap, second_of(1)))
    assert bedside.recording.failing
    assert bedside.named("write_error")[0][0] == bedside.now
    bedside.disk.broken = None
    bedside.disk.room = len(bedside.disk.data)
    assert bedside.recording.close() is False
    assert bedside.recording.counts[1].n_dropped == 512
    (stream,) = read(bedside.disk.data)
    assert stream["time_stamps"].size == 512


def test_a_disk_that_takes_its_time_is_told(bedside):
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header())))

    def slow():
        bedside.now += 2.0

    bedside.disk.sync = slow
    bedside.step((tap, second_of(0)))
    assert bedside.named("disk_slow")[0][1]["seconds"] == 4.0


def test_the_free_space_is_told_every_ten_seconds_and_warned_of_once(bedside):
    for _ in range(60):
        bedside.step()
    told = bedside.named("disk")
    assert [round(at) for at, _ in told] in ([0, 10, 20, 30], [0, 10, 20], [1, 11, 21])
    assert told[0][1]["free_bytes"] == bedside.free
    assert not bedside.named("disk_low")
    for free in (FLOOR_BYTES - 1, FLOOR_BYTES, FLOOR_BYTES - 1, 2 * FLOOR_BYTES, 5):
        bedside.free = free
        bedside.step(seconds=1.0)
    assert len(bedside.named("disk_low")) == 2


def test_the_floor_is_ten_minutes_of_what_is_written(tmp_path):
    now, events, free = [0.0], [], [100 * FLOOR_BYTES]
    guard = DiskGuard(
        tmp_path,
        lambda event, **fields: events.append((event, fields)),
        free_bytes=lambda _: free[0],
        clock=lambda: now[0],
    )
    now[0] = 100.0
    guard.check(100 * FLOOR_BYTES)
    assert events[0] == ("disk", {"free_bytes": free[0], "minutes_left": 1.7})
    assert events[1] == (
        "disk_low",
        {"free_bytes": free[0], "floor_bytes": 600 * FLOOR_BYTES, "minutes_left": 1.7},
    )


def test_the_side_file_is_there_from_the_start_and_completed_at_the_end(bedside, tmp_path):
    path = tmp_path / "session.xdf"
    side = Sidecar(path, parse_notes(["bundle=abc", 'settings={"late": "newest"}']))
    before = json.loads((tmp_path / "session.json").read_text())
    assert before["clean_end"] is False
    assert before["recording"] == "session.xdf"
    assert before["notes"] == {"bundle": "abc", "settings": {"late": "newest"}}
    assert str(tmp_path) not in (tmp_path / "session.json").read_text()
    tap = bedside.taps.tap("sig")
    bedside.step((tap, RawHeader(header())), (tap, second_of(0)), (tap, RawInletLost("gone")))
    clean = bedside.recording.close()
    side.complete(stream_counts(bedside.recording), clean)
    after = json.loads((tmp_path / "session.json").read_text())
    assert after["clean_end"] is True
    (stream,) = after["streams"]
    assert (stream["name"], stream["samples"], stream["lost_links"]) == ("sig", 512, 1)
    with pytest.raises(SettingsError, match="already exists"):
        Sidecar(path, {})


@pytest.mark.parametrize(
    ("notes", "says"),
    [
        (["bundle"], "KEY=VALUE"),
        (["=x"], "KEY=VALUE"),
        (["a=1", "a=2"], "repeated"),
        (["a=/home/x"], "looks like a path"),
        (["a=C:\\x"], "looks like a path"),
        (['a="/home/x"'], "looks like a path"),
    ],
)
def test_notes_that_cannot_be_taken_are_refused(notes, says):
    with pytest.raises(SettingsError, match=says):
        parse_notes(notes)


def test_settings_whose_stream_has_any_sign_in_its_name_are_no_path():
    stream = StreamSettings(name="EEG/1 Müller", markers="task\\left")
    flags = record_flags(DecodeSettings(stream=stream), {"mode": "linear"})
    notes = [flag for before, flag in pairwise(flags) if before == "--note"]
    assert parse_notes(notes)["settings"]["stream"]["name"] == "EEG/1 Müller"


def test_a_decoder_that_is_given_no_markers_records_whichever_there_are():
    for markers in (None, "task"):
        stream = StreamSettings(type="EEG", markers=markers)
        flags = record_flags(DecodeSettings(stream=stream), {})
        given = {key: [] for key in ("--type", "--markers", "--decodes")}
        for flag, value in pairwise(flags):
            given.get(flag, []).append(value)
        names = selected_names((), given["--markers"], given["--decodes"])
        wanted = stream_filter(names, given["--type"], own="rec")
        kinds = {"amp": "EEG", "task": "Markers", "other": "Markers", "rtbrain-decode": "Decode"}
        rows = [StreamSummary(name, kind, name, "here", 1, 1.0) for name, kind in kinds.items()]
        recorded = {row.name for row in rows if wanted(row)}
        assert recorded == kinds.keys() - ({"other"} if markers else set())


def test_a_selection_is_by_name_and_never_of_its_own_status():
    names = selected_names(["amp", "amp"], ["task"], ["bci"])
    assert names == ["amp", "task", "bci-decode", "bci-status"]

    def row(name, source_id="x"):
        return StreamSummary(name, "EEG", source_id, "here", 1, 1.0)

    wanted = stream_filter(names, (), own="rec")
    assert wanted(row("task"))
    assert wanted(row("bci-events"))
    assert not wanted(row("other"))
    assert not wanted(row("other-events"))
    everything = stream_filter((), (), own="rec")
    assert everything(row("other"))
    assert everything(row("rec-status", "of another"))
    assert not everything(row("rec-status", "recorder:rec-status"))
    by_kind = stream_filter(["task"], ["amp-1", "EEG"], own="rec")
    assert by_kind(row("any", "amp-1"))
    assert by_kind(row("any"))
    assert not stream_filter(["task"], ["ECoG"], own="rec")(row("any"))


def test_a_signal_without_a_regular_rate_is_recorded_and_said_so(bedside):
    tap = bedside.taps.tap("amp")
    tap.row = StreamSummary("amp", "EEG", "amp", "here", 3, 0.0)
    bedside.step((tap, RawHeader(header("amp", sfreq_hz=0.0))), (tap, second_of(0)))
    ((_, added),) = bedside.named("stream_added")
    assert "no regular rate" in added["note"]


@pytest.mark.parametrize(("expected", "whole"), [(["sig"], True), ([], False), (["none"], False)])
def test_of_the_streams_that_are_named_those_that_are_expected_must_have_come(
    tmp_path, monkeypatch, expected, whole
):
    taps = Played()
    taps.told = [(taps.tap("sig"), RawHeader(header("sig")))]
    monkeypatch.setattr(recording, "RawInlets", lambda wanted: taps)
    monkeypatch.setattr(recording, "require_free_name", lambda name: None)
    monkeypatch.setattr(recording, "stop_on_signals", lambda: None)
    monkeypatch.setattr(recording, "end_with_parent", lambda parent: None)
    monkeypatch.setattr(recording, "stop_after", lambda *_: lambda: not taps.told)
    quiet = SimpleNamespace(emit=lambda *_, **__: None, close=lambda: None)
    monkeypatch.setattr(recording, "StatusOutlet", lambda name, source_id: quiet)
    out = tmp_path / "one.xdf"
    assert recording.record(out, ["sig", "none"], expected=expected, parent=1) is whole
