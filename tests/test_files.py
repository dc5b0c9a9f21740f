"""Files: what another command writes is left to it, and JSON is read whatever is in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtbrain.errors import SettingsError
from rtbrain.files import (
    atomic_folder,
    parse_json,
    require_new_folder,
    require_writable_file,
    write_atomically,
)

_WRITER = """
import sys
from pathlib import Path
from rtbrain.files import require_new_folder, require_writable_file
require = require_new_folder if sys.argv[1] == "folder" else require_writable_file
require(Path(sys.argv[2]), "--out")
print("writing", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that end with a process")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_of_two_writers_the_second_is_refused_until_the_first_is_gone(
    tmp_path: Path, kind: str
) -> None:
    require = require_new_folder if kind == "folder" else require_writable_file
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, kind, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"writing\n"
        (tmp_path / "here").symlink_to(tmp_path)
        for same in (out, tmp_path / "here" / "out", Path(os.path.relpath(out))):
            with pytest.raises(SettingsError, match=r"--out .*out: another rtbrain command"):
                require(same, "--out")
        require(tmp_path / "other", "--out")
        first.kill()
        first.wait()
    require(out, "--out")
    require(out, "--out")  # it is ours now
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_what_is_written_has_the_mode_that_the_umask_leaves(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "x")
        with atomic_folder(tmp_path / "folder") as part:
            (part / "in").write_text("x")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"file": file, "folder": folder, "in": file}


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff\xfe\x00", "nul"]
)
def test_what_is_no_json_is_a_value_error_however_deep(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
