"""Rows of the matrix about recordings over real LSL: a disk that is full, a recorder killed."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from rtbrain.check.faults.live import (
    START_S,
    LslSender,
    decode_command,
    listen_to,
    new_stream_name,
    patient_sender,
    sending,
    wait_until,
)
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, StatusListener, joined
from rtbrain.errors import StreamError
from rtbrain.extras import load_extra
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Floats, Ints, Montage

_DISK = "16m"
_FULL_S = 5.0
_ALARM_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class _SmallDisk:
    """A folder whose disk can be filled and emptied."""

    folder: Path
    what: str
    mounted: bool

    def fill(self, recorder: int) -> None:
        """Leave no room for another byte of the recorder's."""
        if not self.mounted:
            _limit(recorder, sum(file.stat().st_size for file in self.folder.glob("*.xdf")) + 1)
            return
        with (self.folder / "filler").open("wb", buffering=0) as file:
            for n_bytes in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(n_bytes)) == n_bytes:
                        pass

    def empty(self, recorder: int) -> None:
        """Make room again."""
        if self.mounted:
            (self.folder / "filler").unlink()
        else:
            _limit(recorder, None)


def _limit(recorder: int, n_bytes: int | None) -> None:
    """Let a process write files of so many bytes; None lifts that again."""
    import resource  # absent on Windows

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (most if n_bytes is None else n_bytes, most))


