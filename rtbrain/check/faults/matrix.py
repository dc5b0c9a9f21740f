"""The matrix of faults: what is done to the system, what must hold, what was observed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from subprocess import SubprocessError

from rich.console import Console

from rtbrain.check.faults.network import network_refusal, two_hosts
from rtbrain.check.faults.report import FaultRow, fault_table
from rtbrain.check.faults.rig import FaultCase, Rig, rig_maker
from rtbrain.check.faults.rows_channels import CHANNEL_CASES
from rtbrain.check.faults.rows_clocks import CLOCK_CASES
from rtbrain.check.faults.rows_events import EVENT_CASES
from rtbrain.check.faults.rows_files import FILE_CASES
from rtbrain.check.faults.rows_hostile import HOSTILE_CASES
from rtbrain.check.faults.rows_input import INPUT_CASES
from rtbrain.check.faults.rows_network import NETWORK_CASES
from rtbrain.check.faults.rows_processes import PROCESS_CASES
from rtbrain.check.faults.rows_rates import RATE_CASES
from rtbrain.check.faults.rows_recording import RECORDING_CASES
from rtbrain.check.faults.rows_signal import SIGNAL_CASES
from rtbrain.check.faults.rows_sources import SOURCE_CASES
from rtbrain.check.faults.rows_streams import STREAM_CASES
from rtbrain.check.faults.rows_time import TIME_CASES
from rtbrain.check.faults.rows_window import WINDOW_CASES
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.processes import scratch_folder

ALL_CASES = (
    *STREAM_CASES,
    *TIME_CASES,
    *CLOCK_CASES,
    *SIGNAL_CASES,
    *CHANNEL_CASES,
    *PROCESS_CASES,
    *INPUT_CASES,
    *EVENT_CASES,
    *FILE_CASES,
    *RATE_CASES,
    *RECORDING_CASES,
    *SOURCE_CASES,
    *NETWORK_CASES,
    *WINDOW_CASES,
    *HOSTILE_CASES,
)
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
    SubprocessError,
    TypeError,
    ValueError,
)
# Number to fault, and what must hold.
FAULTS = {
    1: (
        "the stream vanishes and the same one returns after 3 s",
        "lost within 1.5 s, decodes stop or are invalid at once; recovered; filters and window "
        "reset; valid again once the signal that the recipe reads has come; the gap's samples are "
        "counted exactly",
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
        "reported at connect from the header's units; where the header is silent, a warning from "
        "the measured amplitude",
    ),
    13: (
        "chunks of 1 to 5000 samples, empty chunks, bursts after a stall",
        "decodes identical to one-shot offline within 1e-6",
    ),
    14: (
        "nominal rate 2048, true rate 2046.3 or 2040",
        "effective rate reported; resampled or refused by a stated tolerance",
    ),
    15: ("nobody listens to the outlet; a listener never reads", "push time bounded, memory flat"),
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
    22: ("kill -9 while recording", "pyxdf reads the file; at most 1 s is lost"),
    23: (
        "malformed stream header: 0 channels, labels fewer than channels, no units, 1 MB of XML, "
        "control characters",
        "parsed safely or refused with the reason",
    ),
    24: (
        "hours of running (an hour simulated at speed)",
        "memory and thread count level; no drift between counter and clock",
    ),
    25: (
        "the link is slower than the data for 30 s",
        "no decode older than max_latency_s is valid; the rates of data and link are reported; "
        "the newest window is decoded within 3 s once the link is fast; the rate stays within "
        "20 ppm",
    ),
    26: (
        "the link is cut for 1, 3 and 8 s",
        "decodes invalid at once, valid within 2 s of the link's return; exact counts; the "
        "recording misses no sample",
    ),
    27: (
        "the link flaps: 1 s down, 3 s up, five times",
        "as 26; few new connections; descriptors, threads and memory level",
    ),
    28: (
        "the amplifier's address changes, then the decoder's",
        "recovered with the exact gap",
    ),
    29: (
        "sender and decoder clocks 100,000 s apart, drifting 50 ppm",
        "time stamps right within 2 ms",
    ),
    30: ("the sender pauses for 2 s and goes on", "exactly the missing samples are counted"),
    31: (
        "a FieldTrip buffer that sends head and body of an answer apart, with Nagle on",
        "64 channels: no skipped window at a round trip of 0 and 40 ms; lost and recovered where "
        "the server is started again; SIGTERM within 2 s",
    ),
    32: (
        "the marker sender goes away and comes back, or falls silent and is started again",
        "decoding goes on; events are decoded again when it returns; exit code 0",
    ),
    33: (
        "stamps that count from 0, Unix time, a constant, NaN, the future, only the first ones "
        "near 0; markers in another clock than the signal",
        "reported in one line that names the clock; latency right within 50 ms, or invalid",
    ),
    34: (
        "another amplifier (other source_id) answers under the name after a loss",
        "refused by default, accepted by a setting",
    ),
    35: (
        "pauses inside a file: records and segments apart, skipped samples, gaps of an export",
        "a gap of the exact length; events keep their samples; no window crosses it",
    ),
    36: (
        "a trigger channel in place of markers, integer marker streams, markers of one sample",
        "usable as events and states, in files and live; codes never scaled; what is ignored is "
        "reported",
    ),
    37: (
        "channels that are not contacts (DC01, MIC, EKG, SpO2, TRIG) typed EEG",
        "recognised by label, unit and measurement, left out and named; --channels, --exclude and "
        "--kinds override that",
    ),
    38: (
        "labels as clinics write them: EEG A1-Ref, POL A3, A'1, A1-G2, A02, doubled ones",
        "contact 1 of shaft A everywhere; tables are matched, and what fits nothing is named",
    ),
    39: (
        "stream types iEEG, LFP, signal, none; units V, mV, nV, 0, -6, none, mixed",
        "contacts, in the same microvolts live and recorded; the amplitude is checked",
    ),
    40: (
        "rates that are no whole number: 399.6098, 999.4121, 999.99, 2046.3 Hz",
        "every recipe runs; nothing is resampled by a ratio that is off; decoders and sessions of "
        "nearly one rate go together, others are refused",
    ),
    41: (
        "mains of the other frequency",
        "measured and removed by fit; reported live with both powers",
    ),
    42: (
        "the recorder records other streams than the one shown",
        "the window says so; REC is shown for the stream on display only; a proper end is no loss",
    ),
    43: (
        "two signals on the network, none named",
        "a chooser in the window; elsewhere a list with the command to use, exit code 2; no "
        "picture of nothing",
    ),
    44: (
        "a foreign exception: Latin-1 annotations, ANSI headers, a dangling DataLad link, an "
        "accent in an export",
        "read with a note, or one line with what to do; nothing is changed in an output unsaid",
    ),
    45: (
        "a stream's header claims a nonsense rate or size",
        "refused from its header; memory level; decoding resumes when the right stream is back",
    ),
    46: (
        "status and label texts with HTML, ANSI, markup, control characters, 5,000-digit integers, "
        "10,000 events a second",
        "shown as plain text, bounded; one bad line costs one line; no frame is lost",
    ),
    47: (
        "marks by a stranger",
        "events and window name source_id and host; only the author or the operator undoes a mark; "
        "marks may be restricted to named senders",
    ),
    48: (
        "a compiled model planted in the cache, or one of another owner or mode",
        "never loaded; said in one line, and compiled anew",
    ),
    49: (
        "SIGINT, SIGTERM, SIGHUP, SIGKILL to commands that have children or temporary folders",
        "no process and no temporary folder is left",
    ),
    50: (
        "settings, bundles, encoders, corpora and recordings that claim or expand to anything",
        "refused within 1 s and 100 MiB over the file's size",
    ),
}


def run_matrix(
    console: Console, lsl: bool, network: bool, numbers: Sequence[int]
) -> Sequence[FaultRow]:
    """Run the rows of these numbers, or all, and print them."""
    rows: list[FaultRow] = []
    no_network = network_refusal() if network else "needs --network"
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("rtbrain-faults-"))
        hosts = None if no_network else stack.enter_context(two_hosts(folder))
        status = stack.enter_context(console.status("running the rows"))
        rigs = rig_maker(folder, hosts)
        for row in run_cases(ALL_CASES, rigs, lsl=lsl, no_network=no_network, numbers=numbers):
            rows.append(row)
            done = f"row {row.label}: {row.verdict}, {row.took_s:.1f} s"
            status.update(f"{len(rows)} rows done; {done}")
            if not console.is_terminal:
                console.print(done)
    console.print(fault_table(rows))
    verdicts = [row.passed for row in rows]
    console.print(
        f"{verdicts.count(True)} passed, {verdicts.count(False)} failed, "
        f"{verdicts.count(None)} not run"
    )
    return rows


def run_cases(
    cases: Sequence[FaultCase],
    rig: Callable[[FaultCase], Rig],
    *,
    lsl: bool,
    no_network: str = "needs --network",
    numbers: Sequence[int] = (),
) -> Iterator[FaultRow]:
    """Run the cases in order of their number, a row each as it is done.

    `no_network` is why those between two hosts are not run; empty where they are.
    """
    _refuse_unknown(cases, numbers)
    for case in sorted(cases, key=lambda case: (case.number, case.lsl)):
        if numbers and case.number not in numbers:
            continue
        absent = ("" if lsl else "needs --lsl") if case.lsl else no_network if case.network else ""
        if absent:
            yield _row(case, absent, None, 0.0)
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
    mark = "N" if case.network else "L" * case.lsl
    return FaultRow(case.number, fault, expected, observed, passed, mark, round(took_s, 3))
