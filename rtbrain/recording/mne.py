"""Recordings in the formats that MNE-Python reads, and its ``Raw``."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io.constants import FIFF

from rtbrain.channels import assign_kinds, complete_labels
from rtbrain.errors import RecordingError, list_words
from rtbrain.extras import load_extra
from rtbrain.files import parse_json
from rtbrain.mne_info import montage_from_info, positions_from_info
from rtbrain.recording.bids import Sidecars, entity, read_sidecars
from rtbrain.recording.formats import Format
from rtbrain.recording.headers import (
    Sensor,
    choose_rate,
    read_bci2000,
    readable_header,
    require_bounded,
)
from rtbrain.recording.pauses import read_records, with_pauses
from rtbrain.recording.recording import Event, Recording, capture_warnings, parsing
from rtbrain.stream_names import find_regions
from rtbrain.types import CONTACT_KINDS, TRIGGER_KIND, Floats, Montage, Times
from rtbrain.units import (
    MICROVOLTS_PER_VOLT,
    keep_codes,
    microvolts_per,
    parse_position,
    place_channels,
)

_EDF = {".edf", ".bdf"}
# Our own FIF files say so, and then what the format has no place for.
DESCRIPTION = "rtbrain "
# MNE-Python says that their misc channels have no unit, but gives volts.
_ALL_VOLTS = {"ANT", "Nihon Kohden"}
_REFERENCE = re.compile(r"&#([1-9]\d{2,5});")


def read_mne(path: Path, form: Format, stream: str | None = None) -> Recording:
    """Open a file by a parser of MNE-Python and its BIDS sidecars; samples stay in the file.

    `stream` is the rate of the channels to take, such as ``100 Hz``, of an EDF or BDF file with
    several; by default that of the contacts.
    """
    notes: list[str] = []
    raw, names, types, sensors = _opened(path, form, stream, notes)
    sidecars = read_sidecars(path, names)
    types = [sidecars.kinds.get(name, kind) for name, kind in zip(names, types, strict=True)]
    headers = raw._orig_units or {}
    units = [
        sidecars.units.get(name) or unit or headers.get(own)
        for name, own, unit in zip(
            names, raw.ch_names, [one.unit for one in sensors] or [""] * len(names), strict=True
        )
    ]
    kinds, of_kinds = assign_kinds(names, types, units=units)
    factors, unitless = _factors(raw, names, kinds, path, sidecars, notes)
    placed: tuple[dict[str, Any], str | None] = sidecars.positions, sidecars.space
    if not sidecars.positions:
        placed = positions_from_info(raw.info, names)
        of = {name: one for name, one in zip(names, sensors, strict=False) if one.position}
        if of:
            at = {name: parse_position(one.position) for name, one in of.items()}
            placed = at, min(one.space for one in of.values())
    described = _described(raw)
    stated = described.get("positions")
    if not placed[0] and isinstance(stated, dict):
        lists = {name: axes for name, axes in stated.items() if isinstance(axes, list)}
        threes = {name: [*map(str, axes)] for name, axes in lists.items() if len(axes) == 3}
        at = {name: parse_position(texts) for name, texts in threes.items()}
        placed = at, str(described.get("space"))
    positions = place_channels(names, placed[0])
    space = None if positions is None else placed[1]
    sfreq_hz = float(raw.info["sfreq"])
    exact_hz = described.get("sfreq_hz")
    if isinstance(exact_hz, float) and abs(exact_hz - sfreq_hz) < 1e-6 * sfreq_hz:
        sfreq_hz = exact_hz
    regions = find_regions(names, sidecars.regions, "electrodes.tsv", notes)
    montage = Montage(names, kinds, sfreq_hz, positions, space, regions)
    read = partial(_samples, raw, path, factors)
    if raw.n_times:
        # Only reading its last samples shows that a FIF file was cut off.
        read(int(raw.n_times) - 1, int(raw.n_times))
    # MNE-Python takes pauses for none, and leaves out the events at the end that this moves.
    records = read_records(path, names, notes) if path.suffix.lower() in _EDF else None
    events = sidecars.events
    if events is None:
        events = _annotations(raw) if records is None else records.events
    bad = tuple(
        name
        for row, (name, own) in enumerate(zip(names, raw.ch_names, strict=True))
        if name in sidecars.bad or own in raw.info["bads"] or (sensors and sensors[row].bad)
    )
    recording = Recording(
        montage,
        int(raw.n_times),
        read,
        events=events,
        notes=(*notes, *of_kinds, *sidecars.notes, *_bad_note(bad)),
        closer=raw.close,
        bad=bad,
        subject=entity(path, "sub"),
        session=entity(path, "ses"),
        task=entity(path, "task"),
        run=entity(path, "run"),
        unitless=unitless,
        units=_other_units(raw, names, kinds, units, described.get("units")),
        microvolts={
            name: microvolts_per(headers.get(one["ch_name"], "V" if volts else ""))
            or microvolts_per(sidecars.units.get(name, ""))
            or 1.0
            for name, one in zip(names, raw.info["chs"], strict=True)
            if (volts := one["unit"] == FIFF.FIFF_UNIT_V) or name in sidecars.units
        },
    )
    return with_pauses(recording, path, records)


def recording_of_raw(raw: Any) -> Recording:
    """Recording of an ``mne.io.Raw``: volts become microvolts, annotations events."""
    montage, notes = montage_from_info(raw.info)
    volts = np.array([channel["unit"] == FIFF.FIFF_UNIT_V for channel in raw.info["chs"]])
    factors = keep_codes(montage.kinds, np.where(volts, MICROVOLTS_PER_VOLT, 1.0))[:, np.newaxis]
    read = partial(_samples, raw, Path("the Raw"), factors)
    bad = tuple(raw.info["bads"])
    notes = (*notes, *_bad_note(bad))
    recording = Recording(
        montage,
        int(raw.n_times),
        read,
        events=_annotations(raw),
        notes=notes,
        bad=bad,
        microvolts=dict(zip(montage.names, factors[:, 0].tolist(), strict=True)),
    )
    return with_pauses(recording, Path("the Raw"), None)


def _bad_note(bad: Sequence[str]) -> list[str]:
    return [f"channels marked bad: {', '.join(bad)}"] if bad else []


def _samples(raw: Any, path: Path, factors: Times, start: int, stop: int) -> Floats:
    with parsing(path, f"at samples {start} to {stop}"):
        data = raw.get_data(start=start, stop=stop, verbose="ERROR")
    scaled: Floats = np.multiply(data, factors, dtype=np.float64).astype(np.float32)
    return scaled


def _opened(
    path: Path, form: Format, stream: str | None, notes: list[str]
) -> tuple[Any, tuple[str, ...], list[str], tuple[Sensor, ...]]:
    """Raw of a file; labels of its channels, each of which is there once, types and sensors."""
    read = getattr(mne.io, form.parser, None)
    if read is None:
        raise RecordingError(f"{form.name} needs a newer MNE-Python than {mne.__version__}")
    if form.needs:
        load_extra(form.needs, "neo", f"{path.name}, a recording of {form.name},")
    options: dict[str, Any] = {}
    sensors: tuple[Sensor, ...] = ()
    suffix = path.suffix.lower()
    if suffix in _EDF:
        # Its texts are read elsewhere. Here each byte is a character, which none fails to be.
        options = {"encoding": "latin1", "exclude_after_unique": True}
    if form.name == "BCI2000":  # read at once, or not at all
        options = {"preload": True}
    require_bounded(path)
    with capture_warnings("mne") as lines, parsing(path):
        if suffix in {".vhdr", ".ahdr"}:
            with readable_header(path, notes) as (header, labels):
                raw = read(header, preload=False, verbose="WARNING", **options)
        else:
            # Not less: below this level MNE-Python warns of nothing.
            raw = read(path, **{"preload": False, **options}, verbose="WARNING")
            labels = tuple(raw.ch_names)
        if suffix in _EDF:
            rows, labels, sensors = choose_rate(path, stream, notes)
            if len(rows) < len(raw.ch_names):
                exclude = [name for row, name in enumerate(raw.ch_names) if row not in rows]
                raw = read(path, preload=False, verbose="ERROR", exclude=exclude, **options)
        types = raw.get_channel_types()
        if form.name == "BCI2000":
            n_source = len(types) - types.count("stim")
            own, offsets, gains = read_bci2000(path, n_source)
            volts = (gains / MICROVOLTS_PER_VOLT)[:, np.newaxis]
            raw._data[:n_source] = (raw._data[:n_source] - offsets[:, np.newaxis]) * volts
            raw._orig_units |= dict.fromkeys(raw.ch_names[:n_source], "µV")
            labels = (*own, *labels[n_source:]) if own else labels
    # MNE-Python's naming conventions do not matter here, nor names that are made unique below.
    ignored = ["naming conventions", "not unique"]
    if suffix in _EDF:
        ignored.append("outside data range")
    notes += [f"{path.name}: {line}" for line in lines if not any(one in line for one in ignored)]
    if not raw.ch_names:
        raise RecordingError(f"{path} holds no signal, annotations alone: name the file beside it")
    for channel, kind in zip(raw.info["chs"], types, strict=True):
        if kind == "misc" and form.name in _ALL_VOLTS:
            channel["unit"] = FIFF.FIFF_UNIT_V
    if sensors:
        types = [one.kind or kind for one, kind in zip(sensors, types, strict=True)]
    if len(labels) != len(raw.ch_names):  # a header that lists more channels than it counts
        labels = tuple(raw.ch_names)
    names, more = complete_labels(labels, len(labels))
    notes += more
    if _ends_within_a_sample(raw, path):
        notes.append(f"the data of {path.name} end within a sample: they were probably cut off")
    return raw, names, types, sensors


def _ends_within_a_sample(raw: Any, path: Path) -> bool:
    n_bytes = {"short": 2, "int": 4, "single": 4}.get(raw.orig_format)
    if path.suffix.lower() != ".vhdr" or n_bytes is None:
        return False
    frame = n_bytes * len(raw.ch_names)
    # Data written as text have another length altogether.
    return 0 < Path(raw.filenames[0]).stat().st_size - frame * int(raw.n_times) < frame


def _factors(
    raw: Any,
    names: Sequence[str],
    kinds: Sequence[str],
    path: Path,
    sidecars: Sidecars,
    notes: list[str],
) -> tuple[Times, tuple[str, ...]]:
    """Factors of MNE-Python's numbers, float64 [n_channels, 1], and the channels without a unit."""
    # MNE-Python keeps the header's units here and nowhere else; FIF files have none.
    headers: dict[str, str] = raw._orig_units or {}
    factors = np.ones((len(raw.ch_names), 1))
    unitless, disagreeing = [], []
    for row, (name, channel, kind) in enumerate(zip(names, raw.info["chs"], kinds, strict=True)):
        if kind == TRIGGER_KIND:
            # MNE-Python leaves the numbers of its own trigger channels alone.
            own = channel["kind"] == FIFF.FIFFV_STIM_CH or channel["unit"] != FIFF.FIFF_UNIT_V
            unit = None if own else microvolts_per(headers.get(channel["ch_name"], ""))
            factors[row] = MICROVOLTS_PER_VOLT / unit if unit else 1.0
            continue
        volts = channel["unit"] == FIFF.FIFF_UNIT_V
        header = headers.get(channel["ch_name"], "V" if volts else "")
        beside = sidecars.units.get(name, "")
        in_header, in_sidecar = microvolts_per(header), microvolts_per(beside)
        if in_header is None:
            factors[row] = in_sidecar or 1.0
            if volts and in_sidecar is None:
                unitless.append(name)
            continue
        # MNE-Python converts every unit of voltage to volts, but in EDF files not nanovolts.
        unconverted = header.lower() == "nv" and path.suffix.lower() in _EDF
        factors[row] = in_header if unconverted else MICROVOLTS_PER_VOLT
        if in_sidecar not in {None, in_header} and channel["ch_name"] in headers:
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


