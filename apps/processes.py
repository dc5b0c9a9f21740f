"""Other commands of rtbrain as processes of a command."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_END_S = 5.0


@contextmanager
def running_command(arguments: Sequence[str], log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run `rtbrain ...` until the block ends.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line.
    log : Path
        Where its words go.
    """
    command = [sys.executable, "-m", "rtbrain.apps.main", *arguments]
    with log.open("wb") as words:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=words, stderr=words, stdin=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_words(log: Path) -> str:
    """Last line that a process wrote."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")
