"""A session on the disk: settings, jobs that outlive it, names, and a log that bash runs again."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rtbrain.console import log as session_log
from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.jobs import KILLED, Job
from rtbrain.console.watch import Watch
from rtbrain.errors import SettingsError
from tests.conftest import wait_until
from tests.console.stub import Runs

# Quick, and loads little.
QUICK = ["config", "--help"]


def test_settings_are_there_again_when_the_session_is_opened_again(tmp_path):
    session = Session(tmp_path / "s")
    used = UsedStream(name="ward-amp", source_id="a1", role="signal")
    session.change(code="sub-07", mains_hz=50, streams=(used,), markers={"2": "speech"})
    again = Session(tmp_path / "s").settings
    assert (again.code, again.mains_hz, again.signal, again.markers) == (
        "sub-07",
        50,
        used,
        {"2": "speech"},
    )


def test_a_value_that_cannot_be_is_refused_and_nothing_changes(tmp_path):
    session = Session(tmp_path)
    with pytest.raises(SettingsError, match="mains_hz"):
        session.change(mains_hz=55)
    assert session.settings.mains_hz is None
    assert Session(tmp_path).settings.mains_hz is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 2}', "expected a session of version 1, got '2'"),
        ('{"version": 1, "colour": "red"}', "colour"),
        ("[]", "version"),
        ("{", "not readable"),
    ],
)
def test_a_folder_of_another_version_or_a_damaged_one_is_refused(tmp_path, content, message):
    (tmp_path / "session.json").write_text(content)
    with pytest.raises(SettingsError, match=message):
        Session(tmp_path)
    assert (tmp_path / "session.json").read_text() == content


def test_a_folder_of_something_else_is_not_made_a_session(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(SettingsError, match="not a session"):
        Session(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_names_count_on_and_never_fill_a_gap(tmp_path):
    session = Session(tmp_path)
    assert session.next_name("calib", ".xdf") == Path("calibration/calib-01.xdf")
    for name in ("calib-01.xdf", "calib-03_001.xdf"):
        (tmp_path / "calibration" / name).touch()
    assert session.next_name("calib", ".xdf") == Path("calibration/calib-04.xdf")


def test_a_full_disk_loses_neither_settings_nor_log(tmp_path, monkeypatch):
    session = Session(tmp_path)

    def full(*args, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("rtbrain.console.folder.write_atomically", full)
        patch.setattr(Path, "open", full)
        session.change(mains_hz=50)
        session.log(["report", "runs/run-01.xdf"], "a report")
        assert session.problem == "No space left on device"
    assert Session(tmp_path).settings.mains_hz is None
    session.poll()
    assert not session.problem
    assert Session(tmp_path).settings.mains_hz == 50
    assert "rtbrain report runs/run-01.xdf" in (tmp_path / "log.sh").read_text()


def test_a_job_outlives_what_started_it_and_is_joined_again(tmp_path):
    code = (
        "import sys; from pathlib import Path; from rtbrain.console.folder import Session;"
        "job = Session(Path(sys.argv[1])).start('player', ['simulate', '--channels', '6']);"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    session = Session(tmp_path)
    assert session.running("player")
    assert session.jobs["player"].argv == ("simulate", "--channels", "6")
    with pytest.raises(SettingsError, match="runs already"):
        session.start("player", QUICK)
    wait_until(lambda: session.jobs["player"].output)  # before that, a request to end kills it
    session.stop("player")
    wait_until(lambda: not session.running("player"))
    assert session.jobs["player"].exit_code in (0, 130)
    assert [job.name for job in session.poll()] == ["player"]
    assert not session.poll()


def test_a_job_whose_number_was_never_written_is_found_by_its_environment(tmp_path):
    session = Session(tmp_path)
    first = session.start("player", ["simulate", "--channels", "6"])
    path = tmp_path / "jobs/player.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({"argv": about["argv"], "started": about["started"]}))
    again = Session(tmp_path).jobs["player"]  # of a console that ended in between
    assert again.running
    path.write_text(json.dumps({**about, "created": about["created"] - 3600}))  # a clock was set
    assert Session(tmp_path).running("player")
    wait_until(lambda: first.output)
    again.stop()
    wait_until(lambda: not first.running)
    path.write_text(json.dumps({"argv": about["argv"], "started": about["started"]}))
    assert not Session(tmp_path).running("player")


def test_a_job_is_written_down_before_it_begins(tmp_path, monkeypatch):
    session = Session(tmp_path)

    def dies(argv, folder, output, exit_code):
        assert json.loads((tmp_path / "jobs/fit.json").read_text())["argv"] == ["fit", "x"]
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr("rtbrain.console.jobs.start_detached", dies)
    with pytest.raises(SettingsError, match="fit cannot be started: no more processes"):
        session.start("fit", ["fit", "x"])
    assert "fit" not in Session(tmp_path).jobs


def test_exit_codes_are_left_behind_and_a_job_that_was_killed_leaves_none(tmp_path):
    session = Session(tmp_path)
    good, bad = (session.start(name, argv) for name, argv in (("fit", QUICK), ("cue", ["nope"])))
    lasting = session.start("player", ["simulate", "--channels", "6"])
    psutil.Process(json.loads((tmp_path / "jobs/player.json").read_text())["pid"]).send_signal(
        signal.SIGKILL
    )
    wait_until(lambda: not (good.running or bad.running or lasting.running))
    assert (good.exit_code, bad.exit_code, lasting.exit_code) == (0, 2, KILLED)
    assert "No such command" in bad.output[-1]
    assert Session(tmp_path).jobs["player"].exit_code == KILLED
    session.poll()
    log = (tmp_path / "log.sh").read_text()
    assert "player has ended: killed" in log
    assert "cue has ended: exit code 2, " in log


def test_another_process_of_the_same_number_is_not_taken_for_the_job(tmp_path):
    session = Session(tmp_path)
    about = {"argv": ["simulate"], "started": 0, "pid": os.getpid(), "created": 1.0}
    (tmp_path / "jobs/player.json").write_text(json.dumps(about))
    job = Job.join(tmp_path, "player")
    assert job is not None
    assert not job.running
    assert not Session(tmp_path).running("player")
    assert session.jobs == {}


def test_progress_for_machines_is_apart_from_what_people_read(tmp_path):
    Session(tmp_path)
    (tmp_path / "jobs/fit.json").write_text('{"argv": ["fit"], "started": 0, "pid": 0}')
    stage = {"stage": "folds", "done": 3, "total": 5, "left_s": 31}
    (tmp_path / "jobs/fit.log").write_text(f"reading\n{json.dumps(stage)}\n\n{{not json\nnote")
    job = Session(tmp_path).jobs["fit"]
    assert job.progress == stage
    assert job.output == ("reading", "{not json", "note")


class Clock:
    t = 1_800_000_000.0

    def __call__(self):
        return self.t


def calls_of_replay(folder, script):
    """Calls of `log.sh` in a new folder, of a program that goes on as this script does."""
    (folder / "bin").mkdir()
    fake = folder / "bin/rtbrain"
    head = '#!/bin/bash\nprintf "%s|" "$@" >> calls; echo >> calls\n'
    fake.write_text(f'{head}[ "$1" = export ] && exit\n{script}\nexit 0\n')
    fake.chmod(0o755)
    subprocess.run(
        ["bash", str(folder / "log.sh"), str(folder / "again")],
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        check=True,
        timeout=300,
    )
    return (folder / "again/calls").read_text().splitlines()


def test_the_log_is_bash_that_does_the_same_in_a_new_folder(tmp_path):
    clock = Clock()
    log = session_log.SessionLog(tmp_path / "log.sh", clock)
    log.note("a 'quote', a $(touch bad) and\na line")
    log.start("recorder", ["record", "calibration/calib 01.xdf", "--stream", "a b"])
    clock.t += 0.3
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration/plan.yaml").write_text("classes: [rest, $(touch bad)]\n")
    log.start("cue", ["cue", "--plan", "calibration/plan.yaml"])
    clock.t += 0.2
    log.end("cue", "exit code 0")
    log.stop("recorder")
    clock.t += 3600
    log.start("fit", ["fit", "calibration/calib 01.xdf"])
    log.end("recorder", "exit code 0")
    log.start("export", ["export", "x", "--out", "/data/ward 2-bids"])
    log.run(["control", "x"], "a command")
    lasts = (
        '[ "$1" = record ] && { trap "echo ended >> calls; exit" TERM; '
        "while :; do sleep 0.01; done; }"
    )
    assert calls_of_replay(tmp_path, lasts) == [
        "record|calibration/calib 01.xdf|--stream|a b|",
        "cue|--plan|calibration/plan.yaml|",
        "ended",
        "fit|calibration/calib 01.xdf|",
        f"export|x|--out|{tmp_path / 'again-ward 2-bids'}|",
        "control|--wait|120|x|",
    ]
    assert not list(tmp_path.rglob("bad"))
    plan = tmp_path / "again/calibration/plan.yaml"
    assert plan.read_text() == "classes: [rest, $(touch bad)]\n"
    assert "sleep 0.3" in (tmp_path / "log.sh").read_text()
    assert "sleep 3600" not in (tmp_path / "log.sh").read_text()


def test_the_log_ends_also_where_a_job_was_killed_or_never_ends_by_itself(tmp_path):
    clock = Clock()
    log = session_log.SessionLog(tmp_path / "log.sh", clock)
    log.start("recorder", ["record", "runs/run-01.xdf"])
    clock.t += 0.2
    log.end("recorder", "killed", well=False)
    log.start("decoder", ["decode"])
    log.end("decoder", "exit code 0")
    log.start("cue", ["quick"])
    clock.t += 0.1
    log.end("cue", "exit code 0")
    log.run(["export", "x"])
    text = (tmp_path / "log.sh").read_text()
    (tmp_path / "log.sh").write_text(text.replace(f" {session_log._MORE_S}\n", " 1\n"))
    assert calls_of_replay(tmp_path, '[ "$1" = quick ] || while :; do sleep 0.01; done') == [
        "record|runs/run-01.xdf|",
        "decode|",
        "quick|",
        "export|x|",
    ]


def test_a_new_name_is_free_in_all_folders_and_a_folder_that_is_gone_is_said(tmp_path):
    session = Session(tmp_path / "s")
    (session.folder / "reports/run-03.json").touch()
    assert session.next_name("run", ".xdf") == Path("runs/run-04.xdf")
    shutil.rmtree(session.folder)
    with pytest.raises(SettingsError, match="the folder of the session is gone"):
        session.next_name("run", ".xdf")
    session.log(note="a remark")
    session.save()
    assert session.problem


def test_what_ended_while_no_console_was_open_is_logged_once_and_is_no_alarm(tmp_path):
    about = {"argv": ["record", "runs/run-01.xdf"], "started": 0.0, "pid": 2**22 + 1}
    Session(tmp_path)
    for name, stopping in (("recorder", False), ("decoder", True)):
        path = tmp_path / "jobs" / f"{name}.json"
        path.write_text(json.dumps({**about, "stopping": stopping}))
    for _ in range(2):
        session = Session(tmp_path)
        log = (tmp_path / "log.sh").read_text()
        assert log.count("recorder has ended: while no console was open, killed") == 1
        assert log.count('ended "$recorder"') == 1
        assert log.count("decoder has ended: while no console was open, killed") == 1
        assert session.jobs["decoder"].stopping
        found = Watch(session).update()
        assert found.recording.state == "none"
        assert not found.decoder_stopped


def test_a_job_is_ended_at_once_the_second_time_but_never_a_recorder(tmp_path):
    session = Session(tmp_path)
    for name in ("recorder", "decoder"):
        session._jobs[name] = job = Runs(name)
        job.stop = lambda job=job: setattr(job, "stopping", True)
        session.stop(name)
        session.stop(name)
        assert job.killed is (name == "decoder")


def test_what_has_ended_is_in_the_log_before_what_is_asked_next_and_is_news_all_the_same(tmp_path):
    session = Session(tmp_path)
    for name in ("cue", "recorder"):
        session._jobs[name] = Runs(name)
        session._log.start(name, [name])
    session.jobs["cue"].end(0)
    session.stop("recorder")
    log = (tmp_path / "log.sh").read_text()
    assert log.index('ended "$cue"') < log.index('ended "$recorder"')
    assert session.poll() == [session.jobs["cue"], session.jobs["recorder"]]
    assert not session.poll()
