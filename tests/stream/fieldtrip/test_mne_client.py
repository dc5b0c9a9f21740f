"""Samples that a client of mne-realtime hands over are what its sender sent."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid

import mne
import numpy as np
import pylsl
import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.errors import SettingsError, StreamError
from rtbrain.outlet.lsl import SignalOutlet
from rtbrain.stream.fieldtrip.mne_client import MneClientSource, mne_realtime
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, montage_of
from tests.stream.fieldtrip.test_peers import peer_settings

SFREQ_HZ = 512.0
MONTAGE = montage_of(5, SFREQ_HZ)


class Told:
    """A client that yields what it was told, as `LSLClient` does: at once, empty blocks too."""

    def __init__(self, blocks, info):
        self.blocks, self.info = blocks, info

    def get_measurement_info(self):
        return self.info

    def iter_raw_buffers(self):
        yield from self.blocks


def info_of(montage):
    info = mne.create_info(list(montage.names), montage.sfreq_hz, list(montage.kinds))
    for channel, position in zip(info["chs"], montage.positions, strict=True):
        channel["loc"][:3] = position / 1000
    return info


def pulled(source, n_samples, timeout_s=20.0):
    chunks, end = [], time.monotonic() + timeout_s
    while sum(chunk.n_samples for chunk in chunks) < n_samples:
        assert time.monotonic() < end, f"{len(chunks)} chunks came"
        chunk = source.pull(0.05)
        if chunk is None:
            break
        if chunk.n_samples:
            chunks.append(chunk)
    return chunks


@pytest.mark.parametrize("n_samples", [1, 100, 128, 1290])
def test_a_mock_client_gives_its_recording_once_and_ends(n_samples):
    data = brain_like(5, n_samples + 2, SFREQ_HZ)[:, :n_samples]
    raw = mne.io.RawArray(data * 1e-6, info_of(MONTAGE), verbose="ERROR")
    for channel, cal in zip(raw.info["chs"], (1, 2, 0.5, 1, 3), strict=True):
        channel["cal"] = cal
    source = MneClientSource(mne_realtime.MockRtClient(raw), unit="volts")
    montage = source.montage
    assert (montage.names, montage.kinds, montage.sfreq_hz) == (
        MONTAGE.names,
        MONTAGE.kinds,
        SFREQ_HZ,
    )
    assert montage.space == "head mm"
    np.testing.assert_allclose(montage.positions, MONTAGE.positions, rtol=1e-5)
    chunks = pulled(source, n_samples)
    got = np.concatenate([chunk.data for chunk in chunks], axis=1)
    np.testing.assert_allclose(got, data, rtol=1e-5, atol=1e-4)
    assert source.pull(0.0) is None
    stamps = np.concatenate([chunk.timestamps for chunk in chunks])
    np.testing.assert_allclose(np.diff(stamps), 1 / SFREQ_HZ, rtol=1e-4)
    assert stamps[-1] <= pylsl.local_clock()
    firsts = np.cumsum([0] + [chunk.n_samples for chunk in chunks])[:-1]
    assert [chunk.first_sample for chunk in chunks] == firsts.tolist()


def test_blocks_are_counted_and_what_waited_before_the_first_pull_is_not_given():
    empty = np.zeros((5, 0))
    blocks = [np.full((5, 9), -1.0), empty, np.full((5, 3), 1.0), empty, np.full((5, 4), 2.0)]
    source = MneClientSource(Told(blocks, info_of(MONTAGE)), unit="uV")
    chunks = pulled(source, 100)
    assert [(chunk.first_sample, chunk.n_samples) for chunk in chunks] == [(0, 3), (3, 4)]
    assert [chunk.data[0, 0] for chunk in chunks] == [1, 2]
    source.close()
    source.close()


def test_what_cannot_be_read_is_told():
    with pytest.raises(SettingsError, match="'furlongs'"):
        MneClientSource(Told([], info_of(MONTAGE)), unit="furlongs")
    with pytest.raises(StreamError, match="Told has no measurement info"):
        MneClientSource(Told([], None), unit="volts")
    blocks = [np.zeros((5, 0)), np.zeros((4, 2))]
    with pytest.raises(StreamError, match="gives 4 channels, its measurement info names 5"):
        MneClientSource(Told(blocks, info_of(MONTAGE)), unit="volts").pull(0.0)


def test_a_fieldtrip_client_gives_what_was_put():
    server = FieldTripServer()
    server.put_header(5, SFREQ_HZ, names=MONTAGE.names)
    # It gives a block only when the first sample of the next one is there.
    data = brain_like(5, 1001, SFREQ_HZ)
    # With no tmax the client (0.3.0) first lists all 2**32 samples by blocks: 20 s at this length.
    client = mne_realtime.FieldTripClient(
        info=info_of(MONTAGE), port=server.port, wait_max=5, tmin=0.0, tmax=60.0, buffer_size=100
    )
    with client:
        source = MneClientSource(client, unit="uV")
        assert source.pull(0.0).n_samples == 0
        server.put(data)
        chunks = pulled(source, 1000)
        source.close()
        # Its thread ends with the next block only, and spins for ever where the server hangs up.
        server.put(data[:, :200])
        for thread in threading.enumerate():
            if "_buffer_recv_worker" in thread.name:
                thread.join(5)
                assert not thread.is_alive()
    got = np.concatenate([chunk.data for chunk in chunks], axis=1)
    np.testing.assert_array_equal(got, data[:, :1000])
    server.stop()


LSL_CLIENT = """
    import json, sys, time
    import numpy as np
    from rtbrain.stream.fieldtrip.mne_client import MneClientSource
    from rtbrain.stream.fieldtrip.mne_client import (
        mne_realtime, patch_pylsl_for_mne_realtime,
    )

    patch_pylsl_for_mne_realtime()
    with mne_realtime.LSLClient(host=sys.argv[1], wait_max=20) as client:
        source = MneClientSource(client, unit="microvolts")
        chunks, end = [], time.monotonic() + 20
        while sum(chunk.n_samples for chunk in chunks) < 1000 and time.monotonic() < end:
            chunk = source.pull(0.1)
            chunks += [chunk] if chunk.n_samples else []
        source.close()
    montage = source.montage
    print("RESULT" + json.dumps({
        "names": montage.names, "kinds": montage.kinds, "rate": montage.sfreq_hz,
        "data": np.concatenate([chunk.data for chunk in chunks], axis=1).tolist(),
        "gaps": sum(chunk.gap for chunk in chunks),
        "stamps": np.concatenate([chunk.timestamps for chunk in chunks]).tolist(),
    }))
