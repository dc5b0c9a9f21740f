"""Console, window, recorder and decoder killed one after the other: the others go on."""

import os
import signal
import subprocess
import sys
import threading
import uuid

import numpy as np
import pylsl
import pytest
import pyxdf

from rtbrain.console.commands import record_command, stop_outputs, view_command
from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.jobs import KILLED
from rtbrain.console.watch import Watch
from rtbrain.errors import RtbrainError
from rtbrain.live.control import send_command
from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name
from rtbrain.types import Chunk
from tests.conftest import brain_like, montage_of, wait_until
from tests.test_live_equals_offline import bundle_of

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(400)]
SFREQ_HZ = 1024.0
MONTAGE = montage_of(8, SFREQ_HZ)


@pytest.fixture
def amplifier():
    """A stream whose first channel counts its samples, as float32 exactly."""
    name = f"kills-{uuid.uuid4().hex[:12]}"
    outlet = SignalOutlet(name, MONTAGE, source_id=name, origin="synthetic")
    data = brain_like(8, int(4 * SFREQ_HZ), SFREQ_HZ)
    done = threading.Event()

    def feed():
        start_s, sent = lsl_clock(), 0
        while not done.wait(0.02):
            numbers = np.arange(sent, int((lsl_clock() - start_s) * SFREQ_HZ))
            sent += numbers.size
            values = data[:, numbers % data.shape[1]].copy()
            values[0] = numbers
            outlet.push(Chunk(values, start_s + numbers / SFREQ_HZ))
        outlet.close()

    thread = threading.Thread(target=feed)
    thread.start()
    yield name
    done.set()
    thread.join()


@pytest.fixture
def session(tmp_path, amplifier):
    session = Session(tmp_path / "s")
    outlet = f"ward-{uuid.uuid4().hex[:8]}"
    used = UsedStream(name=amplifier, source_id=amplifier, role="signal")
    session.change(streams=(used,), outlet=outlet)
    bundle_of("linear", MONTAGE, session.folder / "decoders/decoder-01")
    session.change(decoder="decoders/decoder-01")
    yield session
    for job in Session(session.folder).jobs.values():
        job.kill()


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


def size_of(session, out):
    path = session.folder / out
    return path.stat().st_size if path.exists() else 0


def grows(session, out):
    before = size_of(session, out)
    wait_until(lambda: size_of(session, out) > before + 50_000, 60)


def kill(session, job):
    os.kill(session.jobs[job]._process.pid, signal.SIGKILL)
    wait_until(lambda: not session.running(job))
    assert session.jobs[job].exit_code == KILLED


def numbers_of(session, out):
    streams, _ = pyxdf.load_xdf(str(session.folder / out))
    (signal_,) = [s for s in streams if s["info"]["name"][0] == session.settings.signal.name]
    return signal_["time_series"][:, 0]


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
    assert numbers.size > SFREQ_HZ
    assert np.all(np.diff(numbers) == 1)  # up to the kill
    numbers = numbers_of(joined, second)
    assert np.all(np.diff(numbers) == 1)  # all the time
    print(f"answered after {1000 * took:.0f} ms, last decode {1000 * (arrived - pressed):.0f} ms")
    assert arrived < pressed + 1.0  # 0.1 s, on a machine that does nothing else
