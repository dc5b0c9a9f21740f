"""What a channel is, by its label, type and unit."""

import time

import pytest

from rtbrain.channels import (
    assign_kinds,
    complete_labels,
    find_labels,
    kind_of,
    match_labels,
    place_of,
    places_of,
)
from rtbrain.errors import SettingsError

CONTACTS = [f"EEG {shaft}{number}-Ref" for shaft in "AB" for number in range(1, 7)]


@pytest.mark.parametrize(
    ("label", "place"),
    [
        ("A1", ("A", 1)),
        ("EEG A1-Ref", ("A", 1)),
        ("EEG LT1Ha4 -Ref", ("LT1Ha", 4)),
        ("LA1 - Ref", ("LA", 1)),
        ("A1_REF", ("A", 1)),
        ("POL A3", ("A", 3)),
        ("POL $A1", ("A", 1)),
        ("A1-G2", ("A", 1)),
        ("A1-Cz", ("A", 1)),
        ("C3-A1A2", ("C", 3)),
        ("A02", ("A", 2)),
        ("*LA1", ("LA", 1)),
        ("SEEG LA-1", ("LA", 1)),
        ("iEEG_LA_01", ("LA", 1)),
        ("ECoG-G_064", ("G", 64)),
        ("A1.", ("A", 1)),
        ("A2-0", ("A", 2)),
        ("EEG A2-Ref-0", ("A", 2)),
        ("A'1", ("A'", 1)),
        ("A1'", ("A'", 1)),
        ("B\u20191", ("B'", 1)),
        ("\uff21\uff11", ("A", 1)),  # full width
        ("A1 (uV)", ("A", 1)),
        ("EEG 001", ("EEG", 1)),
        ("DC1", ("DC", 1)),
    ],
)
def test_a_label_names_shaft_and_number(label: str, place: tuple[str, int]) -> None:
    assert place_of(label) == (*place, False, 0)


@pytest.mark.parametrize("label", ["A1-A2", "EEG A1-A2", "LA-1-LA-2", "A1-2", "A1-A2-Ref"])
def test_a_pair_of_contacts_is_not_its_first_one(label: str) -> None:
    place = place_of(label)
    assert place is not None
    assert place.pair


@pytest.mark.parametrize("label", ["Fz", "1", "", "Ref", "''", "A-Ref"])
def test_a_label_without_shaft_or_number_names_no_place(label: str) -> None:
    assert place_of(label) is None


def test_what_follows_many_labels_is_their_reference() -> None:
    assert [place.pair for place in places_of(["A1-B5", "A2-B5", "A3-B5"]) if place] == [False] * 3
    assert [place.pair for place in places_of(["A1-A2", "A2-A3", "A3-A4"]) if place] == [True] * 3


def test_types_tell_shafts_apart_where_they_would_share_a_place() -> None:
    found = places_of(["LFP_RIGHT_0", "LFP_RIGHT_1", "ECOG_RIGHT_1", "ECOG_RIGHT_2", "EEG A1"])
    assert [place.shaft for place in found if place] == [
        "LFP RIGHT",
        "LFP RIGHT",
        "ECOG RIGHT",
        "ECOG RIGHT",
        "A",
    ]


