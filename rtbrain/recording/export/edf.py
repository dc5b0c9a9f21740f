"""EDF+ files, written block by block.

Kemp and Olivan 2003, European data format 'plus', doi:10.1016/S1388-2457(03)00123-8
"""

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtbrain.errors import RecordingError, list_words
from rtbrain.recording.export.content import Content, Mark
from rtbrain.recording.headers import Sensor
from rtbrain.types import TRIGGER_KIND, Floats, Times

_MAX_RECORD = 20_000  # samples of a channel
_LOWEST, _STEPS = -32768, 65535
_LABEL_CHARS = 16
_MAX_WASTED_BYTES = 2**20
# Of a record that the samples do not fill; MNE-Python writes and reads the same.
_FILLED = "BAD_ACQ_SKIP"


class _Scale(NamedTuple):
    """How a channel becomes 16 bits: unit, microvolts in it, and the texts of its range."""

    unit: str
    factor: float
    low: str
    high: str


def write_edf(content: Content, out: Path) -> list[str]:
    """Write a file of 16 bits a sample; return a line for each thing that it cannot hold.

    RecordingError where a value is missing, or a label has no place in it.
    """
    names = content.montage.names
    unfit = [n for n in names if not (n.isascii() and len(n) <= _LABEL_CHARS and n.isprintable())]
    if unfit:
        raise RecordingError(
            f"EDF holds labels of {_LABEL_CHARS} ASCII characters, got {list_words(unfit)}: export "
            "to bids or xdf, or with --ascii-labels"
        )
    n_samples, sfreq_hz = content.recording.n_samples, content.montage.sfreq_hz
    length, duration = _record(sfreq_hz, n_samples)
    n_records = -(-n_samples // length)
    marks = list(content.marks)
    if n_records * length > n_samples:
        filled_s = (n_records * length - n_samples) / sfreq_hz
        marks.append(Mark(n_samples / sfreq_hz, filled_s, _FILLED))
    texts = _annotations(marks, n_records, Decimal(duration))
    n_bytes = max(map(len, texts))
    n_bytes += n_bytes % 2
    n_wasted = n_bytes * n_records - sum(map(len, texts))
    if n_wasted > max(_MAX_WASTED_BYTES, 2 * len(names) * n_samples):
        raise RecordingError(
            "EDF reserves the same space for events in every record; one record needs "
            f"{n_bytes} bytes, so {n_wasted / 2**20:.0f} MiB would be wasted: export to bids, fif "
            "or xdf"
        )
    scales, sensors = _scales(content), _sensors(content)
    with out.open("xb") as file:
        file.write(_header(content, scales, sensors, length, duration, n_records, n_bytes))
        waiting = np.empty((len(names), 0), "<i2")
        written = 0
        for block in content.blocks():
            waiting = np.concatenate([waiting, _digital(block, scales)], axis=1)
            while waiting.shape[1] >= length:
                file.write(waiting[:, :length].tobytes())
                file.write(texts[written].ljust(n_bytes, b"\0"))
                waiting, written = waiting[:, length:], written + 1
        if waiting.shape[1]:
            missing = length - waiting.shape[1]
            file.write(np.pad(waiting, ((0, 0), (0, missing)), mode="edge").tobytes())
            file.write(texts[written].ljust(n_bytes, b"\0"))
    notes = ["EDF rounds samples to 16 bits of each channel's range"]
    positions = content.montage.positions
    n_placed = 0 if positions is None else int(np.isfinite(positions).all(axis=1).sum())
    if sum(bool(sensor.position) for sensor in sensors) < n_placed:
        notes.append("EDF has no room for some positions: export to bids or xdf to keep them")
    return notes


def _sensors(content: Content) -> list[Sensor]:
    """Kinds, marks of bad channels and positions, for the field that describes a transducer."""
    montage, sensors = content.montage, []
    for row, (name, kind) in enumerate(zip(montage.names, montage.kinds, strict=True)):
        bare = Sensor(kind, name in content.bad)
        position = None if montage.positions is None else montage.positions[row]
        if position is None or not np.isfinite(position).all():
            sensors.append(bare)
            continue
        axes = tuple(f"{axis:.9g}" for axis in position)
        placed = bare._replace(position=axes, space=str(montage.space))
        sensors.append(placed if placed.fits else bare)
    return sensors


def _record(sfreq_hz: float, n_samples: int) -> tuple[int, str]:
    """Samples per record and its duration of at most 8 characters, such that the rate is exact.

    Of records that give the rate to 1e-12, one of which the samples are a multiple, else the one
    nearest to a second; else the one that is nearest to the rate.
    """
    lengths = np.arange(1, _MAX_RECORD + 1)
    durations_s = lengths / sfreq_hz
    decimals = 6 - np.floor(np.log10(np.maximum(durations_s, 1.0))).astype(int)
    factors = 10.0 ** np.maximum(decimals, 0)
    rounded_s = np.round(durations_s * factors) / factors
    with np.errstate(divide="ignore"):
        errors = np.abs(lengths / rounded_s / sfreq_hz - 1)
    exact = np.flatnonzero(errors <= 1e-12)
    choice = int(np.argmin(errors))
    if exact.size:
        whole = exact[(n_samples % lengths[exact] == 0) & (durations_s[exact] >= 0.1)]
        among = whole if whole.size else exact
        choice = int(among[np.argmin(np.abs(np.log(durations_s[among])))])
    shown = f"{rounded_s[choice]:.{max(int(decimals[choice]), 0)}f}"
    return int(lengths[choice]), shown.rstrip("0").rstrip(".") if "." in shown else shown


def _annotations(marks: list[Mark], n_records: int, duration: Decimal) -> list[bytes]:
    """Annotations of each record: when it begins, and the events within it."""
    texts = [f"+{number * duration}\x14\x14\0".encode() for number in range(n_records)]
    for mark in marks:
        number = min(int(mark.onset_s / float(duration)), n_records - 1)
        lasting = f"\x15{mark.duration_s:.9f}" if mark.duration_s else ""
        texts[number] += f"+{mark.onset_s:.9f}{lasting}\x14{mark.text}\x14\0".encode()
    return texts


def _scales(content: Content) -> list[_Scale]:
    """Scale of each channel by its range; whole numbers of 16 bits stay as they are."""
    montage = content.montage
    low, high = np.full(montage.n_channels, np.inf), np.full(montage.n_channels, -np.inf)
    whole = np.array([kind == TRIGGER_KIND for kind in montage.kinds])
    for block in content.blocks():
        missing = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if missing.size:
            names = list_words([montage.names[row] for row in missing])
            raise RecordingError(
                f"EDF holds no missing values, there are some (NaN) in {names}: export to fif"
            )
        low, high = np.minimum(low, block.min(axis=1)), np.maximum(high, block.max(axis=1))
        whole &= (block == np.round(block)).all(axis=1)
    scales = []
    for row, unit in enumerate(content.units):
        least, most = float(low[row]), float(high[row])
        if whole[row]:  # codes
            if most - least > _STEPS:
                raise RecordingError(
                    f"EDF holds 16 bits, but the codes of {montage.names[row]} range from "
                    f"{least:.0f} to {most:.0f}: export to bids, fif or xdf"
                )
            lowest = _LOWEST if least >= _LOWEST and most <= _LOWEST + _STEPS else round(least)
            scales.append(_Scale(unit, 1.0, str(lowest), str(lowest + _STEPS)))
            continue
        factor = 1.0
        if unit == "µV" and max(abs(least), abs(most)) >= 1e6:
            unit, factor = "mV", 1e-3
        scales.append(
            _Scale(
                unit,
                factor,
                _outward(least * factor, math.floor),
                _outward(most * factor, math.ceil, least * factor),
            )
        )
    return scales


def _outward(value: float, rounded: Callable[[float], int], other: float = math.nan) -> str:
    """Number in 8 characters, rounded away from the range, and never equal to its `other` end."""
    for decimals in range(6, -1, -1):
        scaled = rounded(value * 10**decimals) / 10**decimals
        text = f"{scaled if scaled != other else scaled + 1:.{decimals}f}"
        if len(text) <= 8:
            return text
    raise RecordingError(f"EDF holds numbers of 8 characters, got {value:g}: export to fif")


def _digital(
    block: Floats, scales: list[_Scale]
) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    low = np.array([[float(scale.low)] for scale in scales])
    span = np.array([[float(scale.high)] for scale in scales]) - low
    factors: Times = np.array([[scale.factor] for scale in scales])
    steps = np.round((block * factors - low) / span * _STEPS) + _LOWEST
    digital: np.ndarray[tuple[int, int], np.dtype[np.int16]] = steps.astype("<i2")
    return digital


def _header(
    content: Content,
    scales: list[_Scale],
    sensors: list[Sensor],
    length: int,
    duration: str,
    n_records: int,
    n_bytes: int,
) -> bytes:
    montage = content.montage
    n_signals = montage.n_channels + 1
    general = [("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.85", 8)]
    general += [("00.00.00", 8), (str(256 * (n_signals + 1)), 8), ("EDF+C", 44)]
    general += [(str(n_records), 8), (duration, 8), (str(n_signals), 4)]
    lowest, highest = str(_LOWEST), str(_LOWEST + _STEPS)
    columns = [
        ((*montage.names, "EDF Annotations"), 16),
        ((*map(str, sensors), ""), 80),
        ((*(scale.unit.replace("µ", "u") for scale in scales), ""), 8),
        ((*(scale.low for scale in scales), "-1"), 8),
        ((*(scale.high for scale in scales), "1"), 8),
        ((lowest,) * n_signals, 8),
        ((highest,) * n_signals, 8),
        (("",) * n_signals, 80),
        ((*(str(length),) * montage.n_channels, str(n_bytes // 2)), 8),
        (("",) * n_signals, 32),
    ]
    fields = [*general, *((text, width) for texts, width in columns for text in texts)]
    return b"".join(text.encode("ascii", "replace")[:width].ljust(width) for text, width in fields)
