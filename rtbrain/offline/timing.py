"""Stopwatch of the benchmarks: medians over repeats, each beside a reference of the same run."""

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.table import Table

__all__ = ["Row", "Timing", "measure", "table"]


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """How long one call takes.

    Attributes
    ----------
    median_ms : float
        Half of the calls were faster.
    p99_ms : float
        99 of 100 calls were faster: what a live loop has to live with.
    repeats : int
        Calls measured.
    """

    median_ms: float
    p99_ms: float
    repeats: int


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A line of a benchmark's table.

    Attributes
    ----------
    name : str
        What was measured.
    median_ms : float
        Median time of a call, ms.
    p99_ms : float
        99th percentile of the time of a call, ms.
    ratio : float
        The reference's median divided by this one: how many times faster this is. 1 for the
        reference itself.
    reference : str
        What it is compared with, measured in the same run.
    """

    name: str
    median_ms: float
    p99_ms: float
    ratio: float
    reference: str

    @classmethod
    def of(
        cls,
        name: str,
        timing: Timing,
        reference: str | None = None,
        reference_ms: float | None = None,
    ) -> "Row":
        """Line of this timing; a line without a reference is its own.

        Parameters
        ----------
        name : str
            What was measured.
        timing : Timing
            Its times.
        reference : str, optional
            Name of the reference.
        reference_ms : float, optional
            Median time of the reference, ms.
        """
        ratio = 1.0 if reference_ms is None else reference_ms / timing.median_ms
        return cls(name, timing.median_ms, timing.p99_ms, ratio, reference or name)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def measure(function: Callable[[], object], *, repeats: int, warmup: int) -> Timing:
    """Time single calls with the garbage collector held back.

    Parameters
    ----------
    function : callable
        Called without arguments; what it gives is dropped.
    repeats : int
        Calls measured, at least 1.
    warmup : int
        Calls made before the first measured one.

    Raises
    ------
    ValueError
        Nothing is to be measured.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}: nothing would be measured")
    for _ in range(warmup):
        function()
    durations_ms = np.empty(repeats)
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for repeat in range(repeats):
            start_ns = time.perf_counter_ns()
            function()
            durations_ms[repeat] = (time.perf_counter_ns() - start_ns) / 1e6
    finally:
        if was_enabled:
            gc.enable()
    median_ms, p99_ms = np.percentile(durations_ms, (50, 99))
    return Timing(float(median_ms), float(p99_ms), repeats)


def table(rows: Sequence[Row], title: str) -> Table:
    """Rich table of the lines, for a terminal.

    Parameters
    ----------
    rows : sequence of Row
        Lines, in order.
    title : str
        Heading of the table.
    """
    drawn = Table(title=title)
    drawn.add_column("what")
    for heading in ("median ms", "p99 ms", "× reference"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("reference")
    for row in rows:
        ratio = "1" if row.reference == row.name else f"{row.ratio:.3g}"
        drawn.add_row(row.name, f"{row.median_ms:.3f}", f"{row.p99_ms:.3f}", ratio, row.reference)
    return drawn
