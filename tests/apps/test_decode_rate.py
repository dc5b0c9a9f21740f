"""`rtbrain decode` on a stream that does not send at the rate that its header says."""

import json
import os
import signal
import threading
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import LinearReadout, write_bundle
from rtbrain.outlet import SignalOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk
from tests.apps.program import rtbrain
from tests.conftest import brain_like, montage_of

SFREQ_HZ, BLOCK = 256.0, 64
MONTAGE = montage_of(4, SFREQ_HZ)
RECIPE = {
    "mode": "linear",
    "window": {"length_s": 1.0, "hop_s": 0.25},
    "spectrogram": {"form": "published", "frame_s": 0.25, "frame_hop_s": 0.03125, "n_freqs": 20},
    "encoder": {"n_pooled": 5},
}


def bundle_in(folder: Path) -> Path:
    recipe = parse_settings(RECIPE, Recipe, where="test")
    features = build_feature_pipeline(recipe, MONTAGE)
    weight = np.full((2, features.n_features), 0.01, np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    manifest, tensors = bundle_parts(
        recipe, None, features, readout, ("rest", "speech"), MONTAGE, "nothing"
    )
    write_bundle(folder, manifest, MONTAGE, tensors, {})
    return folder


class Sender(threading.Thread):
    """Sends faster than time passes, 2 % off its rate, until a decode is refused for that."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._outlet = SignalOutlet(name, MONTAGE, source_id=name, origin="replay")
        self.heard: list[tuple[str, str]] = []  # events of the status stream, and their reasons

    def run(self) -> None:
        # The decode outlet is the last thing that is made: whoever sees it may end the decoder.
        if not pylsl.resolve_byprop("name", f"{self._name}-decode", 1, 60):
            return
        (info,) = pylsl.resolve_byprop("name", f"{self._name}-status", 1, 10)
        status = pylsl.StreamInlet(info)
        status.open_stream(10)
        data = brain_like(4, 200 * BLOCK, SFREQ_HZ)
        start_s = lsl_clock() - 60
        for at in range(0, data.shape[1], BLOCK):
            stamps = start_s + np.arange(at, at + BLOCK) / (1.02 * SFREQ_HZ)
            self._outlet.push(Chunk(data[:, at : at + BLOCK], stamps, at))
            line, _ = status.pull_sample(timeout=0.05)
            if line is not None:
                event = json.loads(line[0])
                self.heard.append((event["event"], event.get("reason", "")))
            if self.heard and "true rate" in self.heard[-1][1]:
                break
        os.kill(os.getpid(), signal.SIGTERM)
        self._outlet.close()


@pytest.mark.lsl
def test_a_stream_far_off_its_rate_is_no_longer_decoded_once_that_is_known(tmp_path: Path) -> None:
    name = f"rate-{uuid4().hex}"
    settings = tmp_path / "live.yaml"
    settings.write_text(
        f"stream: {{name: {name}, timeout_s: 30}}\noutlet: {{name: {name}}}\nbacklog: all\n"
    )
    bundle = bundle_in(tmp_path / "bundle")
    sender = Sender(name)
    sender.start()
    try:
        flags = ("--bundle", bundle, "--allow-late", "--duration", 60)
        done = rtbrain("decode", "--config", settings, *flags)
    finally:
        sender.join()
    assert done.returncode == 0, done.stderr
    assert ("valid", "") in sender.heard
    event, reason = sender.heard[-1]
    assert event == "invalid"
    assert reason.startswith("true rate is 261.12 Hz, expected 256 Hz")
