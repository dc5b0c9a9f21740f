"""Rows of the matrix about channels: devices typed EEG, labels as clinics write them, units."""

import contextlib
from collections.abc import Sequence

import numpy as np
import pylsl
from scipy.signal import lfilter

from rtbrain.channels import complete_labels, match_labels
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.config import FitSettings, LabelSettings, Recipe, load_settings
from rtbrain.errors import MontageError
from rtbrain.learn.fit.selection import choose_channels
from rtbrain.outlet.lsl_stream import describe_channels
from rtbrain.recording.open import amplitude_note, read
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.signal import Bipolar, Laplacian
from rtbrain.stream.lsl.header import read_header
from rtbrain.types import CONTACT_KINDS, Chunk, Doubles, Floats, Montage
from rtbrain.units import AmplitudeCheck, to_microvolts

_SFREQ_HZ, _N_SAMPLES = 250.0, 10_000
_CONTACTS = tuple(f"{shaft}{number}" for shaft in "AB" for number in range(1, 5))
_STATE = np.arange(_N_SAMPLES) // 500 % 2
_DEVICES = ("MIC", "EKG", "TRIG", "PHOTO", "DC01", "SpO2")
# Labels of contacts 1 to 4 of shaft A, and what a Laplacian leaves of them.
_LABELS = (
    ("EEG A1-Ref", "EEG A2-Ref", "POL A3", "POL $A4"),
    ("A1-G2", "A2-G2", "A3-G2", "A4-G2"),
    ("A01", "A02", "A03", "A04"),
    ("*A1", "A2.", "SEEG A-3", "iEEG_A_04"),
    ("A\u20191", "A'2", "A\u20323", "A'4"),
)


def _brain(n_channels: int) -> Doubles:
    white = np.random.default_rng(37).normal(0, 8, (n_channels, _N_SAMPLES))
    brain: Doubles = lfilter([1], [1, -0.95], white, axis=1)
    return brain


def devices_in_inputs(rig: Rig) -> Finding:
    """Choose channels of a recording whose devices are typed EEG, by label and by measurement."""
    settings = FitSettings(labels=LabelSettings(classes=("a", "b")))
    recipe = load_settings("linear", Recipe)
    measured = (1000.0 * _STATE, 400.0 * _STATE + np.random.default_rng(1).normal(0, 8, _N_SAMPLES))
    names = (*_CONTACTS, *_DEVICES, "B5", "B6")
    data = np.vstack([_brain(len(names) - 2), *measured])
    recording = read((data, _SFREQ_HZ, names))
    notes = list(recording.notes)
    chosen = choose_channels(["a"], [recording], settings, recipe, notes.append)[1].names
    unnamed = [name for name in names[8:] if not any(name in note for note in notes)]
    named = settings.model_copy(update={"channels": ("A*", "DC01")})
    again = choose_channels(["a"], [recording], named, recipe, notes.append)[1].names
    return joined(
        [
            (f"{len(names) - len(chosen)} of 8 devices left out", chosen == _CONTACTS),
            (f"{8 - len(unnamed)} named", not unnamed),
            (f"--channels A*,DC01 takes {', '.join(again)}", again == (*_CONTACTS[:4], "DC01")),
        ]
    )


def clinical_labels(rig: Rig) -> Finding:
    """Reference contacts by their labels, match a table, and number labels that repeat."""
    findings = []
    for labels in _LABELS:
        left: tuple[str, ...] = ()
        pairs = 0
        with contextlib.suppress(MontageError):
            montage = Montage(labels, ("eeg",) * 4, _SFREQ_HZ)
            left = Laplacian(montage).montage.names
            pairs = Bipolar(montage).montage.n_channels
        fits = left == labels[1:3] and pairs == 3
        findings.append((f"{labels[0]} .. {labels[3]}: {len(left)} and {pairs}", fits))
    rows, notes = match_labels(["A01", "b'2", "X9"], ["A1", "B\u20192", "C1"], "the table")
    matched = rows == {"A1": "A01", "B\u20192": "b'2"}
    findings.append(("table matched by zero and prime", matched))
    named = all(any(one in note for note in notes) for one in ("X9", "C1"))
    findings.append(("the rest named", named))
    twice = complete_labels(["A1", "A2", "A2"], 4)[0]
    findings.append((", ".join(twice), twice == ("A1", "A2-0", "A2-1", "4")))
    return joined(findings)


def types_and_units(rig: Rig) -> Finding:
    """Read headers of all types and units live and from a recording; check the amplitude."""
    data = _brain(4).astype(np.float32)
    findings = []
    for number, stream_type in enumerate(("iEEG", "LFP", "signal", "")):
        live, file = _both(rig, number, stream_type, ("V", "mV", "nV", "-6"), data)
        contacts = set(live.kinds) <= CONTACT_KINDS and live.kinds == file.kinds
        findings.append((f"type {stream_type!r}: {', '.join(sorted(set(live.kinds)))}", contacts))
    live, file = _both(rig, 9, "EEG", ("0", "microvolts", "", "furlongs"), data)
    largest = float(np.abs(live.values / file.values - 1).max())
    findings.append((f"live and recorded differ by {largest:.1g}", largest < 1e-6))
    montage = Montage(tuple("1234"), ("eeg",) * 4, _SFREQ_HZ)
    checked = AmplitudeCheck(montage)(Chunk(data * 1e-6, np.arange(_N_SAMPLES) / _SFREQ_HZ))
    noted = amplitude_note(read((data * 1e-6, _SFREQ_HZ, tuple("1234"))))
    findings.append(("volts taken as microvolts noted live and in files", bool(checked and noted)))
    return joined(findings)


class _Read:
    """Kinds and microvolts of a header."""

    def __init__(self, kinds: tuple[str, ...], values: Floats) -> None:
        self.kinds, self.values = kinds, values


def _both(
    rig: Rig, number: int, stream_type: str, units: Sequence[str], data: Floats
) -> tuple[_Read, _Read]:
    """What a live header gives, and a recording of it."""
    info = pylsl.StreamInfo("amp", stream_type, 4, _SFREQ_HZ, "float32", "amp")
    describe_channels(info, _CONTACTS[:4], ("",) * 4, units)
    header = read_header(info)
    path = rig.folder / f"types-{number}.xdf"
    writer = open_xdf(path)
    stream = writer.add_stream(info.as_xml().encode())
    writer.samples(stream, data.T, 5 + np.arange(_N_SAMPLES) / _SFREQ_HZ)
    writer.close()
    recording = read(path)
    values = recording.read(0, _N_SAMPLES)
    recording.close()
    return (
        _Read(header.montage.kinds, to_microvolts(data, header.factors)),
        _Read(recording.montage.kinds, values),
    )


CHANNEL_CASES = (
    FaultCase(37, devices_in_inputs),
    FaultCase(38, clinical_labels),
    FaultCase(39, types_and_units),
)
