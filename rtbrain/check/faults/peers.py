"""What other LSL clients do in rows 1, 2, 6 and 9 of the matrix, observed.

`pylsl.StreamInlet(recover=True)` is liblsl as it is used by default; `mne_lsl.stream.StreamLSL`
is MNE-LSL's stream. Senders and peers run in this process, over real LSL.
"""

import importlib.util
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import mne
import numpy as np
import pylsl
from rich.console import Console

from rtbrain.check.faults.live import LslSender, sending, wait_until
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.terminal import table
from rtbrain.types import Floats, Ints, Montage

_SFREQ_HZ, _OTHER_HZ = 500.0, 250.0
_LABELS, _OTHER_LABELS = ("A1", "A2", "A3", "A4"), ("Z9", "Z8", "Z7", "Z6")
GONE_S = 3.0
STALL_S = 10.0
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class PeerObservation:
    """What a peer did in a row of the matrix."""

    number: int
    peer: str
    observed: str
    silent: bool


def run_peers(console: Console) -> Sequence[PeerObservation]:
    """Do rows 1, 2, 6 and 9 to the peers, in about a minute, and print what they did."""
    with console.status("observing the peers, for about a minute"):
        rows = sorted(observe(), key=lambda row: row.number)
    columns = ("#", "peer", "observed", "silently wrong")
    cells = [
        (str(row.number), row.peer, row.observed, "yes" if row.silent else "no") for row in rows
    ]
    console.print(table("peers in the same situations", columns, cells, n_names=3, lines=True))
    return rows


def observe() -> list[PeerObservation]:
    """What the peers do in rows 1, 2, 6 and 9."""
    bare, mne = "pylsl.StreamInlet(recover=True)", "mne_lsl.stream.StreamLSL"
    rows = [
        PeerObservation(1, bare, *_bare_returns(_SFREQ_HZ, _LABELS)),
        PeerObservation(2, bare, *_bare_returns(_OTHER_HZ, _OTHER_LABELS)),
        PeerObservation(6, bare, *_bare_stalls()),
    ]
    if importlib.util.find_spec("mne_lsl") is None:
        return [*rows, PeerObservation(9, mne, "not installed: pip install mne-lsl", False)]
    return [
        *rows,
        PeerObservation(1, mne, *_mne_returns(_SFREQ_HZ, _LABELS)),
        PeerObservation(2, mne, *_mne_returns(_OTHER_HZ, _OTHER_LABELS)),
        PeerObservation(6, mne, *_mne_stalls()),
        PeerObservation(9, mne, *_mne_nan()),
    ]


class _NumberedSender:
    """A stream whose channels hold their sample number, and one NaN when `spoil` is set."""

    def __init__(self) -> None:
        self.name = f"rtbrain-peer-{uuid4().hex[:8]}"
        self.spoil = threading.Event()
        self.stream = LslSender(self.name, _montage(_SFREQ_HZ, _LABELS), self._samples)

    def _samples(self, montage: Montage, numbers: Ints) -> Floats:
        values = np.tile(numbers.astype(np.float32), (montage.n_channels, 1))
        if self.spoil.is_set():
            values[0, 0] = np.nan
            self.spoil.clear()
        return values


def _montage(sfreq_hz: float, labels: tuple[str, ...]) -> Montage:
    return Montage(labels, ("eeg",) * len(labels), sfreq_hz)


@contextmanager
def _bare() -> Iterator[tuple[_NumberedSender, Any]]:
    sender = _NumberedSender()
    with sending(sender.stream):
        found = pylsl.resolve_byprop("source_id", sender.name, 1, _PATIENCE_S)
        inlet = pylsl.StreamInlet(found[0], recover=True)
        inlet.open_stream(_PATIENCE_S)
        yield sender, inlet
        inlet.close_stream()


def _bare_returns(sfreq_hz: float, labels: tuple[str, ...]) -> tuple[str, bool]:
    with _bare() as (sender, inlet):
        stamps: list[float] = []

        def pulled() -> int:
            stamps.extend(inlet.pull_chunk(timeout=0.0)[1])
            return len(stamps)

        wait_until(lambda: pulled() > _SFREQ_HZ, _PATIENCE_S)
        sender.stream.end()
        before = pulled()
        time.sleep(GONE_S)
        sender.stream.begin(_montage(sfreq_hz, labels))
        back = wait_until(lambda: pulled() > before + 2 * sfreq_hz, _PATIENCE_S)
        header = inlet.info(_PATIENCE_S)
    if not back:
        return "no samples after the return", False
    gap_s = stamps[before] - stamps[before - 1]
    measured_hz = (len(stamps) - 1 - before) / (stamps[-1] - stamps[before])
    first_label = header.desc().child("channels").child("channel").child_value("label")
    return (
        f"no error: samples of the returned stream ({sfreq_hz:g} Hz, labels {', '.join(labels)}) "
        f"follow the old ones, {gap_s:.1f} s later by their stamps, at {measured_hz:.0f} Hz; its "
        f"header still says {header.nominal_srate():g} Hz, first label {first_label}"
    ), True


