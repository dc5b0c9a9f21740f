"""The Brain Treebank's layout: one HDF5 file a trial, and tables of electrodes, film and words.

Wang et al. 2024, Brain Treebank: large-scale intracranial recordings from naturalistic language
stimuli, NeurIPS Datasets and Benchmarks, arXiv:2411.08343.
"""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import MontageError, RecordingError
from rtbrain.extras import load_extra
from rtbrain.recording.braintreebank_tasks import (
    Trial,
    Triggers,
    Words,
    read_table,
    read_triggers,
    read_words,
)
from rtbrain.recording.recording import Event, Recording, read_json
from rtbrain.stream_names import find_regions
from rtbrain.types import Floats, Montage
from rtbrain.units import place_channels

_MARKS = re.compile(r"[*#_]")  # that clinics put on labels
_NAME = re.compile(r"sub_(?P<subject>\w+)_trial(?P<trial>\d+)\.(?:h5|hdf5)")
# A nominal rate is a power of two; the triggers measure it far more closely than this.
_NOMINAL_TOLERANCE = 0.01
_NOTED_ABOVE = 1e-3


def read_trial(path: Path) -> Recording:
    """Recording of a trial, without its words."""
    return open_trial(path).recording


def open_trial(path: Path) -> Trial:
    """Open ``sub_S_trialTTT.h5``, in the dataset's folder or its ``all_subject_data``.

    Labels lose the marks ``*``, ``#`` and ``_``; electrodes in ``corrupted_elec.json`` are
    marked as bad; those that record triggers (``DC...``, ``TRIG...``) are of kind ``misc``.
    The montage has the nominal rate: a power of two where the triggers agree with one.
    RecordingError if a part is absent or broken, or the parts do not fit each other.
    """
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise RecordingError(
            f"{path}: a Brain Treebank trial is named sub_S_trialTTT.h5, such as sub_1_trial000.h5"
        )
    subject, trial = f"sub_{named['subject']}", f"sub_{named['subject']}_trial{named['trial']}"
    notes: list[str] = []
    root = _root(path, subject)
    names = _labels(root / "electrode_labels" / subject / "electrode_labels.json")
    triggers = read_triggers(root / "subject_timings" / f"{trial}_timings.csv")
    words = _words(root, trial, triggers, notes)
    sfreq_hz = _nominal_hz(triggers.rate_hz, notes)
    positions, regions = _places(root / "localization" / subject / "depth-wm.csv", names, notes)
    kinds = tuple("misc" if name.upper().startswith(("DC", "TRIG")) else "seeg" for name in names)
    space = None if positions is None else "LIP voxels"
    try:
        montage = Montage(names, kinds, sfreq_hz, positions, space, regions)
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error
    file, datasets = _open_electrodes(path, len(names), notes)
    n_samples = int(datasets[0].shape[0])
    recording = Recording(
        montage,
        n_samples,
        partial(_samples, path, datasets),
        events=_events(words, n_samples, sfreq_hz, notes),
        notes=tuple(notes),
        closer=file.close,
        bad=_corrupted(root / "corrupted_elec.json", subject, names, notes),
        subject=named["subject"],
        session=named["trial"],
    )
    return Trial(recording, words, triggers, triggers.rate_hz)


def _open_electrodes(path: Path, n_electrodes: int, notes: list[str]) -> tuple[Any, list[Any]]:
    """The open file, and the samples of its electrodes: each is a dataset of its own."""
    h5py = load_extra("h5py", "datasets", f"{path.name}, an HDF5 file,")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise RecordingError(f"{path} is no HDF5 file: it is truncated or foreign") from error
    try:
        group = file.get("data")
        if not isinstance(group, h5py.Group):
            there = ", ".join(list(file)[:8]) or "nothing"
            raise RecordingError(f"{path} has no group 'data' as a trial has, only {there}")
        return file, _datasets(path, group, n_electrodes, notes)
    except RecordingError:
        file.close()
        raise


def _datasets(path: Path, group: Any, n_electrodes: int, notes: list[str]) -> list[Any]:
    keys = [f"electrode_{number}" for number in range(n_electrodes)]
    absent = [key for key in keys if key not in group]
    if absent:
        raise RecordingError(
            f"{path} has {len(group)} electrodes, electrode_labels.json has {n_electrodes} labels: "
            f"no {absent[0]}"
        )
    if len(group) > n_electrodes:
        notes.append(f"{len(group) - n_electrodes} electrodes have no label: not read")
    datasets = [group[key] for key in keys]
    for key, dataset in zip(keys, datasets, strict=True):
        if dataset.ndim != 1 or dataset.dtype.kind not in "fiu":
            raise RecordingError(
                f"{path}: {key} should be one row of numbers, it is of shape {dataset.shape} and "
                f"type {dataset.dtype}"
            )
        if dataset.shape != datasets[0].shape:
            raise RecordingError(
                f"{path}: {key} has {dataset.shape[0]} samples, electrode_0 has "
                f"{datasets[0].shape[0]}: the file is incomplete"
            )
    return datasets


