"""NWB files: an ``ElectricalSeries``, its electrodes, its trials and epochs.

Rübel et al. 2022, The Neurodata Without Borders ecosystem, eLife, doi:10.7554/eLife.78362
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.channels import assign_kinds
from rtbrain.errors import MontageError, RecordingError, one_line
from rtbrain.extras import load_extra
from rtbrain.recording.recording import Event, Recording, capture_warnings
from rtbrain.types import TRIGGER_KIND, Doubles, Floats, Montage, Times
from rtbrain.units import MICROVOLTS_PER_VOLT

_LABEL_COLUMNS = ("label", "channel_name", "electrode_name")
_TEXT_COLUMNS = ("trial_type", "condition", "label", "stimulus", "event")
_SURFACE = ("ecog", "grid", "strip", "subdural")
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)


def open_nwb(path: Path, series: str | None) -> Recording:
    """Open the ``ElectricalSeries`` of an NWB file; samples are read when they are needed."""
    io, nwb = _opened(path)
    try:
        return _recording(path, io, nwb, series)
    except (MontageError, RecordingError):
        io.close()
        raise


def _opened(path: Path) -> tuple[Any, Any]:
    pynwb = load_extra("pynwb", "datasets", f"{path.name}, an NWB file,")
    io: Any = None
    with capture_warnings("hdmf"):
        try:
            io = pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
            return io, io.read()
        except _UNREADABLE as error:
            if io is not None:
                io.close()
            raise RecordingError(f"{path} cannot be read as NWB: {one_line(error)}") from error


def _recording(path: Path, io: Any, nwb: Any, series: str | None) -> Recording:
    notes: list[str] = []
    chosen = _chosen(path, nwb, series)
    shape = chosen.data.shape
    if len(shape) != 2 or 0 in shape:
        raise RecordingError(f"{path}: series {chosen.name!r} has shape {shape}: nothing to read")
    electrodes = chosen.electrodes.to_dataframe()
    if len(electrodes) != shape[1]:
        raise RecordingError(
            f"{path}: series {chosen.name!r} has {shape[1]} channels, but names {len(electrodes)} "
            "electrodes"
        )
    stamps, sfreq_hz, begins_s = _times(chosen)
    names = _names(electrodes, notes)
    kinds, of_kinds = assign_kinds(names, _kinds(electrodes), default="seeg")
    notes += of_kinds
    positions = _positions(electrodes, notes)
    space = None if positions is None else "NWB x y z, unit undeclared"
    montage = Montage(names, kinds, sfreq_hz, positions, space)
    bad: tuple[str, ...] = ()
    if "good" in electrodes:
        bad = tuple(name for name, good in zip(names, electrodes["good"], strict=True) if not good)
    volts = _volts_per_number(chosen)
    microvolts = (volts[:, 0] * MICROVOLTS_PER_VOLT).tolist()
    return Recording(
        montage,
        int(shape[0]),
        _reader(path, chosen, kinds, volts),
        stamps,
        events=_events(nwb, begins_s),
        notes=tuple(notes),
        closer=io.close,
        bad=bad,
        subject=str(getattr(nwb.subject, "subject_id", None) or ""),
        session=str(nwb.session_id or ""),
        microvolts=dict(zip(names, microvolts, strict=True)),
    )


def _chosen(path: Path, nwb: Any, wanted: str | None) -> Any:
    series = (one for one in nwb.objects.values() if type(one).__name__ == "ElectricalSeries")
    found = {one.name: one for one in sorted(series, key=lambda one: str(one.name))}
    raw = {name: one for name, one in found.items() if name in nwb.acquisition}
    if wanted is not None and wanted not in found:
        there = ", ".join(found) or "none"
        raise RecordingError(f"{path} has no ElectricalSeries {wanted!r}: there is {there}")
    # Acquired series take precedence over processed ones.
    fit = {wanted: found[wanted]} if wanted is not None else raw or found
    if not fit:
        raise RecordingError(f"{path} holds no ElectricalSeries: there is no recording to read")
    if len(fit) > 1:
        raise RecordingError(
            f"{path} holds {len(fit)} ElectricalSeries, choose with --stream: {', '.join(fit)}"
        )
    return next(iter(fit.values()))


def _times(series: Any) -> tuple[Times | None, float, float]:
    """Stamps from 0 (None where regular), nominal rate in Hz, time of the first sample in s."""
    if series.rate is not None:
        return None, float(series.rate), float(series.starting_time or 0.0)
    stamps = np.asarray(series.timestamps[:], np.float64)
    period_s = float(np.median(np.diff(stamps))) if stamps.size > 1 else 0.0
    if not period_s > 0:
        raise RecordingError(f"series {series.name!r}: its time stamps do not ascend")
    rate_hz = 1 / period_s
    # Stamps are rounded: a rate within a thousandth of a whole number is that number.
    whole_hz = float(round(rate_hz))
    rate_hz = whole_hz if whole_hz and abs(rate_hz / whole_hz - 1) < 1e-3 else rate_hz
    return stamps - stamps[0], rate_hz, float(stamps[0])


def _names(electrodes: Any, notes: list[str]) -> tuple[str, ...]:
    for column in _LABEL_COLUMNS:
        if column in electrodes:
            labels = tuple(str(label) for label in electrodes[column])
            if len(set(labels)) == len(labels) and all(labels):
                return labels
    notes.append("electrodes have no distinct labels: named by their numbers")
    return tuple(str(number) for number in electrodes.index)


def _kinds(electrodes: Any) -> tuple[str, ...]:
    if "group" not in electrodes:
        return ("",) * len(electrodes)
    texts = (f"{group.name} {group.description}".lower() for group in electrodes["group"])
    return tuple("ecog" if any(word in text for word in _SURFACE) else "" for text in texts)


def _positions(electrodes: Any, notes: list[str]) -> Floats | None:
    if not {"x", "y", "z"} <= set(electrodes):
        return None
    positions: Floats = electrodes[["x", "y", "z"]].to_numpy(np.float32)
    if np.isnan(positions).all():
        return None
    notes.append("NWB does not say the unit nor the template of electrode positions")
    return positions


def _volts_per_number(series: Any) -> Doubles:
    """Volts of 1 as it is stored, float64 [n_channels, 1]."""
    volts = np.full((series.data.shape[1], 1), float(series.conversion))
    if series.channel_conversion is not None:
        volts *= np.asarray(series.channel_conversion[:], np.float64)[:, np.newaxis]
    return volts


def _reader(
    path: Path, series: Any, kinds: Sequence[str], volts: Doubles
) -> Callable[[int, int], Floats]:
    is_code = np.array([[kind == TRIGGER_KIND] for kind in kinds])  # as stored
    factors = np.where(is_code, 1.0, volts * MICROVOLTS_PER_VOLT)
    offsets = np.where(is_code, 0.0, float(series.offset or 0.0) * MICROVOLTS_PER_VOLT)

    def read(start: int, stop: int) -> Floats:
        try:
            raw = np.asarray(series.data[start:stop], np.float64).T  # [C, T]
        except OSError as error:
            raise RecordingError(
                f"{path} is damaged at samples {start} to {stop}: {error}"
            ) from error
        microvolts: Floats = (raw * factors + offsets).astype(np.float32)
        return microvolts

    return read


def _events(nwb: Any, begins_s: float) -> tuple[Event, ...]:
    events = []
    for name, table in (nwb.intervals or {}).items():
        column = next((one for one in _TEXT_COLUMNS if one in table.colnames), None)
        texts = table[column][:] if column else [name.removesuffix("s")] * len(table)
        spans = zip(table["start_time"][:], table["stop_time"][:], texts, strict=True)
        events += [
            Event(float(start) - begins_s, max(float(stop) - float(start), 0.0), str(text))
            for start, stop, text in spans
        ]
    return tuple(sorted(events, key=lambda event: event.onset_s))