def _bare_stalls() -> tuple[str, bool]:
    with _bare() as (_, inlet):
        wait_until(lambda: bool(inlet.pull_chunk(timeout=0.0)[1]), _PATIENCE_S)
        time.sleep(STALL_S)
        _, stamps = inlet.pull_chunk(timeout=1.0)
        age_s = lsl_clock() - stamps[0]
    return (
        f"after a stall of {STALL_S:g} s the next sample served is {age_s:.1f} s old, and "
        "nothing counts what waits behind it",
        age_s > STALL_S / 2,
    )


@contextmanager
def _mne(
    *, bufsize_s: float, acquisition_delay_s: float | None = 0.05
) -> Iterator[tuple[_NumberedSender, Any]]:
    from mne_lsl.stream import StreamLSL

    mne.set_log_level("ERROR")
    sender = _NumberedSender()
    with sending(sender.stream):
        stream = StreamLSL(bufsize_s, name=sender.name, source_id=sender.name)
        stream.connect(acquisition_delay=acquisition_delay_s, timeout=_PATIENCE_S)
        try:
            yield sender, stream
        finally:
            with suppress(RuntimeError):  # it may have disconnected itself
                stream.disconnect()


def _mne_returns(sfreq_hz: float, labels: tuple[str, ...]) -> tuple[str, bool]:
    with _mne(bufsize_s=4) as (sender, stream):
        wait_until(lambda: stream.n_new_samples > 2 * _SFREQ_HZ, _PATIENCE_S)
        sender.stream.end()
        time.sleep(GONE_S)
        stream.get_data()
        sender.stream.begin(_montage(sfreq_hz, labels))
        back = wait_until(
            lambda: not stream.connected or stream.n_new_samples > 2 * sfreq_hz, _PATIENCE_S
        )
        if not stream.connected or not back:
            return "it reports that it is no longer connected", False
        _, stamps = stream.get_data()
        reported_hz, reported = stream.info["sfreq"], stream.ch_names
    stamps = stamps[stamps > 0]  # where its buffer is not full yet, it holds zeros
    at = int(np.argmax(np.diff(stamps)))
    old = at + 1
    measured_hz = 1 / float(np.median(np.diff(stamps[at + 1 :])))
    return (
        f"no error: its buffer of 4 s holds {old} old and {len(stamps) - 1 - at} new samples in a "
        f"row, {stamps[at + 1] - stamps[at]:.1f} s apart by their stamps; it reports "
        f"{reported_hz:g} Hz and {', '.join(reported)}, sent were {sfreq_hz:g} Hz "
        f"(measured {measured_hz:.0f}) and {', '.join(labels)}",
        True,
    )


def _mne_stalls() -> tuple[str, bool]:
    # A consumer that acquires by itself, between its own computations.
    with _mne(bufsize_s=2, acquisition_delay_s=None) as (_, stream):
        time.sleep(0.5)
        stream.acquire()
        time.sleep(STALL_S)
        stream.acquire()
        age_s = lsl_clock() - float(stream.get_data()[1][-1])
    return (
        f"without its acquisition thread, after a stall of {STALL_S:g} s the newest sample of its "
        f"buffer is {age_s:.1f} s old",
        age_s > STALL_S / 2,
    )


def _mne_nan() -> tuple[str, bool]:
    with _mne(bufsize_s=2) as (sender, stream):
        stream.notch_filter(60.0)
        stream.set_eeg_reference("average")
        wait_until(lambda: stream.n_new_samples > 2 * _SFREQ_HZ, _PATIENCE_S)
        before = _nan_channels(stream.get_data()[0])
        sender.spoil.set()
        wait_until(lambda: not sender.spoil.is_set(), _PATIENCE_S)
        for _ in range(3):
            wait_until(lambda: stream.n_new_samples > 2 * _SFREQ_HZ, _PATIENCE_S)
            after = _nan_channels(stream.get_data()[0])
    return (
        f"notch, then common average: one NaN on one channel; before it {before} of 4 channels "
        f"held NaN, in the buffer of 2 s that began over 3 s after it {after} of 4 do",
        after == len(_LABELS),
    )


def _nan_channels(data: Floats) -> int:
    return int(np.isnan(data).all(axis=1).sum())
