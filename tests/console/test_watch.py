"""What the transport bar says: of jobs that end by themselves, of the disk, of the recording."""

import shutil
from collections import namedtuple

import pytest

from rtbrain.console.folder import Session, open_session
from rtbrain.console.jobs import KILLED
from rtbrain.console.watch import Watch
from rtbrain.view.alarms.conditions import Situation
from rtbrain.view.streams.session import SessionUpdate
from tests.conftest import montage_of
from tests.console.stub import Runs, Streams


@pytest.fixture
def watch(tmp_path):
    return Watch(Session(tmp_path))


def with_job(watch, name, *argv):
    job = watch._session._jobs[name] = Runs(name)
    job.argv = argv
    return job


@pytest.mark.parametrize("exit_code", [KILLED, 1, 2])
def test_a_recorder_that_nobody_ended_is_an_alarm_at_once_and_no_longer_once_another_runs(
    watch, exit_code
):
    job = with_job(watch, "recorder", "record", "runs/run-01.xdf")
    assert watch.update().recording.state == "none"  # its status is not heard yet
    assert {cell.key: cell.value for cell in watch.cells(watch.update())}[
        "recording"
    ] == "run-01.xdf"
    job.end(exit_code)
    assert watch.update().recording.state == "failed"
    assert [alarm.key for alarm in watch.alarms.active] == ["recording_failed"]
    assert watch.news([job]) == [
        "A recording has ended: it was killed, or crashed. Start it again, or look at the log "
        "(Ctrl+J)."
    ]
    with_job(watch, "recorder", "record", "runs/run-02.xdf")
    watch.update()
    assert not watch.alarms.active


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_recording_that_somebody_ended_is_no_alarm(watch, exit_code):
    job = with_job(watch, "recorder", "record", "runs/run-01.xdf")
    job.stop()
    job.exit_code = exit_code
    watch.update()
    assert not watch.alarms.active
    assert not watch.news([job])


def test_a_decoder_that_ended_with_an_error_is_an_alarm_with_its_reason_and_escape_is_none(watch):
    job = with_job(watch, "decoder", "decode")
    job.end(2, "rtbrain: stream 'amp' has 96 channels, the decoder was fitted on 128.")
    watch.update()
    assert [alarm.key for alarm in watch.alarms.active] == ["decoder_stopped"]
    (line,) = watch.news([job])
    assert "A decoder has ended: stream 'amp' has 96 channels" in line
    job.stopping = True
    watch.update()
    assert not watch.alarms.active


def test_the_disk_is_told_in_bytes_and_hours_of_this_signal_and_is_looked_at_when_few(
    watch, monkeypatch
):
    usage = namedtuple("usage", "free")
    free = 36e9
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(free))
    live = Streams()
    live.montage = montage_of(50, 1000.0)  # 0.2 MB a second: 50 h
    watch.read(live)
    disk = {cell.key: cell for cell in watch.cells(watch.update())}["disk"]
    assert (disk.value, disk.note, disk.icon) == ("36 GB", "50 h left", "fine")
    free = 0.72e9
    watch._free_at = -1e9
    disk = {cell.key: cell for cell in watch.cells(watch.update())}["disk"]
    assert (disk.note, disk.icon) == ("1.0 h left", "look")


def test_markers_of_others_that_stop_are_no_alarm_where_the_cue_screen_gives_them(watch):
    class Heard:
        def situation(self, now):
            return Situation(now, markers="task", markers_silent_s=90.0)

    watch._health = Heard()
    watch.update()
    assert [alarm.key for alarm in watch.alarms.active] == ["markers_stopped"]
    watch._session.change(plan={"n_per_class": 20})
    watch.update()
    assert not watch.alarms.active


def test_a_decoder_that_others_have_ended_is_said_and_one_that_was_asked_to_end_is_not(watch):
    job = with_job(watch, "decoder", "decode")
    job.end(0)
    assert watch.news([job]) == ["A decoder has ended; nobody here ended it."]
    job.stopping = True
    assert not watch.news([job])


def test_two_new_sessions_send_by_names_of_their_own_and_keep_them(tmp_path):
    names = [open_session(tmp_path / name).settings.outlet for name in ("a", "b", "a")]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("rtbrain-") for name in names)


def test_marks_by_hand_of_any_window_are_remarks_in_the_log_of_commands_and_repetitions_none(
    watch,
):
    watch.read(Streams())
    sent = [
        ("rtbrain-view-marks", "patient\nmoves $(reboot)"),
        ("rtbrain-session-marks", "bad LA3"),
        ("rtbrain-session-marks", "bad LA3"),
        ("rtbrain-view-marks", "good LA3"),
        ("task", "speech"),
    ]
    markers = [(float(t), text) for t, (_, text) in enumerate(sent)]
    streams = [stream for stream, _ in sent]
    watch.take(SessionUpdate(1.0, markers=markers, marker_streams=streams))
    log = (watch._session.folder / "log.sh").read_text()
    said = [line.split(" ", 3) for line in log.splitlines() if "marked by hand" in line]
    assert all(line[0] == "#" for line in said)
    assert [line[3].removeprefix("marked by hand in ") for line in said] == [
        "rtbrain-view-marks: patient moves $(reboot)",
        "rtbrain-session-marks: bad LA3",
        "rtbrain-view-marks: good LA3",
    ]
