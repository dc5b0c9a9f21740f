"""Recordings written for other programs, as FIF, EDF, XDF or BIDS-iEEG."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import mne
import numpy as np

from rtbrain.errors import RecordingError, SettingsError, list_words, one_line
from rtbrain.files import EXISTS, claimed
from rtbrain.mne_info import mni_to_head
from rtbrain.recording.export.bids import BidsLabels, write_bids
from rtbrain.recording.export.content import (
    VOLTAGE_KINDS,
    Content,
    content_of,
    with_ascii_labels,
)
from rtbrain.recording.export.edf import write_edf
from rtbrain.recording.mne import DESCRIPTION
from rtbrain.recording.recording import Recording, capture_warnings, select
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.signal import measure_mains
from rtbrain.types import TRIGGER_KIND, Times
from rtbrain.units import MICROVOLTS_PER_VOLT, MILLIMETRES_PER

FORMATS = ("bids", "fif", "edf", "xdf")
_ENDINGS = {"bids": "-bids", "fif": "_raw.fif", "edf": ".edf", "xdf": ".xdf"}
# Kinds that FIF has by the same name; of others the numbers are written, without a unit.
_FIF_KINDS = VOLTAGE_KINDS | {TRIGGER_KIND, "misc"}
_FIF_SPACES = {"MNI mm", "head mm"}
_MAX_XDF_TEXT = 2**20
Format = Literal["bids", "fif", "edf", "xdf"]


def default_export_path(source: Path, to: str) -> Path:
    """Path of an export in the folder one works in; SettingsError within a BIDS dataset."""
    folder = Path.cwd()
    for one in (folder, *folder.parents):
        if (one / "dataset_description.json").exists():
            raise SettingsError(
                f"{folder} belongs to the BIDS dataset {one}, where nothing is written unasked: "
                "pass --out"
            )
    return folder / f"{source.name.split('.')[0]}{_ENDINGS[to]}"


def export_recording(
    recording: Recording,
    out: Path,
    to: Format,
    *,
    bad: Sequence[str] = (),
    labels: BidsLabels | None = None,
    mains_hz: float | None = None,
    space: str | None = None,
    kinds: Sequence[str] = (),
    ascii_labels: bool = False,
    anonymize_events: bool = False,
) -> tuple[Path, tuple[str, ...]]:
    """Write a recording to a new file, block by block.

    Events are placed by the time stamps of the samples where the recording has them. Gaps stay
    gaps in XDF; elsewhere each becomes an event ``BAD gap of N samples``, which reads back as one.
    The file holds no name and no date: EDF gets 1 January 1985.

    `out` is a new file, or for ``bids`` the folder of the dataset; `bad` are channels to mark as
    bad besides those that the recording marks; `labels` are those of BIDS, and `mains_hz` the
    frequency of the mains, which BIDS states, by default as measured. `space` names that of the
    positions anew; `kinds` are those to export, or those of channels, as ``A*=seeg``: EDF calls
    everything EEG.
    `ascii_labels` changes labels that EDF cannot hold, `anonymize_events` replaces the texts of
    events by numbers.

    Returns the file with the signal, and one line for each thing the format could not hold.
    SettingsError if the file exists, the format is unknown, or a label is invalid; MontageError if
    a channel in `bad` does not exist; RecordingError if the format cannot hold the signal.
    """
    if to not in FORMATS:
        raise SettingsError(f"--to must be one of {', '.join(FORMATS)}, got {to!r}")
    recording = select(recording, kinds=kinds or None, space=space)
    recording.montage.rows(bad)
    recording = replace(recording, bad=tuple({*bad, *recording.bad}))
    renamed: tuple[str, ...] = ()
    if ascii_labels:
        recording, renamed = with_ascii_labels(recording)
    content = content_of(
        recording, anonymize_events=anonymize_events, gaps=to != "xdf", triggers=to == "bids"
    )
    with claimed(out, "--out"):
        try:
            path, notes = _write(content, out, to, labels or BidsLabels(), mains_hz)
        except OSError as error:
            raise RecordingError(f"{out} cannot be written: {one_line(error)}") from error
    return path, (*renamed, *content.notes, *notes)


def _write(
    content: Content, out: Path, to: Format, labels: BidsLabels, mains_hz: float | None
) -> tuple[Path, list[str]]:
    if to == "bids":
        if mains_hz is None:
            recording = content.recording
            mains_hz = measure_mains(recording.montage, recording.n_samples, recording.read).hz
        return write_bids(content, out, labels, mains_hz), []
    if out.exists():
        raise SettingsError(f"{out} {EXISTS}: pass another --out")
    if to == "fif" and not out.name.endswith((".fif", ".fif.gz")):
        raise SettingsError(f"{out}: expected a file whose name ends in .fif or .fif.gz")
    if not out.parent.is_dir():
        raise SettingsError(f"no folder {out.parent} to write {out.name} into: make it first")
    write: Callable[[Content, Path], list[str]]
    write = {"fif": _write_fif, "edf": write_edf, "xdf": _write_xdf}[to]
    try:
        return out, write(content, out)
    except BaseException:  # Ctrl-C, too
        out.unlink(missing_ok=True)  # a partial file would pass for a whole one
        raise


def _write_fif(content: Content, out: Path) -> list[str]:
    montage, recording = content.montage, content.recording
    notes: list[str] = []
    kinds = [kind if kind in _FIF_KINDS else "misc" for kind in montage.kinds]
    others = sorted(set(montage.kinds) - _FIF_KINDS)
    if others:
        notes.append(f"channels of kind {', '.join(others)} are written as misc, without a unit")
    info = mne.create_info(list(montage.names), montage.sfreq_hz, kinds, verbose="ERROR")
    info["bads"] = list(content.bad)
    volts = np.array([1 / MICROVOLTS_PER_VOLT if kind in VOLTAGE_KINDS else 1.0 for kind in kinds])
    _place(info, content, notes)
    raw = _lazy(recording, info, volts[:, np.newaxis])
    texts = [mark.text for mark in content.marks]
    spans = [[mark[which] for mark in content.marks] for which in (0, 1)]
    # Set afterwards: MNE-Python then cuts none of them off at the end.
    raw.set_annotations(mne.Annotations(*spans, texts), verbose="ERROR")
    raw.anonymize(verbose="ERROR")
    raw.set_meas_date(None)
    raw.info["description"] = DESCRIPTION + json.dumps(_description(content))
    if not all(_is_latin(text) for text in texts):
        notes.append("FIF holds Latin-1 texts: other characters of events are written as &#N;")
    if unfit := [name for name in montage.names if not _is_latin(name)]:
        raise RecordingError(
            f"FIF holds labels of Latin-1 characters, got {list_words(unfit)}: export to bids or "
            "xdf, or with --ascii-labels"
        )
    with capture_warnings("mne"):
        try:
            raw.save(out, fmt="single", verbose="WARNING")
        except ValueError as error:
            raise RecordingError(f"{out} cannot be written as FIF: {one_line(error)}") from error
    return notes


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


def _lazy(recording: Recording, info: Any, factors: Times) -> Any:

    # MNE-Python reads lazily only through this class.
    class RecordingRaw(mne.io.BaseRaw):  # type: ignore[misc]
        def _read_segment_file(
            self, data: Times, idx: Any, _file: int, start: int, stop: int, *_: Any
        ) -> None:
            block = recording.read(start, stop).astype(np.float64)
            data[:] = (block * factors)[idx]

    last = recording.n_samples - 1
    return RecordingRaw(info, preload=False, last_samps=[last], filenames=[None], verbose="ERROR")


def _place(info: Any, content: Content, notes: list[str]) -> None:
    """Write positions as MNE-Python keeps them: metres, in the frame of the head."""
    positions, space = content.montage.positions, content.montage.space
    if positions is None:
        return
    if space not in _FIF_SPACES:
        notes.append(
            f"FIF has no place for positions in {space}: they are in its description, where other "
            "programs do not look"
        )
        return
    placed = {
        name: position / MILLIMETRES_PER["m"]
        for name, position in zip(content.montage.names, positions.astype(np.float64), strict=True)
        if np.isfinite(position).all()
    }
    points: dict[str, Any] = {}
    if space == "MNI mm":
        # The frame of the head is defined by three points: those of the template.
        to_head, points = mni_to_head()
        placed = {name: mne.transforms.apply_trans(to_head, at) for name, at in placed.items()}
        notes.append("FIF holds positions in the frame of the head: that of the MNI template")
    montage = mne.channels.make_dig_montage(placed, **points, coord_frame="head")
    with capture_warnings("mne"):
        info.set_montage(montage, on_missing="ignore", verbose="WARNING")


def _description(content: Content) -> dict[str, Any]:
    """What FIF has no place for: the rate in full, units, positions in spaces of its own."""
    montage = content.montage
    about: dict[str, Any] = {"sfreq_hz": montage.sfreq_hz}
    if units := {
        name: u for name, u in zip(montage.names, content.units, strict=True) if u != "µV"
    }:
        about["units"] = units
    if montage.positions is not None and montage.space not in _FIF_SPACES:
        axes = np.char.mod("%.9g", montage.positions).tolist()
        about |= {"space": montage.space, "positions": dict(zip(montage.names, axes, strict=True))}
    return about


def _write_xdf(content: Content, out: Path) -> list[str]:
    """Write a signal and its markers; stamps count from 1 s, for readers take 0 for none."""
    recording, montage = content.recording, content.montage
    name = out.stem
    # A marker is a moment: how long events last stands in the header, in their order.
    lasting = " ".join(f"{mark.duration_s:.9g}" for mark in content.marks)
    fits = len(lasting) < _MAX_XDF_TEXT
    with closing(open_xdf(out)) as writer:
        signal = writer.add_stream(_xdf_header(content, name))
        done = 0
        for block in content.blocks():
            stop = done + block.shape[1]
            stamps = recording.timestamps(done, stop)
            stamps = np.arange(done, stop) / montage.sfreq_hz if stamps is None else stamps
            writer.samples(signal, np.ascontiguousarray(block.T, "<f4"), stamps + 1.0)
            writer.flush()
            done = stop
        if content.marks:
            texts = np.array([[mark.text] for mark in content.marks], object)
            onsets_s = np.array([_on_clock(content, mark.onset_s) for mark in content.marks])
            writer.samples(writer.add_stream(_xdf_markers(name, lasting * fits)), texts, onsets_s)
    return [] if fits else ["too many events to keep how long they last: each is a moment"]


def _on_clock(content: Content, onset_s: float) -> float:
    """Stamp of an event by the time of its sample."""
    stamps = content.recording.stamps
    if stamps is None:
        return onset_s + 1.0
    numbers = np.arange(stamps.size)
    return float(np.interp(onset_s * content.montage.sfreq_hz, numbers, stamps)) + 1.0


def _xdf_header(content: Content, name: str) -> bytes:
    montage = content.montage
    root = _xdf_root(name, "EEG", montage.n_channels, montage.sfreq_hz, "float32")
    about = ElementTree.SubElement(root, "desc")
    if montage.positions is not None:
        _put(ElementTree.SubElement(about, "montage"), space=str(montage.space))
    channels = ElementTree.SubElement(about, "channels")
    for row, (label, kind) in enumerate(zip(montage.names, montage.kinds, strict=True)):
        node = ElementTree.SubElement(channels, "channel")
        unit = "microvolts" if content.units[row] == "µV" else content.units[row] or "n/a"
        _put(node, label=label, type=kind.upper(), unit=unit)
        if label in content.bad:
            _put(node, status="bad")
        if montage.positions is not None and np.isfinite(montage.positions[row]).all():
            place = ElementTree.SubElement(node, "location")
            axes = (f"{axis:.9g}" for axis in montage.positions[row])
            _put(place, **dict(zip("XYZ", axes, strict=True)))
    return ElementTree.tostring(root, encoding="unicode").encode()


def _xdf_markers(name: str, lasting: str) -> bytes:
    root = _xdf_root(f"{name}-markers", "Markers", 1, 0.0, "string")
    _put(ElementTree.SubElement(root, "desc"), durations=lasting)
    return ElementTree.tostring(root, encoding="unicode").encode()


def _xdf_root(
    name: str, content: str, n_channels: int, rate_hz: float, value_format: str
) -> ElementTree.Element:
    root = ElementTree.Element("info")
    _put(root, name=name, type=content, channel_count=str(n_channels))
    _put(root, nominal_srate=repr(rate_hz), channel_format=value_format, source_id=name)
    _put(root, created_by=f"rtbrain {version('rtbrain')}")
    return root


def _put(node: ElementTree.Element, **texts: str) -> None:
    for key, text in texts.items():
        ElementTree.SubElement(node, key).text = text
