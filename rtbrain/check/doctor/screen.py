"""Checks in a terminal: one line each, and one more of what to do."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from rtbrain.check.doctor.checks import Check
from rtbrain.errors import printable
from rtbrain.view.texts import say

_SIGNS = {
    "fix": ("\u2716", "bold red"),
    "look": ("\u25b2", "yellow"),
    "checking": ("\u25cc", "dim"),
    "unchecked": ("\u25cc", "dim"),
    "fine": ("\u2714", "green"),
    "know": ("i", "dim"),
}
_NAME_CHARS = 10


def print_checks(checks: Sequence[Check]) -> None:
    """Print checks, and how many must be fixed and looked at."""
    console = Console(highlight=False, soft_wrap=True)
    for check in checks:
        sign, style = _SIGNS[check.state]
        line = Text(f"{sign} {check.name:{_NAME_CHARS}} ", style=style)
        line.append(printable(check.finding), style="default")
        console.print(line)
        if check.advice and check.state in ("fix", "look"):
            console.print(Text(" " * (_NAME_CHARS + 3) + printable(check.advice), style="dim"))
    n_fix, n_look = (sum(one.state == state for one in checks) for state in ("fix", "look"))
    console.print(say("doctor.summary", fix=n_fix, look=n_look))
