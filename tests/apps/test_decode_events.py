"""Cue-locked decoding: one decode a marker, of the samples that the marker points to."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pylsl
import pytest
from rtbrain.apps import decode

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import LinearReadout, write_bundle
from rtbrain.errors import RecordingError, StreamError
from rtbrain.live import recorder_process, session
from rtbrain.outlet import MarkerOutlet, SignalOutlet
from rtbrain.recording.replay import play
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import list_streams
from rtbrain.types import Montage
from tests.apps.program import refused
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 2048.0
RECIPE = {
    "mode": "linear",
    "window": {"mode": "event", "length_s": 1.0, "offset_s": 0.25, "texts": ["go"]},
    "spectrogram": {"form": "published"},
}


def event_bundle(
    folder: Path, montage: Montage, texts: Sequence[str] = ("go",), trigger: str | None = None
) -> None:
    window = RECIPE["window"] | {"texts": list(texts)}
    recipe = parse_settings(RECIPE | {"window": window}, Recipe, where="test")
    features = build_feature_pipeline(recipe, montage)
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.1, (2, features.n_features)).astype(np.float32)
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    manifest, tensors = bundle_parts(
        recipe, None, features, readout, ("no", "yes"), montage, "nothing"
    )
    report = {} if trigger is None else {"labels": {"trigger": trigger}}
    write_bundle(folder, manifest, montage, tensors, report)


@pytest.mark.lsl
def test_each_marker_gives_one_decode_at_its_own_place(tmp_path: Path) -> None:
    montage = montage_of(4, SFREQ_HZ)
    event_bundle(tmp_path / "bundle", montage)
    name = f"cue-{uuid4().hex}"
    outlet = SignalOutlet(name, montage, source_id=name, origin="replay")
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")
    settings = tmp_path / "live.yaml"
    settings.write_text(
        f"stream: {{name: {name}, markers: {name}-markers, timeout_s: 30}}\n"
        f"outlet: {{name: {name}}}\nbundle: {tmp_path / 'bundle'}\n"
    )
    command = [sys.executable, "-m", "rtbrain.apps", "decode", "--config", str(settings)]
    process = subprocess.Popen(command)
    cues_s: list[float] = []
    done = threading.Event()

    def push(chunk) -> None:
        outlet.push(chunk)
        for at in (2.0, 2.4, 3.3, 4.0):
            sample = round(at * SFREQ_HZ)
            if chunk.first_sample <= sample < chunk.first_sample + chunk.n_samples:
                stamp = float(chunk.timestamps[sample - chunk.first_sample])
                markers.push("other", stamp)
                markers.push("go", stamp)
                cues_s.append(stamp)

    def send() -> None:
        assert outlet.wait_for_listeners(90)
        assert markers.wait_for_listeners(30)
        data = brain_like(4, int(7 * SFREQ_HZ), SFREQ_HZ)
        play(
            cut(data, [41] * 340, SFREQ_HZ),
            push,
            clock=lsl_clock,
            wait=time.sleep,
            stop=done.is_set,
        )

    sending = threading.Thread(target=send)
    try:
        infos = pylsl.resolve_byprop("name", f"{name}-decode", 1, 90)
        listener = pylsl.StreamInlet(infos[0])
        listener.open_stream(10)
        assert infos[0].nominal_srate() == 0
        sending.start()
        rows = [listener.pull_sample(timeout=60) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        done.set()
        if sending.ident is not None:
            sending.join()
        process.kill()
        process.wait()
        outlet.close()
        markers.close()
    assert all(values[2] == 1 for values, _ in rows)
    stamps = np.array([stamp for _, stamp in rows])
    expected = np.array(cues_s) + 0.25 + 1.0 - 1 / SFREQ_HZ
    np.testing.assert_allclose(stamps, expected, atol=1 / SFREQ_HZ)


@pytest.mark.lsl
def test_event_windows_without_markers_are_refused(tmp_path: Path) -> None:
    montage = montage_of(4, SFREQ_HZ)
    event_bundle(tmp_path / "bundle", montage)
    name = f"cue-{uuid4().hex}"
    outlet = SignalOutlet(name, montage, source_id=name, origin="replay")
    flags = ("--stream", name, "--bundle", tmp_path / "bundle", "--name", name)
    assert "stream.markers" in refused("decode", *flags)
    outlet.close()


@pytest.fixture
def handlers() -> Iterator[None]:
    """A command takes the signals of the process: give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def settings_of(folder: Path, name: str, timeout_s: float) -> Path:
    event_bundle(folder / "bundle", montage_of(4, SFREQ_HZ))
    settings = folder / "live.yaml"
    settings.write_text(
        f"stream: {{name: {name}, markers: {name}-markers, timeout_s: {timeout_s}}}\n"
        f"outlet: {{name: {name}}}\nbundle: {folder / 'bundle'}\n"
    )
    return settings


