"""BIDS-iEEG folders: which recording is meant, and its sidecar files.

Holdgraf et al. 2019, iEEG-BIDS, https://doi.org/10.1038/s41597-019-0105-7
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.channels import kind_of, match_labels
from rtbrain.errors import RecordingError, list_words, plain_text
from rtbrain.recording.formats import is_recording
from rtbrain.recording.recording import Event, parse_number, read_json, read_rows
from rtbrain.types import CONTACT_KINDS, Floats
from rtbrain.units import MILLIMETRES_PER, parse_position

# Modality, session, subject, dataset.
_FOLDERS_UP = 4
# A description that begins so names the space, for a declared system cannot.
SPACE_AS_NAMED = "As the recording names it: "
_NOT_STATED = {"", "n/a", "none"}
# These folders hold copies and results, not recordings.
_BESIDE_THE_DATA = {"derivatives", "sourcedata", "code", "stimuli"}

Row = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Sidecars:
    """What the sidecar files of a recording say about it."""

    kinds: dict[str, str]
    units: dict[str, str]
    bad: tuple[str, ...]
    positions: dict[str, Floats]
    space: str | None
    regions: dict[str, str]
    events: tuple[Event, ...] | None
    notes: tuple[str, ...]


def find_recording(folder: Path) -> Path:
    """Path of the one recording in a BIDS root, a subject's folder or an ieeg folder."""
    found = sorted(
        path
        for path in folder.rglob("*_ieeg.*")
        if is_recording(path) and not _BESIDE_THE_DATA & set(path.relative_to(folder).parts)
    )
    if not found:
        raise RecordingError(
            f"no recording *_ieeg or *_eeg, and no folder of a format that is known, in {folder}: "
            "name a BIDS-iEEG folder or a file"
        )
    if len(found) > 1:
        listed = list_words([str(path.relative_to(folder)) for path in found])
        raise RecordingError(f"{folder} holds {len(found)} recordings, name one: {listed}")
    return found[0]


def read_sidecars(path: Path, names: Sequence[str]) -> Sidecars:
    """Read the sidecars of a recording; empty for a file that is not named by BIDS.

    Rows are those of the recording's labels, `names`; differences are noted.
    """
    notes: list[str] = []
    kinds: dict[str, str] = {}
    units: dict[str, str] = {}
    bad: list[str] = []
    channels = _beside(path, "channels.tsv")
    rows = {row["name"]: row for row in _rows(channels[0], "name")} if channels else {}
    for name, row in _matched(rows, names, channels, notes, names).items():
        kinds[name] = kind_of(row.get("type"))
        units[name] = row.get("units", "")
        if row.get("status", "").lower() == "bad":
            bad.append(name)
    kinds = {name: kind for name, kind in kinds.items() if kind}
    units = {name: unit for name, unit in units.items() if unit.lower() not in _NOT_STATED}
    contacts = [name for name in names if kinds.get(name, "eeg") in CONTACT_KINDS]
    electrodes = _electrodes(path, names, contacts, notes)
    positions, space = _positions(path, *electrodes, notes)
    regions = {name: row.get("region", "") for name, row in electrodes[1].items()}
    files = _beside(path, "events.tsv")
    events = _events(files[0], notes) if files else None
    return Sidecars(kinds, units, tuple(bad), positions, space, regions, events, tuple(notes))


def _matched(
    rows: dict[str, Row],
    names: Sequence[str],
    files: Sequence[Path],
    notes: list[str],
    needed: Sequence[str],
) -> dict[str, Row]:
    """Rows of a table by the recording's labels."""
    if not rows:
        return {}
    matched = match_labels(rows, names, files[0].name, needed)
    notes += matched.notes
    return {name: rows[row] for name, row in matched.rows.items()}


def entity(path: Path, key: str) -> str:
    """Value of an entity in a file's name, as ``01`` of ``sub-01_ieeg.edf``; empty if absent."""
    parts = path.name.split(".")[0].split("_")
    found = [part.removeprefix(f"{key}-") for part in parts if part.startswith(f"{key}-")]
    return found[0] if found else ""


def _entities(path: Path) -> set[str]:
    return {part for part in path.name.split(".")[0].split("_") if "-" in part}


def _beside(path: Path, suffix: str) -> list[Path]:
    """Sidecars that apply, by the inheritance principle: closest folder and best match first.

    A sidecar applies if all its entities are the recording's; ``space`` is a property of the
    positions alone.
    """
    own = _entities(path)
    if not path.name.startswith("sub-"):
        return []
    for folder in path.parents[:_FOLDERS_UP]:
        fitting = [
            candidate
            for candidate in sorted(folder.glob(f"*{suffix}"))
            if candidate.name in {suffix} or candidate.name.endswith(f"_{suffix}")
            if {part for part in _entities(candidate) if not part.startswith("space-")} <= own
        ]
        if fitting:
            return sorted(fitting, key=lambda candidate: -len(_entities(candidate) & own))
        if (folder / "dataset_description.json").exists():
            break
    return []


