"""An artefact passes; what the running z-score knows of the brain stays."""

import numpy as np

from rtbrain.spectrogram import RunningStft
from rtbrain.types import Quality, Window
from tests.conftest import brain_like

SFREQ_HZ, LENGTH, HOP = 2048, 4096, 500


def z_scores(data: np.ndarray) -> np.ndarray:
    stage = RunningStft(data.shape[0], LENGTH, time_constant_frames=60 * SFREQ_HZ / 50)
    good = np.ones(data.shape[0], np.bool_)
    out = []
    for start in range(0, data.shape[1] - LENGTH, HOP):
        piece = np.ascontiguousarray(data[:, start : start + LENGTH])
        window = Window(piece, (start + LENGTH) / SFREQ_HZ, start, Quality(good))
        out.append(stage(window).data[:, -10:])
    return np.stack(out)


def test_a_20_mv_artefact_of_a_fifth_of_a_second_leaves_later_z_scores_as_they_were() -> None:
    clean = brain_like(2, 60 * SFREQ_HZ, SFREQ_HZ, seed=8)
    struck = clean.copy()
    at = 20 * SFREQ_HZ
    struck[:, at : at + 400] += np.random.default_rng(1).normal(0, 20_000, (2, 400))
    spread, spread_after = z_scores(clean)[-80:].std(), z_scores(struck)[-80:].std()
    assert abs(spread_after / spread - 1) < 0.1


def test_a_channel_that_wakes_after_long_silence_is_normalised_all_the_same() -> None:
    data = brain_like(1, 40 * SFREQ_HZ, SFREQ_HZ, seed=9)
    data[:, : 15 * SFREQ_HZ] = 0
    late = z_scores(data)[-40:]
    assert 0.2 < late.std() < 5
