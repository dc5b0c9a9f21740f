"""Contact positions become voxels by the stated rule, or are refused."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.encoder import lip_positions
from rtbrain.errors import MontageError
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
