"""`rtbrain cue`: what could harm, or tell nothing, is one line."""

import pytest

from tests.apps.program import refused


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ([], "--classes rest,speech, or a --plan"),
        (["--classes", "rest"], "classes: expected 2 or more, got rest"),
        (["--classes", "rest,go", "--block", "8:8"], "strict pace"),
        (["--classes", "rest,go", "--block", "8"], "--block 8: expected two numbers"),
        (["--classes", "rest,go", "--pause", "0.1:0.3"], "can harm"),
        (["--classes", "rest,go", "--display", "7"], "display 7: expected one of 1 to"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(flags: list[str], why: str) -> None:
    assert why in refused("cue", *flags)
