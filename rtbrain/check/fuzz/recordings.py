"""Sound recordings of each format, and checkpoints, made small; and the code that reads them."""

import io
import json
import zipfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rtbrain.check.fuzz.mutate import Files
from rtbrain.encoder import BrainBERT, BrainBERTSizes, import_checkpoint
from rtbrain.recording.export.run import export_recording
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Montage

_SFREQ_HZ, _N_SAMPLES = 256, 512
_NAMES = ("A1", "A2", "B'1")
_MOST_READ = 4096
_STEM = "sub-01_task-rest_ieeg"
_ELECTRODES = "sub-01_space-MNI152Lin"
_SIZES = BrainBERTSizes(hidden_dim=8, layer_dim_feedforward=8, nhead=2, encoder_num_layers=1)


def _values() -> npt.NDArray[Any]:
    rng = np.random.default_rng(0)
    return np.rint(rng.normal(0, 50, (len(_NAMES), _N_SAMPLES))).astype("<i2")


def read_first(folder: Path, files: Files) -> None:
    """Open the recording that is the first of the files, and read its beginning and its end."""
    _read(folder / next(iter(files)))


def read_folder(folder: Path, files: Files) -> None:
    """Open the one recording of a BIDS folder, and read it."""
    _read(folder)


def _read(path: Path) -> None:
    recording = read_recording(path, sfreq_hz=_SFREQ_HZ if path.suffix == ".npy" else None)
    try:
        recording.read(0, min(recording.n_samples, _MOST_READ))
        recording.read(max(0, recording.n_samples - 1), recording.n_samples)
    finally:
        recording.close()


def edf_files(folder: Path) -> list[Files]:
    """An EDF+D file with a pause and annotations, and a BDF+C file."""
    return [{"one.edf": _edf(2, "EDF", "EDF+D")}, {"one.bdf": _edf(3, "BDF", "BDF+C")}]


