"""A session on a real stream whose samples are numbered, and what becomes of its real jobs."""

import os
import signal
from contextlib import contextmanager

import pyxdf

from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.jobs import KILLED
from tests.conftest import montage_of, wait_until
from tests.live.amplifier import sending
from tests.test_live_equals_offline import bundle_of

MONTAGE = montage_of(8, 1024.0)


@contextmanager
def amplified(folder):
    """A session with a signal, which is sent meanwhile, and a decoder; its jobs end with it.

    The decoder has a random readout, which crosses one half all the time.
    """
    with sending(MONTAGE, counting=True) as amplifier:
        session = Session(folder)
        used = UsedStream(name=amplifier, source_id=amplifier, role="signal")
        outlet = amplifier.replace("amp", "ward")
        session.change(streams=(used,), outlet=outlet, decoder="decoders/decoder-01")
        bundle_of("linear", MONTAGE, session.folder / session.settings.decoder)
        try:
            yield session
        finally:
            for job in Session(session.folder).jobs.values():
                job.kill()
                wait_until(lambda job=job: not job.running)


def size_of(session, out):
    path = session.folder / out
    return path.stat().st_size if path.exists() else 0


def grows(session, out):
    before = size_of(session, out)
    wait_until(lambda: size_of(session, out) > before + 50_000, 300)


def kill(session, job):
    os.kill(session.jobs[job]._process.pid, signal.SIGKILL)
    wait_until(lambda: not session.running(job))
    assert session.jobs[job].exit_code == KILLED


def streams_in(path):
    """Streams of a recording, by name."""
    streams, _ = pyxdf.load_xdf(str(path))
    return {one["info"]["name"][0]: one for one in streams}


def numbers_of(session, out):
    return streams_in(session.folder / out)[session.settings.signal.name]["time_series"][:, 0]