def test_a_repeated_label_is_told_from_its_first() -> None:
    found = places_of(["A1", "A2-0", "A3", "A2-1"])
    assert [place.copy for place in found if place] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("iEEG", "seeg"),
        ("LFP", "seeg"),
        ("SEEG", "seeg"),
        ("ECoG", "ecog"),
        ("DBS", "dbs"),
        ("EEG", "eeg"),
        ("signal", "eeg"),
        ("EKG", "ecg"),
        ("TRIG", "stim"),
        ("MISC", "misc"),
        ("n/a", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_words_of_formats_become_one_kind(text: str | None, kind: str) -> None:
    assert kind_of(text) == kind


@pytest.mark.parametrize("default", ["EEG", "signal", "", None, "iEEG", "LFP"])
def test_contacts_are_contacts_whatever_the_stream_is_called(default: str | None) -> None:
    kinds, notes = assign_kinds(CONTACTS, [""] * 12, default=default)
    assert set(kinds) <= {"eeg", "seeg"}
    assert notes == ()


NO_CONTACTS = (
    "DC01,MIC,EKG,ECG1,SpO2,Pleth,Resp,TRIG,PHOTO,EMG,EOG,STIM,EDF Annotations,POL E,POL BP1,REF,"
    "GND,POL,EEG EKG1-Ref,ECG1+,POL EKG-L,EOG LOC,Photodiode,MIC2,Mark1,HR,OSAT,Status,STI 014,"
    "Resp Nasal,DC-1,CO2 Wave,MKR+,Voice"
)


@pytest.mark.parametrize("label", NO_CONTACTS.split(","))
def test_a_channel_that_is_no_contact_is_recognised_and_named(label: str) -> None:
    kinds, notes = assign_kinds([*CONTACTS, label], ["EEG"] * 13)
    assert kinds[-1] not in {"eeg", "seeg"}
    assert set(kinds[:-1]) == {"eeg"}
    assert notes[0].startswith(f"{label} is not a contact")


@pytest.mark.parametrize("label", ["EEG Fz-Ref", "EEG C3-Ref", "E1", "M1", "R1", "X1", "A1-A2"])
def test_a_contact_is_never_taken_for_another_channel(label: str) -> None:
    assert assign_kinds([*CONTACTS, label], ["EEG"] * 13) == (("eeg",) * 13, ())


@pytest.mark.parametrize("shaft", ["MIC", "ACC", "HR", "LAT", "POS"])
def test_a_run_of_numbers_is_a_shaft_whatever_it_is_called(shaft: str) -> None:
    labels = [*CONTACTS, *(f"{shaft}{number}" for number in range(1, 9))]
    assert set(assign_kinds(labels, [""] * 20)[0]) == {"eeg"}


@pytest.mark.parametrize("shaft", ["DC", "E", "M", "R", "EKG"])
def test_what_the_table_says_beats_the_label(shaft: str) -> None:
    labels = [*CONTACTS, *(f"{shaft}{number}" for number in range(1, 9))]
    kinds, notes = assign_kinds(labels, ["EEG"] * 12 + ["SEEG"] * 8)
    assert kinds[12:] == ("seeg",) * 8
    assert notes == ()


def test_a_channel_in_another_unit_than_volts_is_no_contact() -> None:
    kinds, notes = assign_kinds([*CONTACTS, "B7"], [""] * 13, units=[*["uV"] * 12, "mmHg"])
    assert kinds[-1] == "misc"
    assert "B7" in notes[0]


def test_labels_are_completed_by_numbers_and_repeated_ones_numbered() -> None:
    assert complete_labels(["A1", "A2"], 4)[0] == ("A1", "A2", "3", "4")
    assert complete_labels(["A1", "A2", "A2", "A2-0"], 4)[0] == ("A1", "A2-1", "A2-2", "A2-0")
    assert complete_labels(["a", "b", "c"], 2)[0] == ("a", "b")
    assert complete_labels([], 2)[0] == ("1", "2")
    names, notes = complete_labels(["A1", "A2"], 2)
    assert names == ("A1", "A2")
    assert not notes


def test_tables_are_matched_by_zero_prime_and_type_and_the_rest_is_named() -> None:
    found = match_labels(
        ["A1", "A02", "A3", "b'1", "C1", "C01", "X9"],
        ["A1", "EEG A2-Ref", "A3", "B\u20191", "A4", "POL C1"],
        "channels.tsv",
    )
    assert found.rows == {"A1": "A1", "EEG A2-Ref": "A02", "A3": "A3", "B\u20191": "b'1"}
    assert "A02 is EEG A2-Ref" in found.notes[0]
    assert "matched to none: POL C1" in found.notes[1]
    assert "X9" in found.notes[2]
    assert found.notes[3] == "channels without a row in channels.tsv: A4, POL C1"


def test_patterns_find_labels_as_clinics_write_them() -> None:
    assert find_labels(["A1", "EEG B*"], CONTACTS, "channels") == ["EEG A1-Ref", *CONTACTS[6:]]
    assert find_labels(["b?"], CONTACTS, "channels") == CONTACTS[6:]
    with pytest.raises(SettingsError, match="exclude: no channel fits 'X\\*': the channels are"):
        find_labels(["X*"], CONTACTS, "exclude")


def test_what_follows_a_separator_is_part_of_the_label_unless_it_is_a_reference() -> None:
    places = [place_of(label) for label in ("L_M1", "L_M2", "LE_1", "LAMY 3", "A1_Ref", "G1-G2")]
    assert [place[:3] for place in places if place] == [
        ("L_M", 1, False),
        ("L_M", 2, False),
        ("LE", 1, False),
        ("LAMY", 3, False),
        ("A", 1, False),
        ("G", 1, True),
    ]
    assert places_of(["M1-M2"])[0] == ("M", 1, True, 0)


def test_thousands_of_hostile_labels_take_seconds_at_most() -> None:
    hostile = ("A" + " " * 98 + "B", "1" * 100, "A1-" * 33, "-_" * 50, "(" * 100, "A" + "0" * 99)
    labels = [f"{label}{number}"[-100:] for label in hostile for number in range(330)]
    labels += [f"{number}{label}"[:100] for label in hostile for number in range(330)]
    start_s = time.process_time()
    assign_kinds(labels, [""] * len(labels))
    match_labels(labels[::2], labels[1::2], "the table")
    places_of(["EEG" + "_" * 20_000])
    assert time.process_time() - start_s < 10  # a single label took 19 s
