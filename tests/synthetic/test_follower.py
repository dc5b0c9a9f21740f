"""A patient who follows cues does its own task before, and then theirs."""

import numpy as np

from rtbrain.marks import BREAK, PAUSED
from rtbrain.synthetic.follower import Follower
from rtbrain.synthetic.patient import Patient

PATIENT = Patient(3, sfreq_hz=512.0, n_channels=6)


def test_the_own_task_is_done_until_the_first_cue_and_the_cues_from_then_on() -> None:
    heard: list[list[str]] = [[], ["a remark"], ["rtbrain cues {}", "speech"], [], [BREAK]]
    heard += [["speech"], [PAUSED], [], []]
    follower = Follower(PATIENT, lambda: heard.pop(0))
    n = 512
    found = []
    for block in range(9):
        found.append(follower.activation(block * n, n))
        assert follower.following == (block >= 2)
    whole = np.concatenate(found, axis=1)
    np.testing.assert_array_equal(whole[:, : 2 * n], PATIENT.activation(0, 2 * n))
    late = round(0.5 * n)  # delays of the foci, and their rise
    levels = [whole[:, block * n + late : (block + 1) * n] for block in range(2, 9)]
    for block, state in zip(levels, (1, 1, 0, 1, 0, 0, 0), strict=True):
        np.testing.assert_allclose(block, state, atol=1e-6)


def test_a_long_run_keeps_few_states() -> None:
    texts = iter(["speech", "rest"] * 200)
    follower = Follower(PATIENT, lambda: [next(texts)])
    for block in range(400):
        activation = follower.activation(block * 64, 64)
    assert np.isfinite(activation).all()
    assert len(follower._starts) <= 16
