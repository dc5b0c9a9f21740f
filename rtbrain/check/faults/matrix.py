"""The matrix of faults: what is done to the system, what must hold, what was observed.

A case is one check of one fault; running it gives a row. The cases that need no network are in
the ``fault_rows_*`` files beside this one and beside the command; a case gets a `Rig`, which
holds a fitted decoder and a patient's signal, and gives back what it observed.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.stage import SignalStage, Stage
from rtbrain.types import Chunk, Decode, Embedding, Floats, Montage, Window

Finding = tuple[str, bool]
# What a crash of a stage looks like from outside; a row that crashes is a row that fails.
_CRASHES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Number to fault, and what must hold.
FAULTS = {
    1: (
        "the stream vanishes and the same one returns after 3 s",
        "lost within 1.5 s, decodes stop or are invalid at once; recovered; filters and window "
        "reset; valid again after one whole window; the gap's samples are counted exactly",
    ),
    2: (
        "it returns with another rate",
        "never decoded: refused names both rates; decoding resumes when the right stream is back",
    ),
    3: (
        "it returns with channels in another order, or with more of them",
        "re-bound by label: decodes equal those of the original order",
    ),
    4: (
        "it returns with channels missing",
        "those channels leave PopT's tokens, coverage falls; below the bundle's floor decodes are "
        "invalid",
    ),
    5: (
        "two streams answer the same query",
        "an error that lists both with source_id and host, before decoding",
    ),
    6: (
        "the consumer stalls 10 s (overload)",
        "nothing is decoded from old data; the newest window is decoded; skipped windows and "
        "dropped samples are counted; memory does not grow",
    ),
    7: (
        "gaps, duplicated and reordered samples",
        "exact sample counts; no window crosses a gap unmarked",
    ),
    8: (
        "sender clock jumps ±10 s, is reset, drifts 200 ppm",
        "no negative age; samples not lost; effective rate reported",
    ),
    9: (
        "NaN or Inf on one channel",
        "masked, other channels' results identical to the bit; never reaches a common average, a "
        "neighbour's Laplacian or the model",
    ),
    10: (
        "flat, saturated, mains-swamped, unplugged channel",
        "masked by measured rules with hysteresis; channel_bad / channel_good events; re-admitted",
    ),
    11: ("every channel bad", "decodes invalid, nothing crashes"),
    12: (
        "amplitude off by 1e6 (V read as µV)",
        "told at connect from header units; where the header is silent, a warning from the "
        "measured amplitude",
    ),
    13: (
        "chunks of 1 to 5000 samples, empty chunks, bursts after a stall",
        "decodes identical to one-shot offline within 1e-6",
    ),
    14: (
        "nominal rate 2048, true rate 2046.3 or 2040",
        "effective rate reported; resampled or refused by a stated tolerance",
    ),
    15: (
        "nobody listens to the outlet; a listener never reads",
        "push time bounded, memory flat",
    ),
    16: (
        "marker stream irregular, empty strings, unicode, bursts",
        "aligned within one sample; nothing lost",
    ),
    17: (
        "broken, unknown or hostile settings",
        "one line: file, key, what was expected; a wrong key names the nearest right one",
    ),
    18: (
        "checkpoint truncated, of another shape, a pickle with code in it",
        "refused before anything is executed; which tensor, which shape",
    ),
    19: ("bundle with one byte changed", "refused: which file, both hashes"),
    20: (
        "SIGINT and SIGTERM in every state (waiting, connecting, warming up, decoding)",
        "exit under 2 s, no orphan process or thread, files closed",
    ),
    21: (
        "disk full; folder read-only",
        "alarm within 2 s, the decoder goes on, the file stays readable, what waits is written "
        "when there is room; a folder that cannot be written to is refused at the start",
    ),
    22: (
        "kill -9 while recording",
        "pyxdf reads the file; at most 1 s is lost",
    ),
    23: (
        "malformed stream header: 0 channels, labels fewer than channels, no units, 1 MB of XML, "
        "control characters",
        "parsed safely or refused with the reason",
    ),
    24: (
        "hours of running (an hour simulated at speed)",
        "memory and thread count level; no drift between counter and clock",
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class DecoderParts:
    """A decoder as the live loop runs it."""

    signal: SignalStage
    cut: Callable[[Chunk], Iterator[Window]]
    encode: Callable[[Window], Embedding]
    readout: Stage[Embedding, Decode]

    def decode(self, chunks: Sequence[Chunk]) -> list[Decode]:
        """Every decode of these chunks."""
        return [self.readout(self.encode(window)) for chunk in chunks for window in self.cut(chunk)]


@dataclasses.dataclass(frozen=True, slots=True)
class Rig:
    """What a case may use."""

    folder: Path
    montage: Montage
    signal: Callable[[float], Floats]
    bundle: Callable[[str], Path]
    decoder: Callable[[str, Montage], DecoderParts]


@dataclasses.dataclass(frozen=True, slots=True)
class FaultCase:
    """One check of one fault."""

    number: int
    check: Callable[[Rig], Finding]
    lsl: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class FaultRow:
    """A line of the matrix."""

    number: int
    fault: str
    expected: str
    observed: str
    passed: bool | None
    lsl: bool
    took_s: float


def run_cases(
    cases: Sequence[FaultCase],
    rig: Callable[[FaultCase], Rig],
    *,
    lsl: bool,
    numbers: Sequence[int] = (),
) -> Iterator[FaultRow]:
    """Run the cases in order of their number, a row each as it is done."""
    _refuse_unknown(cases, numbers)
    for case in sorted(cases, key=lambda case: (case.number, case.lsl)):
        if numbers and case.number not in numbers:
            continue
        if case.lsl and not lsl:
            yield _row(case, "needs --lsl", None, 0.0)
            continue
        start_s = time.perf_counter()
        try:
            observed, passed = case.check(rig(case))
        except RtbrainError as error:
            observed, passed = f"{type(error).__name__}: {error}", False
        except _CRASHES as error:
            observed, passed = f"crashed: {type(error).__name__}: {error}", False
        yield _row(case, " ".join(observed.split()), passed, time.perf_counter() - start_s)


def _refuse_unknown(cases: Sequence[FaultCase], numbers: Sequence[int]) -> None:
    known = {case.number for case in cases}
    unknown = [str(number) for number in numbers if number not in known]
    if unknown:
        raise SettingsError(
            f"--row: no fault {', '.join(unknown)}; there are "
            f"{', '.join(str(number) for number in sorted(known))}"
        )


def _row(case: FaultCase, observed: str, passed: bool | None, took_s: float) -> FaultRow:
    fault, expected = FAULTS[case.number]
    return FaultRow(case.number, fault, expected, observed, passed, case.lsl, round(took_s, 3))


def fault_table(rows: Sequence[FaultRow]) -> Table:
    """Rich table of the rows, for a terminal."""
    drawn = Table(title="faults at the bedside", show_lines=True)
    for heading in ("#", "fault", "expected", "observed", ""):
        drawn.add_column(heading)
    verdicts = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: "[dim]not run[/]"}
    for row in rows:
        number = f"{row.number} L" if row.lsl else str(row.number)
        drawn.add_row(number, row.fault, row.expected, row.observed, verdicts[row.passed])
    return drawn


def cut_signal(
    data: Floats, n_samples: Sequence[int], sfreq_hz: float, *, start_s: float = 100.0
) -> list[Chunk]:
    """Cut a signal into chunks."""
    chunks, first, turn = [], 0, 0
    stamps = start_s + np.arange(data.shape[1]) / sfreq_hz
    while first < data.shape[1]:
        stop = min(first + n_samples[turn % len(n_samples)], data.shape[1])
        chunks.append(Chunk(np.ascontiguousarray(data[:, first:stop]), stamps[first:stop], first))
        first, turn = stop, turn + 1
    return chunks