@contextmanager
def _small_disk(folder: Path) -> Iterator[_SmallDisk]:
    """A small tmpfs where root may mount one, else a limit on the length of the file."""
    small = folder / "disk"
    small.mkdir()
    mounted = _ran("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(small))
    try:
        yield _SmallDisk(small, f"tmpfs of {_DISK}" if mounted else "limit on the file", mounted)
    finally:
        if mounted:
            _ran("umount", str(small))


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except FileNotFoundError:
        return False


def full_disk(rig: Rig) -> Finding:
    """Decode and record onto a small disk, fill it for 5 s, make room; then make it read-only."""
    name = new_stream_name()
    (received, _), (recorder, inlets) = listen_to(name), listen_to(f"{name}-record")
    arguments, log = decode_command(rig, name)
    with _small_disk(rig.folder) as disk:
        path = disk.folder / "session.xdf"
        command = [*arguments, "--record", str(path)]
        with sending(patient_sender(rig, name)), running_command(command, log) as process:
            received.require(lambda: len(received.valid_after(0.0)) > 3, START_S, "no decode", log)
            # A listener that comes later may miss the alarm.
            recorder.require(lambda: inlets.receives_status, START_S, "no recorder", log)
            recorder.require(lambda: bool(_read(path, name)), START_S, "no samples", log)
            (child,) = psutil.Process(process.pid).children()
            filled = _filled(disk, path, name, received, recorder, child.pid)
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        whole = _without_a_hole(path, name, rig.montage.sfreq_hz)
        observed, passed = joined([filled, whole, _read_only(disk, rig.folder)])
    return f"{disk.what}: {observed}", passed


def _filled(
    disk: _SmallDisk,
    path: Path,
    name: str,
    received: StatusListener,
    recorder: StatusListener,
    child: int,
) -> Finding:
    # The recorder may meet the last free page before the filler does.
    filling_s = lsl_clock()
    disk.fill(child)
    full_s = lsl_clock()
    recorder.until(lambda: recorder.event("disk_full", filling_s) is not None, _FULL_S)
    received.during(_FULL_S)
    n_meanwhile = len(_read(path, name))
    disk.empty(child)
    room_s = lsl_clock()
    recorder.until(lambda: recorder.event("write_resumed", room_s) is not None, START_S)
    received.during(1.0)
    alarm, resumed = recorder.event("disk_full", filling_s), recorder.event("write_resumed", room_s)
    n_decodes = sum(full_s < one.t_arrived < room_s and one.valid for one in received.decodes)
    if alarm is None or resumed is None:
        return f"events: {[one.event for one in recorder.events]}", False
    after_s = alarm.t - full_s
    return (
        f"alarm {after_s:.2f} s after it was full, {n_decodes} valid decodes in the "
        f"{room_s - full_s:.1f} s without room, {n_meanwhile} samples readable meanwhile, writing "
        f"again {resumed.t - room_s:.2f} s after there was room",
        after_s <= _ALARM_WITHIN_S and n_decodes > 0 and n_meanwhile > 0,
    )


def _without_a_hole(path: Path, name: str, sfreq_hz: float) -> Finding:
    stamps = _read(path, name)
    missing = round((stamps[-1] - stamps[0]) * sfreq_hz) + 1 - len(stamps)
    return f"{len(stamps)} samples in the end, {missing} missing", missing == 0


def _read_only(disk: _SmallDisk, folder: Path) -> Finding:
    """Ask for a recording where nothing can be written."""
    if disk.mounted:
        _ran("mount", "-o", "remount,ro", str(disk.folder))
    else:
        disk.folder.chmod(0o555)
    if os.access(disk.folder, os.W_OK):
        return "a read-only folder: not tried, for this user may write to any", True
    log = folder / "read-only.log"
    with running_command(["record", str(disk.folder / "second.xdf"), "--all"], log) as process:
        code = process.wait(START_S)
    message = last_line(log).replace(str(disk.folder), "FOLDER")
    return f"a read-only folder: {message!r}", code == 2 and "cannot be written to" in message


_N_CHANNELS, _SFREQ_HZ = 128, 2048.0
KILLED_AFTER_S = (3.0, 3.2, 3.4)
_MAX_LOST_S = 1.0
_BEGUN_BYTES = 1 << 20


def killed(rig: Rig) -> Finding:
    """Kill recorders of 128 channels at 2048 Hz by SIGKILL, and read their files by pyxdf."""
    observed, passed = joined(
        _killed(rig.folder / f"killed{number}.xdf", after_s)
        for number, after_s in enumerate(KILLED_AFTER_S)
    )
    return f"{_N_CHANNELS} channels at {_SFREQ_HZ:g} Hz, {observed}", passed


def _killed(path: Path, after_s: float) -> Finding:
    name = new_stream_name()
    log = path.with_suffix(".log")
    arguments = ["record", str(path), "--stream", name, "--name", f"{name}-rec"]
    labels = tuple(f"A{number}" for number in range(1, _N_CHANNELS + 1))
    montage = Montage(labels, ("seeg",) * _N_CHANNELS, _SFREQ_HZ)
    sender = LslSender(name, montage, _numbered_samples)
    with sending(sender), running_command(arguments, log) as process:
        if not wait_until(lambda: path.exists() and path.stat().st_size > _BEGUN_BYTES, START_S):
            raise StreamError(f"nothing is recorded within {START_S:g} s: {last_line(log)}")
        time.sleep(after_s)
        killed_s = lsl_clock()
        process.kill()
        process.wait()
    (stream,) = read_streams(path)
    stamps = stream["time_stamps"]
    numbers = np.rint((stamps - sender.start_s) * _SFREQ_HZ).astype(np.int64)
    expected = _numbered_samples(montage, numbers)
    as_sent = bool((np.diff(numbers) == 1).all())
    as_sent &= np.array_equal(stream["time_series"].T, expected)
    lost_s = killed_s - float(stamps[-1])
    return (
        f"{len(stamps)} samples read, {'all' if as_sent else 'NOT all'} as sent, the last "
        f"{lost_s:.2f} s lost",
        as_sent and lost_s <= _MAX_LOST_S,
    )


def _numbered_samples(montage: Montage, numbers: Ints) -> Floats:
    """Samples that carry their number and their channel, float32 [n_channels, n_samples]."""
    channels = np.arange(montage.n_channels)[:, None] / montage.n_channels
    return (numbers % 4096 + channels).astype(np.float32)


def read_streams(path: Path) -> list[dict[str, Any]]:
    """Streams of a recording, as pyxdf reads them."""
    pyxdf = load_extra("pyxdf", "test", "the rows about recordings")
    # It reports a file that ends in a torn batch, and reads on.
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    streams, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    return list(streams)


def _read(path: Path, name: str) -> list[float]:
    """Stamps of a stream that pyxdf reads now; none where it is not there yet."""
    if not path.exists():
        return []
    streams = {stream["info"]["name"][0]: stream for stream in read_streams(path)}
    return list(streams[name]["time_stamps"]) if name in streams else []


RECORDING_CASES = (FaultCase(21, full_disk, lsl=True), FaultCase(22, killed, lsl=True))
