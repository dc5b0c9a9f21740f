"""Rows of the matrix between two hosts: a link that is slow, cut or flaps, addresses, clocks."""

import itertools
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from rtbrain.check.faults.live import START_S, decode_command, listen_to, new_stream_name
from rtbrain.check.faults.network import (
    CLOCK_AHEAD_S,
    NUMBER,
    Drift,
    TwoHosts,
)
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, StatusListener, joined
from rtbrain.check.faults.rows_recording import read_streams
from rtbrain.errors import StreamError
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.supervise.query import LslStreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Montage

_PULL_S = 0.1
# TCP resumes after a cut as late again as the cut was long, and 1 s is for both ends to be ready.
_RESUMED = 2.0
_CUTS_S = (1.0, 3.0, 8.0)
_SLOW_S, _SLOW_SHARE = 30.0, 0.25
_MAX_LATENCY_S = 1.0
# Until a decode is here and read, beside what it took to arrive.
_DELIVERY_S = 0.3
_INVALID_WITHIN_S = 1.5
_BACK_WITHIN_S = 20.0


class NumberWatch:
    """A supervised source of the sample numbers, in a thread: what was lost, and what was said."""

    def __init__(self, name: str, sfreq_hz: float, time_of: Callable[[float], float]) -> None:
        self.gaps: list[tuple[int, int]] = []  # counted, and true
        self.errors_s: list[float] = []  # of time stamps, each chunk's largest
        self.events: list[str] = []
        self._time_of = time_of
        self._next: int | None = None
        montage = Montage((NUMBER,), ("misc",), sfreq_hz)
        self._source = SupervisedSource(
            query=LslStreamQuery(name=name),
            requirements=StreamRequirements(sfreq_hz, montage.names),
            montage=montage,
            on_event=lambda event, **fields: self.events.append(event),
        )
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "NumberWatch":
        self._source.connect(START_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()
        self._thread.join()

    @property
    def counts_are_exact(self) -> bool:
        """Whether every gap was counted to the sample, and none was that is none."""
        return all(counted == true for counted, true in self.gaps)

    @property
    def n_lost(self) -> int:
        """Samples that were lost in truth."""
        return sum(true for _, true in self.gaps)

    def _work(self) -> None:
        while (chunk := self._source.pull(_PULL_S)) is not None:
            if chunk.n_samples:
                self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        numbers = chunk.data[0].astype(np.int64)
        lost = 0 if self._next is None else int(numbers[0]) - self._next
        lost_inside = int((np.diff(numbers) - 1).sum())
        self._next = int(numbers[-1]) + 1
        if chunk.gap or lost or lost_inside:
            self.gaps.append((chunk.gap, lost + lost_inside))
        true_s = np.array([self._time_of(number) for number in numbers[[0, -1]]])
        self.errors_s.append(float(np.abs(chunk.timestamps[[0, -1]] - true_s).max()))


@dataclass(slots=True)
class _Ward:
    """A sender on one host; on the other a decoder, a recorder and a watch that check it."""

    hosts: TwoHosts
    listener: StatusListener
    watch: NumberWatch
    decoder: psutil.Process
    recorder: psutil.Process
    recording: Path

    def first_valid_after(self, at_s: float, timeout_s: float = _BACK_WITHIN_S) -> float:
        """When the first valid decode after a time arrived, s after it; infinite if none did."""

        def after_s() -> float:
            valid = (one.t_arrived for one in self.listener.decodes if one.valid)
            return min((t for t in valid if t > at_s), default=math.inf) - at_s

        self.listener.until(lambda: math.isfinite(after_s()), timeout_s)
        return after_s()

    def n_valid(self, from_s: float, to_s: float) -> int:
        """Valid decodes that arrived in a time."""
        return sum(one.valid and from_s < one.t_arrived < to_s for one in self.listener.decodes)

    def cut(self, duration_s: float) -> tuple[float, float]:
        """Pull the cable for a while: when that began, and when it was back."""
        cut_s = lsl_clock()
        self.hosts.cut()
        self.listener.during(duration_s)
        self.hosts.join()
        return cut_s, lsl_clock()

    def missing_in_recording(self) -> int:
        """End the recorder; samples that are missing between the first and last in its file."""
        self.recorder.send_signal(signal.SIGTERM)
        self.recorder.wait(START_S)
        (stream,) = read_streams(self.recording)
        numbers = np.rint(stream["time_series"][:, -1]).astype(np.int64)
        return int((np.diff(numbers) - 1).sum())


@contextmanager
def _ward(rig: Rig, drift: Drift | None = None) -> Iterator[_Ward]:
    hosts: TwoHosts = rig.require_network()
    name, sfreq_hz = new_stream_name(), rig.montage.sfreq_hz
    arguments, log = decode_command(rig, name)
    recording = rig.folder / "session.xdf"
    record = ["record", str(recording), "--stream", name, "--name", f"{name}-rec"]

    def time_of(number: float) -> float:
        stamp_s = start_s + number / sfreq_hz
        if drift is not None:
            stamp_s = drift.from_s + (stamp_s - drift.from_s) / (1 + drift.pace)
        return stamp_s - CLOCK_AHEAD_S

    with (
        hosts.sender(rig, name, drift) as start_s,
        running_command(arguments, log) as decoder,
        running_command(record, rig.folder / "record.log") as recorder,
    ):
        listener, _ = listen_to(name)
        watch = NumberWatch(name, sfreq_hz, time_of)
        processes = psutil.Process(decoder.pid), psutil.Process(recorder.pid)
        with watch:
            ward = _Ward(hosts, listener, watch, *processes, recording)
            if not np.isfinite(ward.first_valid_after(0.0, START_S)):
                raise StreamError(f"no valid decode within {START_S:g} s: {last_line(log)}")
            listener.during(5.0)
            yield ward


def slow_link(rig: Rig) -> Finding:
    """Let a quarter of the data through for 30 s."""
    sfreq_hz = rig.montage.sfreq_hz
    # What liblsl sends for each sample of one connection; there are three.
    kbit_s = 8e-3 * (4 * (rig.montage.n_channels + 1) + 9) * sfreq_hz * 3
    with _ward(rig) as ward:
        slow_s = lsl_clock()
        ward.hosts.slow(_SLOW_SHARE * kbit_s)
        ward.listener.during(_SLOW_S)
        ward.hosts.fast()
        fast_s = lsl_clock()
        back_s = ward.first_valid_after(fast_s)
        ward.listener.during(12.0)
        valid = [one for one in ward.listener.decodes if one.valid and one.t_arrived > slow_s]
        events = [one for one in ward.listener.events if one.t > slow_s]
        missing = ward.missing_in_recording()
    oldest_s = max(one.t_arrived - one.t_stop for one in valid)
    last_s = (
        max((one.t_arrived for one in valid if one.t_arrived < fast_s), default=slow_s) - slow_s
    )
    reasons = {one.fields["reason"] for one in events if one.event == "invalid"}
    off_ppm = [
        1e6 * abs(one.fields["effective_rate_hz"] / sfreq_hz - 1)
        for one in events
        if one.event == "clock"
    ]
    slow = next((one.fields for one in events if one.event == "link_slow"), {})
    stale = any(reason.startswith("stale") for reason in reasons)
    passed = stale and oldest_s <= _MAX_LATENCY_S + _DELIVERY_S and back_s <= 3.0 and bool(slow)
    passed &= max(off_ppm, default=np.inf) <= 20 and ward.watch.counts_are_exact
    return (
        f"oldest valid decode {oldest_s:.2f} s, the last one {last_s:.1f} s after the link became "
        f"slow; stale: {'yes' if stale else 'no'}; reported {slow.get('link_mbit_s')} of "
        f"{slow.get('data_mbit_s')} Mbit/s; valid {back_s:.2f} s after it was fast again; rate at "
        f"most {max(off_ppm, default=np.nan):.1f} ppm off; gaps (counted, true) "
        f"{ward.watch.gaps or 'none'}; missing in the recording: {missing}",
        passed,
    )


def cut_link(rig: Rig) -> Finding:
    """Cut the link for 1, 3 and 8 s."""
    findings = []
    with _ward(rig) as ward:
        for duration_s in _CUTS_S:
            n_gaps = len(ward.watch.gaps)
            cut_s, back_s = ward.cut(duration_s)
            valid_s = ward.first_valid_after(back_s)
            n_meanwhile = ward.n_valid(cut_s + _INVALID_WITHIN_S, back_s)
            ward.listener.during(_RESUMED * duration_s + 5.0)
            lost = sum(true for _, true in ward.watch.gaps[n_gaps:])
            findings.append(
                (
                    f"{duration_s:g} s: {n_meanwhile} valid decodes meanwhile, valid again "
                    f"{valid_s:.2f} s after it, {lost} samples lost to the decoder",
                    not n_meanwhile and valid_s <= 2.0,
                )
            )
        missing = ward.missing_in_recording()
        gaps = ward.watch.gaps
    findings.append(
        (
            f"gaps (counted, true) {gaps or 'none'}; {missing} samples missing in the recording",
            ward.watch.counts_are_exact and not missing,
        )
    )
    return joined(findings)


def flapping_link(rig: Rig) -> Finding:
    """Cut the link for 1 s and join it for 3 s, five times."""
    with _ward(rig) as ward:
        processes = ward.decoder, ward.recorder
        ward.cut(3.0)  # a first time, for what is then held for good
        ward.listener.during(8.0)
        before = [_usage(ward, one) for one in processes]
        start_s = lsl_clock()
        for _ in range(5):
            ward.cut(1.0)
            ward.listener.during(3.0)
        flapped_s = lsl_clock() - start_s
        valid_s = ward.first_valid_after(lsl_clock())
        ward.listener.during(5.0)
        after = [_usage(ward, one) for one in processes]
        arrived = [one for one in ward.listener.decodes if one.t_arrived > start_s]
        n_connections = sum(
            one.event == "connecting" and one.t > start_s for one in ward.listener.events
        )
        missing = ward.missing_in_recording()
    share = _valid_share([(one.t_arrived, one.valid) for one in arrived], start_s, flapped_s)
    grown = [np.subtract(new, old) for old, new in zip(before, after, strict=True)]
    level = all(fds <= 2 and threads <= 2 and rss < 2**23 for fds, threads, rss in grown)
    observed = ", ".join(
        f"{what} {fds:+d} descriptors {threads:+d} threads {rss / 2**20:+.1f} MiB"
        for what, (fds, threads, rss) in zip(("decoder", "recorder"), grown, strict=True)
    )
    return (
        f"valid {share:.0%} of the time, and {valid_s:.2f} s after the last; {n_connections} new "
        f"connections; gaps (counted, true) {ward.watch.gaps or 'none'}; {missing} samples missing "
        f"in the recording; {observed}",
        level and n_connections <= 10 and not missing and ward.watch.counts_are_exact,
    )


def _usage(ward: _Ward, process: psutil.Process) -> tuple[int, int, int]:
    """Least descriptors, threads and bytes of a process in 3 s, for a search holds sockets."""
    readings = []
    for _ in range(30):
        ward.listener.during(0.1)
        readings.append((process.num_fds(), process.num_threads(), process.memory_info().rss))
    fds, threads, rss = zip(*readings, strict=True)
    return min(fds), min(threads), min(rss)


def _valid_share(decodes: list[tuple[float, bool]], start_s: float, duration_s: float) -> float:
    """Share of a time in which the newest decode was valid, as a listener sees it."""
    moments = [(start_s, True), *decodes, (start_s + duration_s, False)]
    within = [(min(t, start_s + duration_s), valid) for t, valid in moments]
    return sum(t - s for (s, valid), (t, _) in itertools.pairwise(within) if valid) / duration_s


def other_addresses(rig: Rig) -> Finding:
    """Give the sender another address, then the decoder."""
    findings = []
    with _ward(rig) as ward:
        for whose, move, number in (
            ("sender", ward.hosts.move_sender, 11),
            ("decoder", ward.hosts.move_receiver, 12),
        ):
            moved_s = lsl_clock()
            move(number)
            ward.listener.during(2.0)
            valid_s = ward.first_valid_after(moved_s + 2.0) + 2.0
            findings.append((f"{whose}: valid again after {valid_s:.1f} s", valid_s < 10.0))
            ward.listener.during(10.0)
        missing = ward.missing_in_recording()
    exact = ward.watch.counts_are_exact and bool(ward.watch.gaps)
    findings.append(
        (f"gaps (counted, true) {ward.watch.gaps}; recording: {missing} missing", exact)
    )
    return joined(findings)


def other_clocks(rig: Rig) -> Finding:
    """Decode a sender whose clock is 100,000 s ahead and gains 50 ppm."""
    drift = None
    if shutil.which("cc") is not None:
        drift = Drift(50e-6, time.monotonic() + CLOCK_AHEAD_S)
    with _ward(rig, drift) as ward:
        ward.listener.during(20.0)
        errors_s = ward.watch.errors_s[-100:]
        clock = [one.fields for one in ward.listener.events if one.event == "clock"][-1]
    gained = "no drift, for there is no cc" if drift is None else "50 ppm of drift"
    return (
        f"{CLOCK_AHEAD_S} s apart, {gained}: time stamps at most {1000 * max(errors_s):.2f} ms "
        f"off, effective rate {clock['effective_rate_hz']:.4f} Hz",
        max(errors_s) <= 0.002,
    )


NETWORK_CASES = tuple(
    FaultCase(number, check, network=True)
    for number, check in (
        (25, slow_link),
        (26, cut_link),
        (27, flapping_link),
        (28, other_addresses),
        (29, other_clocks),
    )
)
