"""Recordings in BrainVision, EDF, BDF and FIF files, read through MNE-Python."""

import configparser
import struct
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io.constants import FIFF

from rtbrain.errors import RecordingError, list_words, one_line
from rtbrain.mne_info import montage_from_info, positions_from_info
from rtbrain.recording.bids import Sidecars, entity, read_sidecars
from rtbrain.recording.recording import Event, Recording, capture_warnings
from rtbrain.types import TRIGGER_KIND, Floats, Montage, Times
from rtbrain.units import MICROVOLTS_PER_VOLT, keep_codes, microvolts_per, place_channels

# What MNE-Python's parsers raise on truncated and foreign files.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    configparser.Error,
    struct.error,
)
_EDF_HEADER = 256


def read_mne(path: Path) -> Recording:
    """Open a BrainVision, EDF, BDF or FIF file and its BIDS sidecars; samples stay in the file."""
    notes: list[str] = []
    exclude = _slower_channels(path, notes)
    raw = _opened(path, exclude, notes)
    sidecars = read_sidecars(path)
    names = tuple(raw.ch_names)
    kinds = tuple(
        sidecars.kinds.get(name, kind)
        for name, kind in zip(names, raw.get_channel_types(), strict=True)
    )
    factors, unitless = _factors(raw, kinds, path, sidecars, notes)
    placed: tuple[dict[str, Any], str | None] = sidecars.positions, sidecars.space
    if not sidecars.positions:
        placed = positions_from_info(raw.info)
    positions = place_channels(names, placed[0])
    space = None if positions is None else placed[1]
    montage = Montage(names, kinds, float(raw.info["sfreq"]), positions, space)
    read = partial(_samples, raw, path, factors)
    if raw.n_times:
        # Only reading its last samples shows that a FIF file was cut off.
        read(int(raw.n_times) - 1, int(raw.n_times))
    events = _annotations(raw) if sidecars.events is None else sidecars.events
    return Recording(
        montage,
        int(raw.n_times),
        read,
        events=events,
        notes=(*notes, *sidecars.notes),
        closer=raw.close,
        bad=tuple(name for name in names if name in {*sidecars.bad, *raw.info["bads"]}),
        subject=entity(path, "sub"),
        session=entity(path, "ses"),
        unitless=unitless,
    )


def recording_of_raw(raw: Any) -> Recording:
    """Recording of an ``mne.io.Raw``: volts become microvolts, annotations events."""
    montage = montage_from_info(raw.info)
    volts = np.array([channel["unit"] == FIFF.FIFF_UNIT_V for channel in raw.info["chs"]])
    factors = keep_codes(montage.kinds, np.where(volts, MICROVOLTS_PER_VOLT, 1.0))[:, np.newaxis]
    read = partial(_samples, raw, Path("the Raw"), factors)
    bad = tuple(raw.info["bads"])
    return Recording(montage, int(raw.n_times), read, events=_annotations(raw), bad=bad)


def _samples(raw: Any, path: Path, factors: Times, start: int, stop: int) -> Floats:
    try:
        data = raw.get_data(start=start, stop=stop, verbose="ERROR")
    except _UNREADABLE as error:
        raise RecordingError(
            f"{path} is truncated or damaged at samples {start} to {stop}: {one_line(error)}"
        ) from error
    scaled: Floats = np.multiply(data, factors, dtype=np.float64).astype(np.float32)
    return scaled


def _opened(path: Path, exclude: list[str], notes: list[str]) -> Any:
    options = {"exclude": exclude} if exclude else {}
    with capture_warnings("mne") as lines:
        try:
            # Not less: below this level MNE-Python warns of nothing.
            raw = mne.io.read_raw(path, preload=False, verbose="WARNING", **options)
        except _UNREADABLE as error:
            raise RecordingError(
                f"{path} cannot be read, it is truncated, incomplete or foreign: {one_line(error)}"
            ) from error
    # MNE-Python's naming conventions do not matter here.
    notes += [f"{path.name}: {line}" for line in lines if "naming conventions" not in line]
    if _ends_within_a_sample(raw, path):
        notes.append(f"the data of {path.name} end within a sample: they were probably cut off")
    return raw


