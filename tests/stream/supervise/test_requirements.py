import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain import units
from rtbrain.errors import StreamError
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.types import Chunk, Montage
from rtbrain.units import AmplitudeCheck, amplitude_uv, find_wrong_unit, wrong_unit
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(12, SFREQ_HZ)
REQUIREMENTS = StreamRequirements(SFREQ_HZ, MONTAGE.names)
DATA = brain_like(12, 1500, SFREQ_HZ)


def montage_with(names, sfreq_hz=SFREQ_HZ):
    return Montage(tuple(names), ("seeg",) * len(names), sfreq_hz)


def chunk_of(data):
    return Chunk(data, np.arange(data.shape[1]) / SFREQ_HZ, 7, 3)


def test_the_same_channels_in_the_same_order_pass_without_a_copy():
    binding = REQUIREMENTS.check(MONTAGE, stream="'s'", source_id="any")
    chunk = chunk_of(DATA)
    assert binding.apply(chunk) is chunk
    assert binding.missing == ()
    assert binding.notes == ()


@settings(max_examples=100)
@given(
    order=st.permutations([*MONTAGE.names, "EMG", "X9", "trigger"]),
    n_absent=st.integers(0, 6),
    n_samples=st.integers(0, 9),
)
def test_each_row_is_the_channel_of_its_label_whatever_the_order(order, n_absent, n_samples):
    absent = set(MONTAGE.names[:n_absent])
    names = [name for name in order if name not in absent]
    of_label = dict(zip(MONTAGE.names, DATA[:, :n_samples], strict=True))
    extra = np.full(n_samples, 1e9, np.float32)
    sent = np.stack([of_label.get(name, extra) for name in names])
    before = sent.copy()
    binding = REQUIREMENTS.check(montage_with(names), stream="'s'")
    bound = binding.apply(chunk_of(sent))
    np.testing.assert_array_equal(sent, before)
    assert bound.data.flags.c_contiguous
    assert (bound.first_sample, bound.gap) == (7, 3)
    assert np.isnan(bound.data[:n_absent]).all()
    np.testing.assert_array_equal(bound.data[n_absent:], DATA[n_absent:, :n_samples])
    assert binding.missing == MONTAGE.names[:n_absent]
    assert len(binding.notes) == bool(n_absent)


def test_too_few_channels_are_refused_by_name_and_the_floor_itself_is_not():
    assert len(REQUIREMENTS.check(montage_with(MONTAGE.names[:6]), stream="'s'").missing) == 6
    with pytest.raises(StreamError) as caught:
        REQUIREMENTS.check(montage_with(MONTAGE.names[:5]), stream="'s'")
    message = str(caught.value)
    assert message.startswith("stream 's' has 5 of the decoder's 12 channels, 50% must be there")
    assert f"missing {MONTAGE.names[5]}, {MONTAGE.names[6]}" in message
    assert "\n" not in message


def test_a_stream_of_strangers_is_refused_however_low_the_floor():
    low = dataclasses.replace(REQUIREMENTS, min_coverage=1e-9)
    with pytest.raises(StreamError, match=r"has 0 of the decoder's 12 channels.* and 4 more"):
        low.check(montage_with(["x", "y"]), stream="'s'")


@pytest.mark.parametrize("sfreq_hz", [510.0, 511.99, 514.5])
def test_a_rate_that_is_nearly_the_decoders_is_accepted_and_reported(sfreq_hz):
    binding = REQUIREMENTS.check(montage_with(MONTAGE.names, sfreq_hz), stream="'s'")
    how = "counts as" if sfreq_hz == 511.99 else "is resampled to"
    assert binding.notes == (f"it has {sfreq_hz:.10g} Hz, which {how} 512 Hz",)


@pytest.mark.parametrize("sfreq_hz", [1000.0, 515.0, 509.4])
def test_another_rate_is_refused_with_both(sfreq_hz):
    with pytest.raises(StreamError, match=f"has {sfreq_hz:.10g} Hz, the decoder needs 512 Hz"):
        REQUIREMENTS.check(montage_with(MONTAGE.names, sfreq_hz), stream="'s'")


def test_a_rate_that_differs_by_the_rounding_of_a_header_is_the_same():
    REQUIREMENTS.check(montage_with(MONTAGE.names, SFREQ_HZ * (1 + 9e-7)), stream="'s'")


def test_another_sender_is_refused_with_both_source_ids_and_the_setting():
    pinned = dataclasses.replace(REQUIREMENTS, source_id="one")
    said = "stream 's' comes from source_id 'two', decoding began with 'one'.*accept_other_source"
    with pytest.raises(StreamError, match=said):
        pinned.check(MONTAGE, stream="'s'", source_id="two")


