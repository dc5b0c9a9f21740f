"""Rows of the matrix about recordings over real LSL: a disk that is full, a recorder killed."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.check.faults.live import LiveSender, StatusListener, decode_command, new_stream_name
from rtbrain.check.faults.matrix import FaultCase, Finding, Rig
from rtbrain.errors import StreamError
from rtbrain.outlet import SignalOutlet
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage

_DISK = "16m"


_ALARM_WITHIN_S = 2.0


_FULL_S = 5.0


_READY_S = 60.0


_N_CHANNELS, _SFREQ_HZ = 128, 2048.0


KILLED_AFTER_S = (3.0, 3.2, 3.4)


_LOST_AT_MOST_S = 1.0


_PUSH_S = 0.02


_BEGUN_BYTES = 1 << 20


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
    import resource

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
    sender, ears, recorder = (
        LiveSender(rig, name),
        StatusListener(name),
        StatusListener(f"{name}-record"),
    )
    sender.begin()
    arguments, log = decode_command(rig, name)
    with _small_disk(rig.folder) as disk:
        path = disk.folder / "session.xdf"
        try:
            with running_command([*arguments, "--record", str(path)], log) as process:
                _wait(ears, lambda: len(ears.valid_after(0.0)) > 3, "decoding", log)
                # Whoever listens from later on may miss the alarm.
                _wait(recorder, lambda: recorder.has_status_inlet, "recording", log)
                _wait(recorder, lambda: bool(_read(path, name)), "recording", log)
                (child,) = _children(process.pid)
                observed, passed = _filled(disk, path, name, ears, recorder, child)
                process.send_signal(signal.SIGTERM)
                process.wait(10)
        finally:
            sender.end()
        whole, complete = _without_a_hole(path, name, rig.montage.sfreq_hz)
        refused, told = _read_only(disk, rig.folder)
    said = f"{disk.what}: {observed}; {whole}; {refused}"
    return said, passed and complete and told


def _filled(
    disk: _SmallDisk,
    path: Path,
    name: str,
    ears: StatusListener,
    recorder: StatusListener,
    child: int,
) -> Finding:

    # The recorder may meet the last free page before the filler does.
    filling = lsl_clock()
    disk.fill(child)
    full = lsl_clock()
    recorder.until(lambda: recorder.event("disk_full", filling) is not None, _FULL_S)
    ears.during(_FULL_S)
    n_meanwhile = len(_read(path, name))
    disk.empty(child)
    room = lsl_clock()
    recorder.until(lambda: recorder.event("write_resumed", room) is not None, _READY_S)
    ears.during(1.0)
    alarm, resumed = recorder.event("disk_full", filling), recorder.event("write_resumed", room)
    n_decodes = sum(full < one.t_arrived < room and one.valid for one in ears.decodes)
    if alarm is None or resumed is None:
        return f"told {[one.event for one in recorder.events]}", False
    after_s = alarm.t - full
    passed = after_s <= _ALARM_WITHIN_S and n_decodes > 0 and n_meanwhile > 0
    return (
        f"alarm {after_s:.2f} s after it was full, {n_decodes} valid decodes in the "
        f"{room - full:.1f} s without room, {n_meanwhile} samples readable meanwhile, writing "
        f"again {resumed.t - room:.2f} s after there was room",
        passed,
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
    with running_command(["record", str(disk.folder / "second.xdf")], log) as process:
        code = process.wait(_READY_S)
    said = last_line(log).replace(str(disk.folder), "FOLDER")
    return f"a read-only folder: {said!r}", code == 2 and "cannot be written to" in said


def killed(rig: Rig) -> Finding:
    """Kill recorders of 128 channels at 2048 Hz by SIGKILL, and read their files by pyxdf."""
    said, passed = [], True
    for number, after_s in enumerate(KILLED_AFTER_S):
        observed, fine = _killed(rig.folder / f"killed{number}.xdf", after_s)
        said.append(observed)
        passed &= fine
    return f"{_N_CHANNELS} channels at {_SFREQ_HZ:g} Hz, {'; '.join(said)}", passed


def _killed(path: Path, after_s: float) -> Finding:
    name = new_stream_name()
    log = path.with_suffix(".log")
    arguments = ["record", str(path), "--stream", name, "--name", f"{name}-rec"]
    with _numbered(name), running_command(arguments, log) as process:
        end = time.monotonic() + _READY_S
        while not (path.exists() and path.stat().st_size > _BEGUN_BYTES):
            if time.monotonic() > end:
                raise StreamError(f"nothing is recorded within {_READY_S:g} s: {last_line(log)}")
            time.sleep(_PUSH_S)
        time.sleep(after_s)
        at = lsl_clock()
        process.kill()
        process.wait()
    (stream,) = _streams(path)
    stamps, values = stream["time_stamps"], stream["time_series"]
    lost_s = at - float(stamps[-1])
    right = _as_sent(stamps, values)
    return (
        f"{len(stamps)} samples read, {'all' if right else 'NOT all'} as sent, the last "
        f"{lost_s:.2f} s lost",
        right and lost_s <= _LOST_AT_MOST_S,
    )


@contextmanager
def _numbered(name: str) -> Iterator[None]:
    """Stream whose every value tells its sample and its channel, until the block ends."""
    outlet = SignalOutlet(name, _montage(), source_id=name, origin="synthetic")
    done = threading.Event()

    def send() -> None:
        sent = int(lsl_clock() * _SFREQ_HZ)
        while not done.wait(_PUSH_S):
            numbers = np.arange(sent, int(lsl_clock() * _SFREQ_HZ))
            sent += numbers.size
            outlet.push(Chunk(_values_of(numbers), numbers / _SFREQ_HZ))
        outlet.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _montage() -> Montage:
    names = tuple(f"A{number}" for number in range(1, _N_CHANNELS + 1))
    return Montage(names, ("seeg",) * _N_CHANNELS, _SFREQ_HZ)


def _values_of(numbers: Any) -> Any:
    """Samples of these numbers: float32 [n_channels, n_samples]."""
    channels = np.arange(_N_CHANNELS)[:, None] / _N_CHANNELS
    return (numbers % 4096 + channels).astype(np.float32)


def _as_sent(stamps: Any, values: Any) -> bool:
    numbers = np.rint(stamps * _SFREQ_HZ).astype(np.int64)
    consecutive = bool((np.diff(numbers) == 1).all())
    return consecutive and bool(np.array_equal(values.T, _values_of(numbers)))


def _streams(path: Path) -> list[dict[str, Any]]:
    import pyxdf

    # Of a file that ends in a torn batch it says so, and reads on.
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    streams, _ = pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)
    return list(streams)


def _read(path: Path, name: str) -> Any:
    """Stamps of a stream that pyxdf reads now; none where it is not there yet."""
    if not path.exists():
        return []
    streams = {stream["info"]["name"][0]: stream for stream in _streams(path)}
    return streams[name]["time_stamps"].tolist() if name in streams else []


def _wait(ears: StatusListener, condition: Callable[[], bool], what: str, log: Path) -> None:
    if not ears.until(condition, _READY_S):
        raise StreamError(f"not {what} within {_READY_S:g} s: {last_line(log)}")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()]


RECORDING_CASES = (
    FaultCase(21, full_disk, lsl=True),
    FaultCase(22, killed, lsl=True),
)
