"""The program `rtbrain` called in this process, as its console script calls it."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from rtbrain.apps.main import main


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def rtbrain(*arguments: object) -> Done:
    """Run a command and give its exit code and words."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["rtbrain", *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def refused(*arguments: object) -> str:
    """The one line that a command says when it refuses with exit code 2."""
    done = rtbrain(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("rtbrain: ")]
    return line
