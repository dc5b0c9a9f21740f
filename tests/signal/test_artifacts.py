"""Artifacts that nothing announces do not pass unnoticed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from rtbrain.config import SignalStep, StimulationSettings
from rtbrain.marks import ARTIFACT, BLANKED
from rtbrain.signal import ArtifactGuard, build_signal
from rtbrain.signal.quality_rules import medians
from tests.conftest import brain_like
from tests.signal.recording import cut_sizes, pieces
from tests.signal.test_stimulation import (
    MONTAGE,
    PULSES,
    SFREQ_HZ,
    SIGNAL,
    T_0,
    few,
    flags_of,
    pulsed,
    whole,
)


def guarded(data, events=None, montage=MONTAGE):
    def on_event(event, **fields):
        if events is not None:
            events.append((event, fields))

    return ArtifactGuard(montage, on_event=on_event)(whole(data))


def test_a_normal_signal_passes_the_guard_as_it_is():
    chunk = whole(SIGNAL * 3)
    assert ArtifactGuard(MONTAGE)(chunk) is chunk


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_unannounced_pulse_spoils_its_window_whatever_the_unit(scale):
    # Below a thousandth of a millivolt, only contacts that jump together show it.
    events = []
    made = guarded((pulsed() * scale).astype(np.float32), events)
    flags = flags_of(made)
    for at in PULSES:
        assert (flags[at : at + 50] == ARTIFACT).all()
    assert not flags[:300].any()
    assert events[0][0] == "artifact"


def test_one_contact_alone_is_left_out_and_the_others_are_not_spoilt():
    data = SIGNAL.copy()
    data[2, 2000] += 5000
    made = guarded(data)
    assert not flags_of(made).any()
    assert np.isnan(made.data[2, 2000:2050]).all()
    assert np.isfinite(np.delete(made.data, 2, 0)).all()


def test_a_rail_is_an_artifact_even_where_it_is_reached_slowly():
    data = SIGNAL.copy()
    ramp = np.clip(np.arange(200) * 20, 0, 900)
    data[:3, 2000:2200] += ramp
    data[:3, 2045:2200] = data[:3, 2045:2046]
    flags = flags_of(guarded(data))
    assert (flags[2060:2200] == ARTIFACT).all()


def test_what_a_blank_is_too_short_for_is_an_artifact():
    data = SIGNAL.copy()
    data[:, 1000:1030] += 2000  # longer than what is blanked
    chain = build_signal(
        [
            SignalStep(
                stimulation=StimulationSettings(texts=("stim",), before_s=0.002, after_s=0.006)
            )
        ],
        MONTAGE,
    )
    chain.mark(T_0 + 1.0, "stim")
    flags = flags_of(chain(whole(data)))
    assert flags[999] == BLANKED
    assert (flags[1006:1030] == ARTIFACT).all()


@given(sizes=cut_sizes())
@few
def test_the_guard_finds_the_same_whole_or_in_pieces(sizes):
    one, other = ArtifactGuard(MONTAGE), ArtifactGuard(MONTAGE)
    got = [other(piece) for piece in pieces(whole(pulsed()), sizes)]
    want = one(whole(pulsed()))
    np.testing.assert_array_equal(np.concatenate([c.data for c in got], axis=1), want.data)
    np.testing.assert_array_equal(np.concatenate([flags_of(c) for c in got]), flags_of(want))


@pytest.mark.parametrize(("height_uv", "is_usual_s"), [(5000.0, None), (200.0, 30.0)])
def test_changes_of_several_contacts_become_usual_late_or_never(height_uv, is_usual_s):
    events, n = [], int(34 * SFREQ_HZ)
    data = brain_like(6, n, SFREQ_HZ, seed=4)
    data[:, 1000:] += height_uv * np.sin(2 * np.pi * 130 * np.arange(n - 1000) / SFREQ_HZ)
    flags = flags_of(guarded(data.astype(np.float32), events))
    until = n if is_usual_s is None else 1000 + int(is_usual_s * SFREQ_HZ)
    assert (flags[1008:until] == ARTIFACT).all()
    if is_usual_s is not None:
        assert not flags[until + 1000 :].any()
    assert [event for event, _ in events] == ["artifact", "artifact_usual"][: 1 + bool(is_usual_s)]


def test_the_change_across_a_long_blank_is_none_that_no_brain_makes():
    flags = np.zeros(4000, np.uint8)
    flags[1000:2500] = BLANKED
    data = SIGNAL + 300 * np.sin(2 * np.pi * 0.2 * np.arange(4000) / SFREQ_HZ).astype(np.float32)
    chunk = replace(whole(data), flags=flags)
    assert not (flags_of(ArtifactGuard(MONTAGE)(chunk)) == ARTIFACT).any()


def test_what_follows_a_flat_stretch_is_judged_by_what_was_usual_before_it():
    data = np.tile(SIGNAL, 2)
    begin, end = SIGNAL.shape[1] - 1024, SIGNAL.shape[1]
    data[:, begin:end] = data[:, [begin - 1]]
    flags = flags_of(guarded(data))
    assert not flags[end + 512 :].any()


@pytest.mark.parametrize("n_samples", [1, 63, 64])
def test_medians_are_those_of_numpy(n_samples):
    values = np.random.default_rng(0).normal(size=(5, n_samples)).astype(np.float32)
    values[2, 0] = np.nan
    np.testing.assert_array_equal(medians(values), np.median(values, axis=1, keepdims=True))
