"""Faults of a stream itself, as the phases in which its sender has one outlet, two or none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.errors import MontageError, SettingsError
from rtbrain.stream.fault_grammar import OUTLET_KINDS, Fault
from rtbrain.types import Chunk, Montage

__all__ = ["Phase", "Rebound", "outlet_plan"]

_AWAY_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """How the stream is to be from some second on.

    Attributes
    ----------
    start_s : float
        From when on, s of signal since the first sample.
    montage : Montage
        What the outlet announces; the same object as before where the outlet stays.
    rows : tuple of int
        Row of the signal that each of its channels carries; -1 for a channel of zeros.
    n_outlets : int
        How many outlets send it: 0, 1 or 2.
    """

    start_s: float
    montage: Montage
    rows: tuple[int, ...]
    n_outlets: int


def outlet_plan(faults: Sequence[Fault], montage: Montage) -> tuple[Phase, ...]:
    """Phases of the stream, the first from second 0; faults of samples make none.

    Parameters
    ----------
    faults : sequence of Fault
        What goes wrong.
    montage : Montage
        Channels and rate of the signal.

    Raises
    ------
    MontageError
        A fault is about a channel that there is not by then, or makes labels repeat.
    SettingsError
        A fault begins while the stream is away, or leaves no channel.
    """
    phases = [Phase(0.0, montage, tuple(range(montage.n_channels)), 1)]
    for start_s, fault in sorted(_moments(faults), key=lambda moment: moment[0]):
        last = phases[-1]
        if start_s < last.start_s:
            raise SettingsError(
                f"fault {fault.kind} at second {start_s:g}: the stream is "
                f" away until second {last.start_s:g}; let it begin later"
            )
        if fault.kind == "duplicate-source":
            n_outlets = 2 if start_s == fault.start_s else 1
            phases.append(replace(last, start_s=start_s, n_outlets=n_outlets))
            continue
        away_s = fault.amount if fault.kind == "vanish" else _AWAY_S
        phases.append(replace(last, start_s=start_s, n_outlets=0))
        changed, rows = _changed(fault, last)
        phases.append(Phase(start_s + away_s, changed, rows, last.n_outlets))
    return tuple(phases)


def _moments(faults: Sequence[Fault]) -> Iterator[tuple[float, Fault]]:
    for fault in faults:
        if fault.kind in OUTLET_KINDS:
            yield fault.start_s, fault
            if np.isfinite(fault.stop_s):
                yield fault.stop_s, fault


def _changed(fault: Fault, last: Phase) -> tuple[Montage, tuple[int, ...]]:
    montage, names = last.montage, last.montage.names
    if fault.kind == "rate":
        return replace(montage, sfreq_hz=fault.amount), last.rows
    if fault.kind == "rename":
        (row,) = montage.rows(fault.channels)
        renamed = (*names[:row], fault.new_name, *names[row + 1 :])
        return replace(montage, names=renamed), last.rows
    if fault.kind == "add":
        return _with_zeros(montage, fault.new_name), (-1, *last.rows)
    kept = names
    if fault.kind == "permute":
        kept = names[::-1]
    if fault.kind == "remove":
        gone = {names[row] for row in montage.rows(fault.channels)}
        kept = tuple(name for name in names if name not in gone)
    if not kept:
        raise MontageError("fault remove: it leaves no channel; name fewer")
    return montage.pick(kept), tuple(last.rows[row] for row in montage.rows(kept))


def _with_zeros(montage: Montage, name: str) -> Montage:
    positions = montage.positions
    if positions is not None:
        unknown = np.full((1, 3), np.nan, np.float32)
        positions = np.concatenate([unknown, positions])
    kinds = (montage.kinds[0], *montage.kinds)
    return replace(montage, names=(name, *montage.names), kinds=kinds, positions=positions)


class Rebound:
    """Makes a phase's chunks of the signal's: its channels, and its rate.

    At another rate each sample takes the value of the newest one of the signal, without a
    filter: held where the rate is higher, skipped where it is lower.

    Parameters
    ----------
    phase : Phase
        What is to be sent.
    sfreq_hz : float
        Rate of the signal, Hz.
    pace_hz : float
        Samples of the signal that the stamps count a second, Hz.
    """

    def __init__(self, phase: Phase, *, sfreq_hz: float, pace_hz: float) -> None:
        self._rows = np.asarray(phase.rows)
        self._ratio = phase.montage.sfreq_hz / sfreq_hz
        self._pace_hz = pace_hz
        self._n_seen = 0

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk as it is sent; its numbers are of no meaning."""
        data = np.where((self._rows < 0)[:, None], np.float32(0), chunk.data[self._rows])
        stamps = chunk.timestamps
        if self._ratio != 1:
            first, self._n_seen = self._n_seen, self._n_seen + chunk.n_samples
            wanted = np.arange(np.ceil(first * self._ratio), np.ceil(self._n_seen * self._ratio))
            places = wanted / self._ratio - first
            # Places are never before the chunk but by rounding.
            held = np.clip(np.floor(places + 1e-9).astype(int), 0, max(chunk.n_samples - 1, 0))
            data = data[:, held]
            stamps = stamps[held] + (places - held) / self._pace_hz
        return Chunk(np.ascontiguousarray(data), stamps)
