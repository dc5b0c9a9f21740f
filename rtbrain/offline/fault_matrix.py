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
from rtbrain.offline.fault_list import FAULTS
from rtbrain.stage import SignalStage, Stage
from rtbrain.types import Chunk, Decode, Embedding, Floats, Montage, Window

__all__ = ["Case", "Decoder", "Finding", "Rig", "Row", "chunks_of", "run", "table"]

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


@dataclasses.dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder as the live loop runs it.

    Attributes
    ----------
    signal : SignalStage
        The front end.
    cut : callable
        Filters a chunk and cuts the windows that it completes.
    encode : callable
        Embeds a window.
    readout : Stage
        Decodes an embedding.
    """

    signal: SignalStage
    cut: Callable[[Chunk], Iterator[Window]]
    encode: Callable[[Window], Embedding]
    readout: Stage[Embedding, Decode]

    def decode(self, chunks: Sequence[Chunk]) -> list[Decode]:
        """Every decode of these chunks."""
        return [self.readout(self.encode(window)) for chunk in chunks for window in self.cut(chunk)]


@dataclasses.dataclass(frozen=True, slots=True)
class Rig:
    """What a case may use.

    Attributes
    ----------
    folder : Path
        Empty folder for its files.
    montage : Montage
        Channels of the patient.
    signal : callable
        Patient's signal of so many seconds: float32 [n_channels, n_samples] µV.
    bundle : callable
        Folder of a decoder fitted on the patient: ``linear``, ``car`` (linear, on a common
        average) or ``edge``.
    decoder : callable
        Such a decoder, new, for a stream of the channels given.
    """

    folder: Path
    montage: Montage
    signal: Callable[[float], Floats]
    bundle: Callable[[str], Path]
    decoder: Callable[[str, Montage], Decoder]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One check of one fault.

    Attributes
    ----------
    number : int
        Of the fault.
    check : callable
        Gives what was observed, and whether that is what must hold.
    lsl : bool
        Whether it runs over real LSL, in processes.
    """

    number: int
    check: Callable[[Rig], Finding]
    lsl: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A line of the matrix.

    Attributes
    ----------
    number : int
        Of the fault.
    fault, expected, observed : str
        What was done, what must hold, what was seen.
    passed : bool or None
        None where the case was not run.
    lsl : bool
        Whether it is about real LSL.
    took_s : float
        How long the case ran, s.
    """

    number: int
    fault: str
    expected: str
    observed: str
    passed: bool | None
    lsl: bool
    took_s: float


def run(
    cases: Sequence[Case], rig: Callable[[Case], Rig], *, lsl: bool, numbers: Sequence[int] = ()
) -> Iterator[Row]:
    """Run the cases in order of their number, a row each as it is done.

    Parameters
    ----------
    cases : sequence of Case
        All there are.
    rig : callable
        Gives each case its rig.
    lsl : bool
        Whether to run those over real LSL; else their rows say so.
    numbers : sequence of int
        Faults to run; none means all.

    Raises
    ------
    SettingsError
        There is no fault of such a number.
    """
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


def _refuse_unknown(cases: Sequence[Case], numbers: Sequence[int]) -> None:
    known = {case.number for case in cases}
    unknown = [str(number) for number in numbers if number not in known]
    if unknown:
        raise SettingsError(
            f"--row: no fault {', '.join(unknown)}; there are "
            f"{', '.join(str(number) for number in sorted(known))}"
        )


def _row(case: Case, observed: str, passed: bool | None, took_s: float) -> Row:
    fault, expected = FAULTS[case.number]
    return Row(case.number, fault, expected, observed, passed, case.lsl, round(took_s, 3))


def table(rows: Sequence[Row]) -> Table:
    """Rich table of the rows, for a terminal."""
    drawn = Table(title="faults at the bedside", show_lines=True)
    for heading in ("#", "fault", "expected", "observed", ""):
        drawn.add_column(heading)
    verdicts = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: "[dim]not run[/]"}
    for row in rows:
        number = f"{row.number} L" if row.lsl else str(row.number)
        drawn.add_row(number, row.fault, row.expected, row.observed, verdicts[row.passed])
    return drawn


def chunks_of(
    data: Floats, n_samples: Sequence[int], sfreq_hz: float, *, start_s: float = 100.0
) -> list[Chunk]:
    """Cut a signal into chunks.

    Parameters
    ----------
    data : ndarray, float32 [n_channels, n_samples]
        Microvolts.
    n_samples : sequence of int
        Samples of each chunk in turn, again from the first when all are used; 0 is an empty
        chunk, and one of them at least is above 0.
    sfreq_hz : float
        Sampling rate, Hz.
    start_s : float
        Time stamp of the first sample, s.
    """
    chunks, first, turn = [], 0, 0
    stamps = start_s + np.arange(data.shape[1]) / sfreq_hz
    while first < data.shape[1]:
        stop = min(first + n_samples[turn % len(n_samples)], data.shape[1])
        chunks.append(Chunk(np.ascontiguousarray(data[:, first:stop]), stamps[first:stop], first))
        first, turn = stop, turn + 1
    return chunks
