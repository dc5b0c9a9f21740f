"""With real streams and recorders, the pill says whether the signal on display is recorded."""

import os
import signal
import uuid

import pytest

from rtbrain.outlet.lsl import MarkerOutlet
from rtbrain.processes import running_command
from rtbrain.view.health.recorder import Recorders
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import ViewSession
from tests.conftest import montage_of
from tests.view.streams.test_session import SFREQ_HZ, Sender, poll_until


@pytest.mark.lsl
def test_rec_is_said_of_the_signal_that_is_in_the_file_and_of_no_other(tmp_path):
    name = uuid.uuid4().hex
    send = Sender(name, montage_of(3, SFREQ_HZ))
    markers = MarkerOutlet(f"{name}-task", source_id=f"{name}-task")
    session, recorders, states = ViewSession(stream=name, decode=name), Recorders(), []

    def state():
        update = session.poll()
        recorders.take(update.recorder_events, update.events, session.feeds, update.now)
        found = recorders.recording(feed_of(session.feeds, "signal"), update.now)
        states.append(found.state)
        return found

    def until(wanted):
        poll_until(session, lambda _: state().state == wanted, send)

    def record(out, *flags):
        log = tmp_path / f"{out}.log"
        return log, running_command(["record", str(tmp_path / out), *flags], log)

    try:
        poll_until(session, lambda _: feed_of(session.feeds, "signal").received, send)
        until("none")
        flags = ["--markers", f"{name}-task", "--name", f"{name}-a"]
        log, markers_only = record("mk.xdf", *flags)
        with markers_only:
            poll_until(session, lambda _: b"recording into" in log.read_bytes(), send)
            until("other")  # 1.9 to 2.1 s later on a loaded machine
            assert "rec" not in states
            log, whole = record("s.xdf", "--stream", name, "--name", f"{name}-foo")
            with whole as process:
                until("rec")
                found = state()
                assert (found.file, found.streams) == ("s.xdf", (name,))
                assert 0 <= found.seconds < 20
                process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
                until("failed")
                assert state().why == "gone"
            _, again = record("t.xdf", "--stream", name, "--name", f"{name}-foo")
            with again as process:
                until("rec")
                process.terminate()
                until("other")  # it ends in order, and the markers go on
    finally:
        session.close()
        markers.close()
