"""Recordings written as FIF, EDF or BIDS-iEEG, for other programs.

Holdgraf et al. 2019, iEEG-BIDS, https://doi.org/10.1038/s41597-019-0105-7
Appelhoff et al. 2019, MNE-BIDS, https://doi.org/10.21105/joss.01896
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import psutil

from rtbrain.errors import RecordingError, SettingsError, one_line
from rtbrain.extras import load_extra
from rtbrain.files import claimed
from rtbrain.recording.recording import Recording, capture_warnings
from rtbrain.recording.replay import lost_before
from rtbrain.types import Times
from rtbrain.units import MICROVOLTS_PER_VOLT, MILLIMETRES_PER

FORMATS = ("bids", "fif", "edf")
_ENDINGS = {"bids": "-bids", "fif": "_raw.fif", "edf": ".edf"}
# Our kinds by MNE-Python's names; others are written as misc, their numbers unchanged.
_IN_VOLTS = {kind: kind for kind in ("seeg", "ecog", "dbs", "eeg", "emg", "ecg", "eog")}
_IN_VOLTS["ieeg"] = "seeg"
_INTRACRANIAL = {"seeg", "ecog", "dbs", "ieeg"}
_BIDS_SPACE = "space-Other"
_BIDS_UNITS = {"mm": "mm", "cm": "cm", "m": "m", "voxels": "pixels"}
_FRAMES = {"MNI mm": "mni_tal", "head mm": "head"}
# MNE-Python and the writers of BrainVision and EDF files hold the signal this often at once, as
# float64: measured, 23 bytes a sample for EDF.
_COPIES = 3
_BYTES = 8
Format = Literal["bids", "fif", "edf"]


def default_export_path(source: Path, to: str) -> Path:
    """Default path of an export, in the folder of `source`."""
    return source.with_name(f"{source.name.split('.')[0]}{_ENDINGS[to]}")


def export_recording(
    recording: Recording,
    out: Path,
    to: Format,
    *,
    bad: Sequence[str] = (),
    subject: str = "01",
    session: str = "",
    task: str = "decoding",
) -> tuple[Path, tuple[str, ...]]:
    """Write a recording to a new file; FIF block by block, the others from memory.

    Events become annotations, placed by the time stamps of the samples where the recording has
    them; each gap becomes an annotation ``BAD gap of N samples``. The file holds no name and no
    date: FIF and BIDS need none, EDF gets 1 January 1985.

    `out` is a new file, or for ``bids`` the folder of the dataset; `bad` are channels to mark as
    bad besides those that the recording marks; `subject`, `session` and `task` are BIDS labels, an
    empty session is left out. Returns the (first) file with the signal, and one line for each thing
    the format could not hold. SettingsError if the file exists, the format is unknown, a label is
    invalid, or memory is too small; MontageError if a channel in `bad` does not exist;
    RecordingError if the format cannot hold the signal.
    """
    if to not in FORMATS:
        raise SettingsError(f"--to must be one of {', '.join(FORMATS)}, got {to!r}")
    recording.montage.rows(bad)
    with claimed(out, "--out"):
        return _export(recording, out, to, bad, (subject, session, task))


def _export(
    recording: Recording, out: Path, to: Format, bad: Sequence[str], labels: tuple[str, str, str]
) -> tuple[Path, tuple[str, ...]]:
    if to == "bids":
        _require_memory(recording, to)
        raw, notes = _raw(recording, bad, placed=False)
        return _write_bids(recording, raw, out, labels), notes
    _require_new(out)
    raw, notes = _raw(recording, bad, placed=to == "fif")
    if to == "fif":
        return _write_fif(raw, out), notes
    _require_memory(recording, to)
    lost = "EDF holds neither kinds nor positions of channels, nor marks of bad ones"
    return out, (*notes, lost, *_write_edf(recording, raw, out))


def _require_new(out: Path) -> None:
    if out.exists():
        raise SettingsError(f"{out} is there already and is not written over: pass another --out")
    if not out.parent.is_dir():
        raise SettingsError(f"no folder {out.parent} to write {out.name} into: make it first")


def _require_memory(recording: Recording, to: str) -> None:
    needed = recording.n_samples * recording.montage.n_channels * _BYTES * _COPIES
    present = psutil.virtual_memory().total
    if needed > present:
        raise SettingsError(
            f"{to} is written from memory and needs about {needed / 2**30:.0f} GiB, this computer "
            f"has {present / 2**30:.0f} GiB: export to fif, which is written block by block"
        )


def _write_fif(raw: Any, out: Path) -> Path:
    with capture_warnings("mne"):
        try:
            return Path(raw.save(out, fmt="single", verbose="WARNING")[0])
        except (OSError, ValueError) as error:
            out.unlink(missing_ok=True)  # a partial file would pass for a whole one
            raise RecordingError(f"{out} cannot be written as FIF: {one_line(error)}") from error


def _write_edf(recording: Recording, raw: Any, out: Path) -> list[str]:
    load_extra("edfio", "edf", "writing EDF")
    raw.load_data(verbose="WARNING")
    missing = np.flatnonzero(~np.isfinite(raw.get_data()).all(axis=1))
    if missing.size:
        names = ", ".join(recording.montage.names[row] for row in missing)
        raise RecordingError(
            f"EDF holds no missing values, there are some (NaN) in {names}: export to fif"
        )
    with capture_warnings("mne") as lines:
        try:
            # A range per channel: the offset of one must not cost the others precision.
            mne.export.export_raw(
                out, raw, fmt="edf", physical_range="channelwise", verbose="WARNING"
            )
        except (RuntimeError, ValueError) as error:
            raise RecordingError(
                f"EDF cannot hold this recording: {one_line(error)}; export to fif"
            ) from error
        except OSError as error:
            out.unlink(missing_ok=True)  # a partial file would pass for a whole one
            raise RecordingError(f"{out} cannot be written as EDF: {one_line(error)}") from error
    return lines


def _write_bids(recording: Recording, raw: Any, root: Path, labels: tuple[str, str, str]) -> Path:
    """Write a recording into a BIDS folder, which may hold others; all samples are loaded."""
    load_extra("pybv", "bids", "writing BIDS")
    mne_bids = load_extra("mne_bids", "bids", "writing BIDS")
    place = _bids_path(mne_bids, recording, root, labels)
    tables = _position_tables(recording, Path(place.fpath))
    raw.load_data(verbose="WARNING")
    with capture_warnings("mne"):
        try:
            mne_bids.write_raw_bids(
                raw, place, format="BrainVision", allow_preload=True, verbose="ERROR"
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise RecordingError(f"{root} cannot be written as BIDS: {one_line(error)}") from error
        # MNE-BIDS names the maker of the file format as that of the amplifier.
        about = {"Manufacturer": "n/a"}
        mne_bids.update_sidecar_json(place.copy().update(extension=".json"), about, verbose="ERROR")
    for path, text in tables.items():
        path.write_text(text, encoding="utf-8")
        # MNE-BIDS wrote this file without the space, and without positions.
        path.with_name(path.name.replace(f"_{_BIDS_SPACE}", "")).unlink(missing_ok=True)
    return Path(place.fpath)


def _bids_path(
    mne_bids: Any, recording: Recording, root: Path, labels: tuple[str, str, str]
) -> Any:
    for what, label in zip(("subject", "session", "task"), labels, strict=True):
        if not label.isalnum() and (label or what != "session"):
            raise SettingsError(f"--{what}: BIDS labels are letters and digits, got {label!r}")
    subject, session, task = labels
    datatype = "ieeg" if _INTRACRANIAL & set(recording.montage.kinds) else "eeg"
    place = mne_bids.BIDSPath(
        subject=subject,
        session=session or None,
        task=task,
        datatype=datatype,
        suffix=datatype,
        extension=".vhdr",
        root=root,
    )
    if place.fpath.exists():
        raise SettingsError(
            f"{place.fpath} is there already and is not written over: pass another --out, "
            "--subject, --session or --task"
        )
    return place


def _position_tables(recording: Recording, header: Path) -> dict[Path, str]:
    """Paths and texts of electrodes.tsv and coordsystem.json; none without positions."""
    montage = recording.montage
    if montage.positions is None or montage.space is None:
        return {}
    lines = ["name\tx\ty\tz\tsize"]
    for name, position in zip(montage.names, montage.positions, strict=True):
        axes = [f"{axis:.9g}" if np.isfinite(axis) else "n/a" for axis in position]
        lines.append("\t".join([name, *axes, "n/a"]))
    described = {
        "iEEGCoordinateSystem": "Other",
        "iEEGCoordinateUnits": _BIDS_UNITS.get(montage.space.split()[-1], "n/a"),
        "iEEGCoordinateSystemDescription": f"As the recording names it: {montage.space}",
    }
    parts = [part for part in header.name.split("_") if part.startswith(("sub-", "ses-"))]
    stem = "_".join([*parts, _BIDS_SPACE])
    tables = {
        header.with_name(f"{stem}_electrodes.tsv"): "\n".join(lines) + "\n",
        header.with_name(f"{stem}_coordsystem.json"): json.dumps(described, indent=4) + "\n",
    }
    for path, text in tables.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SettingsError(
                f"{path} has other electrodes than this recording and is not written over: pass "
                "another --subject or --session"
            )
    return tables


def _raw(recording: Recording, bad: Sequence[str], *, placed: bool) -> tuple[Any, tuple[str, ...]]:
    """Recording as a Raw of MNE-Python that reads samples when they are needed."""
    montage = recording.montage
    kinds = [_IN_VOLTS.get(kind, "misc") for kind in montage.kinds]
    notes = []
    others = sorted({kind for kind in montage.kinds if kind not in {*_IN_VOLTS, "misc"}})
    if others:
        notes.append(f"channels of kind {', '.join(others)} are written as misc, without a unit")
    info = mne.create_info(list(montage.names), montage.sfreq_hz, kinds, verbose="ERROR")
    info["bads"] = [name for name in montage.names if name in {*bad, *recording.bad}]
    volts = np.array([1 / MICROVOLTS_PER_VOLT if kind in _IN_VOLTS else 1.0 for kind in kinds])
    raw = _lazy(recording, info, volts[:, np.newaxis])
    if placed:
        _place(raw, recording, notes)
    onsets_s, durations_s, texts = _annotations(recording, notes)
    # Set afterwards: MNE-Python then cuts none of them off at the end.
    raw.set_annotations(mne.Annotations(onsets_s, durations_s, texts), verbose="ERROR")
    raw.anonymize(verbose="ERROR")
    raw.set_meas_date(None)
    return raw, tuple(notes)


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


def _place(raw: Any, recording: Recording, notes: list[str]) -> None:
    """Write positions as MNE-Python keeps them: metres, in the frame of the head."""
    positions, space = recording.montage.positions, recording.montage.space
    if positions is None:
        return
    if space not in _FRAMES:
        notes.append(
            f"FIF holds positions in {' or '.join(_FRAMES)}: those in {space} are left out"
        )
        return
    placed = {
        name: position / MILLIMETRES_PER["m"]
        for name, position in zip(
            recording.montage.names, positions.astype(np.float64), strict=True
        )
        if np.isfinite(position).all()
    }
    montage = mne.channels.make_dig_montage(placed, coord_frame=_FRAMES[space])
    if space == "MNI mm":
        # The frame of the head is defined by three points: those of the template.
        montage.add_mni_fiducials(verbose="ERROR")
        notes.append("FIF holds positions in the frame of the head: that of the MNI template")
    with capture_warnings("mne"):
        raw.set_montage(montage, on_missing="ignore", verbose="WARNING")


def _annotations(
    recording: Recording, notes: list[str]
) -> tuple[list[float], list[float], list[str]]:
    sfreq_hz, stamps = recording.montage.sfreq_hz, recording.stamps
    last = recording.n_samples - 1
    spans: list[tuple[float, float, str]] = []
    n_outside = 0
    onsets_s = np.array([event.onset_s for event in recording.events])
    durations_s = np.array([event.duration_s for event in recording.events])
    onsets = _sample_numbers(recording, onsets_s).tolist()
    stops = _sample_numbers(recording, onsets_s + durations_s).tolist()
    for event, onset, stop in zip(recording.events, onsets, stops, strict=True):
        if not 0 <= onset <= last:
            n_outside += 1
            continue
        duration_s = (stop - onset) / sfreq_hz if stamps is not None else event.duration_s
        spans.append((onset / sfreq_hz, max(duration_s, 0.0), event.text))
    if n_outside:
        notes.append(f"{n_outside} events are outside the recording and are left out")
    if stamps is not None:
        lost = lost_before(stamps, sfreq_hz)
        gaps = np.flatnonzero(lost)
        spans += [(row / sfreq_hz, 0.0, f"BAD gap of {lost[row]} samples") for row in gaps.tolist()]
        if gaps.size:
            notes.append(
                f"{int(lost.sum())} samples were lost in {gaps.size} gaps: samples follow each "
                "other without them, and annotations say where"
            )
    spans.sort()
    return [span[0] for span in spans], [span[1] for span in spans], [span[2] for span in spans]


def _sample_numbers(recording: Recording, times_s: Times) -> Times:
    """Fractional sample numbers of seconds since the first sample, float64 [n]."""
    sfreq_hz, stamps = recording.montage.sfreq_hz, recording.stamps
    if stamps is None:
        return times_s * sfreq_hz
    beyond_s = times_s - times_s.clip(stamps[0], stamps[-1])
    numbers: Times = np.interp(times_s, stamps, np.arange(stamps.size)) + beyond_s * sfreq_hz
    return numbers
