"""Rows of the matrix about files of other programs: texts, links and what exports keep."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.errors import RtbrainError
from rtbrain.recording.export.run import FORMATS, Format, export_recording
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Floats, Montage

_N_SAMPLES, _SFREQ_HZ = 1000, 500.0
_TEXT = "debut"
_ACCENT = "début"
_ENDINGS = {"bids": "set", "fif": "x_raw.fif", "edf": "x.edf", "xdf": "x.xdf"}


def foreign_texts(rig: Rig) -> Finding:
    """Read texts in Latin-1 and links that were not fetched; export accents, and read them back."""
    checks = (_latin_annotation, _ansi_header, _dangling_link, _accents_kept, _accents_refused)
    return joined(_observed(check, rig.folder / check.__name__) for check in checks)


def _observed(check: Callable[[Path], Finding], folder: Path) -> Finding:
    folder.mkdir()
    return check(folder)


def _recording(label: str = "A1", text: str = _TEXT) -> Recording:
    data: Floats = np.random.default_rng(44).normal(0, 50, (2, _N_SAMPLES)).astype(np.float32)
    montage = Montage((label, "A2"), ("seeg", "seeg"), _SFREQ_HZ)
    return Recording(
        montage, _N_SAMPLES, lambda a, b: data[:, a:b].copy(), events=(Event(0.5, 0.0, text),)
    )


def _exported(folder: Path, to: Format, recording: Recording) -> Path:
    return export_recording(recording, folder / _ENDINGS[to], to)[0]


def _replace(path: Path, old: str, new: str) -> None:
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode("latin-1")))


def _latin_annotation(folder: Path) -> Finding:
    path = _exported(folder, "edf", _recording())
    _replace(path, _TEXT, _ACCENT)
    recording = read_recording(path)
    texts = [event.text for event in recording.events]
    noted = any("no UTF-8" in note or "not UTF-8" in note for note in recording.notes)
    return f"EDF in Latin-1: events {texts}, noted: {noted}", texts == [_ACCENT] and noted


def _ansi_header(folder: Path) -> Finding:
    path = _exported(folder, "bids", _recording())
    _replace(path, "Ch1=A1", "Ch1=Hé1")
    names = read_recording(path).montage.names
    return f"ANSI header: labels {list(names)}", names == ("Hé1", "A2")


def _dangling_link(folder: Path) -> Finding:
    data = _exported(folder, "bids", _recording()).with_suffix(".eeg")
    data.unlink()
    data.symlink_to("../../.git/annex/objects/x/SHA256E-s8000--0.eeg")
    told = _refusal(lambda: read_recording(folder / _ENDINGS["bids"]), folder)
    return f"dangling link: {told}", "datalad get" in told and "\n" not in told


def _accents_kept(folder: Path) -> Finding:
    kept = {}
    for to in FORMATS:
        path = _exported(folder, to, _recording(text=_ACCENT))  # type: ignore[arg-type]
        kept[to] = [event.text for event in read_recording(path).events] == [_ACCENT]
    label = read_recording(export_recording(_recording("Hé1"), folder / "other", "bids")[0])
    kept["label in bids"] = label.montage.names[0] == "Hé1"
    return f"accents kept: {', '.join(to for to, same in kept.items() if same)}", all(kept.values())


def _accents_refused(folder: Path) -> Finding:
    told = _refusal(lambda: _exported(folder, "edf", _recording("Hé1")), folder)
    left = [path.name for path in folder.iterdir()]
    return f"label in edf: {told}", "export to bids" in told and not left


def _refusal(attempt: Callable[[], object], folder: Path) -> str:
    try:
        attempt()
    except RtbrainError as error:
        return str(error).replace(str(folder), "FOLDER")
    return "not refused"


FILE_CASES = (FaultCase(44, foreign_texts),)
