"""Names of regions, and where they are kept."""

import re
from dataclasses import replace

import pytest

from rtbrain.errors import MontageError
from rtbrain.signal import (
    Bipolar,
    CommonAverage,
    Laplacian,
    Pick,
    PublishedLaplacian,
    Resample,
    ShaftMean,
)
from rtbrain.stream_names import DECODE_CHANNELS, REGIONS, count_outputs, region_of
from rtbrain.types import Montage
from tests.conftest import montage_of

STG, HIPPOCAMPUS = "ctx-lh-superiortemporal", "Right-Hippocampus"
MONTAGE = replace(montage_of(4, 1000.0), regions=(STG, STG, HIPPOCAMPUS, ""))


def test_the_table_has_the_31_regions_of_either_cortex_and_6_below_left_before_right() -> None:
    assert len(REGIONS) == len(set(REGIONS)) == 74
    assert REGIONS.index("ctx-lh-superiortemporal") == 28
    assert REGIONS.index("ctx-rh-superiortemporal") == 59
    assert REGIONS[62:] == (
        *("Left-Hippocampus", "Left-Amygdala", "Left-Caudate"),
        *("Left-Putamen", "Left-Pallidum", "Left-Thalamus-Proper"),
        *("Right-Hippocampus", "Right-Amygdala", "Right-Caudate"),
        *("Right-Putamen", "Right-Pallidum", "Right-Thalamus-Proper"),
    )
    assert list(REGIONS[:31]) == sorted(REGIONS[:31])
    assert all(region_of(name) == name for name in REGIONS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Left-Thalamus", "Left-Thalamus-Proper"),  # FreeSurfer 7
        ("Right-Thalamus-Proper*", "Right-Thalamus-Proper"),
        ("superiortemporal-lh", STG),  # MNE-Python
        ("lh.superiortemporal", STG),
        ("ctx_lh_superiortemporal", STG),
        (" CTX-LH-SuperiorTemporal ", STG),
        ("n/a", ""),
        ("Unknown", ""),
        ("ctx-lh-unknown", ""),
        ("superiortemporal", None),  # of which side?
        ("ctx-lh-bankssts", None),  # of Desikan and Killiany's atlas alone
        ("wm-lh-superiortemporal", None),
        ("Hippocampus", None),
        ("Left-Cerebral-White-Matter", None),
    ],
)
def test_other_spellings_are_in_the_table_and_nothing_is_guessed(
    text: str, name: str | None
) -> None:
    assert region_of(text) == name


def test_unknown_regions_are_listed_in_one_line() -> None:
    texts = ("STG", "Left-Thalamus", "Wernicke\nx", "STG")
    message = re.escape("regions: 'STG', 'Wernicke\\nx' are not in the DKT atlas")
    with pytest.raises(MontageError, match=message) as caught:
        Montage(tuple("abcd"), ("seeg",) * 4, 1000.0, regions=texts)
    assert "\n" not in str(caught.value)
    with pytest.raises(MontageError, match="4 channel labels but 2 regions"):
        Montage(tuple("abcd"), ("seeg",) * 4, 1000.0, regions=("", ""))


def test_a_montage_has_the_names_of_the_table() -> None:
    montage = Montage(("A1", "A2"), ("seeg",) * 2, 1000.0, regions=("Left-Thalamus", "n/a"))
    assert montage.regions == ("Left-Thalamus-Proper", "")
    assert montage.pick(["A2", "A1"]).regions == ("", "Left-Thalamus-Proper")
    assert Montage(("A1",), ("seeg",), 1000.0).pick(["A1"]).regions is None


def test_regions_stay_with_their_contacts_through_every_step() -> None:
    a1, a2, a3, a4 = MONTAGE.regions or ()
    for stage, regions in (
        (Pick(MONTAGE, names=["A3", "A1"]), (a3, a1)),
        (CommonAverage(MONTAGE), (a1, a2, a3, a4)),
        (ShaftMean(MONTAGE), (a1, a2, a3, a4)),
        (Laplacian(MONTAGE), (a2, a3)),
        (PublishedLaplacian(MONTAGE, 60), (a2, a3)),
        (Bipolar(MONTAGE), (STG, "", "")),  # where both have one, and the same
        (Resample(MONTAGE, 500.0), (a1, a2, a3, a4)),
    ):
        assert stage.montage.regions == regions


def test_decode_streams_without_drift_count_as_those_with_it() -> None:
    now = tuple(DECODE_CHANNELS)
    for about in (now, ("valid", "coverage", "age_s", "compute_s")):
        assert count_outputs(("rest", "speech", *about)) == 2
        assert count_outputs(about) == 0
    assert count_outputs(("rest", "valid", "coverage", "age_s")) == 0
