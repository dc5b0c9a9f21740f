"""The synthetic patient without signal: contacts, foci, task and what cannot be."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbrain.errors import SettingsError
from rtbrain.signal.reference import Laplacian
from rtbrain.synthetic.patient import DIFFICULTIES, Patient

SFREQ_HZ = 1024.0


def patient(seed: int = 0, **settings: object) -> Patient:
    return Patient(seed, **{"sfreq_hz": SFREQ_HZ, **settings})  # type: ignore[arg-type]


# Anatomy


def test_patients_of_a_family_share_foci_but_not_electrodes() -> None:
    one, other, stranger = patient(0), patient(1), patient(0, family=1)
    for mine, theirs in zip(one.foci, other.foci, strict=True):
        np.testing.assert_array_equal(mine.position_mm, theirs.position_mm)
        assert mine.delay_s == theirs.delay_s
    assert one.foci[0].delay_s != stranger.foci[0].delay_s
    assert not np.allclose(one.montage.positions, other.montage.positions)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_channels", [6, 13, 32, 97, 256, 1024])
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


@pytest.mark.parametrize(("n_channels", "sizes"), [(6, [6]), (64, [64]), (100, [50] * 2)])
def test_grids_are_numbered_row_by_row_on_a_plane(n_channels: int, sizes: list[int]) -> None:
    who = patient(2, n_channels=n_channels, electrodes="grids")
    assert set(who.montage.kinds) == {"ecog"}
    assert np.bincount(who.implant.shafts).tolist() == sizes
    stem = "G" if len(sizes) == 1 else "GA"
    assert who.montage.names[: sizes[0]] == tuple(f"{stem}{i + 1}" for i in range(sizes[0]))
    x, y, z = who.implant.positions_mm[: sizes[0]].T
    assert np.ptp(x) == 0
    np.testing.assert_allclose(np.diff(y[:8]), 4, atol=1e-4)
    np.testing.assert_allclose(z[8:] - z[:-8], -4, atol=1e-4)


def test_many_grids_lie_apart_and_over_the_foci() -> None:
    who = patient(3, n_channels=1024, electrodes="grids")
    positions_mm = who.implant.positions_mm
    gaps_mm = np.linalg.norm(positions_mm[:, None] - positions_mm, axis=2)
    assert gaps_mm[who.implant.shafts[:, None] != who.implant.shafts].min() > 3.5
    for focus in who.foci:
        assert focus.effect(positions_mm).max() > 0.5
    assert Laplacian(who.montage).montage.n_channels == 16 * 62


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("electrodes", ["shafts", "grids"])
def test_voxels_are_whole_inside_the_volume_and_agree_with_millimetres(
    seed: int, electrodes: str
) -> None:
    in_mm = patient(seed, n_channels=256, electrodes=electrodes).montage
    voxels = patient(seed, n_channels=256, electrodes=electrodes, space="LIP voxels").montage
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


def test_difficulties_are_ordered() -> None:
    easy, default, hard = (DIFFICULTIES[name] for name in ("easy", "default", "hard"))
    assert easy.high_gamma_db > default.high_gamma_db > hard.high_gamma_db
    assert easy.beta_db > default.beta_db > hard.beta_db


# Mistakes


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"family": -2}, "family must be 0 or more"),
        ({"n_channels": 5}, "6 to 1024 channels, got 5"),
        ({"n_channels": 1025}, "6 to 1024 channels, got 1025"),
        ({"sfreq_hz": 256.0}, "above 300 Hz"),
        ({"sfreq_hz": float("nan")}, "above 300 Hz"),
        ({"mains_hz": 55.0}, "50 or 60 Hz, got 55.0"),
        ({"difficulty": "brutal"}, "easy, default, hard"),
        ({"electrodes": "strips"}, "shafts or grids, got 'strips'"),
        ({"space": "mm"}, "MNI mm, LIP voxels"),
        ({"classes": ("rest", "rest")}, "2 or more different names"),
        ({"classes": ("rest",)}, "2 or more different names"),
    ],
)
def test_impossible_patients_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        patient(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_samples_before_the_first_have_no_state() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        patient().state_at([-1])
    assert patient().state_at([]).size == 0
