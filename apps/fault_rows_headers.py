"""Rows of the matrix about stream headers: malformed ones, and units that are not microvolts."""

from typing import TYPE_CHECKING, Any

from rtbrain.errors import MontageError, StreamError
from rtbrain.offline.fault_matrix import Case, Finding, Rig

if TYPE_CHECKING:
    from collections.abc import Sequence

_MEGABYTE = 1_000_000
_LINE_LIMIT = 600


def malformed_headers(rig: Rig) -> Finding:
    """Read headers of eleven kinds: each is taken with a note, or refused with its reason."""
    labels = rig.montage.names
    heads = {
        "0 channels": (_info(rig, (), n_channels=0), "refused: has 0 channels"),
        "fewer labels": (_info(rig, labels[:5]), "refused: its header labels 5"),
        "more labels": (_info(rig, (*labels, "X1")), "refused: its header labels more"),
        "no labels": (_info(rig, ()), "note: has no channel labels"),
        "labels twice": (_info(rig, (*labels[:-1], labels[0])), "refused: repeat"),
        "no units": (_info(rig, labels, unit=""), "note: gives no unit"),
        "a strange unit": (_info(rig, labels, unit="furlongs"), "note: 'furlongs' is not known"),
        "1 MB of XML": (_info(rig, labels, padding=_MEGABYTE), "taken"),
        "1 MB in a label": (
            _info(rig, ("A" * _MEGABYTE, *labels[1:])),
            "refused: has 1000000 characters",
        ),
        "control characters": (_info(rig, ("A\u2028\u202e1", *labels[1:])), "refused: control"),
        "no rate": (_info(rig, labels, sfreq_hz=0.0), "refused: no regular rate"),
    }
    wrong, said = [], []
    for what, (info, expected) in heads.items():
        observed = _read(info)
        verdict, _, words = expected.partition(": ")
        if not observed.startswith(verdict) or words not in observed or len(observed) > _LINE_LIMIT:
            wrong.append(f"{what}: expected {expected}, got {observed[:160]}")
        else:
            said.append(f"{what} {verdict}")
    return "; ".join([*said, *wrong]), not wrong


def units_in_headers(rig: Rig) -> Finding:
    """Announce one signal in volts, millivolts and nanovolts, and in no unit."""
    from rtbrain.stream.lsl_header import read_header

    said, passed = [], True
    for unit, factor in (("volts", 1e6), ("millivolts", 1e3), ("nV", 1e-3), ("µV", 1.0), ("", 1.0)):
        header = read_header(_info(rig, rig.montage.names, unit=unit))
        passed &= bool((header.factors == factor).all()) and bool(header.notes) == (not unit)
        note = f" ({header.notes[0][:60]}...)" if header.notes else ""
        said.append(f"{unit or 'no unit'} x {header.factors[0]:g}{note}")
    return "; ".join(said), passed


def _read(info: Any) -> str:
    from rtbrain.stream.lsl_header import read_header

    if info is None:
        return "refused: has 0 channels, by liblsl itself"
    try:
        header = read_header(info)
    except (StreamError, MontageError) as error:
        return f"refused: {error}"
    return f"note: {'; '.join(header.notes)}" if header.notes else "taken"


def _info(
    rig: Rig,
    labels: "Sequence[str]",
    *,
    n_channels: int | None = None,
    unit: str = "microvolts",
    padding: int = 0,
    sfreq_hz: float | None = None,
) -> Any:
    import pylsl

    rate_hz = rig.montage.sfreq_hz if sfreq_hz is None else sfreq_hz
    count = rig.montage.n_channels if n_channels is None else n_channels
    info = pylsl.StreamInfo("head", "EEG", count, rate_hz, "float32", "head")
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        if unit:
            channel.append_child_value("unit", unit)
    if padding:
        info.desc().append_child_value("padding", "x" * padding)
    return info


CASES = (Case(12, units_in_headers), Case(23, malformed_headers))
