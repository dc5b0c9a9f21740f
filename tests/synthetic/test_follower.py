"""A patient who follows cues does their task while there are any, and its own before and after."""

from uuid import uuid4

import numpy as np
import pytest

from rtbrain.check.faults.faulty_outlet import receive_markers
from rtbrain.marks import BREAK, PAUSED, SCREEN_MARKER
from rtbrain.outlet import MarkerOutlet
from rtbrain.synthetic.follower import Follower
from rtbrain.synthetic.patient import Patient
from tests.conftest import wait_until

PATIENT = Patient(3, sfreq_hz=512.0, n_channels=6)


def test_the_own_task_is_done_until_the_first_cue_and_again_once_the_screen_has_ended() -> None:
    heard: list[list[str]] = [[], ["a remark"], ["rtbrain cues {}", "speech"], [], [BREAK]]
    heard += [["speech"], [PAUSED], [], [], ["speech"], [f"{SCREEN_MARKER}{{}}"]]
    follower = Follower(PATIENT, lambda: heard.pop(0))
    n = 512
    found = []
    for block in range(11):
        found.append(follower.activation(block * n, n))
        assert follower.following == (2 <= block < 10)
    whole = np.concatenate(found, axis=1)
    np.testing.assert_array_equal(whole[:, : 2 * n], PATIENT.activation(0, 2 * n))
    np.testing.assert_array_equal(whole[:, 10 * n :], PATIENT.activation(10 * n, n))
    late = round(0.5 * n)  # delays of the foci, and their rise
    levels = [whole[:, block * n + late : (block + 1) * n] for block in range(2, 10)]
    for block, state in zip(levels, (1, 1, 0, 1, 0, 0, 0, 1), strict=True):
        np.testing.assert_allclose(block, state, atol=1e-6)


def test_a_long_run_keeps_few_states() -> None:
    texts = iter(["speech", "rest"] * 200)
    follower = Follower(PATIENT, lambda: [next(texts)])
    for block in range(400):
        activation = follower.activation(block * 64, 64)
    assert np.isfinite(activation).all()
    assert len(follower._starts) <= 16


@pytest.mark.lsl
def test_cues_are_heard_from_a_screen_that_comes_later() -> None:
    name = f"cues-{uuid4().hex}"
    with receive_markers(name) as heard:
        assert heard() == []
        outlet = MarkerOutlet(name, source_id=name)
        assert outlet.wait_for_listeners(30)
        found: list[str] = []
        outlet.push("speech", 0.0)
        wait_until(lambda: found.extend(heard()) or found)
        outlet.close()
    assert found == ["speech"]
