"""`rtbrain simulate --fault`: a plain LSL reader sees the faults that were asked for."""

import time
from typing import Any

import numpy as np
import pytest

from apps import simulate
from rtbrain.errors import MontageError, SettingsError
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from tests.apps.program import rtbrain
from tests.apps.test_simulate import SFREQ_HZ, inlet_of, pull, simulating

SPEED = 4.0
WHO = Patient(0, n_channels=6, sfreq_hz=SFREQ_HZ)


def clean(duration_s: float) -> Any:
    n_samples = round(duration_s * SFREQ_HZ)
    chunk = SyntheticSource(WHO, chunk_samples=n_samples).pull(0.0)
    assert chunk is not None
    return chunk.data


def faults(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--fault", text)]


@pytest.mark.lsl
def test_faults_of_samples_and_stamps_arrive_as_asked() -> None:
    name_of = WHO.montage.names
    asked = faults("drop:2s@3", f"nan:{name_of[1]}@1-2", "clockstep:+10s@6", "dup:64@7")
    arguments = ("--duration", "8", "--speed", str(SPEED), "--wait", *asked)
    numbers = np.r_[0 : 3 * 512, 5 * 512 : 7 * 512 + 64, 7 * 512 : 8 * 512]
    with simulating(*arguments) as (name, process):
        inlet = inlet_of(name)
        inlet.open_stream(timeout=10)
        header = inlet.info(5).desc().child("rtbrain")
        assert header.child_value("origin") == "fault injection"
        values, stamps = pull(inlet, numbers.size)
        assert process.wait(30) == 0
    expected = clean(8)
    expected[1, 512:1024] = np.nan
    np.testing.assert_array_equal(np.array(values, np.float32).T, expected[:, numbers])
    moments = numbers / SFREQ_HZ / SPEED + np.where(numbers >= 6 * 512, 10, 0)
    np.testing.assert_allclose(np.array(stamps) - stamps[0], moments, rtol=0, atol=1e-6)


@pytest.mark.lsl
@pytest.mark.parametrize("kind", ["permute@2", "rate:300@2"])
def test_a_stream_that_comes_back_is_another_under_the_same_source_id(kind: str) -> None:
    import pylsl

    with simulating("--wait", *faults(kind)) as (name, process):
        inlet = inlet_of(name)
        inlet.open_stream(timeout=10)
        before = inlet.info(5)
        drained = pull_until_lost(inlet)
        (found,) = pylsl.resolve_byprop("name", name, 1, 30)
        back = pylsl.StreamInlet(found, recover=False)
        after = back.info(5)
        values, _ = pull(back, 20)
        process.terminate()
        assert process.wait(30) == 0
    assert after.source_id() == before.source_id()
    assert after.uid() != before.uid()
    # liblsl's inlet gives up what it had not handed on when the connection breaks: more where this
    # process had to wait for the processor.
    assert 512 <= len(drained) <= 2 * 512
    np.testing.assert_array_equal(np.array(drained, np.float32).T, clean(2)[:, : len(drained)])
    whole = clean(20)
    if kind == "permute@2":
        assert labels(after) == labels(before)[::-1]
        first = np.array(values[0], np.float32)[::-1]
        assert (whole[:, 3 * 512 :] == first[:, None]).all(axis=0).any()
    else:
        assert (before.nominal_srate(), after.nominal_srate()) == (512, 300)


@pytest.mark.lsl
def test_a_duplicate_source_answers_beside_the_first() -> None:
    import pylsl

    with simulating("--no-wait", *faults("duplicate-source@1")) as (name, _):
        found: list[Any] = []
        end = time.monotonic() + 20
        while len(found) < 2 and time.monotonic() < end:
            found = pylsl.resolve_byprop("name", name, 2, 1)
    assert len({info.uid() for info in found}) == 2
    assert len({info.source_id() for info in found}) == 1


def pull_until_lost(inlet: Any) -> list[Any]:
    from pylsl.util import LostError

    values: list[Any] = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            more, _ = inlet.pull_chunk(timeout=0.2, max_samples=4096)
        except LostError:
            return values
        values += list(more)
    raise AssertionError("the stream was never lost")


def labels(info: Any) -> list[str]:
    node, names = info.desc().child("channels").child("channel"), []
    while not node.empty():
        names.append(node.child_value("label"))
        node = node.next_sibling("channel")
    return names


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("drp:2s@10", SettingsError, "did you mean drop:2s@10"),
        ("nan:Z99@1", MontageError, "no channel Z99"),
        ("remove:Z99@1", MontageError, "no channel Z99"),
    ],
)
def test_a_fault_that_cannot_be_is_told_before_anything_streams(
    text: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        simulate.command(sfreq=SFREQ_HZ, channels=6, fault=[text])


def test_help_shows_how_faults_are_written() -> None:
    done = rtbrain("simulate", "--help")
    assert done.returncode == 0
    for form in ("drop:2s@10", "duplicate-source@10"):
        assert form in done.stdout