def _samples(path: Path, datasets: list[Any], start: int, stop: int) -> Floats:
    try:
        rows = [dataset[start:stop] for dataset in datasets]
        return np.stack(rows, dtype=np.float32, casting="unsafe")
    except OSError as error:
        raise RecordingError(f"{path} is damaged at samples {start} to {stop}: {error}") from error


def _root(path: Path, subject: str) -> Path:
    """Folder of the dataset: the file's own or the one above."""
    folders = [path.absolute().parent, path.absolute().parent.parent]
    wanted = Path("electrode_labels") / subject / "electrode_labels.json"
    for folder in folders:
        if (folder / wanted).is_file():
            return folder
    raise RecordingError(
        f"no {wanted} in {folders[0]} nor {folders[1]}: {path.name} needs the dataset's folders "
        "beside it"
    )


def _labels(path: Path) -> tuple[str, ...]:
    labels = read_json(path)
    if not (isinstance(labels, list) and labels and all(isinstance(one, str) for one in labels)):
        raise RecordingError(f"{path}: expected a list of electrode labels")
    return tuple(_MARKS.sub("", label) for label in labels)


def _corrupted(
    path: Path, subject: str, names: tuple[str, ...], notes: list[str]
) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    table = read_json(path)
    labels = table.get(subject, []) if isinstance(table, dict) else None
    if not isinstance(labels, list):
        raise RecordingError(f"{path}: expected a list of electrode labels for {subject}")
    listed = {_MARKS.sub("", str(label)) for label in labels}
    bad = tuple(name for name in names if name in listed)
    if bad:
        notes.append(f"electrodes listed as corrupted: {', '.join(bad)}")
    return bad


def _places(
    path: Path, names: tuple[str, ...], notes: list[str]
) -> tuple[Floats | None, tuple[str, ...] | None]:
    """Positions, float32 [n_channels, 3], and regions; None where there are none."""
    if not path.is_file():
        notes.append(f"no {path.name} for this subject: electrodes have no positions")
        return None, None
    table = read_table(path, "Electrode", "L", "I", "P")
    labels = [_MARKS.sub("", label) for label in table["Electrode"]]
    try:
        rows = {
            label: [float(table[axis][row]) for axis in "LIP"] for row, label in enumerate(labels)
        }
    except ValueError as error:
        raise RecordingError(f"{path}: a position is no number: {error}") from error
    without = [name for name in names if name not in rows]
    if without:
        notes.append(f"no position in {path.name} for {', '.join(without)}")
    stated = dict(zip(labels, table.get("DKT", []), strict=False))
    return place_channels(names, rows), find_regions(names, stated, path.name, notes)


def _nominal_hz(rate_hz: float, notes: list[str]) -> float:
    power = float(2 ** round(math.log2(rate_hz)))
    nominal_hz = power if abs(power / rate_hz - 1) <= _NOMINAL_TOLERANCE else float(round(rate_hz))
    if abs(nominal_hz / rate_hz - 1) > _NOTED_ABOVE:
        notes.append(
            f"by its triggers the trial was sampled at {rate_hz:.2f} Hz; it is read as "
            f"{nominal_hz:g} Hz, sample by sample"
        )
    return nominal_hz


def _words(root: Path, trial: str, triggers: Triggers, notes: list[str]) -> Words | None:
    about = root / "subject_metadata" / f"{trial}_metadata.json"
    if not about.is_file():
        notes.append(f"no {about.name}: the film is not known, and so none of its words")
        return None
    described = read_json(about)
    film = described.get("filename") if isinstance(described, dict) else None
    if not isinstance(film, str) or not film:
        raise RecordingError(f"{about}: expected the film's name as 'filename'")
    transcript = root / "transcripts" / film / "features.csv"
    if not transcript.is_file():
        notes.append(f"no transcript of {film}: the trial has no words")
        return None
    return read_words(transcript, triggers, notes)


def _events(
    words: Words | None, n_samples: int, sfreq_hz: float, notes: list[str]
) -> tuple[Event, ...]:
    if words is None:
        return ()
    spans = zip(words.start_sample.tolist(), words.end_sample.tolist(), words.text, strict=True)
    within = [
        Event(start / sfreq_hz, max(stop - start, 0) / sfreq_hz, text)
        for start, stop, text in spans
        if 0 <= start < n_samples
    ]
    if len(within) < len(words.text):
        notes.append(
            f"{len(words.text) - len(within)} of {len(words.text)} words are outside the recording"
        )
    return tuple(sorted(within, key=lambda event: event.onset_s))
