"""Console, window and each job of a step killed one after the other: the others go on."""

import os
import signal
import subprocess
import sys

import numpy as np
import pylsl
import pytest

from rtbrain.console.commands import record_command, stop_outputs, view_command
from rtbrain.console.folder import JOBS, Session, UsedStream
from rtbrain.console.watch import Watch
from rtbrain.errors import RtbrainError
from rtbrain.live.control import send_command
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name
from tests.conftest import brain_like, montage_of, wait_until
from tests.console.real import MONTAGE, amplified, grows, kill, numbers_of
from tests.learn.session.run_by_hand import write_run
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(400)]


@pytest.fixture
def session(tmp_path):
    with amplified(tmp_path / "s") as session:
        yield session


def decode(session):
    settings = session.settings
    argv = ["decode", "--bundle", settings.decoder, "--stream", settings.signal.name]
    session.start("decoder", [*argv, "--name", settings.outlet, "--allow-late"])
    wait_until(lambda: state_of(session) == "live", 90)


def state_of(session):
    try:
        return send_command(session.settings.outlet, "status")["state"]
    except RtbrainError:
        return ""


def record(session):
    out = session.next_name("run", ".xdf")
    session.start("recorder", record_command(session, out))
    grows(session, out)
    return out


def decodes_of(session):
    name = decode_name(session.settings.outlet)
    (found,) = pylsl.resolve_byprop("name", name, 1, 30)
    return pylsl.StreamInlet(found)


