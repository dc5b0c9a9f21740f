"""What faults do to samples and stamps, against the untouched signal."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.check.faults.faulty_outlet import PhaseOutput, outlet_plan
from rtbrain.check.faults.grammar import parse_fault
from rtbrain.check.faults.injection import FaultInjection
from rtbrain.errors import MontageError
from rtbrain.types import Chunk
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 500.0
MONTAGE = montage_of(4, SFREQ_HZ)
N_SAMPLES = 2000
DATA = brain_like(4, N_SAMPLES, SFREQ_HZ)
STAMPS = 100 + np.arange(N_SAMPLES) / SFREQ_HZ
sizes = st.lists(st.integers(0, 700), max_size=12)


def sent(chunks, texts, mains_hz=60.0):
    """The chunks that leave at once for each, and those that leave at the end."""
    faults = [parse_fault(text) for text in texts]
    injection = FaultInjection(MONTAGE, faults, mains_hz=mains_hz, pace_hz=SFREQ_HZ)
    return [*map(injection, chunks), injection.flush()]


def injected(texts, lengths=(), **settings):
    return list(chain(*sent(cut(DATA, list(lengths), SFREQ_HZ), texts, **settings)))


def n_samples(rounds):
    return [sum(chunk.n_samples for chunk in chunks) for chunks in rounds]


def whole(chunks):
    """All values, all stamps, and where how much is lost."""
    chunks, expected = list(chunks), 0
    for chunk in chunks:
        assert chunk.first_sample == expected + chunk.gap
        expected = chunk.first_sample + chunk.n_samples
    return (
        np.concatenate([c.data for c in chunks], axis=1),
        np.concatenate([c.timestamps for c in chunks]),
        [(c.first_sample, c.gap) for c in chunks if c.gap],
    )


ANY = st.sampled_from(
    [
        "drop:0.5s@1",
        "drop:0.1s@3.9",
        "stall:1s@1.5",
        "burst:0.25s@0.5-3.1",
        "dup:64@1.2",
        "dup:64@3.98",
        "reorder:50@1.1",
        "reorder:90@3.9",
        "nan:A3@1-2",
        "inf:A1,A2@0",
        "flat:A3@0.7-3",
        "saturate:A2@1",
        "mains:*@2",
        "scale:1e6@1-3",
        "clockstep:-10s@1.3",
        "drift:200ppm",
        "permute@1",
    ]
)


@given(lengths=sizes, texts=st.lists(ANY, max_size=4))
@settings(max_examples=150)
def test_faults_do_not_depend_on_chunking(lengths, texts):
    one, other = whole(injected(texts)), whole(injected(texts, lengths))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert one[2] == other[2]


def test_without_faults_nothing_changes():
    data, stamps, lost = whole(injected([], [7, 300]))
    np.testing.assert_array_equal(data, DATA)
    np.testing.assert_array_equal(stamps, STAMPS)
    assert lost == []


def test_dropped_samples_are_gone_and_declared():
    data, stamps, lost = whole(injected(["drop:0.5s@1", "drop:0.2s@3"], [33] * 20))
    kept = np.r_[0:500, 750:1500, 1600:2000]
    np.testing.assert_array_equal(data, DATA[:, kept])
    np.testing.assert_array_equal(stamps, STAMPS[kept])
    assert lost == [(750, 250), (1600, 100)]


def test_a_loss_of_the_source_is_passed_on_and_its_faults_come_at_the_same_second():
    before, _, after = cut(DATA, [400, 100], SFREQ_HZ)
    after = Chunk(after.data, after.timestamps, after.first_sample, gap=100)
    data, _, lost = whole(chain(*sent([before, after], ["nan:A1@2-3"])))
    assert lost == [(500, 100)]
    assert np.flatnonzero(np.isnan(data[0])).tolist() == list(range(900, 1400))


def test_a_stall_holds_samples_and_gives_them_all_at_once():
    rounds = sent(cut(DATA, [100] * 20, SFREQ_HZ), ["stall:1s@1"])
    data, stamps, _ = whole(chain(*rounds))
    np.testing.assert_array_equal(data, DATA)
    np.testing.assert_array_equal(stamps, STAMPS)
    assert n_samples(rounds)[:10] == [100, 100, 100, 100, 100, 0, 0, 0, 0, 500]


def test_bursts_come_one_after_the_other():
    rounds = sent(cut(DATA, [50] * 40, SFREQ_HZ), ["burst:0.5s@1-3"])
    assert n_samples(rounds)[10:30] == [0, 0, 0, 0, 250] * 4
    np.testing.assert_array_equal(whole(chain(*rounds))[0], DATA)


def test_duplicates_and_swapped_runs_keep_their_stamps():
    order = np.r_[0:564, 500:2000]
    data, stamps, _ = whole(injected(["dup:64@1"], [37] * 30))
    np.testing.assert_array_equal(data, DATA[:, order])
    np.testing.assert_array_equal(stamps, STAMPS[order])
    order = np.r_[0:500, 550:600, 500:550, 600:2000]
    data, stamps, _ = whole(injected(["reorder:50@1"], [37] * 30))
    np.testing.assert_array_equal(data, DATA[:, order])
    np.testing.assert_array_equal(stamps, STAMPS[order])


def test_values_go_wrong_on_their_channels_and_in_their_span_only():
    for text, row, check in (
        ("nan:A3@1-2", 2, lambda x: np.isnan(x).all()),
        ("inf:A3@1-2", 2, lambda x: np.isposinf(x).all()),
        ("flat:A3@1-2", 2, lambda x: (x == DATA[2, 500]).all()),
        ("saturate:A3@1-2", 2, lambda x: np.mean(np.abs(x) == 5000) > 0.9),
    ):
        data, stamps, lost = whole(injected([text], [333] * 3))
        touched = np.zeros(DATA.shape, bool)
        touched[row, 500:1000] = True
        np.testing.assert_array_equal(data[~touched], DATA[~touched])
        assert check(data[touched]), text
        np.testing.assert_array_equal(stamps, STAMPS)
        assert lost == []


def test_mains_is_a_sine_of_the_chosen_frequency():
    data, _, _ = whole(injected(["mains:A1,A2@0-4"], [77] * 9, mains_hz=50.0))
    added = (data - DATA)[0]
    power = np.abs(np.fft.rfft(added))
    assert np.fft.rfftfreq(N_SAMPLES, 1 / SFREQ_HZ)[power.argmax()] == 50
    np.testing.assert_allclose(np.abs(added).max(), 1000, rtol=0.05)
    np.testing.assert_array_equal(data[2:], DATA[2:])


def test_scale_multiplies_everything():
    data, _, _ = whole(injected(["scale:1e6@2"]))
    np.testing.assert_array_equal(data[:, :1000], DATA[:, :1000])
    np.testing.assert_allclose(data[:, 1000:], DATA[:, 1000:] * 1e6, rtol=1e-6)


def test_the_clock_steps_and_drifts():
    _, stamps, lost = whole(injected(["clockstep:+10s@1", "drift:200ppm@2"], [90] * 9))
    moved = np.where(np.arange(N_SAMPLES) >= 500, 10.0, 0.0)
    moved += np.maximum(np.arange(N_SAMPLES) - 1000, 0) / SFREQ_HZ * 200e-6
    np.testing.assert_allclose(stamps, STAMPS + moved, rtol=0, atol=1e-9)
    assert lost == []


def test_the_signal_is_left_unchanged_and_a_missing_channel_is_refused():
    chunks = cut(DATA.copy(), [500], SFREQ_HZ)
    for chunk in chunks:
        chunk.data.flags.writeable = chunk.timestamps.flags.writeable = False
    texts = ["nan:A1@0", "flat:A2@0", "scale:2@0", "mains:A3@0", "drift:9ppm", "dup:5@1"]
    assert list(chain(*sent(chunks, texts)))
    np.testing.assert_array_equal(chunks[1].data, DATA[:, 500:])
    with pytest.raises(MontageError, match="no channel Z9"):
        injected(["nan:Z9@1"])


@given(lengths=sizes, rate_hz=st.sampled_from([200.0, 499.0, 500.0, 733.3, 1000.0]))
@settings(max_examples=60)
def test_another_rate_holds_or_skips_values_whatever_the_chunks(lengths, rate_hz):
    phase = outlet_plan([parse_fault(f"rate:{rate_hz}@0")], MONTAGE)[-1]
    rebound = PhaseOutput(phase, sfreq_hz=SFREQ_HZ, pace_hz=SFREQ_HZ)
    rebuilt = [rebound(chunk) for chunk in cut(DATA, lengths, SFREQ_HZ)]
    stamps = np.concatenate([chunk.timestamps for chunk in rebuilt])
    n_wanted = int(np.ceil(N_SAMPLES * rate_hz / SFREQ_HZ))
    np.testing.assert_allclose(stamps, 100 + np.arange(n_wanted) / rate_hz, rtol=0, atol=1e-8)
    held = np.floor(np.arange(n_wanted) * SFREQ_HZ / rate_hz + 1e-9).astype(int)
    np.testing.assert_array_equal(np.concatenate([c.data for c in rebuilt], axis=1), DATA[:, held])


def test_an_added_channel_carries_zeros_and_the_others_move():
    phase = outlet_plan([parse_fault("add:ZZ@0"), parse_fault("permute@2")], MONTAGE)[-1]
    (chunk,) = cut(DATA, [], SFREQ_HZ)
    changed = PhaseOutput(phase, sfreq_hz=SFREQ_HZ, pace_hz=SFREQ_HZ)(chunk)
    np.testing.assert_array_equal(changed.data[:4], DATA[::-1])
    np.testing.assert_array_equal(changed.data[4], 0)
