"""Long recordings are streamed in little memory: sparse files, which take no room on the disk."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.recording.treebank import write_trial

SFREQ_HZ = 2048
N_CHANNELS = 64
N_SAMPLES = 900 * SFREQ_HZ
LIMIT_MEBIBYTES = 150

STREAMED = """
import resource, sys
from rtbrain.recording.open import read_recording
source, sfreq_hz = sys.argv[1], float(sys.argv[2])
recording = read_recording(source, sfreq_hz=sfreq_hz or None)
n, length = 0, 2048
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, recording.n_samples, length):
    n += recording.read(start, min(start + length, recording.n_samples)).shape[1]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recording.close()
assert n == recording.n_samples
print(n, (after - before) / 1024)
"""


def array(folder):
    path = folder / "long.npy"
    shape = (N_CHANNELS, N_SAMPLES)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape).flush()
    return path, SFREQ_HZ


def trial(folder):
    labels = [f"A{number}" for number in range(1, N_CHANNELS + 1)]
    triggers = [(0.0, 0), (2.0, 2 * SFREQ_HZ)]
    path = write_trial(folder, np.zeros((1, 1)), triggers, [], labels=labels)
    with h5py.File(path, "w") as file:
        for number in range(N_CHANNELS):
            name = f"data/electrode_{number}"
            file.create_dataset(name, (N_SAMPLES,), np.float32, chunks=(3072,))
    return path, 0


@pytest.mark.parametrize("written", [array, trial])
def test_a_recording_larger_than_its_share_of_memory_is_streamed(written, tmp_path):
    source, sfreq_hz = written(tmp_path)
    command = [sys.executable, "-c", STREAMED, source, str(sfreq_hz)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_samples, grown_mebibytes = done.stdout.split()
    assert int(n_samples) == N_SAMPLES
    assert N_CHANNELS * N_SAMPLES * 4 / 2**20 > 3 * LIMIT_MEBIBYTES - 5
    assert float(grown_mebibytes) < LIMIT_MEBIBYTES