def _other_units(
    raw: Any,
    names: Sequence[str],
    kinds: Sequence[str],
    headers: Sequence[str | None],
    described: Any,
) -> dict[str, str]:
    """Units of the channels that are neither contacts nor triggers, as far as they are stated."""
    known = described if isinstance(described, dict) else {}
    units = {}
    rows = zip(names, kinds, headers, raw.info["chs"], strict=True)
    for name, kind, header, channel in rows:
        stated = (
            header
            or str(known.get(name, ""))
            or ("V" if channel["unit"] == FIFF.FIFF_UNIT_V else "")
        )
        if stated and kind not in CONTACT_KINDS | {TRIGGER_KIND}:
            units[name] = stated if microvolts_per(stated) is None else "µV"
    return units


def _described(raw: Any) -> dict[str, Any]:
    text = str(raw.info["description"] or "")
    if not text.startswith(DESCRIPTION):
        return {}
    try:
        described = parse_json(text.removeprefix(DESCRIPTION))
    except ValueError:
        return {}
    return described if isinstance(described, dict) else {}


def _annotations(raw: Any) -> tuple[Event, ...]:
    # Onsets count from the start of the acquisition; a FIF file may begin later.
    events = [
        Event(float(one["onset"]) - raw.first_time, float(one["duration"]), text)
        for one, text in zip(
            raw.annotations, map(_unescaped, raw.annotations.description), strict=True
        )
    ]
    return tuple(sorted(events, key=lambda event: event.onset_s))


def _unescaped(text: str) -> str:
    # In FIF files, MNE-Python writes what is not Latin-1 as references to characters.
    return _REFERENCE.sub(lambda found: chr(int(found[1])), str(text))
