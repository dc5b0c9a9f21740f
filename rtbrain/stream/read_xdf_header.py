"""A stream of an XDF file as its header describes it: which one is meant, channels, units."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.stream.units import in_microvolts
from rtbrain.types import Floats, Montage, Times

__all__ = ["XdfStream", "choose", "montage_of"]


@dataclass(frozen=True, slots=True)
class XdfStream:
    """One stream, however it is read.

    Attributes
    ----------
    info : dict
        Its header: each key to the list of what stood there, text or dictionaries alike.
    n_samples : int
        How many samples the file says there are.
    """

    info: dict[str, Any]
    n_samples: int

    def text(self, *keys: str) -> str:
        """Text at the end of a path through the header; empty where the path ends."""
        return _text(self.info, *keys)

    @property
    def is_text(self) -> bool:
        """Whether its samples are strings: markers."""
        return self.text("channel_format") == "string"

    @property
    def tells_events(self) -> bool:
        """Whether its samples are events of the session, not what a program says of itself."""
        return self.is_text and not self.text("name").endswith("-status")

    @property
    def n_channels(self) -> int:
        """Values a sample."""
        return int(self.text("channel_count"))

    @property
    def sfreq_hz(self) -> float:
        """Nominal rate in Hz; 0 for an irregular stream."""
        return float(self.text("nominal_srate") or 0)

    @property
    def period_s(self) -> float:
        """Nominal period in s; 0 for an irregular stream."""
        return 1 / self.sfreq_hz if self.sfreq_hz > 0 else 0.0

    @property
    def shown(self) -> str:
        """Name, for messages."""
        return repr(self.text("name"))


def _text(node: Any, *keys: str) -> str:
    for key in keys:
        node = node[key] if isinstance(node, dict) and key in node else None
        if isinstance(node, list):
            node = node[0] if node else None
    return node.strip() if isinstance(node, str) else ""


def _listed(streams: list[XdfStream]) -> str:
    return ", ".join(
        f"{stream.shown} (source id {stream.text('source_id')!r}, type {stream.text('type')!r}, "
        f"{stream.text('channel_count')} channels, {stream.sfreq_hz:g} Hz)"
        for stream in streams
    )


def choose(path: Path, streams: list[XdfStream], wanted: str | None, notes: list[str]) -> XdfStream:
    """Pick the regular numeric stream that is wanted, or the only one.

    Raises
    ------
    RecordingError
        There is none such, or more than one.
    """
    empty = [stream for stream in streams if not stream.n_samples]
    if empty:
        names = ", ".join(stream.shown for stream in empty)
        notes.append(f"{path.name}: streams without samples are passed over: {names}")
    fit = [
        stream
        for stream in streams
        if stream.n_samples and not stream.is_text and stream.sfreq_hz > 0
    ]
    if not fit:
        there = _listed(streams) or "no stream at all"
        raise RecordingError(
            f"{path} holds no regular numeric stream with samples, there is {there}"
        )
    if wanted is not None:
        named = [stream for stream in fit if stream.text("name") == wanted]
        fit_by_id = [stream for stream in fit if stream.text("source_id") == wanted]
        matching = named or fit_by_id
        if not matching:
            raise RecordingError(
                f"{path} has no stream {wanted!r} to play: there is {_listed(fit)}"
            )
        fit = matching
    if len(fit) > 1:
        raise RecordingError(
            f"{path} holds {len(fit)} streams that could be played, choose with --stream (a name "
            f"or a source id): {_listed(fit)}"
        )
    return fit[0]


def montage_of(
    path: Path, stream: XdfStream, notes: list[str]
) -> tuple[Montage, Times, tuple[str, ...]]:
    """Montage from the header, and what each channel is multiplied by to be in µV.

    Returns
    -------
    montage : Montage
        Labels, kinds, nominal rate, positions where their space is named.
    factors : ndarray, float64 [n_channels, 1]
        Microvolts in a unit of each.
    unitless : tuple of str
        Channels of which no unit of voltage is told.

    Raises
    ------
    RecordingError
        Labels and channels differ in number.
    MontageError
        Labels repeat.
    """
    n_channels = stream.n_channels
    desc = (stream.info.get("desc") or [None])[0] or {}
    group = (desc.get("channels") or [None])[0] or {}
    nodes = [node for node in group.get("channel", []) if isinstance(node, dict)]
    names = tuple(_text(node, "label") for node in nodes)
    if not any(names):
        notes.append(f"{path.name} has no channel labels: channels are named 1 to {n_channels}")
        names = tuple(str(number) for number in range(1, n_channels + 1))
        nodes = [{}] * n_channels
    if len(names) != n_channels or not all(names):
        raise RecordingError(
            f"{path}: stream {stream.shown} has {n_channels} channels, but its header labels "
            f"{sum(map(bool, names))}"
        )
    content = stream.text("type") or "misc"
    kinds = tuple((_text(node, "type") or content).lower() for node in nodes)
    units = [_text(node, "unit") for node in nodes]
    unknown = tuple(n for n, unit in zip(names, units, strict=True) if not in_microvolts(unit))
    if unknown:
        notes.append(
            f"{path.name} gives no unit of voltage for {', '.join(unknown)}: taken as microvolts"
        )
    factors = np.array([[in_microvolts(unit) or 1.0] for unit in units])
    positions = _positions(nodes)
    space = _text(desc, "montage", "space")
    if positions is not None and not space:
        notes.append(f"{path.name} does not name the space of its positions: they are not used")
        positions = None
    space = space if positions is not None else ""
    return Montage(names, kinds, stream.sfreq_hz, positions, space or None), factors, unknown


def _positions(nodes: list[dict[str, Any]]) -> Floats | None:
    positions = np.full((len(nodes), 3), np.nan, np.float32)
    for row, node in enumerate(nodes):
        try:
            positions[row] = [float(_text(node, "location", axis)) for axis in "XYZ"]
        except ValueError:
            continue
    return None if np.isnan(positions).all() else positions
