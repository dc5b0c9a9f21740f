"""What a recorder shows: a live table on a terminal, a line at a time elsewhere."""

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .recording_session import Recording

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 10.0
_MB = 1e6


class Screen:
    """The console of a recorder; whether anybody reads it is no matter of the recording.

    Parameters
    ----------
    console : Console
        Where to write.
    wanted : sequence of str
        Names that were asked for; those that are not there yet are shown.
    """

    def __init__(self, console: "Console", wanted: Sequence[str]) -> None:
        from rich.live import Live

        self._console = console
        self._wanted = wanted
        self._start = time.monotonic()
        self._due = self._start
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def say(self, text: str) -> None:
        """Print a line."""
        with contextlib.suppress(OSError):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, recording: "Recording") -> None:
        """Show where the recording stands, if that is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (_LINE_EVERY_S if self._live is None else _DRAW_EVERY_S)
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.update(self._table(recording), refresh=True)
            return
        self.say(self._line(recording))

    def close(self) -> None:
        """Leave the terminal as it was, with the last table."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()

    def _absent(self, recording: "Recording") -> list[str]:
        there = {entry.name for entry in recording.entries if entry.tap is not None}
        return [name for name in self._wanted if name not in there]

    def _line(self, recording: "Recording") -> str:
        counts = recording.counts.values()
        n_samples = sum(count.n_written for count in counts)
        line = (
            f"{time.monotonic() - self._start:.0f} s: {len(recording.entries)} streams, "
            f"{n_samples} samples, {recording.n_bytes / _MB:.1f} MB"
        )
        absent = self._absent(recording)
        return f"{line}; waiting for {', '.join(absent)}" if absent else line

    def _table(self, recording: "Recording") -> "Table":
        from rich.markup import escape
        from rich.table import Table

        failing = " [bold red]the disk takes nothing[/]" if recording.failing else ""
        table = Table(
            title=f"recording, {time.monotonic() - self._start:.0f} s, "
            f"{recording.n_bytes / _MB:.1f} MB{failing}"
        )
        for heading in ("stream", "samples", "seconds", "lost", "MB", ""):
            table.add_column(heading, justify="left" if heading in ("stream", "") else "right")
        for entry in recording.entries:
            count = recording.counts[entry.stream_id]
            seconds = count.last_stamp - count.first_stamp if count.n_written else 0.0
            table.add_row(
                escape(entry.name),
                f"{count.n_written}",
                f"{seconds:.1f}",
                f"{count.n_dropped}",
                f"{count.n_bytes / _MB:.2f}",
                "[green]live[/]" if entry.tap is not None else "[red]gone[/]",
            )
        there = {entry.name for entry in recording.entries}
        for name in self._absent(recording):
            if name not in there:
                table.add_row(escape(name), "", "", "", "", "[yellow]waiting[/]")
        return table
