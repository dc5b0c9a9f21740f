"""The shape of the package itself: who imports whom, what is loaded when, how long files are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NO_QT

ROOT = Path(__file__).parents[1]
ROOMS = {"stream", "signal", "buffer", "spectrogram", "encoder", "decoder", "outlet", "view"}
CORE = {"types", "errors", "stage"}
MAY_IMPORT = {
    "types": {"errors"},
    "errors": set(),
    "stage": {"types", "errors"},
    "config": {"errors"},
    "pipeline": CORE,
    "build": CORE | (ROOMS - {"view"}) | {"config", "pipeline", "bundling", "chaining"},
    "chaining": CORE | {"config", "signal"},
    "bundling": CORE | {"config", "decoder", "encoder", "pipeline", "spectrogram"},
    "view": CORE | {"stream", "buffer", "spectrogram"},
    "offline": CORE | (ROOMS - {"outlet", "view"}),
    "__init__": CORE,
} | dict.fromkeys(ROOMS - {"view"}, CORE)
HOME = {
    "pylsl": {"stream", "outlet", "view"},
    "torch": {"spectrogram", "encoder", "decoder", "offline"},
    "PySide6": {"view"},
    "pyqtgraph": {"view"},
    "mne": {"stream", "offline"},
    "mne_realtime": {"stream"},
}
SOURCES = sorted((ROOT / "rtbrain").rglob("*.py"))
ALL_FILES = sorted(
    path
    for folder in ("rtbrain", "apps", "tests", "configs")
    for path in (ROOT / folder).rglob("*.py")
)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "rtbrain").parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Names of imported modules, and whether at the top level of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", id(node) in top))
            if node.module == "rtbrain":
                found += [(f"rtbrain.{alias.name}", id(node) in top) for alias in node.names]
    return found


def offences(path: Path) -> Iterator[str]:
    """What this source imports and may not."""
    room = room_of(path)
    for name, at_top in imports_of(path):
        parts = name.split(".")
        allowed = MAY_IMPORT[room] | {"__version__", room}
        if parts[0] == "rtbrain" and len(parts) > 1 and parts[1] not in allowed:
            yield f"{path}: {room} may not import {name}"
        if parts[0] in HOME and room not in HOME[parts[0]]:
            yield f"{path}: {name} has another home than {room}"
        if at_top and parts[0] in {"mne", "mne_realtime"}:
            yield f"{path}: {name} is imported inside functions only"


def test_a_room_imports_only_what_it_may() -> None:
    assert not [offence for path in SOURCES for offence in offences(path)]


def test_types_and_errors_need_only_numpy_and_the_standard_library() -> None:
    for name in ("types", "errors"):
        for module, _ in imports_of(ROOT / "rtbrain" / f"{name}.py"):
            top = module.split(".")[0]
            assert top in {"numpy", "rtbrain"} or top in sys.stdlib_module_names


def imported_at_top(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports as it is loaded, its own folder's apart."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_a_command_is_cheap_to_import() -> None:
    heavy = {"torch", "mne", "PySide6", "pyqtgraph", "scipy", "sklearn", "pylsl", "numpy"}
    assert not [
        f"{path.name} imports {name}"
        for path in sorted((ROOT / "apps").glob("*.py"))
        for name in imported_at_top(path)
        if name.split(".")[0] in heavy
    ]


@pytest.mark.parametrize(
    "command", [["-c", "import rtbrain"], ["-m", "rtbrain.apps.main", "--help"]]
)
def test_help_and_import_load_neither_torch_nor_mne_nor_qt(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "rtbrain" in loaded
    assert not loaded & {"torch", "mne", "mne_realtime", "PySide6", "pyqtgraph", "sklearn"}


def test_importing_what_runs_live_does_not_load_mne() -> None:
    code = "import sys, rtbrain.build; sys.exit('mne' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_file_is_over_350_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ALL_FILES}
    assert not {str(path): length for path, length in lengths.items() if length > 350}


def test_the_top_level_holds_only_what_is_agreed() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in done.stdout.splitlines()}
    agreed = {"rtbrain", "apps", "tests", "configs", "pyproject.toml", "README.md"}
    assert {top for top in tops if not top.startswith(".")} <= agreed


def test_the_window_can_be_tested_here() -> None:
    if NO_QT:
        pytest.skip(f"{NO_QT}: apt-get install libegl1 libgl1 libxkbcommon0, then run again")
    assert "PySide6.QtWidgets" in sys.modules