"""


@pytest.mark.lsl
def test_an_lsl_client_gives_what_is_streamed(tmp_path):
    montage = Montage(("A1", "A2", "B'1"), ("seeg", "ecog", "dbs"), SFREQ_HZ)
    source_id = uuid.uuid4().hex
    outlet = SignalOutlet(f"m-{source_id}", montage, source_id=source_id, origin="synthetic")
    stop = threading.Event()

    def send():
        start, sent = pylsl.local_clock(), 0
        while not stop.wait(0.02):
            numbers = np.arange(sent, int((pylsl.local_clock() - start) * SFREQ_HZ))
            sent += numbers.size
            rows = (numbers + np.array([[0], [1000], [2000]])).astype(np.float32)
            outlet.push(Chunk(rows, start + numbers / SFREQ_HZ))

    thread = threading.Thread(target=send)
    thread.start()
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LSL_CLIENT), source_id],
        env={**os.environ, "LSLAPICFG": peer_settings(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    stop.set()
    thread.join()
    outlet.close()
    lines = [line for line in ended.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, ended.stderr[-2000:] + ended.stdout[-2000:]
    read = json.loads(lines[0].removeprefix("RESULT"))
    assert read["names"] == list(montage.names)
    assert read["kinds"] == list(montage.kinds)
    assert read["rate"] == SFREQ_HZ
    data = np.array(read["data"])
    np.testing.assert_array_equal(np.diff(data, axis=1), 1)
    np.testing.assert_array_equal(data[2] - data[0], 2000)
    assert read["gaps"] == 0
    assert (np.diff(read["stamps"]) > 0).all()