def _rows(path: Path, *needed: str) -> Iterator[Row]:
    tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "restval": ""}
    for row in read_rows(path, *needed, ragged=True, **tabs):
        yield {key: text.strip() for key, text in row.items() if isinstance(key, str)}


def _electrodes(
    path: Path, names: Sequence[str], contacts: Sequence[str], notes: list[str]
) -> tuple[Path | None, dict[str, Row]]:
    """Table of the electrodes, and its rows by the recording's labels."""
    files = _beside(path, "electrodes.tsv")
    if not files:
        return None, {}
    if len(files) > 1:
        others = ", ".join(file.name for file in files[1:])
        notes.append(f"positions are taken from {files[0].name}, not from {others}")
    rows = {row["name"]: row for row in _rows(files[0], "name", "x", "y", "z")}
    return files[0], _matched(rows, names, files, notes, contacts)


def _positions(
    path: Path, table: Path | None, rows: dict[str, Row], notes: list[str]
) -> tuple[dict[str, Floats], str | None]:
    if table is None:
        return {}, None
    of_space: list[str] = []
    space, factor = _space(path, table, of_space)
    positions, unread = {}, []
    for name, row in rows.items():
        texts = [row[axis] for axis in "xyz"]
        position = parse_position(texts)
        if np.isfinite(position).all():
            positions[name] = factor * position
        elif not all(text.lower() in _NOT_STATED for text in texts):
            unread.append(f"{name} {' '.join(texts)}")
    if unread:
        listed = list_words([plain_text(text) for text in unread])
        notes.append(f"positions in {table.name} that are no numbers: {listed}")
    notes += of_space if positions else []
    return positions, space if positions else None


def _space(path: Path, electrodes: Path, notes: list[str]) -> tuple[str, float]:
    """Name of the space with its unit, and the factor of its coordinates."""
    wanted = {part for part in _entities(electrodes) if part.startswith("space-")}
    files = [file for file in _beside(path, "coordsystem.json") if wanted <= _entities(file)]
    described: Any = {}
    if files:
        described = read_json(files[0])
        if not isinstance(described, dict):
            raise RecordingError(f"{files[0]} cannot be read as JSON: it holds no object")
    system = str(described.get("iEEGCoordinateSystem") or "")
    unit = str(described.get("iEEGCoordinateUnits") or "").lower()
    described_as = str(described.get("iEEGCoordinateSystemDescription") or "")
    if system.lower() == "other" and described_as.startswith(SPACE_AS_NAMED):
        return described_as.removeprefix(SPACE_AS_NAMED), 1.0
    # Only the declared system names the space: file names say MNI of other spaces too.
    if system.lower() in _NOT_STATED | {"other"}:
        notes.append(
            f"{electrodes.name} is in no declared template space (system {system or 'absent'!r}): "
            "positions are kept but their space is unnamed"
        )
        name = "unnamed"
    else:
        name = "MNI" if system.startswith("MNI") else system
    if unit in MILLIMETRES_PER:
        return f"{name} mm", MILLIMETRES_PER[unit]
    if unit in _NOT_STATED:
        notes.append(f"the unit of the positions in {electrodes.name} is not declared")
        return f"{name}, unit undeclared", 1.0
    return f"{name} {unit}", 1.0


def _events(path: Path, notes: list[str]) -> tuple[Event, ...]:
    events = []
    n_without_onset = n_triggers = 0
    for row in _rows(path, "onset"):
        if row.get("trigger_status", "").lower() not in _NOT_STATED:
            n_triggers += 1  # what a decoder did labels nothing
            continue
        onset_s, duration_s = parse_number(row["onset"]), parse_number(row.get("duration", ""))
        if not math.isfinite(onset_s):
            n_without_onset += 1
            continue
        texts = [row.get(column, "") for column in ("trial_type", "value")]
        text = next((text for text in texts if text.lower() not in _NOT_STATED), "event")
        events.append(Event(onset_s, duration_s if math.isfinite(duration_s) else 0.0, text))
    if n_without_onset:
        notes.append(f"{n_without_onset} events in {path.name} have no onset: left out")
    if n_triggers:
        notes.append(f"{n_triggers} events in {path.name} are a decoder's triggers: left out")
    return tuple(sorted(events, key=lambda event: event.onset_s))
