"""The synthetic patient: the same samples however they are asked for, and brain-like ones."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.ndimage import uniform_filter1d

from rtbrain.errors import SettingsError
from rtbrain.stream.draws import Draw
from rtbrain.stream.noise import Bumps
from rtbrain.stream.patient import BANDS_HZ, DIFFICULTIES, Patient
from rtbrain.stream.synthetic import Synthesis, SyntheticSource
from rtbrain.types import Floats
from tests.stream.linear_control import scores

SFREQ_HZ = 1024.0


def patient(seed: int = 0, **settings: object) -> Patient:
    return Patient(seed, **{"sfreq_hz": SFREQ_HZ, **settings})  # type: ignore[arg-type]


def play(who: Patient, n_samples: int, chunk_samples: int, start_sample: int = 0) -> Floats:
    source = SyntheticSource(
        who,
        duration_s=n_samples / who.sfreq_hz,
        chunk_samples=chunk_samples,
        start_sample=start_sample,
    )
    chunks = []
    while (chunk := source.pull(0.0)) is not None:
        assert chunk.first_sample == start_sample + sum(c.n_samples for c in chunks)
        expected = (chunk.first_sample + np.arange(chunk.n_samples)) / who.sfreq_hz
        np.testing.assert_array_equal(chunk.timestamps, expected)
        chunks.append(chunk)
    return np.concatenate([chunk.data for chunk in chunks], axis=1)


@cache
def minute(seed: int = 0, family: int = 0) -> Floats:
    n_samples = round(60 * SFREQ_HZ)
    return play(patient(seed, family=family), n_samples, n_samples)


def band_power(data: Floats, band_hz: tuple[float, float]) -> Floats:
    sos = signal.butter(4, band_hz, "bandpass", fs=SFREQ_HZ, output="sos")
    return np.asarray(signal.sosfiltfilt(sos, data.astype(np.float64)) ** 2)


# The law


@settings(max_examples=15, deadline=None)
@given(chunk_samples=st.integers(1, 3000), start=st.integers(0, 9000), length=st.integers(1, 2600))
def test_samples_do_not_depend_on_chunking_or_start(
    chunk_samples: int, start: int, length: int
) -> None:
    who = patient(n_channels=6)
    whole = minute_of_six()
    pieces = play(who, length, chunk_samples, start)
    np.testing.assert_array_equal(pieces, whole[:, start : start + length])


@cache
def minute_of_six() -> Floats:
    return play(patient(n_channels=6), 12_000, 12_000)


def test_blocks_come_out_the_same_in_any_order() -> None:
    forwards, backwards = Synthesis(patient()), Synthesis(patient())
    ahead = [forwards.block(number) for number in range(4)]
    back = [backwards.block(number) for number in reversed(range(4))][::-1]
    np.testing.assert_array_equal(ahead, back)


def test_same_seed_gives_same_patient_and_another_seed_another() -> None:
    assert patient(3).montage.names == patient(3).montage.names
    np.testing.assert_array_equal(play(patient(3), 500, 500), play(patient(3), 500, 500))
    assert not np.allclose(play(patient(3), 500, 500), play(patient(4), 500, 500))


def test_source_ends_after_its_duration_and_when_closed() -> None:
    source = SyntheticSource(patient(), duration_s=1.0, chunk_samples=1000)
    lengths = []
    while (chunk := source.pull(0.0)) is not None:
        lengths.append(chunk.n_samples)
    assert lengths == [1000, 24]
    assert source.pull(0.0) is None
    endless = SyntheticSource(patient())
    assert endless.pull(0.0) is not None
    endless.close()
    endless.close()
    assert endless.pull(0.0) is None


# Anatomy


def test_patients_of_a_family_share_foci_but_not_electrodes() -> None:
    one, other, stranger = patient(0), patient(1), patient(0, family=1)
    for mine, theirs in zip(one.foci, other.foci, strict=True):
        np.testing.assert_array_equal(mine.position_mm, theirs.position_mm)
        assert mine.delay_s == theirs.delay_s
    assert one.foci[0].delay_s != stranger.foci[0].delay_s
    assert not np.allclose(one.montage.positions, other.montage.positions)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_channels", [6, 13, 32, 40, 97, 256])
def test_shafts_have_six_to_fourteen_contacts_in_a_row(n_channels: int) -> None:
    implant = patient(5, n_channels=n_channels).implant
    assert len(set(implant.names)) == n_channels
    counts = np.bincount(implant.shafts)
    assert counts.min() >= 6
    assert counts.max() <= 14
    for shaft in range(counts.size):
        on_shaft = implant.positions_mm[implant.shafts == shaft]
        gaps_mm = np.linalg.norm(np.diff(on_shaft, axis=0), axis=1)
        np.testing.assert_allclose(gaps_mm, 3.5, atol=1e-3)
        # Contact 1 is the tip, nearest to the middle.
        assert abs(on_shaft[0, 0]) < abs(on_shaft[-1, 0])


@pytest.mark.parametrize("seed", range(5))
def test_voxels_are_whole_inside_the_volume_and_agree_with_millimetres(seed: int) -> None:
    in_mm = patient(seed, n_channels=256).montage
    voxels = patient(seed, n_channels=256, space="LIP voxels").montage
    assert (in_mm.space, voxels.space) == ("MNI mm", "LIP voxels")
    x, y, z = in_mm.positions.T  # type: ignore[union-attr]
    L, I, P = voxels.positions.T  # type: ignore[union-attr]  # noqa: E741
    for voxel, along in ((L, x), (I, z), (P, y)):
        np.testing.assert_array_equal(voxel, np.rint(voxel))
        np.testing.assert_allclose(voxel, 128 - along, atol=0.5)
    assert voxels.positions.min() >= 50  # type: ignore[union-attr]
    assert voxels.positions.max() <= 200  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(5))
def test_a_fair_share_of_contacts_responds(seed: int) -> None:
    who = patient(seed)
    effect = sum(focus.effect(who.implant.positions_mm) for focus in who.foci)
    assert 0.25 <= np.mean(effect > 0.5) <= 0.55


# Task


def test_states_last_one_to_three_seconds_and_markers_agree_with_them() -> None:
    who = patient()
    n_samples = round(300 * SFREQ_HZ)
    markers = who.markers(0, n_samples)
    assert markers[0] == (0, "rest")
    starts = np.array([sample for sample, _ in markers])
    lengths_s = np.diff(starts) / SFREQ_HZ
    assert lengths_s.min() >= 1 - 1 / SFREQ_HZ
    assert lengths_s.max() <= 3 + 1 / SFREQ_HZ
    assert abs(lengths_s.mean() - 2) < 0.2
    states = who.state_at(np.arange(n_samples))
    changes = np.flatnonzero(np.diff(states)) + 1
    np.testing.assert_array_equal(changes, starts[1:])
    assert [who.classes[states[start]] for start in starts] == [text for _, text in markers]


@given(edges=st.lists(st.integers(0, 40_000), min_size=2, max_size=6).map(sorted))
@settings(deadline=None)
def test_markers_do_not_depend_on_how_they_are_asked_for(edges: list[int]) -> None:
    who = patient(2)
    pieces = [who.markers(a, b) for a, b in itertools.pairwise(edges)]
    together = list(itertools.chain.from_iterable(pieces))
    assert together == patient(2).markers(edges[0], edges[-1])


def test_states_are_at_the_same_times_at_any_rate() -> None:
    slow = patient(sfreq_hz=500.0).markers(0, 30_000)
    fast = patient(sfreq_hz=2048.0).markers(0, 122_880)
    for (a, text), (b, same) in zip(slow, fast, strict=True):
        assert abs(a / 500 - b / 2048) < 2 / 500
        assert text == same


def test_more_classes_never_repeat_and_drive_different_foci() -> None:
    who = patient(classes=("rest", "speech", "music"))
    markers = who.markers(0, round(200 * SFREQ_HZ))
    texts = [text for _, text in markers]
    assert set(texts) == {"rest", "speech", "music"}
    assert all(a != b for a, b in itertools.pairwise(texts))
    middles = {text: who.activation(start + 900, 1)[:, 0] for start, text in reversed(markers[:-1])}
    assert not middles["rest"].any()
    assert not np.allclose(middles["speech"], middles["music"])


def test_each_focus_follows_the_state_after_its_own_delay() -> None:
    who = patient()
    start = next(sample for sample, text in who.markers(1, 10_000) if text == "speech")
    active = who.activation(start - 100, 1000)
    for row, focus in zip(active, who.foci, strict=True):
        half_way = start - 100 + np.flatnonzero(row >= 0.5)[0]
        expected_s = focus.delay_s + who.level.rise_s / 2
        assert abs((half_way - start) / SFREQ_HZ - expected_s) < 2 / SFREQ_HZ
    assert max(focus.delay_s for focus in who.foci) <= 0.150
    whole = who.activation(0, 3000)
    np.testing.assert_array_equal(whole[:, 1000:1100], who.activation(1000, 100))


# Signal


def test_background_falls_as_one_over_f() -> None:
    freqs_hz, power = signal.welch(minute(), SFREQ_HZ, nperseg=2048)
    quiet = np.ones(freqs_hz.size, bool)
    for band in ((0, 3), (7, 31), (57, 160), (235, 245), (200, 600)):
        quiet &= (freqs_hz < band[0]) | (freqs_hz > band[1])
    slopes = np.polyfit(np.log(freqs_hz[quiet]), np.log(power[:, quiet].T), 1)[0]
    assert np.all((slopes > -2.6) & (slopes < -1.5))


def test_amplitudes_are_those_of_intracranial_recordings() -> None:
    data = minute()
    assert data.dtype == np.float32
    assert 25 < np.median(data.std(axis=1)) < 110
    assert np.abs(data.mean(axis=1)).max() > 100
    high_gamma_uv = np.sqrt(band_power(data, (125, 150)).mean(axis=1))
    assert 0.3 < np.median(high_gamma_uv) < 10


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_and_harmonics_stand_out_and_differ_by_contact(mains_hz: float) -> None:
    data = play(patient(mains_hz=mains_hz), 20 * 1024, 4096)
    freqs_hz, power = signal.welch(data, SFREQ_HZ, nperseg=2048)
    for harmonic in (1, 2, 3):
        line = power[:, np.abs(freqs_hz - harmonic * mains_hz) < 1].max(axis=1)
        beside = np.abs(np.abs(freqs_hz - harmonic * mains_hz) - 6) < 2
        ratio = line / np.median(power[:, beside], axis=1)
        assert np.median(ratio) > 10
        assert line.max() > 4 * line.min()


def test_correlation_falls_along_a_shaft() -> None:
    who = patient()
    clean = signal.sosfiltfilt(
        signal.butter(4, (4, 50), "bandpass", fs=SFREQ_HZ, output="sos"), minute()
    )
    correlation = np.corrcoef(clean)
    shafts = who.implant.shafts
    by_distance = [
        np.mean([correlation[i, i + k] for i in range(32 - k) if shafts[i] == shafts[i + k]])
        for k in range(1, 6)
    ]
    assert np.all(np.diff(by_distance) < 0)
    assert by_distance[0] > 0.5
    apart = np.mean(correlation[shafts[:, np.newaxis] != shafts])
    assert apart < by_distance[-1]


@pytest.mark.parametrize("family", [0, 1])
def test_speech_raises_high_gamma_and_lowers_beta_near_foci(family: int) -> None:
    who = patient(family=family)
    data = minute(family=family)
    speaks = who.state_at(np.arange(data.shape[1])) == 1
    settled = uniform_filter1d(speaks.astype(float), 800, origin=399)
    effect = sum(focus.effect(who.implant.positions_mm) for focus in who.foci)
    near, far = effect > 0.7, effect < 0.05

    def change_db(band: tuple[float, float]) -> Floats:
        power = band_power(data, band)
        speech, rest = settled > 0.999, settled < 0.001
        return 10 * np.log10(
            np.median(power[:, speech], axis=1) / np.median(power[:, rest], axis=1)
        )

    low, high = BANDS_HZ["high gamma"]
    rise, fall = change_db((low + 5, high - 35)), change_db((15, 28))
    assert np.all(rise[near] > 2.5)
    assert rise[near].max() < who.level.high_gamma_db + 1
    assert np.all(fall[near] < -1)
    assert np.all(np.abs(rise[far]) < 2)
    assert np.all(np.abs(fall[far]) < 2)


def test_bumps_come_at_their_rate_and_last_as_long_as_they_may() -> None:
    bumps = Bumps(
        Draw.BLINKS,
        0,
        rate_hz=0.05,
        length_s=(0.5, 1.0),
        n_rows=1,
        block_samples=100,
        sfreq_hz=100.0,
    )
    course = np.concatenate([bumps.block(number)[0] for number in range(4000)])
    inside = np.diff(np.concatenate([[False], course > 0, [False]]).astype(int))
    lengths = np.flatnonzero(inside < 0) - np.flatnonzero(inside > 0)
    assert abs(lengths.size / 4000 - 0.05) < 0.01
    # A Hann window is 0 at both ends; bumps that overlap look like a longer one.
    assert lengths.min() >= 48
    assert np.quantile(lengths, 0.9) <= 98


def test_blinks_rise_on_all_contacts_most_in_front() -> None:
    who = patient(1, sfreq_hz=400.0)
    synthesis = Synthesis(who)
    n_blocks = 400
    data = np.concatenate([synthesis.block(number) for number in range(n_blocks)], axis=1)
    course = np.concatenate([synthesis.blinks.block(number)[0] for number in range(n_blocks)])
    sos = signal.butter(2, (2, 10), "bandpass", fs=400, output="sos")
    slow, expected = signal.sosfiltfilt(sos, data), signal.sosfiltfilt(sos, course)
    weight_uv = slow @ expected / (expected @ expected)
    distance_mm = np.linalg.norm(who.implant.positions_mm - (0.0, 85.0, -35.0), axis=1)
    assert weight_uv.mean() > 10
    assert np.corrcoef(weight_uv, distance_mm)[0, 1] < -0.6


def test_default_difficulty_leaves_the_linear_control_room() -> None:
    reached = scores(Patient(2, sfreq_hz=2048.0))
    assert 0.85 <= reached["linear"] <= 0.95
    assert reached["averaged"] >= 0.88


def test_difficulties_are_ordered() -> None:
    easy, default, hard = (DIFFICULTIES[name] for name in ("easy", "default", "hard"))
    assert easy.high_gamma_db > default.high_gamma_db > hard.high_gamma_db
    assert easy.beta_db > default.beta_db > hard.beta_db


# Mistakes


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"family": -2}, "family must be 0 or more"),
        ({"n_channels": 5}, "6 to 256 channels, got 5"),
        ({"n_channels": 257}, "6 to 256 channels, got 257"),
        ({"sfreq_hz": 256.0}, "above 300 Hz"),
        ({"sfreq_hz": float("nan")}, "above 300 Hz"),
        ({"mains_hz": 55.0}, "50 or 60 Hz, got 55.0"),
        ({"difficulty": "brutal"}, "easy, default, hard"),
        ({"space": "mm"}, "MNI mm, LIP voxels"),
        ({"classes": ("rest", "rest")}, "2 or more different names"),
        ({"classes": ("rest",)}, "2 or more different names"),
    ],
)
def test_impossible_patients_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        patient(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"chunk_samples": 0}, {"start_sample": -1}, {"duration_s": -1.0}]
)
def test_impossible_recordings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        SyntheticSource(patient(), **wrong)  # type: ignore[arg-type]


def test_samples_before_the_first_have_no_state() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        patient().state_at([-1])
    assert patient().state_at([]).size == 0
