"""Other people's LSL clients read what our outlets send; each runs as it would, on its own."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import uuid
from pathlib import Path

import numpy as np
import pylsl
import pytest

from rtbrain.outlet.lsl import DecodeOutlet, SignalOutlet
from rtbrain.types import Chunk, Decode, Montage, Quality

pytestmark = pytest.mark.lsl

SFREQ_HZ = 512.0
HOP_S = 0.05
WORTH = ["valid", "coverage", "age_s", "compute_s", "drift"]

STREAM_LSL = """
    import json, sys, time
    from mne_lsl.stream import StreamLSL

    stream = StreamLSL(2.0, name=sys.argv[1], source_id=sys.argv[2]).connect(timeout=10)
    end = time.monotonic() + 20
    while stream.n_new_samples < 10 and time.monotonic() < end:
        time.sleep(0.02)
    data, _ = stream.get_data(winsize=10 / stream.info["sfreq"])
    info = stream.info
    print("RESULT" + json.dumps({
        "names": info["ch_names"], "types": info.get_channel_types(), "rate": info["sfreq"],
        "powers": [int(ch["unit_mul"]) for ch in info["chs"]], "data": data.tolist(),
    }))
    stream.disconnect()
"""

LSL_CLIENT = """
    import json, sys, warnings
    import mne

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from mne_realtime import LSLClient
    told = any(issubclass(one.category, FutureWarning) for one in caught)
    from rtbrain.stream.fieldtrip.mne_client import patch_pylsl_for_mne_realtime
    patch_pylsl_for_mne_realtime()
    info = None
    if len(sys.argv) > 3:
        info = mne.create_info(sys.argv[3].split(","), float(sys.argv[4]), "misc")
    with LSLClient(info=info, host=sys.argv[2], wait_max=20) as client:
        epoch = client.get_data_as_epoch(n_samples=10, timeout=20)
        info = client.get_measurement_info()
        print("RESULT" + json.dumps({
            "names": info["ch_names"], "types": info.get_channel_types(), "rate": info["sfreq"],
            "told": told, "data": epoch.get_data()[0].tolist(),
        }))
"""


@pytest.fixture
def sender():
    """A signal and a decode stream that flow until the test is over."""
    montage = Montage(("A1", "A2", "B'1"), ("seeg", "ecog", "dbs"), SFREQ_HZ)
    source_id = uuid.uuid4().hex
    name = f"peer-{source_id}"
    signal = SignalOutlet(name, montage, source_id=source_id, origin="synthetic")
    decodes = DecodeOutlet(
        name,
        ("left", "right"),
        hop_s=HOP_S,
        montage=montage,
        bundle_id="b-1",
        source_id=f"{source_id}-decode",
    )
    stop = threading.Event()

    def send():
        start, sent = pylsl.local_clock(), 0
        quality = Quality(np.array([True, True, False]))
        values = np.array([0.25, 0.75], np.float32)
        while not stop.wait(HOP_S):
            numbers = np.arange(sent, int((pylsl.local_clock() - start) * SFREQ_HZ))
            sent += numbers.size
            rows = numbers.astype(np.float32) + np.array([[0], [1000], [2000]], np.float32)
            signal.push(Chunk(rows.astype(np.float32), start + numbers / SFREQ_HZ))
            t_stop = pylsl.local_clock()
            decodes.push(Decode(values, t_stop, t_stop, quality, t_stop, t_stop + 0.5))

    thread = threading.Thread(target=send)
    thread.start()
    yield name, source_id
    stop.set()
    thread.join()
    signal.close()
    decodes.close()


def peer_settings(folder):
    """These tests' own LSL settings, with the loopback address as a known peer.

    On one machine without multicast, peers find more than one stream only by asking its address;
    mne-realtime listens for 0.1 s, so they must ask at once.
    """
    ours = Path(os.environ["LSLAPICFG"]).read_text(encoding="utf-8")
    known = ours.replace("KnownPeers = {}", "KnownPeers = {127.0.0.1}")
    settings = folder / "peer_lsl_api.cfg"
    settings.write_text(f"{known}[tuning]\nMulticastMinRTT = 0.02\n", encoding="utf-8")
    return str(settings)


def peer(script, folder, *arguments):
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, "LSLAPICFG": peer_settings(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    results = [line for line in ended.stdout.splitlines() if line.startswith("RESULT")]
    assert results, ended.stderr[-2000:] + ended.stdout[-2000:]
    return json.loads(results[0].removeprefix("RESULT"))


def check_signal(read):
    assert read["names"] == ["A1", "A2", "B'1"]
    assert read["types"] == ["seeg", "ecog", "dbs"]
    assert read["rate"] == SFREQ_HZ
    data = np.array(read["data"])
    assert data.shape[1] >= 9
    np.testing.assert_array_equal(np.diff(data, axis=1), 1)
    np.testing.assert_array_equal(data[1] - data[0], 1000)
    np.testing.assert_array_equal(data[2] - data[0], 2000)


def check_decodes(read):
    assert read["names"] == ["left", "right", *WORTH]
    assert set(read["types"]) == {"misc"}
    assert read["rate"] == pytest.approx(1 / HOP_S)
    expected = [0.25, 0.75, 1, 2 / 3, 0.5, 0.5, np.nan]
    for column in np.array(read["data"]).T:
        np.testing.assert_allclose(column, expected, rtol=1e-6, atol=1e-6)


def test_mne_lsl_reads_signal_and_decodes(sender, tmp_path):
    name, source_id = sender
    signal = peer(STREAM_LSL, tmp_path, name, source_id)
    check_signal(signal)
    assert signal["powers"] == [-6, -6, -6]
    check_decodes(peer(STREAM_LSL, tmp_path, f"{name}-decode", f"{source_id}-decode"))


def test_mne_realtime_reads_signal_and_decodes(sender, tmp_path):
    name, source_id = sender
    signal = peer(LSL_CLIENT, tmp_path, name, source_id)
    assert signal["told"]
    check_signal(signal)
    labels = ",".join(["left", "right", *WORTH])
    decode_id = f"{source_id}-decode"
    check_decodes(peer(LSL_CLIENT, tmp_path, name, decode_id, labels, str(1 / HOP_S)))
