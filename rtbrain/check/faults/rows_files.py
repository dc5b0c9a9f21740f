"""Rows of the matrix about files of other programs: texts, links and what exports keep."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.errors import RtbrainError
from rtbrain.recording.export.run import FORMATS, Format, export_recording
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import lost_before
from rtbrain.recording.xdf.writer import open_xdf
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
    refusal = _refusal(lambda: read_recording(folder / _ENDINGS["bids"]), folder)
    return f"dangling link: {refusal}", "datalad get" in refusal and "\n" not in refusal


def _accents_kept(folder: Path) -> Finding:
    kept = {}
    for to in FORMATS:
        path = _exported(folder, to, _recording(text=_ACCENT))  # type: ignore[arg-type]
        kept[to] = [event.text for event in read_recording(path).events] == [_ACCENT]
    label = read_recording(export_recording(_recording("Hé1"), folder / "other", "bids")[0])
    kept["label in bids"] = label.montage.names[0] == "Hé1"
    return f"accents kept: {', '.join(to for to, same in kept.items() if same)}", all(kept.values())


def _accents_refused(folder: Path) -> Finding:
    refusal = _refusal(lambda: _exported(folder, "edf", _recording("Hé1")), folder)
    left = [path.name for path in folder.iterdir()]
    return f"label in edf: {refusal}", "export to bids" in refusal and not left


def _refusal(attempt: Callable[[], object], folder: Path) -> str:
    try:
        attempt()
    except RtbrainError as error:
        return str(error).replace(str(folder), "FOLDER")
    return "not refused"


def pauses_inside_files(rig: Rig) -> Finding:
    """Read pauses in each way that files state them; each must be a gap of its exact length."""
    checks = (_paused_edf, _paused_brainvision, _skipped_fif, _marked_gaps)
    return joined(_observed(check, rig.folder / check.__name__) for check in checks)


def _gaps(path: Path) -> tuple[dict[int, int], list[float]]:
    """Samples lost by the sample after them, and the onsets of events."""
    recording = read_recording(path)
    onsets_s = [round(event.onset_s, 6) for event in recording.events if event.text == _TEXT]
    recording.close()
    if recording.stamps is None:
        return {}, onsets_s
    lost = lost_before(recording.stamps, recording.montage.sfreq_hz)
    return {int(at): int(lost[at]) for at in np.flatnonzero(lost)}, onsets_s


def _paused_edf(folder: Path) -> Finding:
    path = _exported(folder, "edf", _recording())
    # The second record begins at 9 s, 8 s late.
    path.write_bytes(path.read_bytes().replace(b"+1\x14\x14\0", b"+9\x14\x14\0"))
    found = _gaps(path)
    return f"EDF+ records 8 s apart: {found[0]}", found == ({500: 4000}, [0.5])


def _paused_brainvision(folder: Path) -> Finding:
    markers = _exported(folder, "bids", _recording()).with_suffix(".vmrk")
    text = "Mk8=New Segment,,1,1,0,20200101120000000000\n"
    text += "Mk9=New Segment,,101,1,0,20200101120010200000\n"
    markers.write_text(f"{markers.read_text(encoding='utf-8').rstrip()}\n{text}", encoding="utf-8")
    found = _gaps(markers.with_suffix(".vhdr"))
    return f"BrainVision segments 10 s apart: {found[0]}", found == ({100: 5000}, [10.5])


def _skipped_fif(folder: Path) -> Finding:
    skip = Event(0.2, 0.1, "BAD_ACQ_SKIP")
    recording = _recording()
    found = _gaps(_exported(folder, "fif", replace(recording, events=(skip, *recording.events))))
    return f"FIF skip of 50 samples: {found[0]}", found == ({100: 50}, [0.5])


def _marked_gaps(folder: Path) -> Finding:
    stamps = np.arange(_N_SAMPLES) / _SFREQ_HZ
    stamps[100:] += 3.5
    recording = replace(_recording(), stamps=stamps, events=(Event(4.0, 0.0, _TEXT),))
    found = {to: _gaps(_exported(folder, to, recording)) for to in FORMATS}  # type: ignore[arg-type]
    kept = [to for to, one in found.items() if one == ({100: 1750}, [4.0])]
    return f"gaps kept by exports: {', '.join(kept)}", len(kept) == len(FORMATS)


_XML = (
    "<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type><channel_count>1"
    "</channel_count><nominal_srate>{rate}</nominal_srate><channel_format>{values}"
    "</channel_format><source_id>{name}</source_id><desc/></info>"
)


def foreign_clocks_in_files(rig: Rig) -> Finding:
    """Read stamps of other clocks from XDF files: mended, or events left out, and always noted."""
    regular = np.arange(_N_SAMPLES) / _SFREQ_HZ
    late = 5000 + regular
    late[:59] = regular[:59]
    cases = {
        "Unix time": (1.7e9 + regular, 0.0, "are Unix time", []),
        "milliseconds": (5e6 + 1e3 * regular, 0.0, "left out", []),
        "first 59 near 0": (late, 0.0, "count from 0", [0.5]),
        "a NaN offset": (5000 + regular, np.nan, "are no numbers", [0.5]),
        "one stamp": (np.full(_N_SAMPLES, 5000.0), 0.0, "show no time", [0.5]),
    }
    findings = []
    for number, (name, (stamps, offset_s, words, onsets_s)) in enumerate(cases.items()):
        path = rig.folder / f"clock-{number}.xdf"
        writer = open_xdf(path)
        header = {"rate": _SFREQ_HZ, "values": "float32"}
        signal = writer.add_stream(_XML.format(name="amp", kind="EEG", **header).encode())
        header = {"rate": 0, "values": "string"}
        marks = writer.add_stream(_XML.format(name="task", kind="Markers", **header).encode())
        writer.clock_offset(signal, 5000.0, 0.0)
        writer.clock_offset(signal, 5001.0, offset_s)
        writer.samples(signal, np.ones((_N_SAMPLES, 1), np.float32), stamps)
        writer.samples(marks, np.array([[_TEXT]], object), np.array([5000.5]))
        writer.close()
        gaps, found_s = _gaps(path)
        reported = any(words in note for note in read_recording(path).notes)
        passed = reported and not gaps and found_s == onsets_s
        findings.append((f"{name}: events at {found_s}, reported: {reported}", passed))
    return joined(iter(findings))


FILE_CASES = (
    FaultCase(33, foreign_clocks_in_files),
    FaultCase(35, pauses_inside_files),
    FaultCase(44, foreign_texts),
)
