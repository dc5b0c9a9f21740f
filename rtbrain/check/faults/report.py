"""What the matrix of faults shows: a table on the screen, in the documentation, or JSON."""

import dataclasses
import platform
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

from rich.table import Table
from rich.text import Text

import rtbrain
from rtbrain.check.faults.peers import PeerObservation
from rtbrain.files import strict_json, write_atomically
from rtbrain.terminal import table

_MAX_CHARS = 400
_VERDICTS = {True: "pass", False: "FAIL", None: "not run"}
_STYLES = {True: "green", False: "bold red", None: "dim"}


@dataclasses.dataclass(frozen=True, slots=True)
class FaultRow:
    """A line of the matrix."""

    number: int
    fault: str
    expected: str
    observed: str
    passed: bool | None
    mark: str  # N between two hosts, L over LSL
    took_s: float

    @property
    def label(self) -> str:
        """Number of the fault, and L or N."""
        return f"{self.number} {self.mark}".strip()

    @property
    def verdict(self) -> str:
        """Whether it passed, in words."""
        return _VERDICTS[self.passed]


def fault_table(rows: Sequence[FaultRow]) -> Table:
    """Table of the rows, for a terminal."""
    return table(
        "faults at the bedside",
        ("#", "fault", "expected", "observed", ""),
        [
            (
                row.label,
                row.fault,
                row.expected,
                row.observed,
                Text(row.verdict, _STYLES[row.passed]),
            )
            for row in rows
        ],
        n_names=4,
        lines=True,
    )


def write_rows(file: Path, rows: Sequence[FaultRow | PeerObservation]) -> None:
    """Write the rows as JSON, with the versions that they were observed with."""
    content = {
        "rtbrain": rtbrain.__version__,
        "python": platform.python_version(),
        "platform": platform.system(),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    write_atomically(file, strict_json(content))


def write_markdown(file: Path, rows: Sequence[FaultRow]) -> None:
    """Put the rows in the place of the first table of a Markdown file, or write them alone."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    before, _, rest = text.partition("| # |")
    after = "".join(dropwhile(lambda line: line.startswith("|"), ("|" + rest).splitlines(True)))
    lines = [
        f"| {row.label} | {_cell(row.fault)} | {_cell(row.observed)} | {row.verdict} |"
        for row in rows
    ]
    head = ["| # | fault | observed | |", "| --- | --- | --- | --- |"]
    write_atomically(file, before + "\n".join([*head, *lines]) + "\n" + after)


def _cell(text: str) -> str:
    """Text as it stands in a cell of Markdown, cut where it is long."""
    shown = text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 3]}..."
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
