"""`rtbrain simulate`: what comes over LSL is the synthetic patient, sample for sample."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from apps import simulate
from rtbrain.errors import SettingsError
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource

SFREQ_HZ = 512.0


@contextlib.contextmanager
def simulating(*arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    name = f"sim-{uuid4().hex}"
    settings = ["--channels", "6", "--sfreq", str(SFREQ_HZ), *arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "rtbrain.apps", "simulate", "--name", name, *settings],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield name, process
    finally:
        process.kill()
        process.communicate()


def inlet_of(name: str) -> Any:
    import pylsl

    [info] = pylsl.resolve_byprop("name", name, 1, 30)
    inlet = pylsl.StreamInlet(info, max_buflen=60, recover=False)
    return inlet


def pull(inlet: Any, n_samples: int) -> tuple[list[Any], list[float]]:
    values: list[Any] = []
    stamps: list[float] = []
    end = time.monotonic() + 20
    while len(values) < n_samples and time.monotonic() < end:
        more, at = inlet.pull_chunk(timeout=0.2, max_samples=4096)
        values += list(more)
        stamps += list(at)
    return values, stamps


@pytest.mark.lsl
def test_stream_is_the_patient_and_markers_lie_on_its_samples() -> None:
    who = Patient(3, n_channels=6, sfreq_hz=SFREQ_HZ)
    start, length = round(10 * SFREQ_HZ), round(6 * SFREQ_HZ)
    expected = SyntheticSource(who, chunk_samples=length, start_sample=start).pull(0.0)
    assert expected is not None
    markers = who.markers(start, start + length)
    assert len(markers) >= 2
    arguments = ("--seed", "3", "--start", "10", "--duration", "6", "--speed", "4", "--wait")
    with simulating(*arguments) as (name, process):
        marked = inlet_of(f"{name}-markers")
        marked.open_stream(timeout=10)
        inlet = inlet_of(name)
        inlet.open_stream(timeout=10)
        values, stamps = pull(inlet, length)
        texts, moments = pull(marked, len(markers))
        assert process.wait(30) == 0
    np.testing.assert_array_equal(np.array(values, np.float32).T, expected.data)
    np.testing.assert_allclose(np.diff(stamps), 1 / SFREQ_HZ / 4, atol=1e-6)
    assert [text for [text] in texts] == [text for _, text in markers]
    on_samples = [stamps[sample - start] for sample, _ in markers]
    np.testing.assert_allclose(moments, on_samples, atol=1e-6)


def test_a_patient_is_named_as_a_recording_is_or_by_flags(monkeypatch: Any) -> None:
    streamed = []
    monkeypatch.setattr(simulate, "stream_patient", lambda *given: streamed.append(given))
    words = "synthetic:7,task=beta,n_channels=8,start_s=5,duration_s=2,mix_drift=0.2"
    simulate.command(patient=words, sfreq=SFREQ_HZ)
    simulate.command(seed=7, task="beta", channels=8, start=5.0, duration=2.0, sfreq=SFREQ_HZ)
    (named, source, *_), (flagged, *_) = streamed
    assert (named.seed, named.task, named.n_channels, named.mix_drift) == (7, "beta", 8, 0.2)
    assert (flagged.seed, flagged.task, flagged.n_channels) == (7, "beta", 8)
    assert source.pull(0.0).first_sample == 5 * SFREQ_HZ
    assert streamed[0][-3] == streamed[1][-3] == 5 * SFREQ_HZ


@pytest.mark.lsl
@pytest.mark.parametrize("waiting", ["--wait", "--no-wait"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly(number: signal.Signals, waiting: str) -> None:
    with simulating(waiting) as (name, process):
        inlet_of(name)
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "samples sent" in told
        assert "Traceback" not in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"chunk_ms": 0.0}, "--chunk-ms"),
        ({"speed": 0.0}, "--speed"),
        ({"speed": float("inf")}, "--speed"),
        ({"start": float("nan")}, "--start"),
        ({"duration": float("nan")}, "duration must be"),
        ({"channels": 3}, "6 to 1024 channels, got 3"),
        ({"mains": 55.0}, "50 or 60 Hz"),
        ({"difficulty": "brutal"}, "easy, default, hard"),
        ({"task": "gamma"}, "task must be one of mixed, high_gamma, beta"),
        ({"patient": "synthetic:3,task=gamma"}, "task must be one of mixed, high_gamma, beta"),
        ({"patient": "synthetic:3,n=4"}, "no property 'n', there are family, n_channels"),
        ({"patient": "synthetic:3", "task": "beta"}, "write task=beta into the one"),
        ({"patient": "a.edf"}, "expected synthetic:SEED"),
    ],
)
def test_mistakes_are_told_before_anything_streams(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        simulate.command(**wrong)
    assert "\n" not in str(error.value)
