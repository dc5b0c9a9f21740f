"""The free space under a recording: told every 10 s, and warned of before it ends."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

# Warned of with ten minutes to go at the measured rate: time to save or to stop in order.
FLOOR_S = 600.0
FLOOR_BYTES = 256 * 1024**2
_LOOK_EVERY_S = 1.0
_TELL_EVERY_S = 10.0
# A rate measured over less is that of the headers.
_MEASURED_S = 10.0
_ENOUGH_AGAIN = 1.1


class DiskGuard:
    """Tells ``disk`` (free bytes) every 10 s, and ``disk_low`` when it falls under the floor.

    The floor is what ten minutes take at the measured rate, and 256 MiB at least.

    Parameters
    ----------
    folder : Path
        Of the recording.
    tell : callable
        ``tell(event, **fields)``, as `StatusOutlet.emit`.
    free_bytes : callable
        Of a folder; may raise OSError.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[..., None],
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._free_bytes = free_bytes
        self._clock = clock
        self._start = clock()
        self._look_at = self._tell_at = self._start
        self._low = False

    def look(self, n_written: int) -> None:
        """Look at the disk, if that is due.

        Parameters
        ----------
        n_written : int
            Bytes that the recording has written.
        """
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        try:
            free = self._free_bytes(self._folder)
        except OSError:
            return  # writing fails as well then, and that is told
        passed_s = now - self._start
        rate = n_written / passed_s if passed_s >= _MEASURED_S else 0.0
        floor = max(FLOOR_BYTES, rate * FLOOR_S)
        left = {"minutes_left": round(free / rate / 60, 1)} if rate else {}
        if now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_S
            self._tell("disk", free_bytes=free, **left)
        if free < floor and not self._low:
            self._low = True
            self._tell("disk_low", free_bytes=free, floor_bytes=round(floor), **left)
        elif free > _ENOUGH_AGAIN * floor:
            self._low = False
