"""One console a folder: a further one shows the window of the first."""

import subprocess
import sys

import platformdirs
import pytest

from rtbrain.console.sole import sole_console


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_runtime_path", lambda *_, **__: tmp_path / "run")


def in_another_process(folder, run):
    """What `sole_console` says in another process: True, False, or its error."""
    code = (
        "import sys, platformdirs; from pathlib import Path\n"
        "platformdirs.user_runtime_path = lambda *a, **b: Path(sys.argv[2])\n"
        "from rtbrain.console.sole import sole_console\n"
        "try:\n"
        "    with sole_console(Path(sys.argv[1]), lambda: True) as sole: print(sole)\n"
        "except Exception as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(run)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_second_console_shows_the_window_of_the_first_and_a_later_one_is_alone(tmp_path):
    shown = []
    with sole_console(tmp_path / "s", lambda: not shown.append(1)) as sole:
        assert sole
        assert in_another_process(tmp_path / "s", tmp_path / "run") == "False"
        assert shown == [1]
        assert in_another_process(tmp_path / "other", tmp_path / "run") == "True"
    assert in_another_process(tmp_path / "s", tmp_path / "run") == "True"


def test_a_console_that_hangs_is_named_and_not_joined(tmp_path):
    with sole_console(tmp_path / "s", lambda: False):
        said = in_another_process(tmp_path / "s", tmp_path / "run")
    assert "does not answer" in said
    assert "what it started goes on" in said


def test_only_this_user_can_ask(tmp_path):
    with sole_console(tmp_path / "s", lambda: True):
        (place,) = (tmp_path / "run").iterdir()
        assert place.stat().st_mode & 0o077 == 0
        assert place.parent.stat().st_mode & 0o077 == 0
