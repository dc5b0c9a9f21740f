"""Which channels a decoder is fitted on."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from rtbrain.channels import unlike_contacts
from rtbrain.config import FitSettings, Recipe, load_settings
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.fit.selection import choose_channels, weight_warnings
from rtbrain.recording.open import read
from rtbrain.recording.recording import Recording
from rtbrain.types import Montage
from tests.conftest import brain_like

SFREQ_HZ = 250.0
N_SAMPLES = 15_000
CONTACTS = tuple(f"{shaft}{number}" for shaft in "AB" for number in range(1, 5))
DATA = brain_like(len(CONTACTS), N_SAMPLES, SFREQ_HZ)
STATE = np.arange(N_SAMPLES) // 500 % 2


def recording(names: tuple[str, ...] = CONTACTS, extra: tuple = ()) -> Recording:
    return read((np.vstack([DATA[: len(names) - len(extra)], *extra]), SFREQ_HZ, names))


def choose(*recordings: Recording, **settings) -> tuple[Montage, list[str]]:
    notes: list[str] = []
    names = [f"session {number}" for number in range(len(recordings))]
    checked = FitSettings(labels={"classes": ("a", "b")}, **settings)
    recipe = load_settings("linear", Recipe)
    _, montage, _ = choose_channels(names, recordings, checked, recipe, notes.append)
    return montage, notes


def test_what_is_no_contact_by_label_is_not_fitted_on_unless_it_is_named() -> None:
    devices = ("DC01", "MIC", "EKG")
    one = recording((*CONTACTS, *devices), tuple(DATA[:3]))
    assert one.notes[0].startswith("DC01, MIC, EKG are not contacts")
    assert choose(one)[0].names == CONTACTS
    montage, notes = choose(one, channels=("A*", "DC01"))
    assert montage.names == (*CONTACTS[:4], "DC01")
    assert set(montage.kinds) <= {"seeg", "eeg"}
    assert notes == ["used as contacts, as the settings say: DC01"]
    assert choose(one, channels=("A?", "*C"))[0].names == (*CONTACTS[:4], "MIC")
    assert choose(one, kinds=("DC*=seeg",))[0].names == (*CONTACTS, "DC01")
    assert choose(one, kinds=("ecg",))[0].names == ("EKG",)
    assert choose(one, kinds=("seeg",), exclude=("A*",))[0].names == CONTACTS[4:]
    assert choose(one, kinds=("B*=misc",))[0].names == CONTACTS[:4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": ("X*",)}, r"channels: no channel fits 'X\*': the channels are A1, A2"),
        ({"exclude": ("X1",)}, "exclude: no channel fits 'X1'"),
        ({"kinds": ("X*=seeg",)}, r"kinds: no channel fits 'X\*'"),
        ({"kinds": ("ecog",)}, "kinds ecog: the channels are seeg: A1, A2"),
    ],
)
def test_a_pattern_that_fits_nothing_lists_the_channels(settings: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        choose(recording(), **settings)


def test_a_pattern_does_not_reach_beyond_contacts_where_it_fits_some() -> None:
    one = recording((*CONTACTS, "AUX1"), (DATA[0],))
    assert choose(one, channels=("A*",))[0].names == CONTACTS[:4]


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        (1000.0 * STATE, "takes 2 values"),
        (400.0 * STATE + np.random.default_rng(0).normal(0, 8, N_SAMPLES), "two levels"),
        (1e5 * DATA[0], "times as large as the others"),
        (np.random.default_rng(0).normal(0, 40, N_SAMPLES), "no spectrum of a brain"),
    ],
)
def test_what_measures_no_brain_is_left_out_by_name(device: np.ndarray, reason: str) -> None:
    one = recording((*CONTACTS, "B5"), (device,))
    montage, notes = choose(one)
    assert montage.names == CONTACTS
    assert len(notes) == 1
    assert notes[0].startswith("B5 is not a contact (it ")
    assert reason in notes[0]
    assert choose(one, kinds=("B5=seeg",))[0].names[-1] == "B5"


def test_contacts_with_drifts_jumps_mains_and_spikes_are_contacts() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(N_SAMPLES) / SFREQ_HZ
    data = DATA.astype(np.float64)
    data[0] += 1000.0 * (t > 30)
    data[1] += np.linspace(0, 3000, N_SAMPLES)
    data[2] += 200 * np.sin(2 * np.pi * 50 * t)
    data[3] += 800.0 * (rng.random(N_SAMPLES) < 1e-3)
    data[4] += 60 * np.sin(2 * np.pi * 20 * t)
    data[5] = 0
    data[6] *= 10
    pieces = [data[:, at : at + 250].astype(np.float32) for at in range(0, N_SAMPLES - 250, 500)]
    assert unlike_contacts(pieces, SFREQ_HZ) == {}


def test_sessions_that_differ_by_contacts_share_the_others_in_any_order() -> None:
    full = recording()
    fewer = recording(CONTACTS[:7])
    other = read((DATA[1:], SFREQ_HZ, CONTACTS[1:]))
    found = [choose(*order) for order in permutations((full, fewer, other))]
    assert {montage.names for montage, _ in found} == {CONTACTS[1:7]}
    note = choose(full, fewer, other)[1][0]
    assert note == (
        "sessions differ: session 1 lacks B4; session 2 lacks A1; fitted on the 6 contacts that "
        "they share"
    )


def test_sessions_that_share_no_contact_are_refused_in_one_line() -> None:
    one, other = recording(CONTACTS[:4]), read((DATA[4:], SFREQ_HZ, CONTACTS[4:]))
    with pytest.raises(RecordingError, match="the sessions share no contact: session 0 lacks B1"):
        choose(one, other)


def test_sessions_that_write_their_labels_differently_are_matched() -> None:
    other = recording(tuple(f"EEG {name[0]}0{name[1]}-Ref" for name in CONTACTS))
    montage, notes = choose(recording(), other)
    assert montage.n_channels == 8
    assert notes[0].startswith("labels differ between sessions and were matched: ")


def test_bad_contacts_are_left_out_unless_they_are_named() -> None:
    one = replace(recording(), bad=("A2",))
    assert "A2" not in choose(one, channels=("A*",))[0].names
    montage, notes = choose(one, channels=("A2", "A3"))
    assert montage.names == ("A2", "A3")
    assert notes == ["marked as bad, but used because --channels names them: A2"]


def test_a_recording_without_contacts_lists_what_it_has() -> None:
    with pytest.raises(RecordingError, match=r"no channel is left.*: the channels are seeg: A1"):
        choose(recording(), exclude=("*",))


def test_a_decoder_whose_weight_lies_on_one_channel_or_that_reads_devices_says_so() -> None:
    one = recording((*CONTACTS[:6], "DC01", "DC02"), tuple(DATA[:2]))
    contacts, montage = one.montage.pick(CONTACTS[:6]), one.montage
    assert weight_warnings([one], contacts, contacts, np.ones(6)) == []
    weights = np.where(np.arange(6) == 2, 20, 1)
    assert weight_warnings([one], contacts, contacts, weights)[0].startswith(
        "80% of the weight lies on one channel, A3: "
    )
    assert weight_warnings([one], montage, montage, np.ones(8)) == [
        "the decoder reads channels that are not contacts: DC01, DC02, with 25% of the weight; "
        "references spread their signal to the others"
    ]
    # A side of a difference is one of them, a longer label is not; labels are those of the first.
    other = replace(one, montage=replace(montage, names=(*CONTACTS[:6], "POL DC01", "POL DC02")))
    names = (*CONTACTS[:5], "DC011", "A1-DC01", "DC02-A2")
    filtered = replace(montage, names=names)
    assert "DC01, DC02, with 25% of" in weight_warnings([other], montage, filtered, np.ones(8))[0]
