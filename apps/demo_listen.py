"""The demo's third process: it hears decodes, status and markers over LSL, and shows them."""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from .demo_processes import Plan, Recorded

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rtbrain.stream.lsl import LslSource, MarkerSource

SourceT = TypeVar("SourceT")

_START_S = 90.0  # longest from the processes' start to the first valid decode of each
_BAR = 24


def listen(plan: Plan, console: "Console", check: Callable[[], None]) -> dict[str, Recorded]:
    """Record every decoder for the plan's duration, from when all of them are valid.

    Parameters
    ----------
    check : callable
        Raises if a process has died.

    Raises
    ------
    StreamError
        A stream does not show up, or a decoder does not become valid.
    """
    from rich.live import Live

    from rtbrain.errors import StreamError
    from rtbrain.stream.lsl import lsl_clock

    with console.status("starting the patient and the decoders"):
        markers = _patiently(partial(_marker_source, f"{plan.name}-markers"), check)
        decoders = {
            mode: _patiently(partial(_decode_source, f"{plan.name}-{mode}"), check)
            for mode in plan.modes
        }
        events = {mode: _marker_source(f"{plan.name}-{mode}-status") for mode in plan.modes}
    recorded = {mode: Recorded() for mode in plan.modes}
    heard: list[tuple[float, str]] = []
    gave_up, start = lsl_clock() + _START_S, float("inf")
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while lsl_clock() < start + plan.duration_s + 1.0:
            check()
            heard += markers.pull(0.0)
            for mode, source in decoders.items():
                _hear(recorded[mode], source)
                _heed(recorded[mode], events[mode])
            live.update(_table(plan, recorded, heard))
            if start == float("inf"):
                start = _all_valid_since(recorded)
                if lsl_clock() > gave_up:
                    raise StreamError(f"no valid decode within {_START_S:g} s of the start")
    for each in recorded.values():
        each.start, each.markers = start, heard
    for source in decoders.values():
        source.close()
    for heard_from in (markers, *events.values()):
        heard_from.close()
    return recorded


def _marker_source(name: str) -> "MarkerSource":
    from rtbrain.stream.lsl import MarkerSource

    return MarkerSource(name=name, timeout_s=2.0)


def _decode_source(name: str) -> "LslSource":
    from rtbrain.stream.lsl import LslSource

    return LslSource(name=f"{name}-decode", timeout_s=2.0, raw=True)


def _patiently(connect: Callable[[], SourceT], check: Callable[[], None]) -> SourceT:
    """Connect as soon as the stream is there: processes take seconds to load."""
    from rtbrain.errors import StreamError
    from rtbrain.stream.lsl import lsl_clock

    end = lsl_clock() + _START_S
    while True:
        check()
        try:
            return connect()
        except StreamError:
            if lsl_clock() > end:
                raise


def _hear(recorded: Recorded, source: "LslSource") -> None:
    from rtbrain.stream.lsl import lsl_clock

    while (chunk := source.pull(0.02)) is not None and chunk.n_samples:
        arrived = lsl_clock()
        for stamp, values in zip(chunk.timestamps, chunk.data.T, strict=True):
            recorded.rows.append((float(stamp), arrived, values.tolist()))


def _heed(recorded: Recorded, events: "MarkerSource") -> None:
    for _, text in events.pull(0.0):
        event = json.loads(text)
        if event["event"] == "gap":
            recorded.lost += event["lost"]
        elif event["event"] == "late":
            recorded.skipped += event["skipped"]


def _all_valid_since(recorded: dict[str, Recorded]) -> float:
    firsts = []
    for each in recorded.values():
        valid = [t_stop for t_stop, _, values in each.rows if values[-4] > 0]
        firsts.append(min(valid, default=float("inf")))
    return max(firsts)


def _table(plan: Plan, recorded: dict[str, Recorded], markers: list[tuple[float, str]]) -> "Table":
    from rich.table import Table

    state = markers[-1][1] if markers else "?"
    table = Table(title=f"synthetic patient {plan.seed}: [bold]{state}[/]")
    for heading in ("decoder", "decode", "probability", "age s", "compute ms", "lost"):
        table.add_column(heading)
    for mode, each in recorded.items():
        if not each.rows:
            table.add_row(mode, "waiting", "", "", "", "")
            continue
        values = each.rows[-1][2]
        *outputs, valid, _, age_s, compute_s = values
        if not valid:
            table.add_row(mode, "[dim]filling the window[/]", "", "", "", str(each.lost))
            continue
        filled = round(outputs[1] * _BAR)
        table.add_row(
            mode,
            plan.patient.classes[int(outputs[1] > outputs[0])],
            f"{'█' * filled}{'·' * (_BAR - filled)} {outputs[1]:.2f}",
            f"{age_s:.3f}",
            f"{1000 * compute_s:.1f}",
            str(each.lost),
        )
    return table
