"""`rtbrain decode --record`: two processes over real liblsl, neither of which ends the other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.apps.program import refused
from tests.conftest import wait_until
from tests.live.amplifier import SFREQ_HZ
from tests.recording.xdf.fakes import read
from tests.stream.receiving import lsl_source, marker_source

pytestmark = pytest.mark.lsl
WITHIN_S = 60.0


class Session:
    """A decoder with its recorder, from the first decode on."""

    def __init__(self, name, path, process):
        self.name, self.path, self.process = name, path, process
        self.status = marker_source(name=f"{self.name}-status", timeout_s=WITHIN_S)
        self.recorder = marker_source(name=f"{self.name}-record-status", timeout_s=WITHIN_S)
        self.decodes = lsl_source(name=f"{self.name}-decode", timeout_s=WITHIN_S)
        self.n_decodes()
        # What the recorder holds of the signal and of the decodes is on the disk by then.
        wait_until(lambda: len(self.recorded()) >= 3 and self.recorded()[-1]["time_stamps"].size)
        (self.child,) = children_of(self.process.pid)

    def recorded(self):
        return sorted(
            read(self.path.read_bytes(), synchronize_clocks=False),
            key=lambda stream: len(stream["info"]["name"][0]),
        )

    def n_decodes(self):
        """Wait for decodes."""
        chunk = self.decodes.pull(WITHIN_S)
        assert chunk is not None
        assert chunk.n_samples
        return chunk.n_samples

    def told(self, event):
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            for _, text in self.status.pull(0.1):
                if json.loads(text)["event"] == event:
                    return json.loads(text)
        raise AssertionError(f"never told {event}")


def children_of(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def live(bundle, name, tmp_path):
    path = tmp_path / "session.xdf"
    command = [sys.executable, "-m", "rtbrain.apps", "decode", "--bundle", str(bundle)]
    command += ["--stream", name, "--name", name, "--record", str(path)]
    with subprocess.Popen(command) as process:
        try:
            yield Session(name, path, process)
        finally:
            process.kill()


def test_signal_decodes_and_status_are_recorded_and_both_end_together(live, bundle):
    live.process.send_signal(signal.SIGTERM)
    assert live.process.wait(WITHIN_S) == 0
    assert not runs(live.child)
    by_name = {stream["info"]["name"][0]: stream for stream in live.recorded()}
    assert set(by_name) == {live.name, f"{live.name}-decode", f"{live.name}-status"}
    side = json.loads(live.path.with_suffix(".json").read_text())
    assert side["clean_end"] is True
    assert side["notes"]["mode"] == "linear"
    assert side["notes"]["settings"]["stream"]["name"] == live.name
    assert str(bundle) not in json.dumps(side)
    stamps = by_name[live.name]["time_stamps"]
    np.testing.assert_allclose(np.diff(stamps), 1 / SFREQ_HZ, atol=1e-6)


def test_a_recorder_that_is_killed_is_told_and_decoding_goes_on(live):
    os.kill(live.child, signal.SIGKILL)
    assert live.told("record_failed")["code"] == -signal.SIGKILL
    assert live.n_decodes() + live.n_decodes() >= 2
    live.process.send_signal(signal.SIGTERM)
    assert live.process.wait(WITHIN_S) == 0
    assert live.recorded()[0]["time_stamps"].size > SFREQ_HZ / 2


def test_a_decoder_that_is_killed_leaves_a_whole_recording_and_no_recorder(live):
    live.process.kill()
    wait_until(lambda: not runs(live.child))
    side = json.loads(live.path.with_suffix(".json").read_text())
    assert side["clean_end"] is True
    assert all("footer" in stream for stream in live.recorded())


def test_a_recording_that_would_overwrite_is_refused_before_anything_runs(bundle, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    flags = ("decode", "--bundle", bundle, "--stream", "none", "--record")
    assert "already exists" in refused(*flags, tmp_path / "a.xdf")
    assert "ends in .xdf" in refused(*flags, tmp_path / "a.edf")