@pytest.mark.parametrize(("before", "now"), [("", "two"), ("one", ""), ("", "")])
def test_a_sender_without_a_source_id_has_none_to_compare(before, now):
    pinned = dataclasses.replace(REQUIREMENTS, source_id=before)
    notes = pinned.check(MONTAGE, stream="'s'", source_id=now).notes
    assert notes == ((f"the source_id is {now!r}, it was {before!r}",) if now != before else ())


def test_another_sender_that_is_accepted_and_another_format_are_told():
    pinned = dataclasses.replace(
        REQUIREMENTS, source_id="one", sample_format="float32", accept_other_source=True
    )
    same = pinned.check(MONTAGE, stream="'s'", source_id="one", sample_format="float32")
    assert same.notes == ()
    other = pinned.check(MONTAGE, stream="'s'", source_id="two", sample_format="int16")
    assert other.notes == (
        "the source_id is 'two', it was 'one'",
        "the sample format is 'int16', it was 'float32'",
    )


def test_a_chunk_of_another_stream_is_not_bound():
    binding = REQUIREMENTS.check(MONTAGE, stream="'s'")
    with pytest.raises(ValueError, match="chunk has 3 channels, the stream has 12"):
        binding.apply(chunk_of(DATA[:3]))


@pytest.mark.parametrize(("factor", "mends"), [(1e6, 1e-6), (1e3, 1e-3), (1e-3, 1e3), (1e-6, 1e6)])
@pytest.mark.parametrize("sizes", [[], [1, 700, 0, 3]])
def test_a_wrong_unit_is_told_once_with_the_factor_that_mends_it(factor, mends, sizes):
    check = AmplitudeCheck(MONTAGE)
    data = (DATA.astype(np.float64) * factor).astype(np.float32)
    data[3] = np.nan
    data[4] = 0
    chunks = cut(data, sizes, SFREQ_HZ)
    told = [said for chunk in [*chunks, *chunks] if (said := check(chunk))]
    ((text, suggested),) = told
    assert suggested == pytest.approx(mends)
    assert "its unit is probably wrong" in text
    check.reset()
    again = [said for chunk in chunks if (said := check(chunk))]
    assert again == told


def test_of_many_channels_the_same_samples_are_measured_in_pieces_of_any_size(monkeypatch):
    monkeypatch.setattr(units, "_MOST_VALUES", 1000)
    data = (DATA.astype(np.float64) * 1e6).astype(np.float32)
    found = [
        [said for chunk in cut(data, sizes, SFREQ_HZ) if (said := check(chunk))]
        for sizes in ([], [1, 700, 0, 3], [7] * 300)
        for check in [AmplitudeCheck(MONTAGE)]
    ]
    assert found[0] == found[1] == found[2] != []


def test_a_brain_a_flat_line_and_too_little_signal_are_not_warned_of():
    assert not any(AmplitudeCheck(MONTAGE)(chunk) for chunk in cut(DATA, [300], SFREQ_HZ))
    assert find_wrong_unit(0.0) is None
    assert np.isnan(amplitude_uv(np.full((2, 50), np.nan, np.float32)))
    assert find_wrong_unit(float("nan")) is None
    check = AmplitudeCheck(MONTAGE)
    assert check(chunk_of(DATA[:, :1000] * 1e6)) is None


def test_the_amplitude_is_that_of_the_channels_of_the_brain():
    kinds = ("misc",) * 11 + ("seeg",)
    check = AmplitudeCheck(Montage(MONTAGE.names, kinds, SFREQ_HZ))
    data = DATA.copy()
    data[:11] *= 1e6
    assert check(chunk_of(data)) is None


def test_the_amplitude_is_a_normal_distributions_standard_deviation():
    rng = np.random.default_rng(0)
    data = rng.normal(1000, 50, (5, 20_000)).astype(np.float32)
    data[0, :4000] = 1e9
    assert amplitude_uv(data) == pytest.approx(50, rel=0.03)


def test_labels_that_a_stream_writes_differently_are_bound_and_reported():
    requirements = StreamRequirements(SFREQ_HZ, ("A1", "A2", "A3", "B\u20191"))
    binding = requirements.check(
        montage_with(("POL A3", "EEG A1-Ref", "b'01", "DC01")), stream="amp"
    )
    np.testing.assert_array_equal(binding.rows, [1, -1, 0, 2])
    assert binding.missing == ("A2",)
    assert binding.notes[0] == (
        "labels differ and were matched: EEG A1-Ref is A1, POL A3 is A3, b'01 is B\u20191"
    )


@pytest.mark.parametrize(
    ("per_volt", "size_uv", "unit", "times"),
    [(1.0, 3e-5, "volts", 1e-6), (1e6, 5e7, "microvolts", 1e6), (1.0, 0.05, "millivolts", 1e-3)],
)
def test_a_wrong_unit_is_named_with_the_right_one(per_volt, size_uv, unit, times):
    _, factor = find_wrong_unit(size_uv)
    found = wrong_unit(np.full(4, per_volt), factor)
    assert (found.unit, found.times) == (unit, pytest.approx(times))
