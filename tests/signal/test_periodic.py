"""The template of periodic stimulation is subtracted where it is known, and nowhere else."""

import numpy as np
import pytest

from rtbrain.marks import UNSETTLED
from rtbrain.signal import PeriodicTemplate, find_rate
from rtbrain.types import Chunk
from tests.conftest import brain_like
from tests.signal.test_stimulation import (
    MONTAGE,
    SFREQ_HZ,
    flags_of,
    whole,
)


def periodic(rate_hz=129.16, height_uv=200.0, n=8000):
    clean = brain_like(6, n, SFREQ_HZ, seed=5)
    phases = np.arange(n) * rate_hz / SFREQ_HZ % 1
    artifact = height_uv * np.exp(-(((phases - 0.3) / 0.05) ** 2))
    return clean, (clean + artifact * np.linspace(0.2, 1, 6)[:, None]).astype(np.float32)


def test_the_rate_of_periodic_stimulation_is_measured_to_a_millionth_or_not_found():
    clean, data = periodic()
    assert find_rate(data[:, :4000], SFREQ_HZ, 130.0) == pytest.approx(129.16, rel=3e-6)
    assert find_rate(data[:, :1000], SFREQ_HZ, 130.0) == pytest.approx(129.16, rel=1e-4)
    assert find_rate(clean[:, :4000], SFREQ_HZ, 130.0) is None
    assert find_rate(data[:, :4000], SFREQ_HZ, 140.0) is None
    assert find_rate(np.zeros((3, 4000), np.float32), SFREQ_HZ, 130.0) is None


def test_the_template_of_periodic_stimulation_leaves_the_brain_behind():
    clean, data = periodic()
    stage = PeriodicTemplate(MONTAGE, 130.0)
    made = stage(whole(data))
    flags = flags_of(made)
    assert (flags[1000:1980] == UNSETTLED).all()
    assert not flags[2000:].any()
    left = (made.data - clean)[:, 2000:]
    left -= left.mean(axis=1, keepdims=True)  # an offset is no rhythm
    assert left.std() < 0.04 * (data - clean)[:, 2000:].std()


def test_stimulation_that_stops_is_subtracted_no_more():
    clean, data = periodic()
    data[:, 4000:] = clean[:, 4000:]
    events = []
    stage = PeriodicTemplate(
        MONTAGE, 130.0, on_event=lambda event, **f: events.append(f["rate_hz"])
    )
    made = stage(whole(data))
    np.testing.assert_array_equal(made.data[:, 5000:], clean[:, 5000:])
    assert events == [pytest.approx(129.16, rel=1e-4), 0.0]


@pytest.mark.parametrize("begins", [1300, 1500, 1900])
def test_what_is_subtracted_from_a_valid_sample_was_there_whenever_it_begins_and_ends(begins):
    clean, data = periodic(n=9000)
    ends = begins + 5000
    data[:, :begins], data[:, ends:] = clean[:, :begins], clean[:, ends:]
    data[:, begins + 2500 : ends] += 0.5 * (data - clean)[:, begins + 2500 : ends]
    made = PeriodicTemplate(MONTAGE, 130.0)(whole(data))
    flags = flags_of(made)
    left = (made.data - clean) * (flags != UNSETTLED)
    assert (flags[begins + 2624 : begins + 3000] == UNSETTLED).all()
    for change in (begins + 2500, ends):  # it is judged every 1/16 s
        left[:, change : change + 124] = 0
    left[:, begins : 2000 + (begins > 1500) * 1000] = 0
    assert (flags[-700:] == 0).all()
    high = np.diff(left, axis=1)
    assert np.abs(high).max() < 0.1 * np.abs(np.diff(data - clean, axis=1)).max()


def test_a_template_is_forgotten_by_a_reset_and_leaves_its_input_as_it_was():
    data = periodic()[1]
    kept = data.copy()
    used = PeriodicTemplate(MONTAGE, 130.0)
    used(whole(data))
    np.testing.assert_array_equal(data, kept)
    used.reset()
    again, new = used(whole(data)), PeriodicTemplate(MONTAGE, 130.0)(whole(data))
    np.testing.assert_array_equal(again.data, new.data)
    empty = Chunk(np.empty((6, 0), np.float32), np.empty(0), 8000)
    assert used(empty).n_samples == 0
