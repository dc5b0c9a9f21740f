"""Trigger channels of files: their numbers are codes, and their codes are events."""

import mne
import numpy as np
import pytest

from rtbrain.recording.open import read, read_recording
from rtbrain.recording.replay import ReplaySource
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ = 500.0


def codes(n_samples=2000, pulse=25):
    """Pulses of 1, 2, 3, a second apart, the first after 0.2 s."""
    channel = np.zeros(n_samples)
    for number, start in enumerate(range(100, n_samples - pulse, 500)):
        channel[start : start + pulse] = 1 + number % 3
    return channel


def fif(path, trigger, *, name="STI 014", unit=None, annotations=None):
    n_samples = trigger.size
    info = mne.create_info(["A1", "A2", name], SFREQ_HZ, ["seeg", "seeg", "stim"])
    data = np.vstack([1e-6 * brain_like(2, n_samples, SFREQ_HZ), trigger])
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    if annotations is not None:
        raw.set_annotations(annotations)
    raw.save(path, verbose="ERROR")
    return raw


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_codes_keep_their_numbers_whatever_the_unit_and_the_scale(tmp_path, scale):
    trigger = codes()
    fif(tmp_path / "stim_raw.fif", trigger)
    data = np.vstack([brain_like(2, trigger.size, SFREQ_HZ), trigger]).T
    desc = described(("A1", "A2", "TRIG"), unit="volts")
    desc = desc[::-1].replace("SEEG"[::-1], "stim"[::-1], 1)[::-1]
    stamps = 100 + np.arange(trigger.size) / SFREQ_HZ
    write_xdf(tmp_path / "stim.xdf", XdfStream("amp", stamps, data, SFREQ_HZ, desc=desc))
    for name in ("stim_raw.fif", "stim.xdf"):
        recording = read(tmp_path / name, scale=scale)
        assert recording.montage.kinds[-1] == "stim"
        np.testing.assert_array_equal(recording.read(0, trigger.size)[-1], trigger)
        source = ReplaySource(
            read_recording(tmp_path / name), chunk_samples=trigger.size, scale=scale
        )
        np.testing.assert_array_equal(source.pull(0.0).data[-1], trigger)
        recording.close()
    raw = mne.io.read_raw(tmp_path / "stim_raw.fif", verbose="ERROR")
    np.testing.assert_array_equal(read(raw).read(0, trigger.size)[-1], trigger)