def streams_of(name: str) -> list[str]:
    return [row.name for row in list_streams() if row.name.startswith(f"{name}-")]


@pytest.mark.lsl
def test_a_decoder_outlives_the_sender_of_its_markers(tmp_path: Path) -> None:
    name = f"cue-{uuid4().hex}"
    settings = settings_of(tmp_path, name, 60)
    outlet = SignalOutlet(name, montage_of(4, SFREQ_HZ), source_id=name, origin="replay")
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")
    done = threading.Event()

    def send() -> None:
        chunks = cut(brain_like(4, int(150 * SFREQ_HZ), SFREQ_HZ), [41] * 7400, SFREQ_HZ)
        play(chunks, outlet.push, clock=lsl_clock, wait=time.sleep, stop=done.is_set)

    command = [sys.executable, "-m", "rtbrain.apps", "decode", "--config", str(settings)]
    process = subprocess.Popen(command)
    sending = threading.Thread(target=send)
    sending.start()
    try:
        listener = pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{name}-decode", 1, 90)[0])
        listener.open_stream(10)
        for sender in range(2):
            assert markers.wait_for_listeners(60)
            markers.push("go", lsl_clock())
            values, _ = listener.pull_sample(timeout=30)
            assert values is not None, f"no decode at the marker of sender {sender}"
            markers.close()
            markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        done.set()
        sending.join()
        process.kill()
        process.wait()
        outlet.close()
        markers.close()


@pytest.mark.lsl
@pytest.mark.usefixtures("handlers")
def test_a_decoder_lets_go_of_its_markers_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"cue-{uuid4().hex}"
    settings = settings_of(tmp_path, name, 30)
    outlet = SignalOutlet(name, montage_of(4, SFREQ_HZ), source_id=name, origin="replay")
    markers = MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")
    kept, heard = [], []
    make = session.open_markers

    def keep(*given):
        kept.append(make(*given))
        heard.append(markers.wait_for_listeners(30))
        return kept[-1]

    monkeypatch.setattr(session, "open_markers", keep)
    decode.command(config=str(settings), duration=0.1)
    assert heard == [True]
    assert not markers.wait_for_listeners(0.0)
    outlet.close()
    markers.close()


@pytest.mark.lsl
@pytest.mark.usefixtures("handlers")
def test_a_decoder_without_its_markers_leaves_no_stream_behind(tmp_path: Path) -> None:
    name = f"cue-{uuid4().hex}"
    settings = settings_of(tmp_path, name, 5)
    outlet = SignalOutlet(name, montage_of(4, SFREQ_HZ), source_id=name, origin="replay")
    with pytest.raises(StreamError, match="-markers") as error:
        decode.command(config=str(settings))
    assert streams_of(name) == [], error
    outlet.close()


@pytest.mark.lsl
@pytest.mark.usefixtures("handlers")
def test_a_recorder_that_cannot_begin_leaves_no_status_stream_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> list[str]:
        raise RecordingError("no recorder here")

    name = f"cue-{uuid4().hex}"
    settings = settings_of(tmp_path, name, 1)
    monkeypatch.setattr(recorder_process, "record_flags", fail)
    with pytest.raises(RecordingError) as error:
        decode.command(config=str(settings), record=tmp_path / "out.xdf")
    assert streams_of(name) == [], error
