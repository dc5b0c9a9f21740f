"""`rtbrain decode` on a FieldTrip buffer, as a process, from first sample to SIGTERM."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.outlet.lsl import SignalOutlet
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like, montage_of
from tests.stream.receiving import lsl_source
from tests.test_live_equals_offline import bundle_of

SFREQ_HZ = 2048.0


@pytest.mark.lsl
def test_a_fieldtrip_buffer_is_decoded_and_sigterm_ends_it(tmp_path: Path) -> None:
    montage = montage_of(8, SFREQ_HZ)
    bundle_of("linear", montage, tmp_path / "bundle")
    server = FieldTripServer()
    server.put_header(8, SFREQ_HZ, names=montage.names)
    signal_uv = brain_like(8, 2 * int(SFREQ_HZ), SFREQ_HZ)
    settings = tmp_path / "live.yaml"
    name = f"ft-{uuid4().hex}"
    settings.write_text(
        f'stream: {{fieldtrip: "127.0.0.1:{server.port}"}}\noutlet: {{name: {name}}}\n'
    )
    command = [sys.executable, "-m", "rtbrain.apps", "decode", "--config", str(settings)]
    process = subprocess.Popen([*command, "--bundle", str(tmp_path / "bundle")])
    done = threading.Event()

    def feed() -> None:
        at = 0
        while not done.wait(0.02):
            server.put(np.take(signal_uv, range(at, at + 82), axis=1, mode="wrap"))
            at += 82

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        source = lsl_source(name=f"{name}-decode", timeout_s=60)
        row = None
        while row is None or not row[2]:
            chunk = source.pull(20)
            assert chunk is not None
            assert chunk.n_samples
            row = chunk.data[:, -1]
        assert row[0] + row[1] == pytest.approx(1, abs=1e-5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        source.close()
    finally:
        done.set()
        feeding.join()
        process.kill()
        process.wait()
        server.stop()


def test_a_buffer_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    bundle_of("linear", montage_of(8, SFREQ_HZ), tmp_path / "bundle")
    settings = tmp_path / "live.yaml"
    settings.write_text('stream: {fieldtrip: "127.0.0.1:9", timeout_s: 1}\n')
    flags = ("--bundle", tmp_path / "bundle", "--name", f"n{uuid4().hex}")
    assert "127.0.0.1:9" in refused("decode", "--config", settings, *flags)
    over = ("--set", "stream.fieldtrip=127.0.0.1:9", "--set", "stream.timeout_s=0.2")
    assert "127.0.0.1:9" in refused("decode", *over, *flags)
    settings.write_text('stream: {fieldtrip: "nowhere"}\n')
    assert "stream.fieldtrip" in refused("decode", "--config", settings, *flags)
    settings.write_text("stream: {name: a, unit: volts}\n")
    assert "for fieldtrip only" in refused("decode", "--config", settings, *flags)


@pytest.mark.lsl
def test_a_stream_that_is_not_there_takes_one_line_which_names_those_there_are(
    tmp_path: Path,
) -> None:
    bundle_of("linear", montage_of(8, SFREQ_HZ), tmp_path / "bundle")
    name = f"n{uuid4().hex}"
    there = SignalOutlet(f"{name}-there", montage_of(8, SFREQ_HZ), source_id=name, origin="replay")
    flags = ("--bundle", tmp_path / "bundle", "--name", name, "--set", "stream.timeout_s=2")
    done = rtbrain("decode", *flags, "--stream", f"{name}-absent")
    there.close()
    assert done.returncode == 2
    looking, error = done.stderr.splitlines()
    assert looking == "looking for the stream"
    assert error.startswith(f"rtbrain: no LSL stream with name '{name}-absent' within 2 s")
    assert f"'{name}-there'" in error
    assert "-status" not in error