def test_what_is_killed_ends_alone_and_everything_else_is_joined_again(session):
    first = record(session)
    decode(session)
    console = subprocess.Popen(
        [sys.executable, "-m", "rtbrain.apps", "session", str(session.folder)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stderr=subprocess.DEVNULL,
    )
    name = f"console {session.folder.resolve()}"

    def shown():
        try:
            return send_command(name, "show", "console")["shown"]
        except RtbrainError:
            return False

    wait_until(shown, 90)
    session.start("view", view_command(session, "dark"))
    os.kill(console.pid, signal.SIGKILL)  # the console
    console.wait()
    joined = Session(session.folder)
    assert {job for job in joined.jobs if joined.running(job)} == {"recorder", "decoder", "view"}
    grows(joined, first)
    assert state_of(joined) == "live"

    kill(joined, "view")  # the window
    assert joined.running("recorder")
    assert state_of(joined) == "live"

    kill(joined, "recorder")  # the recorder
    watch = Watch(joined)
    watch.update()
    assert [alarm.key for alarm in watch.alarms.active] == ["recording_failed"]
    assert state_of(joined) == "live"
    second = record(joined)
    assert second.name == "run-02.xdf"

    kill(joined, "decoder")  # the decoder
    watch.update()
    assert [alarm.key for alarm in watch.alarms.active] == ["decoder_stopped"]
    grows(joined, second)
    decode(joined)
    watch.update()
    assert not watch.alarms.active

    inlet = decodes_of(joined)
    inlet.pull_sample(timeout=30)
    pressed = lsl_clock()  # Esc
    stop_outputs(joined).join()
    took = lsl_clock() - pressed
    arrived = pressed
    while inlet.pull_sample(timeout=0.5)[0] is not None:
        arrived = lsl_clock()
    wait_until(lambda: not joined.running("decoder"))
    grows(joined, second)
    joined.stop("recorder")
    wait_until(lambda: not joined.running("recorder"))

    numbers = numbers_of(joined, first)
    assert numbers.size > MONTAGE.sfreq_hz
    assert np.all(np.diff(numbers) == 1)  # up to the kill
    numbers = numbers_of(joined, second)
    assert np.all(np.diff(numbers) == 1)  # all the time
    print(f"answered after {1000 * took:.0f} ms, last decode {1000 * (arrived - pressed):.0f} ms")
    assert arrived < pressed + 1.0  # 0.1 s, on a machine that does nothing else


# Starts what a page starts, and the live window, and is killed.
CONSOLE = """
import sys
from pathlib import Path
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from rtbrain.console.folder import Session
from rtbrain.console.window import SessionWindow
application = QApplication([])
folder, step, action = sys.argv[1:]
settings = QSettings(f"{folder}.ini", QSettings.Format.IniFormat)
window = SessionWindow(Session(Path(folder)), settings)
window.show_step(step)
window.show()
getattr(window.pages[step], action)()
window.open_live()
print("started", flush=True)
application.exec()
"""
STEPS = {
    "setup": ("_simulate", {"player"}),
    "calibrate": ("start", {"cue", "recorder"}),
    "fit": ("begin", {"fit"}),
    "run": ("start", {"decoder", "recorder"}),
    "review": ("export", {"export", "report"}),
}
ENDS = {"fit", "export", "report"}  # by itself


@pytest.mark.whole
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", STEPS)
def test_in_every_step_what_is_killed_ends_alone_and_goes_on_or_begins_again(step, session):
    action, jobs = STEPS[step]
    if step == "fit":
        write_calibration(session)
    elif step == "review":
        write_run(session.folder / "runs/run-01.xdf")
        session.change(streams=(UsedStream(name="amp", role="signal"),), decoder=None)
    console = subprocess.Popen(
        [sys.executable, "-c", CONSOLE, str(session.folder), step, action],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert console.stdout.readline() == b"started\n"
    wait_until(lambda: jobs <= set(Session(session.folder).jobs), 90)
    before = {name: Session(session.folder).jobs[name].argv for name in jobs}
    os.kill(console.pid, signal.SIGKILL)
    console.communicate()  # closes its pipe
    joined = Session(session.folder)
    assert {name: joined.jobs[name].argv for name in jobs} == before
    went_on = {name for name in JOBS if joined.running(name)}
    assert went_on >= {*jobs, "view"} - ENDS
    rows = [("console", went_on)]
    recordings = [before["recorder"][1]] if "recorder" in jobs else []
    for victim in ("view", *sorted(jobs)):
        others = {name for name in JOBS if joined.running(name)} - {victim}
        if joined.running(victim):
            kill(joined, victim)
        rows.append((victim, others))
        assert all(joined.running(name) or ended_well(joined, name) for name in others)
        if "recorder" in others:
            grows(joined, recordings[-1])
        argv = list(joined.jobs[victim].argv)
        if victim == "recorder":
            recordings.append(str(joined.next_name(argv[1].split("-")[0].split("/")[1], ".xdf")))
            argv[1] = recordings[-1]
        elif victim == "fit":
            argv[argv.index("--out") + 1] = str(joined.next_name("decoder"))
        joined.start(victim, argv)
        if victim in ENDS:
            wait_until(lambda victim=victim: not joined.running(victim), 600)
            assert ended_well(joined, victim), joined.jobs[victim].output
        elif victim == "recorder":
            grows(joined, recordings[-1])
    if recordings:
        joined.stop("recorder")
        wait_until(lambda: not joined.running("recorder"))
    steps = [np.diff(numbers_of(joined, out)) for out in recordings]
    assert all(one.size and np.all(one == 1) for one in steps)
    lost = [int((one - 1).sum()) for one in steps] or "nothing recorded"
    for victim, others in rows:
        print(f"{step:10} killed: {victim:9} went on: {', '.join(sorted(others)) or '-'}")
    print(f"{step:10} lost: {lost}; all began again")


def ended_well(session, name):
    return name in ENDS and session.jobs[name].exit_code == 0


def write_calibration(session):
    """A minute of two codes that have names."""
    montage = montage_of(8, 512.0)
    n_samples = round(60 * montage.sfreq_hz)
    stamps = np.arange(n_samples) / montage.sfreq_hz
    data = brain_like(8, n_samples, montage.sfreq_hz)
    signal_ = XdfStream("amp", stamps, data.T, montage.sfreq_hz, desc=described(montage.names))
    codes = 1 + np.arange(20)[:, None] % 2
    path = session.folder / "calibration/calib-01.xdf"
    write_xdf(path, signal_, XdfStream("task", 3.0 * np.arange(20), codes, 0.0, "int32", "Markers"))
    used = UsedStream(name="amp", role="signal"), UsedStream(name="task", role="markers")
    names = {"1": "rest", "2": "speech"}
    session.change(streams=used, markers=names, classes=("rest", "speech"), target="speech")