def _ends_within_a_sample(raw: Any, path: Path) -> bool:
    n_bytes = {"short": 2, "int": 4, "single": 4}.get(raw.orig_format)
    if path.suffix.lower() != ".vhdr" or n_bytes is None:
        return False
    frame = n_bytes * len(raw.ch_names)
    # Data written as text have another length altogether.
    return 0 < Path(raw.filenames[0]).stat().st_size - frame * int(raw.n_times) < frame


def _slower_channels(path: Path, notes: list[str]) -> list[str]:
    """Channels of an EDF or BDF file that have another rate than most.

    MNE-Python would upsample them piece by piece: samples would depend on where a piece begins.
    """
    if path.suffix.lower() not in {".edf", ".bdf"}:
        return []
    with path.open("rb") as file:
        try:
            n_channels = int(file.read(_EDF_HEADER)[252:256])
            header = file.read(_EDF_HEADER * n_channels)
            labels = [header[16 * i : 16 * i + 16] for i in range(n_channels)]
            counts = header[216 * n_channels :]
            per_record = [int(counts[8 * i : 8 * i + 8]) for i in range(n_channels)]
        except ValueError as error:
            raise RecordingError(f"{path} has no EDF header: it is truncated or foreign") from error
    rate_of = {
        label.decode("latin-1").strip(): rate
        for label, rate in zip(labels, per_record, strict=True)
        if not label.startswith((b"EDF Annotations", b"BDF Annotations"))
    }
    if len(set(rate_of.values())) < 2:
        return []
    tally = Counter(rate_of.values())
    common = max(tally, key=lambda rate: (tally[rate], rate))
    others = [name for name, rate in rate_of.items() if rate != common]
    notes.append(f"channels of another sampling rate than most are left out: {', '.join(others)}")
    return others


def _factors(
    raw: Any, kinds: Sequence[str], path: Path, sidecars: Sidecars, notes: list[str]
) -> tuple[Times, tuple[str, ...]]:
    """Factors of MNE-Python's numbers, float64 [n_channels, 1], and the channels without a unit."""
    # MNE-Python keeps the header's units here and nowhere else; FIF files have none.
    headers: dict[str, str] = raw._orig_units or {}
    factors = np.ones((len(raw.ch_names), 1))
    unitless, disagreeing = [], []
    for row, (channel, kind) in enumerate(zip(raw.info["chs"], kinds, strict=True)):
        name = channel["ch_name"]
        if kind == TRIGGER_KIND:
            # MNE-Python leaves the numbers of its own trigger channels alone.
            own = channel["kind"] == FIFF.FIFFV_STIM_CH or channel["unit"] != FIFF.FIFF_UNIT_V
            unit = None if own else microvolts_per(headers.get(name, ""))
            factors[row] = MICROVOLTS_PER_VOLT / unit if unit else 1.0
            continue
        volts = channel["unit"] == FIFF.FIFF_UNIT_V
        header = headers.get(name, "V" if volts else "")
        beside = sidecars.units.get(name, "")
        in_header, in_sidecar = microvolts_per(header), microvolts_per(beside)
        if in_header is None:
            factors[row] = in_sidecar or 1.0
            if volts and in_sidecar is None:
                unitless.append(name)
            continue
        # MNE-Python converts every unit of voltage to volts, but in EDF files not nanovolts.
        unconverted = header.lower() == "nv" and path.suffix.lower() in {".edf", ".bdf"}
        factors[row] = in_header if unconverted else MICROVOLTS_PER_VOLT
        if in_sidecar not in {None, in_header} and name in headers:
            disagreeing.append(f"{name} {header} not {beside}")
    if unitless:
        notes.append(
            f"the header gives no unit of voltage for {list_words(unitless)}: values are taken as "
            "microvolts"
        )
    if disagreeing:
        notes.append(
            f"channels.tsv and the header disagree on units, the header is believed: "
            f"{list_words(disagreeing)}"
        )
    return factors, tuple(unitless)


def _annotations(raw: Any) -> tuple[Event, ...]:
    # Onsets count from the start of the acquisition; a FIF file may begin later.
    events = [
        Event(float(one["onset"]) - raw.first_time, float(one["duration"]), str(one["description"]))
        for one in raw.annotations
    ]
    return tuple(sorted(events, key=lambda event: event.onset_s))
