"""BIDS-iEEG datasets: the tables and descriptions beside a BrainVision recording.

Holdgraf et al. 2019, iEEG-BIDS, https://doi.org/10.1038/s41597-019-0105-7
https://bids-specification.readthedocs.io/en/stable/modality-specific-files/intracranial-electroencephalography.html
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.files import EXISTS, write_atomically
from rtbrain.recording.bids import SPACE_AS_NAMED
from rtbrain.recording.export.brainvision import write_brainvision
from rtbrain.recording.export.content import Content
from rtbrain.recording.recording import Recording, read_rows
from rtbrain.recording.trigger_log import TRIGGER_COLUMNS
from rtbrain.types import CONTACT_KINDS, TRIGGER_KIND

_BIDS_VERSION = "1.10.0"
_INTRACRANIAL = {"seeg", "ecog", "dbs"}
_TYPES = {"seeg", "ecog", "dbs", "eeg", "ecg", "emg", "eog", "ref", "misc"}
_SPACE = "space-Other"
_UNITS = {"mm": "mm", "cm": "cm", "m": "m", "voxels": "pixels", "pixels": "pixels"}


class BidsLabels(NamedTuple):
    """Labels of a recording in its dataset; empty ones are left out."""

    subject: str = "01"
    session: str = ""
    task: str = "decoding"
    run: str = ""


def labels_of(recording: Recording, **given: str | None) -> BidsLabels:
    """Labels that are given, else those of the recording."""
    known = {key: str(getattr(recording, key)) for key in BidsLabels._fields}
    known = {key: "".join(filter(str.isalnum, text)) for key, text in known.items()}
    default = BidsLabels()
    # A label that is given as empty is left out.
    return BidsLabels(
        *(
            own if (own := given.get(key)) is not None else known[key] or getattr(default, key)
            for key in BidsLabels._fields
        )
    )


def write_bids(content: Content, root: Path, labels: BidsLabels, mains_hz: float | None) -> Path:
    """Write a recording into a dataset, which may hold others; the header of its samples.

    SettingsError where a label is none of BIDS, or a file exists.
    """
    for key, label in zip(BidsLabels._fields, labels, strict=True):
        if (key == "run" and label and not label.isdecimal()) or not (
            label or key in "session run"
        ):
            raise SettingsError(f"--{key}: expected a BIDS label, got {label!r}")
        if label and not (label.isascii() and label.isalnum()):
            raise SettingsError(f"--{key}: BIDS labels are letters and digits, got {label!r}")
    kinds = content.montage.kinds
    modality = "ieeg" if _INTRACRANIAL & set(kinds) else "eeg"
    parts = [f"sub-{labels.subject}", f"ses-{labels.session}" if labels.session else ""]
    place = root.joinpath(*filter(None, parts), modality)
    placed = "_".join(filter(None, parts))
    parts += [f"task-{labels.task}", f"run-{labels.run}" if labels.run else ""]
    stem = "_".join(filter(None, parts))
    header = place / f"{stem}_{modality}.vhdr"
    texts = {f"{stem}_channels.tsv": _channels(content), f"{stem}_events.tsv": _events(content)}
    texts[f"{stem}_{modality}.json"] = _json(_sidecar(content, modality, labels.task, mains_hz))
    if any(mark.about for mark in content.marks):
        texts[f"{stem}_events.json"] = _json(TRIGGER_COLUMNS)
    tables = {place / name: text for name, text in texts.items()}
    samples = [header.with_suffix(suffix) for suffix in (".vhdr", ".eeg", ".vmrk")]
    if there := [path for path in (*samples, *tables) if path.exists()]:
        raise SettingsError(
            f"{there[0]} {EXISTS}: pass another --out, --subject, --session, --task or --run"
        )
    shared = _position_tables(content, place / placed, modality)  # by runs of a session
    partial = place / f".{stem}"  # a part of a recording would pass for a whole one
    try:
        place.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)  # of an export that was killed
        partial.mkdir()
        _describe_dataset(root, labels.subject)
        write_brainvision(content, partial / header.name)
        for path, text in tables.items():
            (partial / path.name).write_text(text, encoding="utf-8")
        for path, text in shared.items():
            write_atomically(path, text)
        for path in (*tables, *reversed(samples)):  # the header last
            (partial / path.name).rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return header


def _table(columns: str, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("\t".join(cells) for cells in [columns.split(), *rows]) + "\n"


def _json(about: dict[str, Any]) -> str:
    return json.dumps(about, indent=4, ensure_ascii=False) + "\n"


def _channels(content: Content) -> str:
    rows = [
        (
            name,
            "TRIG" if kind == TRIGGER_KIND else kind.upper() if kind in _TYPES else "OTHER",
            unit or "n/a",
            "n/a",
            "n/a",
            "bad" if name in content.bad else "good",
        )
        for name, kind, unit in zip(
            content.montage.names, content.montage.kinds, content.units, strict=True
        )
    ]
    return _table("name type units low_cutoff high_cutoff status", rows)


def _events(content: Content) -> str:
    more = list(TRIGGER_COLUMNS) if any(mark.about for mark in content.marks) else []
    rows = []
    for one in content.marks:
        known = dict(one.about)
        cells = (known.get(column, "n/a") for column in more)
        rows.append((repr(one.onset_s), repr(one.duration_s), one.text or "n/a", *cells))
    return _table(" ".join(["onset duration trial_type", *more]), rows)


def _sidecar(content: Content, modality: str, task: str, mains_hz: float | None) -> dict[str, Any]:
    montage = content.montage
    counts = Counter(kind if kind in _TYPES | {TRIGGER_KIND} else "misc" for kind in montage.kinds)
    counted = ("seeg", "ecog", "eeg", "eog", "ecg", "emg", "misc")
    about = {
        "TaskName": task,
        "SamplingFrequency": montage.sfreq_hz,
        "PowerLineFrequency": "n/a" if mains_hz is None else mains_hz,
        "SoftwareFilters": "n/a",
        "iEEGReference" if modality == "ieeg" else "EEGReference": "n/a",
        "RecordingDuration": content.recording.n_samples / montage.sfreq_hz,
        "RecordingType": "continuous" if content.recording.stamps is None else "discontinuous",
    }
    about |= {f"{kind.upper()}ChannelCount": counts[kind] for kind in counted}
    if modality == "eeg":
        about.pop("SEEGChannelCount"), about.pop("ECOGChannelCount")
    return {**about, "TriggerChannelCount": counts[TRIGGER_KIND]}


def _position_tables(content: Content, stem: Path, modality: str) -> dict[Path, str]:
    """Paths and texts of electrodes.tsv and coordsystem.json.

    iEEG must have both, so contacts without positions are listed too, by their names.
    """
    montage = content.montage
    positions = montage.positions
    known = positions is not None
    if positions is None:
        if modality == "eeg":
            return {}
        positions = np.full((montage.n_channels, 3), np.nan, np.float32)
    rows = []
    regions = montage.regions or ("",) * montage.n_channels
    for name, kind, position, region in zip(
        montage.names, montage.kinds, positions, regions, strict=True
    ):
        placed = bool(np.isfinite(position).all())
        if kind in CONTACT_KINDS or placed:
            axes = [f"{axis:.9g}" if placed else "n/a" for axis in position]
            size = ["n/a"] if modality == "ieeg" else []
            rows.append((name, *axes, *size, *([region or "n/a"] if montage.regions else [])))
    prefix = "iEEG" if modality == "ieeg" else "EEG"
    space = montage.space or "unknown"
    described = {
        f"{prefix}CoordinateSystem": "Other",
        f"{prefix}CoordinateUnits": _UNITS.get(space.split()[-1], "n/a"),
        f"{prefix}CoordinateSystemDescription": f"{SPACE_AS_NAMED}{space}",
    }
    columns = "name x y z size" if modality == "ieeg" else "name x y z"
    columns += " region" if montage.regions else ""
    stem = stem.with_name(f"{stem.name}_{_SPACE}") if known else stem
    tables = {
        stem.with_name(f"{stem.name}_electrodes.tsv"): _table(columns, rows),
        stem.with_name(f"{stem.name}_coordsystem.json"): _json(described),
    }
    for path, text in tables.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SettingsError(
                f"{path} {EXISTS}, and it has other electrodes than this recording: pass another "
                "--subject or --session"
            )
    return tables


def _describe_dataset(root: Path, subject: str) -> None:
    """Write what describes the dataset, if it is new, and add the subject to its table."""
    about = {
        "Name": root.name,
        "BIDSVersion": _BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "rtbrain", "Version": version("rtbrain")}],
    }
    readme = f"Recordings in BIDS, written by rtbrain {version('rtbrain')}.\n"
    for name, text in (("dataset_description.json", _json(about)), ("README.md", readme)):
        if not any((root / one).exists() for one in (name, name.removesuffix(".md"))):
            (root / name).write_text(text, encoding="utf-8")
    table = root / "participants.tsv"
    known = set()
    if table.exists():
        known = {
            row["participant_id"] for row in read_rows(table, "participant_id", delimiter="\t")
        }
    else:
        table.write_text("participant_id\n", encoding="utf-8")
    if f"sub-{subject}" not in known:
        columns = table.read_text(encoding="utf-8-sig").split("\n")[0].split("\t")
        row = [f"sub-{subject}" if one.strip() == "participant_id" else "n/a" for one in columns]
        with table.open("a", encoding="utf-8") as file:
            file.write("\t".join(row) + "\n")
