"""Feed damaged input to everything that reads what others wrote; see that it is only refused."""

import multiprocessing
import resource
import signal
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rtbrain.check.fuzz.mutate import Files, mutate
from rtbrain.check.fuzz.targets import TARGETS, Target, resign
from rtbrain.errors import RtbrainError, SettingsError, one_line
from rtbrain.processes import end_with_parent, scratch_folder
from rtbrain.terminal import table

MAX_BYTES = 100 * 2**20  # of memory, over the size of the input
MAX_SECONDS = 5.0
# Of addresses, not of memory in use: a bomb stops here before the machine suffers.
_MAX_ADDRESSES = 2**30
_DEAD_AFTER_S = 120.0  # also for loading the libraries


@dataclass
class FuzzResult:
    """What became of the inputs of a target."""

    target: str
    n_inputs: int = 0
    n_accepted: int = 0
    n_refused: int = 0
    slowest_s: float = 0.0
    most_bytes: int = 0
    failures: list[str] = field(default_factory=list)


class _TooLongError(BaseException):
    """Not an `Exception`: nothing that is tried catches it."""


def run_fuzz(
    console: Console,
    targets: Sequence[str],
    n_inputs: int,
    *,
    seed: int = 0,
    keep: Path | None = None,
) -> list[FuzzResult]:
    """Try damaged inputs, and print what became of them.

    A failure is a crash, an error that is no `RtbrainError`, more than 5 s, or more than 100 MiB of
    memory over the size of the input. Its input goes to the folder `keep`; the same seed and number
    make the same one.

    Raises
    ------
    SettingsError
        There is no such target.
    """
    unknown = [name for name in targets if name not in TARGETS]
    if unknown:
        raise SettingsError(f"no target {unknown[0]!r}: there are {', '.join(TARGETS)}")
    results = []
    with Progress(console=console, transient=True) as progress:
        for name in targets or TARGETS:
            bar = progress.add_task(name, total=n_inputs)
            with scratch_folder("rtbrain-fuzz-") as folder:
                for result in _outcomes(name, n_inputs, seed, folder, keep):
                    progress.update(bar, completed=result.n_inputs)
            results.append(result)
    console.print(_table(results, seed))
    for result in results:
        for failure in result.failures:
            console.print(f"{result.target}, {failure}", markup=False, highlight=False)
    return results


def _outcomes(
    name: str, n_inputs: int, seed: int, folder: Path, keep: Path | None
) -> Iterator[FuzzResult]:
    """Try inputs in a child, and in another after one that ended it; the result as it grows."""
    sound = TARGETS[name].make(folder)
    read_sound(name, sound, folder / "sound")  # what this process claims, its child cannot
    result = FuzzResult(name)
    context = multiprocessing.get_context("spawn")
    while result.n_inputs < n_inputs:
        ours, theirs = context.Pipe(duplex=False)
        numbers = range(result.n_inputs, n_inputs)
        child = context.Process(
            target=_try_all, args=(theirs, name, sound, numbers, seed, folder, keep), daemon=True
        )
        child.start()
        theirs.close()
        try:
            while (outcome := _answer(ours)) is not None:
                _count(result, *outcome)
                yield result
        finally:
            child.kill()
            child.join()
        if result.n_inputs < n_inputs:
            why = f"the process ended with code {child.exitcode}, or did not answer"
            _count(result, False, 0.0, 0, f"input {result.n_inputs}: {why}")


def read_sound(name: str, sound: Sequence[Files], folder: Path) -> None:
    """Read the sound inputs; an error if one is refused."""
    for files in sound:
        _write(folder, files)
        TARGETS[name].use(folder, files)


def _answer(answers: Connection) -> tuple[bool, float, int, str] | None:
    if not answers.poll(_DEAD_AFTER_S):
        return None
    try:
        outcome: tuple[bool, float, int, str] = answers.recv()
    except EOFError:
        return None
    return outcome


def _count(result: FuzzResult, accepted: bool, seconds: float, n_bytes: int, failure: str) -> None:
    result.n_inputs += 1
    result.n_accepted += accepted
    result.n_refused += not accepted and not failure
    result.slowest_s = max(result.slowest_s, seconds)
    result.most_bytes = max(result.most_bytes, n_bytes)
    if failure:
        result.failures.append(failure)


def _try_all(
    answers: Connection,
    name: str,
    sound: Sequence[Files],
    numbers: range,
    seed: int,
    folder: Path,
    keep: Path | None,
) -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        end_with_parent(parent.pid)  # which may be gone by now
    read_sound(name, sound, folder / "input")  # the first time is slow
    own = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (own + _MAX_ADDRESSES, resource.RLIM_INFINITY))
    for number in numbers:
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        files = _damaged(sound, rng)
        outcome = try_input(TARGETS[name], folder / "input", files, number)
        if outcome[3] and keep is not None:
            _write(keep / f"{name}-{seed}-{number}", files)
        answers.send(outcome)


def _damaged(sound: Sequence[Files], rng: np.random.Generator) -> Files:
    whole = sound[int(rng.integers(len(sound)))]
    damaged = dict(whole)
    name = sorted(damaged)[int(rng.integers(len(damaged)))]
    damaged[name] = mutate(damaged[name], rng)
    if rng.integers(2):
        resign(damaged, whole)
    return damaged


def try_input(
    target: Target, folder: Path, files: Files, number: int
) -> tuple[bool, float, int, str]:
    """Whether an input was accepted, what it took, and why that is a failure, if it is one."""
    _write(folder, files)
    before = _reset_peak()
    began = time.process_time()  # what else runs here does not count
    accepted, failure = False, ""
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    try:
        target.use(folder, files)
        accepted = True
    except RtbrainError:
        pass
    except _TooLongError:
        failure = f"more than {MAX_SECONDS:g} s"
    except BaseException as error:  # noqa: BLE001  what a user would see as a traceback
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        failure = f"{type(error).__name__}: {one_line(error):.200} ({place})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    seconds, n_bytes = time.process_time() - began, max(0, _peak() - before)
    size = sum(map(len, files.values()))
    if not failure and n_bytes > MAX_BYTES + size:
        failure = f"{n_bytes / 2**20:.0f} MiB for an input of {size} bytes"
    return accepted, seconds, n_bytes, f"input {number}: {failure}" if failure else ""


def _give_up(number: int, frame: object) -> None:
    raise _TooLongError


def _write(folder: Path, files: Files) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _reset_peak() -> int:
    """Set the peak of the memory in use back to what is in use now, and return it, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _table(results: Sequence[FuzzResult], seed: int) -> Table:
    return table(
        f"damaged inputs, seed {seed}",
        ("target", "inputs", "accepted", "refused", "slowest, CPU s", "most MiB", "failures"),
        [
            (
                result.target,
                str(result.n_inputs),
                str(result.n_accepted),
                str(result.n_refused),
                f"{result.slowest_s:.2f}",
                f"{result.most_bytes / 2**20:.1f}",
                str(len(result.failures)),
            )
            for result in results
        ],
    )
