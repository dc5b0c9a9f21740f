"""Scores of two plain readouts on a synthetic patient: how plainly its state can be decoded.

`linear` reads the running-z-scored spectrogram of every contact, `averaged` only its mean over
contacts: what an encoder with random weights, which mixes contacts blindly, has left at worst.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Floats, Ints, Mask

FRAME_S, HOP_S, N_FREQS, N_POOLED = 400 / 2048, 50 / 2048, 40, 10
TRAIN_S, EMBARGO_S, TEST_S = 60.0, 5.0, 30.0


def running_frames(patient: Patient, duration_s: float) -> tuple[Floats, Ints]:
    """Z-scored magnitudes [n_channels, n_frames, n_freqs] and the middle sample of each frame."""
    length, hop = round(FRAME_S * patient.sfreq_hz), round(HOP_S * patient.sfreq_hz)
    n_samples = round(duration_s * patient.sfreq_hz)
    chunk = SyntheticSource(patient, duration_s=duration_s, chunk_samples=n_samples).pull()
    assert chunk is not None
    starts = np.arange(0, n_samples - length + 1, hop)
    taper = np.hanning(length).astype(np.float32)
    out = np.empty((patient.n_channels, starts.size, N_FREQS), np.float32)
    for row, signal in enumerate(chunk.data):
        frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
        out[row] = np.abs(np.fft.rfft(frames * taper, axis=1)[:, :N_FREQS])
    count = np.arange(1, starts.size + 1)[:, np.newaxis]
    mean = np.cumsum(out, axis=1, dtype=np.float64) / count
    square = np.cumsum(np.square(out, dtype=np.float64), axis=1) / count
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-6))
    return ((out - mean) / deviation).astype(np.float32), starts + length // 2


def scores(patient: Patient) -> dict[str, float]:
    """Balanced accuracy of both readouts on time that lies after an embargo."""
    frames, middles = running_frames(patient, TRAIN_S + EMBARGO_S + TEST_S)
    stops = np.arange(2 * N_POOLED, frames.shape[1] + 1, N_POOLED)
    pooled = np.stack([frames[:, stop - N_POOLED : stop].mean(1) for stop in stops])  # [T, C, F]
    moments = np.array([middles[stop - N_POOLED : stop].mean() for stop in stops])
    labels = patient.state_at(np.rint(moments).astype(np.int64))
    moments_s = moments / patient.sfreq_hz
    train = moments_s < TRAIN_S
    test = moments_s >= TRAIN_S + EMBARGO_S
    views = {"linear": pooled.reshape(stops.size, -1), "averaged": pooled.mean(1)}
    return {name: _score(view, labels, train, test) for name, view in views.items()}


def _score(
    features: Floats,
    labels: Ints,
    train: Mask,
    test: Mask,
) -> float:
    scaler = StandardScaler().fit(features[train])
    readout = LogisticRegression(C=0.01, max_iter=500)
    readout.fit(scaler.transform(features[train]), labels[train])
    guess = readout.predict(scaler.transform(features[test]))
    return float(balanced_accuracy_score(labels[test], guess))
