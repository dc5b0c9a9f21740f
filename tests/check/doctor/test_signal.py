"""What a signal shows: each finding by a signal that is known."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.check.doctor.checks import Expected
from rtbrain.check.doctor.signal import (
    SignalMeter,
    check_contacts,
    check_mains,
    check_rate,
    check_unit,
    list_contacts,
)
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0


def measured(data, montage=None, trigger=None):
    meter = SignalMeter(montage or montage_of(data.shape[0], SFREQ_HZ), trigger)
    for chunk in cut(data.astype(np.float32), [700, 1, 3000], SFREQ_HZ):
        meter.add(chunk)
    return meter.reading()


@pytest.fixture(scope="module")
def brain():
    return brain_like(8, 12 * 512, SFREQ_HZ)


@pytest.mark.parametrize(
    ("per_uv", "told", "unit", "state", "finding", "value"),
    [
        (1, "microvolts", None, "fine", "µV, stated by the stream", None),
        (1, "", None, "look", "no unit stated", "µV"),
        (1, "", "uV", "fine", "µV, set by you", None),
        (1e-6, "microvolts", None, "fix", "1,000,000 times too small", "volts"),
        (1e-6, "microvolts", "volts", "fine", "volts, set by you", None),
        (1e-6, "", None, "fix", "1,000,000 times too small", "volts"),
        (1e-3, "", None, "fix", "1,000 times too small", "millivolts"),
        (1e6, "volts", None, "fix", "1,000,000 times too large", "µV"),
        (1e6, "volts", "µV", "fine", "µV, set by you", None),
        (0, "microvolts", None, "fix", "flat", None),
    ],
)
def test_a_wrong_unit_is_found_by_its_size_and_mended_by_its_button(
    brain, per_uv, told, unit, state, finding, value
):
    check = check_unit(measured(brain * per_uv), Expected(unit=unit), told)
    assert (check.state, finding in check.finding) == (state, True), check
    assert (check.fix and check.fix.value) == value
    if check.state == "fix" and value:
        assert value in check.fix.text
        mended = check_unit(measured(brain * per_uv), Expected(unit=value), told)
        assert mended.state == "fine"


def test_the_typical_size_is_the_robust_deviation_of_the_contacts(brain):
    tail = brain[:, -2 * 512 :].astype(float)
    middle = np.median(tail, axis=1, keepdims=True)
    size = np.median(1.4826 * np.median(np.abs(tail - middle), axis=1))
    assert measured(brain).size_uv == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize(
    ("removed", "state", "value"), [(60, "fine", None), (50, "fix", 60), (None, "fine", None)]
)
def test_mains_that_the_filter_does_not_remove_must_be_fixed(brain, removed, state, value):
    check = check_mains(measured(brain), Expected(mains_hz=removed))
    assert (check.state, check.fix and check.fix.value) == (state, value)
    assert "60 Hz in the signal" in check.finding


def test_a_signal_without_hum_is_to_look_at_and_a_short_one_is_being_checked(brain):
    noise = np.random.default_rng(0).normal(0, 30, brain.shape)
    assert check_mains(measured(noise), Expected(mains_hz=60)).state == "look"
    assert check_mains(measured(brain[:, :2048]), Expected(mains_hz=60)).state == "checking"
    assert check_unit(measured(brain[:, :512]), Expected(), "").state == "checking"


def test_bad_contacts_are_named_with_their_reason_and_too_few_must_be_fixed(brain):
    flat = brain.copy()
    flat[2] = 7.0
    check = check_contacts(measured(flat))
    assert (check.state, check.finding) == ("look", "1 bad of 8: A3 flat")
    flat[:6] = 7.0
    check = check_contacts(measured(flat))
    assert (check.state, "2 of 8 are good" in check.finding) == ("fix", True)
    assert list_contacts({"A3": "uncorrelated"}, 3) == "A3 unlike its neighbours"
    assert check_contacts(measured(brain)).finding == "all 8 good"
    misc = Montage(("X", "Y"), ("misc", "misc"), SFREQ_HZ)
    assert check_contacts(measured(brain[:2], misc)).state == "fix"


@pytest.mark.parametrize(
    ("pace", "lost", "state", "words"),
    [
        (1.0, 0, "fine", "512.00 Hz measured, 512 Hz stated"),
        (1.001, 0, "look", "512.51 Hz measured"),
        (0.98, 0, "fix", "501.76 Hz measured"),
        (1.0, 100, "look", "100 samples lost"),
    ],
)
def test_the_measured_rate_is_judged_by_what_resampling_can_mend(brain, pace, lost, state, words):
    counter = SampleCounter(SFREQ_HZ)
    stamps = 1000 + np.arange(12 * 512 + lost) / (SFREQ_HZ * pace)
    kept = np.delete(stamps, slice(3000, 3000 + lost))
    for start in range(0, kept.size, 256):
        piece = slice(start, start + 256)
        counter.take(brain[:, piece], kept[piece], float(kept[piece][-1]) + 0.01)
    report = counter.report
    check = check_rate(replace(measured(brain), report=report, lost=report.lost))
    assert (check.state, words in check.finding) == (state, True), check


def test_codes_of_trigger_channels_are_counted():
    data = brain_like(3, 4000, SFREQ_HZ)
    data[2] = 0
    for at, code in ((500, 1), (1500, 2), (2500, 2)):
        data[2, at : at + 50] = code
    montage = Montage(("A1", "A2", "TRIG"), ("seeg", "seeg", "stim"), SFREQ_HZ)
    assert measured(data, montage).codes == {"TRIG": {"1": 1, "2": 2}}
    (event, *_) = SignalMeter(montage).add(Chunk(data, np.arange(4000) / SFREQ_HZ, 0))
    assert event == ("TRIG", pytest.approx(500 / SFREQ_HZ), "1")
    data[2] = np.where(data[2] > 0, 3000, 0)
    level = Montage(("A1", "A2", "DC01"), ("seeg", "seeg", "misc"), SFREQ_HZ)
    assert measured(data, level, "DC01:2500").codes == {"DC01:2500": {"DC01": 3}}
