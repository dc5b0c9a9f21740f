"""The trigger log: what came of each decision, as lines of JSON in a file and on an LSL stream."""

import json
import math
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pylsl

from rtbrain.errors import SettingsError, one_line
from rtbrain.files import finite
from rtbrain.outlet.lsl import text_info
from rtbrain.outlet.lsl_stream import SentStream
from rtbrain.stream_names import TRIGGERS_TYPE, triggers_name
from rtbrain.types import Detection

_MAX_WAITING = 4096
_DRAIN_S, _END_S = 0.3, 1.0


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A decision at one output, and what came of it; times are s on the LSL clock.

    `number` counts what is handed to the outputs, None where that was not; `suppressed` is why
    nothing was sent, empty where it was; `acknowledged` whether the receiver
    said that it has it, None where it does not say; `latency_s` the time from `t_stop` to `t_sent`.
    """

    number: int | None
    detection: Detection
    output: str = ""
    suppressed: str = ""
    t_sent: float = math.nan
    acknowledged: bool | None = None
    t_acknowledged: float = math.nan

    def values(self) -> dict[str, object]:
        """The fields of a line of the log, plain values without NaN."""
        about = asdict(self.detection) | {
            "suppressed": self.detection.suppressed or self.suppressed,
            "number": self.number,
            "output": self.output,
            "sent": math.isfinite(self.t_sent),
            "t_sent": self.t_sent,
            "acknowledged": self.acknowledged,
            "t_acknowledged": self.t_acknowledged,
            "latency_s": self.t_sent - self.detection.t_stop,
        }
        plain: dict[str, object] = finite(about)
        return plain


class TriggerLog:
    """Writes rows in a thread of its own: neither a disk nor a listener holds a decision up.

    In the file, the rows of each session follow a line about it, ``session``, which is no row; nor
    is one about a ``threshold`` that was changed. Where a recording goes on in another file, so
    does the log.
    """

    def __init__(
        self, name: str, path: Path | None, report: Callable[..., None], *, bundle_id: str = ""
    ) -> None:
        self._report = report
        self._file: IO[str] | None = None
        self._path = path
        if path is not None:
            try:
                self._file = _opened(path)
            except OSError as error:
                raise SettingsError(
                    f"outputs.log {path} cannot be made: {error.strerror}: choose another"
                ) from error
        to = triggers_name(name)
        self._stream = SentStream(
            text_info(to, TRIGGERS_TYPE, to, origin="decoder", bundle_id=bundle_id)
        )
        self._rows: queue.Queue[tuple[float, dict[str, object]] | Path | None] = queue.Queue(
            _MAX_WAITING
        )
        self.n_dropped = 0
        self._failed = self._given_up = False
        about = {
            "bundle": bundle_id,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "t_began": float(pylsl.local_clock()),
        }
        self._head = json.dumps({"session": about})
        self._write(self._head)
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="rtbrain-trigger-log", daemon=True
        )
        self._thread.start()

    def push(self, item: TriggerRow) -> None:
        """Log a row; one that finds no room is dropped, and counted."""
        self._put(item.detection.t_ready, item.values())

    def note(self, about: Mapping[str, object]) -> None:
        """Log what is no decision, as a change of a threshold: a line that is no row."""
        self._put(math.nan, finite(dict(about)))

    def move(self, path: Path) -> None:
        """Write what comes from now on into another file; one that cannot be made is reported."""
        try:
            self._rows.put_nowait(path)
        except queue.Full:
            self._report("trigger_log_failed", reason=f"it does not go on in {path.name}")

    def _put(self, at_s: float, values: dict[str, object]) -> None:
        try:
            self._rows.put_nowait(
                (at_s if math.isfinite(at_s) else float(pylsl.local_clock()), values)
            )
        except queue.Full:
            self.n_dropped += 1

    def close(self) -> None:
        """Write what waits, and close the file and the stream; safe to call twice.

        What a disk that hangs has not taken after 2 s is given up, and reported.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with suppress(queue.Full):  # its thread hangs, then
            self._rows.put(None, timeout=_END_S)
        thread.join(_END_S)
        self._given_up = thread.is_alive()
        if self._given_up:
            self._failed_by(f"the disk takes nothing; {self._rows.qsize()} rows wait for it")
        elif self._file is not None:
            try:
                self._file.close()
            except OSError as error:  # it tries once more what was not written
                self._failed_by(one_line(error.strerror))
        if self.n_dropped:
            self._report("trigger_log_failed", reason=f"{self.n_dropped} rows are missing in it")
        self._stream.close(_DRAIN_S)

    def _run(self) -> None:
        while (row := self._rows.get()) is not None and not self._given_up:
            if isinstance(row, Path):
                self._go_on_in(row)
                continue
            at_s, values = row
            line = json.dumps(values, allow_nan=False, ensure_ascii=False)
            self._stream.outlet.push_sample([line], at_s)
            self._write(line)

    def _go_on_in(self, path: Path) -> None:
        if path == self._path:
            return
        try:
            file = _opened(path)
        except OSError as error:
            self._failed_by(f"{path.name}: {one_line(error.strerror)}")
            return
        self._path, self._file, before = path, file, self._file
        if before is not None:
            with suppress(OSError):  # reported when it was written
                before.close()
        self._write(self._head)

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line + "\n")
            self._file.flush()
            self._failed = False
        except OSError as error:
            self._failed_by(one_line(error.strerror))
            self.n_dropped += 1

    def _failed_by(self, reason: str) -> None:
        """Report why the file fails, once."""
        if not self._failed:
            self._report("trigger_log_failed", reason=reason)
        self._failed = True


def _opened(path: Path) -> IO[str]:
    return path.open("a", encoding="utf-8")  # a session that starts anew goes on