def _edf(width: int, family: str, reserved: str) -> bytes:
    """Two records of 1 s: https://www.edfplus.info/specs/edfplus.html."""
    tal_bytes = 60
    labels = [*_NAMES, f"{family} Annotations"]
    n, per_record = len(labels), [_SFREQ_HZ] * len(_NAMES)
    high = 2 ** (8 * width - 1) - 1
    cells: list[tuple[object, int]] = [
        ("0", 8),
        ("X X X X", 80),
        ("Startdate X X X X", 80),
        ("01.01.20", 8),
    ]
    cells += [("00.00.00", 8), (256 * (n + 1), 8), (reserved, 44), (2, 8), (1, 8), (n, 4)]
    columns = ((labels, 16), ([""] * n, 80), (["uV"] * n, 8), ([-high - 1] * n, 8), ([high] * n, 8))
    more = (([-high - 1] * n, 8), ([high] * n, 8), ([""] * n, 80))
    last = (([*per_record, tal_bytes // width], 8), ([""] * n, 32))
    for column, size in (*columns, *more, *last):
        cells += [(cell, size) for cell in column]
    written = "".join(str(cell).ljust(size)[:size] for cell, size in cells).encode()
    if width == 3:
        written = b"\xffBIOSEMI" + written[8:]
    for record, start in enumerate((0, 31 if reserved.endswith("D") else 1)):
        at = record * _SFREQ_HZ
        for row in _values()[:, at : at + _SFREQ_HZ].astype("<i4"):
            written += row.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        tal = f"+{start}\x14\x14\0+{start + 0.5}\x150.25\x14go\x14\0".encode()
        written += tal.ljust(tal_bytes, b"\0")
    return written


def brainvision_files(folder: Path) -> list[Files]:
    """A header with its markers, a pause among them."""
    return [_brainvision("one")]


def _brainvision(stem: str) -> dict[str, bytes]:
    channels = "".join(f"Ch{row}={name},,0.1,µV\n" for row, name in enumerate(_NAMES, 1))
    header = (
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\nMarkerFile={stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(_NAMES)}\n"
        f"SamplingInterval={1e6 / _SFREQ_HZ}\n[Binary Infos]\nBinaryFormat=INT_16\n"
        f"[Channel Infos]\n{channels}"
    )
    markers = (
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={stem}.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0,20200101120000000000\n"
        "Mk2=Stimulus,S  1,100,1,0\nMk3=New Segment,,257,1,0,20200101120031000000\n"
    )
    return {
        f"{stem}.vhdr": header.encode(),
        f"{stem}.vmrk": markers.encode(),
        f"{stem}.eeg": _values().T.tobytes(),
    }


def fif_files(folder: Path) -> list[Files]:
    """A FIF file with a pause."""
    stamps = np.arange(_N_SAMPLES) / _SFREQ_HZ
    stamps[300:] += 2.5
    montage = Montage(_NAMES, ("seeg",) * len(_NAMES), _SFREQ_HZ)
    values = _values().astype(np.float32)
    recording = Recording(
        montage, _N_SAMPLES, lambda a, b: values[:, a:b].copy(), stamps, (Event(0.25, 0.5, "go"),)
    )
    path = folder / "one_raw.fif"
    export_recording(recording, path, "fif")
    return [{path.name: path.read_bytes()}]


def npy_files(folder: Path) -> list[Files]:
    """Arrays of two kinds of numbers."""
    files: list[Files] = []
    for kind in (np.float32, np.int16):
        out = io.BytesIO()
        np.save(out, _values().astype(kind))
        files.append({"one.npy": out.getvalue()})
    return files


def bids_files(folder: Path) -> list[Files]:
    """A BIDS-iEEG data set with every table that is read."""
    system = {"iEEGCoordinateSystem": "MNI152Lin", "iEEGCoordinateUnits": "mm"}
    places = "".join(f"{name}\t1\t{row}\t3.5\tn/a\n" for row, name in enumerate(_NAMES))
    rows = "".join(f"{name}\tSEEG\tuV\tgood\n" for name in _NAMES)
    events = "onset\tduration\ttrial_type\n0.5\t0.25\tgo\n1.25\tn/a\tstop\n"
    tables = {
        f"{_STEM}.json": json.dumps({"SamplingFrequency": _SFREQ_HZ, "PowerLineFrequency": 50}),
        "sub-01_task-rest_channels.tsv": f"name\ttype\tunits\tstatus\n{rows}",
        "sub-01_task-rest_events.tsv": events,
        f"{_ELECTRODES}_electrodes.tsv": f"name\tx\ty\tz\tsize\n{places}",
        f"{_ELECTRODES}_coordsystem.json": json.dumps(system),
    }
    inside = {name: text.encode() for name, text in tables.items()} | _brainvision(_STEM)
    described = json.dumps({"Name": "fuzz", "BIDSVersion": "1.9.0"}).encode()
    files = {f"sub-01/ieeg/{name}": data for name, data in inside.items()}
    return [{"dataset_description.json": described, **files}]


def checkpoint_files(folder: Path) -> list[Files]:
    """A checkpoint in the released layout; and its pickle, whose damage no checksum gives away."""
    with zipfile.ZipFile(io.BytesIO(_checkpoint())) as archive:
        pickled = archive.read(next(name for name in archive.namelist() if name.endswith(".pkl")))
    return [{"one.pth": _checkpoint()}, {"data.pkl": pickled}]


@cache
def _checkpoint() -> bytes:
    out = io.BytesIO()
    state = BrainBERT(_SIZES).state_dict()
    settings = {
        "name": "masked_tf_model",
        "layer_activation": "gelu",
        "input_dim": 40,
        **asdict(_SIZES),
    }
    torch.save({"model": state, "optim": {"lr": 1e-4}, "model_cfg": settings}, out)
    return out.getvalue()


def use_checkpoint(folder: Path, files: Files) -> None:
    """Convert a checkpoint, or the sound one with another pickle, into a folder that goes."""
    path, out = folder / "one.pth", folder / "converted"
    if (pickled := files.get("data.pkl")) is not None:
        with zipfile.ZipFile(io.BytesIO(_checkpoint())) as sound, zipfile.ZipFile(path, "w") as new:
            for name in sound.namelist():
                new.writestr(name, pickled if name.endswith(".pkl") else sound.read(name))
    try:
        import_checkpoint("brainbert", path, out)
    finally:
        for path in out.glob("*"):
            path.unlink()
        if out.exists():
            out.rmdir()
