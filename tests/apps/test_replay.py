"""`rtbrain replay`: what comes over LSL is the file, sample for sample and label for label."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from apps import replay
from rtbrain.errors import RecordingError, RtbrainError
from rtbrain.stream.lsl.resolve import list_streams
from rtbrain.types import Floats
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ = 500.0
DEADLINE_S = 30.0


@dataclass
class Listener:
    """A plain pylsl client of a replay, in a thread of its own."""

    name: str
    n_samples: int
    n_markers: int
    labels: list[str] = field(default_factory=list)
    units: set[str] = field(default_factory=set)
    rate_hz: float = 0.0
    values: list[Any] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    markers: list[tuple[float, str]] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self) -> "Listener":
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()
        return self

    def heard(self) -> Floats:
        assert self.thread is not None
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return np.array(self.values, np.float32).T

    def _listen(self) -> None:
        import pylsl

        # The markers first: the replay begins when somebody listens to the signal.
        inlets = []
        for name in (f"{self.name}-markers", self.name):
            [info] = pylsl.resolve_byprop("name", name, 1, DEADLINE_S)
            inlet = pylsl.StreamInlet(info, max_buflen=60, recover=False)
            inlet.open_stream(timeout=DEADLINE_S)
            inlets.append(inlet)
        marked, inlet = inlets
        self._read_header(inlet.info(DEADLINE_S))
        end = time.monotonic() + DEADLINE_S
        while len(self.values) < self.n_samples and time.monotonic() < end:
            values, stamps = inlet.pull_chunk(timeout=0.1, max_samples=8192)
            self.values += list(values)
            self.stamps += list(stamps)
        while len(self.markers) < self.n_markers and time.monotonic() < end:
            texts, stamps = marked.pull_chunk(timeout=0.1)
            self.markers += [(at, text) for at, [text] in zip(stamps, texts, strict=True)]

    def _read_header(self, info: Any) -> None:
        self.rate_hz = info.nominal_srate()
        node = info.desc().child("channels").child("channel")
        while not node.empty():
            self.labels.append(node.child_value("label"))
            self.units.add(node.child_value("unit"))
            node = node.next_sibling("channel")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A command takes the signals of the process: give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(n_samples: int, n_markers: int = 0) -> Listener:
        started.append(Listener(f"replay-{uuid4().hex}", n_samples, n_markers).start())
        return started[-1]

    yield start
    for listener in started:
        assert listener.thread is not None
        listener.thread.join(DEADLINE_S)


def from_mne(path: Path) -> tuple[Floats, list[str], float]:
    """What MNE-Python reads by itself, float32 µV."""
    import mne

    raw = mne.io.read_raw(path, preload=True, verbose="ERROR")
    return (raw.get_data() * 1e6).astype(np.float32), raw.ch_names, raw.info["sfreq"]


def events_of(path: Path, sfreq_hz: float) -> list[tuple[int, str]]:
    rows = [line.split("\t") for line in path.read_text("utf-8-sig").splitlines()]
    columns = [rows[0].index(name) for name in ("onset", "trial_type")]
    return [(round(float(row[columns[0]]) * sfreq_hz), row[columns[1]]) for row in rows[1:]]


def assert_markers_on_samples(listener: Listener, events: list[tuple[int, str]]) -> None:
    assert [text for _, text in listener.markers] == [text for _, text in events]
    at_samples = [listener.stamps[sample] for sample, _ in events]
    assert [at for at, _ in listener.markers] == at_samples


@pytest.mark.lsl
@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "speed", "scale"), [("ecog-gripforce", 16.0, 1e-6), ("seeg-hfo", 4.0, 1.0)]
)
def test_a_bids_folder_arrives_as_the_file_has_it(
    folder: str, speed: float, scale: float, shared: Path, listen: Callable[..., Listener]
) -> None:
    root = shared / "data" / folder
    [path] = root.glob("sub-*/**/*.vhdr")
    data, labels, sfreq_hz = from_mne(path)
    tables = list(path.parent.glob("*_events.tsv"))
    events = events_of(tables[0], sfreq_hz) if tables else []
    listener = listen(data.shape[1], len(events))
    replay.command(root, name=listener.name, speed=speed, scale=scale, wait=True)
    expected = data if scale == 1 else (data.astype(np.float64) * scale).astype(np.float32)
    np.testing.assert_array_equal(listener.heard(), expected)
    assert listener.labels == labels
    assert listener.units == {"microvolts"}
    assert listener.rate_hz == pytest.approx(sfreq_hz * speed)
    np.testing.assert_allclose(np.diff(listener.stamps), 1 / sfreq_hz / speed, atol=1e-7)
    assert_markers_on_samples(listener, events)


@pytest.mark.lsl
@pytest.mark.shared
def test_a_dense_implant_arrives_as_the_file_has_it(
    shared: Path, listen: Callable[..., Listener]
) -> None:
    path = shared / "data" / "ecog-montage" / "sample_ecog_ieeg.fif"
    data, labels, _ = from_mne(path)
    listener = listen(data.shape[1])
    replay.command(path, name=listener.name, wait=True, chunk_seed=1)
    np.testing.assert_array_equal(listener.heard(), data)
    assert listener.labels == labels


@pytest.mark.lsl
@pytest.mark.shared
def test_an_array_arrives_as_the_file_has_it(shared: Path, listen: Callable[..., Listener]) -> None:
    path = shared / "data" / "seeg-treebank-wav" / "example_wav_1.npy"
    listener = listen(10240)
    replay.command(path, name=listener.name, wait=True, sfreq=2048, speed=5)
    expected = np.load(path).astype(np.float32)[None]
    np.testing.assert_array_equal(listener.heard(), expected)


@pytest.mark.lsl
@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "content", "speed"),
    [("minimal", "EEG", 1.0), ("clock_resets", "EEG", 500.0), ("empty_streams", "data", 10.0)],
)
def test_an_xdf_file_that_readers_must_survive_arrives_whole(
    file: str, content: str, speed: float, shared: Path, listen: Callable[..., Listener]
) -> None:
    import pyxdf

    path = shared / "data" / "xdf" / f"{file}.xdf"
    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False, verbose="ERROR")
    [values] = [
        stream["time_series"]
        for stream in streams
        if stream["info"]["type"] == [content]
        and stream["info"]["channel_format"] != ["string"]
        and len(stream["time_stamps"])
    ]
    listener = listen(len(values))
    replay.command(path, name=listener.name, wait=True, speed=speed, chunk_ms=500)
    np.testing.assert_array_equal(listener.heard(), values.T.astype(np.float32))


@pytest.mark.lsl
def test_gaps_and_markers_of_an_xdf_file_keep_their_places(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    data = brain_like(2, 400, SFREQ_HZ)
    numbers = np.arange(400) + 150 * (np.arange(400) >= 200)
    stamps = 70.0 + numbers / SFREQ_HZ
    events = [(100, "before"), (199, "last"), (200, "next"), (399, "end")]
    write_xdf(
        tmp_path / "gap.xdf",
        XdfStream("amp", stamps, data.T, SFREQ_HZ, desc=described(("L1", "L2"))),
        XdfStream(
            "task", stamps[[at for at, _ in events]], [text for _, text in events], 0.0, "string"
        ),
    )
    listener = listen(400, len(events))
    replay.command(tmp_path / "gap.xdf", name=listener.name, wait=True, stream="amp")
    np.testing.assert_array_equal(listener.heard(), data)
    elapsed = np.array(listener.stamps) - listener.stamps[0]
    np.testing.assert_allclose(elapsed, numbers / SFREQ_HZ, rtol=0, atol=1e-6)
    assert_markers_on_samples(listener, events)


def saved(folder: Path, n_samples: int = 500) -> tuple[Path, Floats]:
    data = brain_like(3, n_samples, SFREQ_HZ)
    np.save(folder / "brain.npy", data)
    return folder / "brain.npy", data


@pytest.mark.lsl
def test_a_stretch_of_some_channels_is_played_in_the_order_asked_for(
    tmp_path: Path, listen: Callable[..., Listener]
) -> None:
    path, data = saved(tmp_path)
    listener = listen(250)
    replay.command(
        path,
        name=listener.name,
        wait=True,
        sfreq=SFREQ_HZ,
        channels="3, 1, 2",
        exclude="2",
        start=0.25,
        stop=0.75,
    )
    np.testing.assert_array_equal(listener.heard(), data[[2, 0], 125:375])
    assert listener.labels == ["3", "1"]


@pytest.mark.lsl
def test_what_is_replayed_and_what_is_odd_about_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data = saved(tmp_path, 50)
    data[1, 7] = np.nan
    np.save(tmp_path / "volts.npy", data * 1e6)
    replay.command(tmp_path / "volts.npy", name=f"replay-{uuid4().hex}", sfreq=SFREQ_HZ, speed=9)
    told = " ".join(capsys.readouterr().err.split())
    for part in ("volts.npy: 3 channels, 500 Hz", "NaN", "--scale 1e-06", "50 samples sent"):
        assert part in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"chunk_ms": 0.0}, "--chunk-ms"),
        ({"speed": 0.0}, "--speed"),
        ({"speed": float("inf")}, "--speed"),
        ({"start": 3.0}, "lasts 1 s"),
        ({"scale": 0.0}, "scale"),
        ({"channels": "1,7"}, "no channel fits '7'"),
        ({"exclude": "7"}, "no channel fits '7'"),
        ({"kinds": "ecog"}, "kinds ecog: the channels are seeg: 1, 2, 3"),
        ({"exclude": "?"}, "no channel is left"),
        ({"space": "MNI mm"}, "no positions that --space could name"),
        ({"sfreq": None}, "--sfreq"),
        ({"stream": "x"}, "--stream"),
        ({"recording": Path("nowhere.edf")}, "nowhere.edf"),
    ],
)
def test_mistakes_are_told_before_anything_streams(
    wrong: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path, _ = saved(tmp_path)
    with pytest.raises(RtbrainError, match=told) as error:
        replay.command(**({"recording": path, "sfreq": SFREQ_HZ} | wrong))
    assert "\n" not in str(error.value)


def run(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "rtbrain.apps", "replay", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.lsl
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_loop_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    import pylsl

    path, _ = saved(tmp_path)
    name = f"replay-{uuid4().hex}"
    process = run(str(path), "--sfreq", str(SFREQ_HZ), "--name", name, "--loop", "--speed", "4")
    try:
        [info] = pylsl.resolve_byprop("name", name, 1, DEADLINE_S)
        inlet = pylsl.StreamInlet(info, recover=False)
        end = time.monotonic() + DEADLINE_S
        n_samples = 0
        while n_samples <= 500 and time.monotonic() < end:
            n_samples += len(inlet.pull_chunk(timeout=0.1)[1])
        assert n_samples > 500
        process.send_signal(number)
        _, told = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert "samples sent" in told
    assert "Traceback" not in told


@pytest.mark.lsl
def test_a_replay_that_fails_leaves_no_stream_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise RecordingError("the disk has gone")

    path, _ = saved(tmp_path)
    name = f"replay-{uuid4().hex}"
    monkeypatch.setattr("rtbrain.recording.playing.play", fail)
    with pytest.raises(RecordingError) as error:
        replay.command(path, name=name, sfreq=500.0)
    assert not [row for row in list_streams() if row.name.startswith(name)], error


def test_a_foreign_file_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "photo.edf").write_bytes(b"\x89PNG" * 100)
    process = run(str(tmp_path / "photo.edf"))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(told.splitlines()) == 1
    assert "photo.edf" in told
