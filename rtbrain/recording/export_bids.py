"""Recordings written as BIDS-iEEG: BrainVision files with the tables that describe them.

References
----------
Holdgraf et al. 2019, iEEG-BIDS, https://doi.org/10.1038/s41597-019-0105-7
Appelhoff et al. 2019, MNE-BIDS, https://doi.org/10.21105/joss.01896
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.extras import load_extra
from rtbrain.recording.recording import Recording, capture_warnings

_INTRACRANIAL = {"seeg", "ecog", "dbs", "ieeg"}
_SPACE = "space-Other"
_UNITS = {"mm": "mm", "cm": "cm", "m": "m", "voxels": "pixels"}


def write_bids(recording: Recording, raw: Any, root: Path, labels: tuple[str, str, str]) -> Path:
    """Write a recording into a BIDS folder, which may hold others; all samples are loaded."""
    mne_bids = _mne_bids()
    place = _bids_path(mne_bids, recording, root, labels)
    tables = _position_tables(recording, Path(place.fpath))
    raw.load_data(verbose="WARNING")
    with capture_warnings("mne"):
        try:
            mne_bids.write_raw_bids(
                raw, place, format="BrainVision", allow_preload=True, verbose="ERROR"
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RecordingError(f"{root} cannot be written as BIDS: {reason}") from error
        # MNE-BIDS takes the maker of the file format for the maker of the amplifier.
        about = {"Manufacturer": "n/a"}
        mne_bids.update_sidecar_json(place.copy().update(extension=".json"), about, verbose="ERROR")
    for path, text in tables.items():
        path.write_text(text, encoding="utf-8")
        # MNE-BIDS wrote the same without the space, and with no positions in it.
        path.with_name(path.name.replace(f"_{_SPACE}", "")).unlink(missing_ok=True)
    return Path(place.fpath)


def _mne_bids() -> Any:
    load_extra("pybv", "bids", "writing BIDS")
    return load_extra("mne_bids", "bids", "writing BIDS")


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
    """Paths and texts of electrodes.tsv and coordsystem.json; none where nothing is known."""
    montage = recording.montage
    if montage.positions is None or montage.space is None:
        return {}
    lines = ["name\tx\ty\tz\tsize"]
    for name, position in zip(montage.names, montage.positions, strict=True):
        axes = [f"{axis:.9g}" if np.isfinite(axis) else "n/a" for axis in position]
        lines.append("\t".join([name, *axes, "n/a"]))
    described = {
        "iEEGCoordinateSystem": "Other",
        "iEEGCoordinateUnits": _UNITS.get(montage.space.split()[-1], "n/a"),
        "iEEGCoordinateSystemDescription": f"As the recording names it: {montage.space}",
    }
    parts = [part for part in header.name.split("_") if part.startswith(("sub-", "ses-"))]
    stem = "_".join([*parts, _SPACE])
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
