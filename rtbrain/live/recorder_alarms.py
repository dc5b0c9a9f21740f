"""What a recorder warns of beside its writing: a disk that fills, streams that do not come."""

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

# A warning ten minutes ahead at the measured rate leaves time to make room, or to stop in order.
FLOOR_S = 600.0
FLOOR_BYTES = 256 * 1024**2
_CHECK_EVERY_S = 1.0
_REPORT_EVERY_S = 10.0
# Over a shorter time the headers dominate the rate.
_MEASURED_S = 10.0
_ENOUGH_AGAIN = 1.1
_EXPECTED_WITHIN_S = 5.0
_ALARM_EVERY_S = 10.0


class DiskGuard:
    """Reports ``disk`` (free bytes) every 10 s, and ``disk_low`` when it falls under the floor.

    The floor is what ten minutes take at the measured rate, and 256 MiB at least.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[..., None],
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._report = report
        self._free_bytes = free_bytes
        self._clock = clock
        self._start = clock()
        self._check_at = self._report_at = self._start
        self._low = False

    def check(self, n_written: int) -> None:
        """Check the disk, if that is due."""
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_EVERY_S
        try:
            free = self._free_bytes(self._folder)
        except OSError:
            return  # writing fails as well then, and that is reported
        passed_s = now - self._start
        rate = n_written / passed_s if passed_s >= _MEASURED_S else 0.0
        floor = max(FLOOR_BYTES, rate * FLOOR_S)
        left = {"minutes_left": round(free / rate / 60, 1)} if rate else {}
        if now >= self._report_at:
            self._report_at = now + _REPORT_EVERY_S
            self._report("disk", free_bytes=free, **left)
        if free < floor and not self._low:
            self._low = True
            self._report("disk_low", free_bytes=free, floor_bytes=round(floor), **left)
        elif free > _ENOUGH_AGAIN * floor:
            self._low = False


class ExpectedStreams:
    """Reports which expected streams are not recorded: at once after a loss, then every 10 s.

    At the start they have 5 s to be found. `expected_recorded` is reported when all are back.
    """

    def __init__(
        self,
        names: Collection[str],
        report: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.missing: list[str] = []
        self._names = names
        self._report = report
        self._clock = clock
        self._report_at = clock() + _EXPECTED_WITHIN_S
        self._reported: list[str] = []
        self._found: set[str] = set()

    def check(self, arriving: Collection[str]) -> None:
        """Compare with the streams that are recorded now."""
        now = self._clock()
        self._found |= set(arriving)
        self.missing = [name for name in self._names if name not in arriving]
        lost = [name for name in self.missing if name in self._found]
        if self.missing and (now >= self._report_at or set(lost) - set(self._reported)):
            self._report_at = now + _ALARM_EVERY_S
            self._reported = self.missing
            self._report("expected_missing", streams=self.missing)
        elif self._reported and not self.missing:
            self._reported = []
            self._report("expected_recorded", streams=list(self._names))
