"""References against arithmetic by hand, labels as clinics write them."""

import numpy as np
import pytest

from rtbrain.errors import MontageError
from rtbrain.signal import Bipolar, CommonAverage, Laplacian, ShaftMean
from rtbrain.signal.reference import shaft_pairs
from rtbrain.types import Montage
from tests.conftest import brain_like, montage_of
from tests.signal.recording import whole


def labelled(*names, kinds=None):
    return Montage(names, kinds or ("seeg",) * len(names), 1000.0)


def test_the_common_average_is_taken_off_every_contact():
    data = brain_like(5, 100, 1000)
    got = CommonAverage(montage_of(5, 1000))(whole(data, 1000))
    np.testing.assert_allclose(got.data, data - data.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(got.data.mean(axis=0), 0, atol=1e-3)


def test_a_nan_contact_stays_nan_and_leaves_the_common_average():
    data = brain_like(4, 50, 1000)
    data[2, 10:20] = np.nan
    data[:, 30] = np.nan
    got = CommonAverage(montage_of(4, 1000))(whole(data, 1000)).data
    np.testing.assert_array_equal(np.isnan(got), np.isnan(data))
    rest = data[[0, 1, 3], 10:20]
    np.testing.assert_allclose(got[[0, 1, 3], 10:20], rest - rest.mean(axis=0), atol=1e-3)


def test_the_mean_of_each_shaft_is_taken_off_its_contacts_in_the_montages_order():
    montage = labelled(
        "B2", "A1", "F1", "B1", "A2", "A4", kinds=("seeg",) * 2 + ("misc",) + ("seeg",) * 3
    )
    data = brain_like(6, 100, 1000)
    stage = ShaftMean(montage)
    assert stage.montage.names == ("B2", "A1", "B1", "A2", "A4")
    a, b = data[[1, 4, 5]].astype(float), data[[0, 3]].astype(float)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    expected = [b[0], a[0], b[1], a[1], a[2]]
    np.testing.assert_allclose(stage(whole(data, 1000)).data, expected, atol=1e-4)


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_a_bad_contact_leaves_the_mean_of_its_shaft_and_one_left_alone_is_masked(junk):
    data = brain_like(5, 60, 1000)
    data[0, 10:30] = junk  # A1 of A1, A2, A3
    data[1, 20:40] = junk  # A2
    data[3, 50:] = junk  # B1 of B1, B2
    got = ShaftMean(labelled("A1", "A2", "A3", "B1", "B2"))(whole(data, 1000)).data
    fine = np.isfinite(data)
    alone = np.repeat([fine[:3].sum(axis=0) < 2, fine[3:].sum(axis=0) < 2], [3, 2], axis=0)
    np.testing.assert_array_equal(np.isfinite(got), fine & ~alone)
    both = data[[1, 2], 10:20]
    np.testing.assert_allclose(got[[1, 2], 10:20], both - both.mean(axis=0), atol=1e-4)


def test_a_contact_in_the_wrong_place_for_a_mean_of_shafts_is_named_with_the_way_past_it():
    for names, named in (
        (("A1", "A2", "B1"), "B1: leave it out .--exclude., or set reference: car"),
        (("A1", "A2", "17", "Fz"), "17, Fz"),
        (("1", "2", "3"), "1, 2, 3"),
        ((), "no channels"),
    ):
        with pytest.raises(MontageError, match=named) as caught:
            ShaftMean(labelled(*names))
        assert "\n" not in str(caught.value)


def test_channels_that_are_no_contacts_take_part_in_no_reference():
    montage = labelled("A1", "A2", "A3", "F1", kinds=("seeg", "seeg", "seeg", "misc"))
    data = brain_like(4, 20, 1000)
    average = CommonAverage(montage)
    np.testing.assert_allclose(
        average(whole(data, 1000)).data, data[:3] - data[:3].mean(axis=0), atol=1e-3
    )
    assert average.montage.names == ("A1", "A2", "A3")
    assert Bipolar(montage).montage.names == ("A1-A2", "A2-A3")
    assert Laplacian(montage).montage.names == ("A2",)


def test_bipolar_pairs_are_neighbours_named_and_placed_between_them():
    montage = montage_of(10, 1000)  # A1..A8, B1, B2
    stage = Bipolar(montage)
    assert stage.montage.names == (*(f"A{i}-A{i + 1}" for i in range(1, 8)), "B1-B2")
    data = brain_like(10, 30, 1000)
    got = stage(whole(data, 1000)).data
    np.testing.assert_array_equal(got[0], data[0] - data[1])
    np.testing.assert_array_equal(got[-1], data[8] - data[9])
    assert stage.montage.positions is not None
    assert montage.positions is not None
    np.testing.assert_allclose(
        stage.montage.positions[-1], montage.positions[8:].mean(axis=0), atol=1e-4
    )
    assert stage.montage.space == "LIP voxels"


def test_an_unknown_position_makes_the_midpoint_unknown():
    positions = np.array([[1, 2, 3], [np.nan] * 3, [3, 2, 1]], np.float32)
    montage = Montage(("A1", "A2", "A3"), ("ecog",) * 3, 500.0, positions, "MNI mm")
    got = Bipolar(montage).montage.positions
    assert got is not None
    assert np.isnan(got).all()


def test_the_laplacian_keeps_contacts_with_both_neighbours_in_the_montages_order():
    montage = labelled("A3", "B1", "A1", "A2", "A4", "B2", "A6")
    stage = Laplacian(montage)
    assert stage.montage.names == ("A3", "A2")
    data = brain_like(7, 30, 1000)
    got = stage(whole(data, 1000)).data
    np.testing.assert_allclose(got[0], data[0] - (data[3] + data[4]) / 2, atol=1e-4)
    np.testing.assert_allclose(got[1], data[3] - (data[2] + data[0]) / 2, atol=1e-4)


def test_a_nan_contact_makes_its_bipolar_pairs_nan():
    data = brain_like(5, 10, 1000)
    data[0] = np.nan
    bipolar = Bipolar(montage_of(5, 1000))(whole(data, 1000)).data
    assert list(np.isnan(bipolar).all(axis=1)) == [True, False, False, False]


@pytest.mark.parametrize("junk", [np.nan, np.inf])
def test_the_laplacian_of_one_finite_neighbour_is_the_difference_from_it(junk):
    clean = brain_like(8, 60, 1000)
    data = clean.copy()
    data[2, 10:30] = junk  # A3: neighbour of A2 and A4
    data[4, 20:40] = junk  # A5: the other neighbour of A4
    stage = Laplacian(montage_of(8, 1000))  # gives A2 to A7
    wanted = stage(whole(clean, 1000)).data
    wanted[0, 10:30] = clean[1, 10:30] - clean[0, 10:30]
    wanted[2, 10:20] = clean[3, 10:20] - clean[4, 10:20]
    wanted[2, 30:40] = clean[3, 30:40] - clean[2, 30:40]
    wanted[4, 20:40] = clean[5, 20:40] - clean[6, 20:40]
    wanted[2, 20:30] = np.nan  # A4 has neither
    got = stage(whole(data, 1000)).data
    bad = ~np.isfinite(data[1:7])
    assert not np.isfinite(got[bad]).any()
    np.testing.assert_array_equal(got[~bad], wanted[~bad])


def test_pairs_on_a_shaft_are_within_reach_and_of_one_kind_and_a_grid_has_none():
    names = ("A1", "A4", "A2", "DC", "A3", "B1")
    montage = labelled(*names, kinds=("seeg",) * 4 + ("ecog", "seeg"))
    first, second = shaft_pairs(montage, 2)
    assert {(names[i], names[j]) for i, j in zip(first, second, strict=True)} == {
        ("A1", "A2"),
        ("A2", "A4"),
    }
    assert shaft_pairs(labelled(*(f"G{i}" for i in range(1, 65))), 2)[0].size == 0


@pytest.mark.parametrize(
    "names",
    [
        ("LA9", "LA10", "LA11"),
        ("A'2", "A'3", "A'4"),
        ("LT1Ha3", "LT1Ha4", "LT1Ha5"),
        ("GRID_1", "GRID_2", "GRID_3"),
        ("ECOG_RIGHT_0", "ECOG_RIGHT_1", "ECOG_RIGHT_2"),
        ("*T1aIb1", "T1aIb2", "#T1aIb3"),
        ("POL B 01", "POL B 02", "POL B 03"),
        ("A1", "A_2", "A-3"),
    ],
)
def test_labels_of_many_clinics_are_read(names):
    stage = Laplacian(labelled(*names))
    assert stage.montage.names == (names[1],)
    assert len(Bipolar(labelled(*names)).montage.names) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("A1", "A'2", "B3"),
        ("A1", "A3", "A5"),
        ("G1_2", "G13", "G1_4"),
        ("1", "2", "3"),
        ("A", "B", "C"),
        ("A1-A2", "A2-A3", "A3-A4"),
        ("A1a", "A2a", "A3a"),
    ],
)
def test_contacts_that_are_no_neighbours_are_refused_in_one_line(names):
    for make in (Bipolar, Laplacian):
        with pytest.raises(MontageError, match=names[1]) as caught:
            make(labelled(*names))
        assert "\n" not in str(caught.value)


def test_contacts_with_other_labels_take_part_in_no_pair():
    stage = Bipolar(labelled("A1", "DC", "A2", "12", "B1"))
    assert stage.montage.names == ("A1-A2",)


def test_two_contacts_in_one_place_are_refused():
    with pytest.raises(MontageError, match="A1 and A01 are both number 1 of shaft A"):
        Bipolar(labelled("A1", "A01", "A2"))


def test_a_common_average_of_one_contact_is_refused():
    with pytest.raises(MontageError, match="two or more contacts"):
        CommonAverage(labelled("A1", "F1", kinds=("seeg", "misc")))


def test_a_montage_without_channels_is_refused():
    with pytest.raises(MontageError, match="got no channels"):
        Laplacian(labelled())
