"""Contact positions become voxels by the stated rule, or are refused."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.encoder import lip_positions, population_positions
from rtbrain.errors import MontageError
from rtbrain.types import Montage
from tests.conftest import montage_of


def placed(rows: list[list[float]], space: str | None):
    montage = montage_of(len(rows), 2048.0)
    return replace(montage, positions=np.array(rows, np.float32), space=space)


@pytest.mark.parametrize("space", ["LIP voxels", "LIP mm"])
def test_lip_is_taken_as_it_is_and_truncated(space):
    given = lip_positions(placed([[50.9, 100.0, 199.99]], space))
    assert given.dtype == np.int64
    assert given.tolist() == [[50, 100, 199]]


@pytest.mark.parametrize("space", ["MNI mm", "RAS mm"])
def test_world_coordinates_land_in_the_conformed_volume(space):
    given = lip_positions(placed([[0, 0, 0], [-60.4, 20.0, 35.6]], space))
    assert given.tolist() == [[128, 128, 128], [188, 92, 108]]


@pytest.mark.parametrize("name", ["MNI", "RAS"])
def test_metres_and_millimetres_agree(name):
    in_mm = np.array([[-41.0, 12.0, 7.0], [33.0, -60.0, -9.0]])
    a = lip_positions(placed(in_mm.tolist(), f"{name} mm"))
    b = lip_positions(placed((in_mm / 1000).tolist(), f"{name} m"))
    assert a.tolist() == b.tolist()


def test_left_inferior_and_posterior_grow_along_their_axes():
    centre, left, inferior, posterior = lip_positions(
        placed([[0, 0, 0], [-9, 0, 0], [0, 0, -9], [0, -9, 0]], "MNI mm")
    )
    assert (left - centre).tolist() == [9, 0, 0]
    assert (inferior - centre).tolist() == [0, 9, 0]
    assert (posterior - centre).tolist() == [0, 0, 9]


@pytest.mark.parametrize("space", ["voxels", "mni MM", "Talairach mm"])
def test_an_unknown_space_is_refused_with_those_known(space):
    with pytest.raises(MontageError, match=rf"'{space}', expected one of LIP voxels.*MNI mm"):
        lip_positions(placed([[1, 2, 3]], space))


def test_missing_positions_are_refused_by_name():
    montage = replace(montage_of(9, 2048.0), positions=None, space=None)
    with pytest.raises(
        MontageError, match=r"no positions for its 9 channels \(A1, A2, .* and 5 more\)"
    ):
        lip_positions(montage)
    with pytest.raises(MontageError, match="no position for A2: complete"):
        lip_positions(placed([[1, 2, 3], [np.nan, 2, 3]], "LIP voxels"))


def test_positions_outside_the_table_are_refused_by_name():
    with pytest.raises(MontageError, match=r"channel A2 is outside 0 to 4999, got \[-1, 2, 3\]"):
        lip_positions(placed([[1, 2, 3], [-1, 2, 3]], "LIP mm"))
    with pytest.raises(MontageError, match="A1"):
        lip_positions(placed([[6, 2, 3]], "MNI m"))


def test_messages_are_one_line():
    with pytest.raises(MontageError) as caught:
        lip_positions(placed([[np.nan] * 3] * 30, "LIP mm"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_montage_knows_which_contacts_are_placed():
    montage = montage_of(3, 2048.0)
    assert montage.positions is not None
    positions = montage.positions.copy()
    positions[1, 2] = np.nan
    assert replace(montage, positions=positions).placed.tolist() == [True, False, True]
    assert replace(montage, positions=None, space=None).placed.tolist() == [False] * 3


def test_a_montage_with_positions_keeps_them():
    montage = montage_of(9, 2048.0)
    positions, said = population_positions(montage)
    np.testing.assert_array_equal(positions, lip_positions(montage))
    assert said == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"positions": None, "space": None}, "no contact has a position:"),
        ({"space": "Talairach mm"}, "positions are in 'Talairach mm', expected one of"),
        ({"positions": np.full((9, 3), np.nan, np.float32)}, "no position for A1, A2"),
        ({"positions": np.full((9, 3), 6000, np.float32)}, "is outside 0 to 4999"),
    ],
)
def test_positions_that_cannot_be_read_are_those_of_the_labels_and_said_to_be(change, why):
    positions, said = population_positions(replace(montage_of(9, 2048.0), **change))
    assert said.startswith(why) or why in said
    assert said.endswith("positions from the labels, shaft and number on a schematic")
    # A1 to A8 in one line of 3.5 mm towards the surface on the right, B1 on another line.
    assert positions.tolist()[-2:] == [[66, 108, 110], [66, 78, 156]]
    assert np.unique(positions[:8, 1:], axis=0).shape == (1, 2)
    assert set(np.diff(positions[:8, 0]).tolist()) == {-3, -4}


def test_schematic_positions_follow_shaft_and_number_however_labels_are_written_and_ordered():
    def of(*names):
        montage = Montage(names, ("seeg",) * len(names), 2048.0)
        return dict(zip(names, population_positions(montage)[0].tolist(), strict=True))

    plain, written = of("A1", "A2", "A'1", "LB3", "x"), of("x", "EEG LB03-Ref", "A'1", "A02", "A1")
    assert list(written.values())[::-1] == [plain[name] for name in ("A1", "A2", "A'1", "LB3", "x")]
    assert plain["A'1"][0] > 128 > plain["A1"][0]  # a prime, and an L in front, are left
    assert plain["LB3"][0] > 128
    grid = np.array(list(of(*(f"G{n}" for n in range(1, 257))).values()))
    assert len(np.unique(grid, axis=0)) == 256
    assert grid.min() >= 0
    assert grid.max() < 256
