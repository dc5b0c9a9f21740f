"""Bad contacts are found, masked, reported and restored; good ones are left alone."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import SettingsError
from rtbrain.signal import Bipolar, Chain, ChannelQuality, HighPass, Laplacian, NotchComb
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Chunk, Floats, Montage
from tests.signal.recording import joined, pieces, same, whole

SFREQ_HZ = 512.0
PATIENT = Patient(4, n_channels=16, sfreq_hz=SFREQ_HZ)
NAMES = PATIENT.montage.names
BLOCK = 128


@cache
def _healthy(n_seconds: int) -> Floats:
    n_samples = round(n_seconds * SFREQ_HZ)
    chunk = SyntheticSource(PATIENT, duration_s=n_seconds, chunk_samples=n_samples).pull()
    assert chunk is not None
    return chunk.data


def healthy(n_seconds: int) -> Floats:
    return _healthy(n_seconds).copy()


def second(t_s: float) -> int:
    return round(t_s * SFREQ_HZ)


def hum(n_samples: int) -> Floats:
    return (2000 * np.sin(2 * np.pi * 60 / SFREQ_HZ * np.arange(n_samples))).astype(np.float32)


def noise(n_samples: int, rms_uv: float) -> Floats:
    return np.random.default_rng(1).normal(0, rms_uv, n_samples).astype(np.float32)


def flicker(n_samples: int) -> Floats:
    return np.float32(3.1) + np.float32(0.2) * (noise(n_samples, 1.0) > 0)


FAULTS: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "NaN": ("not finite", lambda x: np.full_like(x, np.nan)),
    "a NaN now and then": ("not finite", lambda x: np.where(np.arange(x.size) % 100, x, np.nan)),
    "infinity": ("not finite", lambda x: np.full_like(x, -np.inf)),
    "constant": ("flat", lambda x: np.full_like(x, 12.5)),
    "zeros": ("flat", lambda x: np.zeros_like(x)),
    "the converter's last step": ("flat", lambda x: flicker(x.size)),
    "stuck at a rail": ("saturated", lambda x: np.full_like(x, -8191.0)),
    "clipped at both rails": ("saturated", lambda x: np.clip(40 * (x - x.mean()), -900, 900)),
    "mains": ("mains", lambda x: x + hum(x.size)),
    "huge noise": ("noisy", lambda x: x + noise(x.size, 2000.0)),
    "amplifier noise only": ("quiet", lambda x: noise(x.size, 0.05)),
    "noise of a brain's size": (
        "uncorrelated",
        lambda x: np.cumsum(noise(x.size, 4.0)).astype(np.float32),
    ),
}


def run(data: Floats, **kwargs: object) -> tuple[Floats, list[tuple[str, str, str]]]:
    events: list[tuple[str, str, str]] = []

    def report(event: str, *, channel: str, reason: str) -> None:
        events.append((event, channel, reason))

    stage = ChannelQuality(PATIENT.montage, on_event=report, **kwargs)
    return stage(whole(data, SFREQ_HZ)).data, events


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mains_hz", [60.0, None])
def test_a_bad_contact_is_masked_with_its_reason_and_taken_back(fault, mains_hz):
    reason, spoil = FAULTS[fault]
    data = healthy(20)
    row, start, stop = 5, second(4), second(10)
    data[row, start:stop] = spoil(data[row, start:stop])
    got, events = run(data, mains_hz=mains_hz)
    assert events == [("channel_bad", NAMES[row], reason), ("channel_good", NAMES[row], reason)]
    others = np.arange(len(NAMES)) != row
    np.testing.assert_array_equal(got[others], data[others])
    masked = np.isnan(got[row])
    assert masked[second(7) : second(15)].all()
    assert not masked[:start].any()
    assert not masked[second(18) :].any()
    np.testing.assert_array_equal(got[row, ~masked], data[row, ~masked])
    if reason in ("not finite", "flat", "saturated"):
        assert masked[second(4.5) : second(15)].all()


def test_all_that_is_normal_stays_as_it_is_without_a_copy():
    stage = ChannelQuality(PATIENT.montage, mains_hz=60.0)
    for chunk in pieces(whole(healthy(20), SFREQ_HZ), [37]):
        assert stage(chunk) is chunk
    assert stage.bad == {}


@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf])
def test_one_sample_that_is_not_finite_is_nan_at_once_and_no_more(junk):
    data = healthy(4)
    data[3, 700] = junk
    got, events = run(data)
    assert np.argwhere(np.isnan(got)).tolist() == [[3, 700]]
    assert np.isfinite(np.delete(got, 3, 0)).all()
    assert events == []


def test_all_contacts_flat_are_all_bad_and_come_back():
    data = healthy(20)
    data[:, second(2) : second(6)] = 0
    got, events = run(data)
    assert np.isnan(got[:, second(3) : second(10)]).all()
    assert np.isfinite(got[:, second(12) :]).all()
    assert len(events) == 2 * len(NAMES)


def test_more_bad_contacts_than_half_are_not_called_by_comparison():
    data = healthy(24)
    few, more = [0, 3, 6, 9, 12], [1, 4, 7, 10]
    data[few, second(2) :] += hum(data.shape[1] - second(2))
    data[more, second(8) :] += hum(data.shape[1] - second(8))
    data[15, second(12) :] = 0
    stage = ChannelQuality(PATIENT.montage, mains_hz=60.0)
    stage(whole(data, SFREQ_HZ))
    assert stage.bad == {NAMES[row]: "mains" for row in few} | {NAMES[15]: "flat"}


def test_a_contact_that_comes_and_goes_stays_bad():
    data = healthy(26)
    for start in range(second(4), second(24), second(3)):
        data[5, start : start + second(1)] = 0
    got, events = run(data)
    assert [event for event, _, _ in events] == ["channel_bad"]
    assert np.isnan(got[5, second(5) :]).all()


def test_channels_that_are_no_contacts_pass_unjudged():
    montage = Montage(("DC", *NAMES), ("misc",) + ("seeg",) * len(NAMES), SFREQ_HZ)
    data = np.vstack([np.full((1, second(6)), np.inf, np.float32), healthy(6)])
    data[4, second(2) :] = 0
    stage = ChannelQuality(montage)
    got = stage(whole(data, SFREQ_HZ)).data
    assert stage.bad == {NAMES[3]: "flat"}
    np.testing.assert_array_equal(np.delete(got, 4, 0), np.delete(data, 4, 0))
    assert np.isnan(got[4, second(3) :]).all()


def test_few_contacts_of_a_kind_are_not_compared_and_still_taken_back():
    montage = Montage(NAMES[:3], ("dbs",) * 3, SFREQ_HZ)
    data = healthy(16)[:3]
    data[0] += noise(data.shape[1], 2000.0)
    data[1, second(2) : second(4)] = 0
    events = []
    stage = ChannelQuality(montage, on_event=lambda event, **fields: events.append(event))
    stage(whole(data, SFREQ_HZ))
    assert events == ["channel_bad", "channel_good"]


def test_a_bad_contact_stays_bad_over_a_gap():
    data = healthy(6)
    data[2, second(1) :] = 0
    stage = ChannelQuality(PATIENT.montage)
    stage(whole(data, SFREQ_HZ))
    more = whole(healthy(2), SFREQ_HZ)
    got = stage(Chunk(more.data, more.timestamps + 60, data.shape[1] + 77, 77))
    assert np.isnan(got.data[2]).all()
    assert got.gap == 77


def spoiled() -> list[Chunk]:
    """Faults of all sorts over two stretches with a gap between them."""
    data = healthy(10)
    data[1, second(1) :] = 0
    data[4, second(2) : second(4)] += hum(second(2))
    data[6, 300:333] = np.nan
    data[7, 1000] = np.inf
    data[9, second(3) :] = np.nan
    stamps = 50 + np.arange(data.shape[1]) / SFREQ_HZ
    edge, lost = second(5) + 11, 45
    return [
        Chunk(data[:, :edge].copy(), stamps[:edge], 1000),
        Chunk(data[:, edge + lost :].copy(), stamps[edge + lost :], 1000 + edge + lost, lost),
    ]


def outputs(stage: ChannelQuality, chunks: list[Chunk]) -> list[Chunk]:
    return joined([stage(chunk) for chunk in chunks])


@settings(max_examples=12)
@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=6).filter(lambda s: max(s) > 20))
def test_verdicts_do_not_depend_on_chunking(sizes):
    events = [], []
    stages = [
        ChannelQuality(PATIENT.montage, on_event=lambda e, *, to=to, **f: to.append((e, f)))
        for to in events
    ]
    wanted = outputs(stages[0], spoiled())
    got = outputs(stages[1], [part for chunk in spoiled() for part in pieces(chunk, sizes)])
    same(got, wanted)
    assert events[0] == events[1]
    assert stages[0].bad == stages[1].bad
    assert {NAMES[1], NAMES[9]} <= set(stages[0].bad)


@pytest.mark.parametrize("start", [0, 50, 127, 1000])
def test_verdicts_lie_on_the_grid_of_the_sample_counter(start):
    data = healthy(6)
    data[5, second(2) :] = 0
    stamps = np.arange(data.shape[1]) / SFREQ_HZ
    got = ChannelQuality(PATIENT.montage)(Chunk(data, stamps, start)).data
    first_masked = start + int(np.isnan(got[5]).argmax())
    assert first_masked % BLOCK == 0
    assert second(2.25) <= first_masked - start <= second(2.75)


def test_the_future_changes_nothing_already_given():
    chunk = spoiled()[0]
    half = chunk.n_samples // 2
    data = chunk.data.copy()
    data[:, half:] = 0
    calm = ChannelQuality(PATIENT.montage)(chunk).data
    wild = ChannelQuality(PATIENT.montage)(Chunk(data, chunk.timestamps, 1000)).data
    np.testing.assert_array_equal(wild[:, :half], calm[:, :half])
    assert not np.array_equal(wild, calm, equal_nan=True)


def test_reset_equals_new():
    used = ChannelQuality(PATIENT.montage)
    outputs(used, spoiled())
    assert used.bad
    used.reset()
    assert used.bad == {}
    same(outputs(used, spoiled()), outputs(ChannelQuality(PATIENT.montage), spoiled()))


def test_the_input_is_left_unchanged_and_an_empty_chunk_is_fine():
    stage = ChannelQuality(PATIENT.montage)
    for chunk in spoiled():
        before = chunk.data.copy()
        chunk.data.flags.writeable = False
        stage(chunk)
        np.testing.assert_array_equal(chunk.data, before)
    empty = Chunk(np.empty((len(NAMES), 0), np.float32), np.empty(0), 5)
    assert stage(empty).data.shape == (len(NAMES), 0)


def test_a_contact_taken_back_settles_to_what_it_would_have_been():
    clean, data = healthy(24), healthy(24)
    data[5, second(4) : second(8)] += hum(second(4))
    outs = []
    for signal in (clean, data):
        notch = NotchComb(PATIENT.montage, 60)
        high = HighPass(PATIENT.montage, 0.5)
        chain = Chain(PATIENT.montage, [ChannelQuality(PATIENT.montage), notch, high])
        outs.append(chain(whole(signal, SFREQ_HZ)).data)
    assert np.isnan(outs[1][5, second(6) : second(13)]).all()
    rest = np.delete(np.arange(len(NAMES)), 5)
    np.testing.assert_array_equal(outs[1][rest], outs[0][rest])
    np.testing.assert_allclose(outs[1][5, second(18) :], outs[0][5, second(18) :], atol=1.0)


@pytest.mark.parametrize("reference", [Laplacian, Bipolar])
def test_a_bad_contact_leaves_all_that_does_not_touch_it_alone_to_the_bit(reference):
    clean, data = healthy(8), healthy(8)
    data[3, second(2) :] = np.nan
    outs = []
    for signal in (clean, data):
        stages = [ChannelQuality(PATIENT.montage), reference(PATIENT.montage)]
        outs.append(Chain(PATIENT.montage, stages)(whole(signal, SFREQ_HZ)).data)
    touched = [
        name for name in stages[1].montage.names if not set(name.split("-")).isdisjoint(NAMES[2:5])
    ]
    rest = [name not in touched for name in stages[1].montage.names]
    assert 2 <= len(touched) <= 4
    np.testing.assert_array_equal(outs[1][rest], outs[0][rest])


@pytest.mark.parametrize(("mains_hz", "sfreq_hz"), [(0.0, 512.0), (-50.0, 512.0), (None, 20.0)])
def test_what_cannot_be_measured_is_refused_in_one_line(mains_hz, sfreq_hz):
    montage = Montage(NAMES, PATIENT.montage.kinds, sfreq_hz)
    with pytest.raises(SettingsError, match="quality: ") as caught:
        ChannelQuality(montage, mains_hz=mains_hz)
    assert "\n" not in str(caught.value)
