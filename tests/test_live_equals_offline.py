"""What comes out live over LSL is what the same file gives offline, in every mode."""

import json
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from rtbrain.build import build_feature_pipeline, build_live
from rtbrain.bundling import build_decoder, bundle_parts, encoder_of_recipe
from rtbrain.check.faults.rig import SMALL_SIZES
from rtbrain.config import DetectSettings, Recipe, load_settings, parse_settings
from rtbrain.decoder import Bundle, LinearReadout, read_bundle, write_bundle
from rtbrain.live.detections import DetectionSink, build_detector
from rtbrain.outlet import (
    DecodeOutlet,
    DetectionOutlet,
    SignalOutlet,
    StatusOutlet,
    StatusReport,
)
from rtbrain.recording.open import read_recording
from rtbrain.recording.replay import ReplaySource, play
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name, events_name
from rtbrain.types import Montage
from tests.conftest import brain_like, montage_of
from tests.stream.receiving import lsl_source

SFREQ_HZ = 2048.0
DELAY_S = 0.3  # what the readout describes, and no recipe's frames
STREAMING = {
    "hidden_dim": 32,
    "layer_dim_feedforward": 64,
    "nhead": 2,
    "encoder_num_layers": 2,
    "patch_frames": 5,
    "context_patches": 41,
}


def bundle_of(mode: str, montage: Montage, folder: Path) -> Bundle:
    """A bundle of a ready-made recipe with small random encoders and a random readout."""
    ready = load_settings(mode, Recipe).model_dump(mode="json", exclude_unset=True)
    if mode == "streaming":
        ready["encoder"] |= {"streaming": STREAMING, "popt": SMALL_SIZES["popt"]}
        ready["encoder"]["weights"] = "random"
    elif mode != "linear":
        ready["encoder"] |= {"weights": "random"} | SMALL_SIZES
    recipe = parse_settings(ready, Recipe, where="test")
    model = encoder_of_recipe(recipe)
    features = build_feature_pipeline(recipe, montage, model=model)
    n_features = features.n_features
    rng = np.random.default_rng(5)
    readout = LinearReadout(
        rng.normal(0, n_features**-0.5, (2, n_features)).astype(np.float32),
        np.zeros(2, np.float32),
        "classification",
    )
    classes = ("rest", "speech")
    manifest, tensors = bundle_parts(
        recipe, model, features, readout, classes, montage, "nothing", neural_delay_s=DELAY_S
    )
    tensors = {name: array for name, array in tensors.items() if "normaliser" not in name}
    write_bundle(folder, manifest, montage, tensors, {})
    return read_bundle(folder)


def replay_of(path: Path, montage: Montage, *, seed: int | None = None) -> ReplaySource:
    source = ReplaySource(
        read_recording(path, sfreq_hz=SFREQ_HZ), chunk_samples=300, chunk_seed=seed
    )
    assert source.montage.n_channels == montage.n_channels
    return source


@pytest.mark.lsl
@pytest.mark.parametrize("mode", ["linear", "edge", "published", "streaming"])
def test_live_decodes_of_random_chunks_equal_the_offline_ones(tmp_path: Path, mode: str) -> None:
    montage = montage_of(8, SFREQ_HZ)
    path = tmp_path / "recording.npy"
    np.save(path, brain_like(8, int(7.3 * SFREQ_HZ), SFREQ_HZ, seed=2))
    bundle = bundle_of(mode, montage, tmp_path / "bundle")

    features, readout = build_decoder(bundle, montage)
    played = replay_of(path, montage)
    windows = (w for chunk in iter(lambda: played.pull(0.0), None) for w in features.cut(chunk))
    offline = [readout(features.encode(window)) for window in windows if window.quality.valid]
    assert offline[0].t_stop - offline[0].t_neural == pytest.approx(DELAY_S)
    expected = np.stack([decode.values for decode in offline])
    assert expected.std(axis=0).min() > 1e-4, "a constant would prove nothing"

    # Thresholds between two values, so that rounding decides nothing.
    values = np.unique(expected[:, 1])
    down, up = (float(values[at : at + 2].mean()) for at in (values.size // 3, values.size // 2))
    detect = {"speech": DetectSettings(up=up, down=down, refractory_s=0.0)}
    detector = build_detector(bundle, detect)
    found = [one for decode in offline for one in detector(decode)]
    assert found, "no event would prove nothing"

    name = f"test-{uuid4().hex}"
    signal = SignalOutlet(name, montage, source_id=name, origin="replay")
    decodes = DecodeOutlet(
        name, ("rest", "speech"), hop_s=0.25, montage=montage, bundle_id="b", source_id=name + "d"
    )
    outlet = DetectionOutlet(name, source_id=name + "e", bundle_id="b")
    events = DetectionSink(build_detector(bundle, detect), outlet, lambda *_, **__: None)
    inlets = []
    for stream in (decode_name(name), events_name(name)):
        (info,) = pylsl.resolve_byprop("name", stream, 1, 10)
        inlets.append(pylsl.StreamInlet(info))
        inlets[-1].open_stream(10)
    listener, of_events = inlets
    source = lsl_source(name=name, source_id=name)
    pipeline = build_live(
        build_decoder(bundle, source.montage),
        source,
        (decodes, events),
        StatusReport(StatusOutlet(name, source_id=name + "s")),
        latest_only=False,
        coverage_floor=0.5,
        clock=lsl_clock,
    )
    done = threading.Event()
    decoding = threading.Thread(target=pipeline.run, args=(done.is_set,))
    decoding.start()
    rows: list[list[float]] = []
    try:
        assert signal.wait_for_listeners(10)
        replayed = replay_of(path, montage, seed=11)
        play(
            iter(lambda: replayed.pull(0.0), None),
            signal.push,
            speed=4.0,
            clock=lsl_clock,
            wait=time.sleep,
            stop=done.is_set,
        )
        valid: list[list[float]] = []
        while len(valid) < len(expected):
            row, _ = listener.pull_sample(timeout=10)
            assert row is not None, f"{len(valid)} of {len(expected)} decodes came"
            rows.append(row)
            valid = [row for row in rows if row[2] == 1]
        sent = [json.loads(of_events.pull_sample(timeout=10)[0][0]) for _ in found]
        assert of_events.pull_sample(timeout=0.0)[0] is None
    finally:
        done.set()
        decoding.join(10)
        source.close()
        decodes.close()
        events.close()
        signal.close()
    # From the same first sample on, to the bit.
    np.testing.assert_array_equal(np.array(valid, np.float32)[:, :2], expected)
    assert [one["value"] for one in sent] == [one.value for one in found]
    unfilled = np.array([row for row in rows if row[2] == 0])
    assert np.isnan(unfilled[:, :2]).all(), "before the window is full there is no decode"
