"""The shape of the package itself: who imports whom, what is loaded when, how long files are."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import NO_QT

ROOT = Path(__file__).parents[1]
# Imports go downward only. Within a level they may go sideways, but for APART.
LEVELS = (
    "types marks errors units channels files processes extras terminal stream_names",
    "stage config amplitude mne_info polyphase synthetic configs",
    "signal buffer spectrogram encoder decoder detect outlet stream",
    "recording pipeline bundling build",
    "live view",
    "learn learn.cue_plan learn.detection learn.drift learn.embed learn.fit learn.held_out "
    "learn.intervals learn.metrics learn.nulls learn.presets learn.recorded learn.report "
    "learn.snapshots learn.verdict",
    "learn.evaluate learn.refit learn.corpus learn.objectives learn.training "
    "check check.faults check.fuzz check.demo check.loopback check.trigger_device",
    "learn.probe learn.leaderboard learn.interpret learn.session check.bench check.doctor console",
    "check.compile",
    "apps",
)
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts.split()}
APART = (
    *({one, other} for one in LEVELS[2].split() for other in LEVELS[2].split() if one != other),
    {"live", "view"},
    {"view", "build"},
)
# These import by name, when used: commands, the public API, encoders, readers of files, kinds of
# streams, parts of the bench, optional packages.
LAZY = {
    "apps.__main__",
    "apps.main",
    "rtbrain",
    "rtbrain.encoder",
    "rtbrain.extras",
    "rtbrain.check.bench.run",
    "rtbrain.learn.fit.run",
    "rtbrain.live.source",
    "rtbrain.recording.open",
}
BY_NAME = {"importlib.import_module", "import_module", "__import__"}
# Optional packages, and what Windows lacks: imported inside functions.
OPTIONAL = {"edfio", "fontpkg", "h5py", "mne_lsl", "nncf", "openvino", "pybv", "pynwb", "pyxdf"}
OPTIONAL |= {"pandas", "resource", "termios", "tty"}
# Only these parts load them, so that nothing else waits for them.
HOME = {
    "PySide6": {"view", "console", "check.bench"},
    "pyqtgraph": {"view", "console", "check.bench"},
    "mne": {"mne_info", "recording", "check.faults"},
    "mne_realtime": {"stream", "check.faults"},
}
CATALOGUES = {"apps", "rtbrain/learn/objectives", "rtbrain/check/faults"}
MAX_LINES, MAX_COMMAND_LINES, MAX_FILES, MAX_APPS_SHARE = 350, 150, 15, 0.06


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PRODUCT = {name_of(p): p for top in ("rtbrain", "apps") for p in sorted((ROOT / top).rglob("*.py"))}
TESTS = {name_of(path): path for path in sorted((ROOT / "tests").rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((PRODUCT | TESTS)[module].read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Modules that an import statement names; of the product as in PRODUCT."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        inner = [f"{module}.{alias.name}" for alias in node.names]
        names = [name if product(name) in PRODUCT else module for name in inner]
    else:
        return
    yield from map(product, names)


def product(name: str) -> str:
    return name.replace("rtbrain.apps", "apps", 1)


def part_of(module: str) -> str:
    """The part of the layout that a module belongs to, such as signal or learn.fit."""
    parts = module.removeprefix("rtbrain.").split(".")
    return ".".join(parts[:2]) if parts[0] in {"learn", "check"} else parts[0]


@cache
def imports(module: str) -> frozenset[str]:
    """All modules that one imports, wherever in the file."""
    return frozenset(name for node in ast.walk(tree(module)) for name in imported(node))


def inside_functions(module: str) -> Iterator[ast.AST]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (inner for inner in ast.walk(node) if inner is not node)


def test_imports_go_downward_only() -> None:
    wrong = []
    for module in PRODUCT.keys() - {"rtbrain"}:
        part = part_of(module)
        if part not in LEVEL_OF:
            wrong.append(f"{module}: its level is not agreed")
            continue
        for name in imports(module) & PRODUCT.keys() - {"rtbrain"}:
            other = part_of(name)
            upward = LEVEL_OF.get(other, 0) > LEVEL_OF[part]
            if upward or {part, other} in APART:
                wrong.append(f"{module} imports {name}")
    assert not sorted(set(wrong))


def test_no_module_imports_itself_through_others() -> None:
    waiting = {
        module: {n for node in tree(module).body for n in imported(node)} & PRODUCT.keys()
        for module in PRODUCT
    }
    while free := [module for module, names in waiting.items() if not names]:
        for module in free:
            del waiting[module]
        for names in waiting.values():
            names.difference_update(free)
    assert not waiting, "these are in a cycle, or import one"


def test_imports_are_at_the_top_but_for_optional_packages_and_lazy_tables() -> None:
    wrong = []
    for module in PRODUCT:
        for node in inside_functions(module):
            names = [
                name
                for name in imported(node)
                if name.split(".")[0] not in OPTIONAL
                and not name.startswith("torch.utils.tensorboard")  # an extra, though torch's
            ]
            wrong += [f"{module} imports {name} inside a function" for name in names]
            by_name = isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME
            if by_name and module not in LAZY:
                wrong.append(f"{module} imports by name: use rtbrain.extras.load_extra")
        if "TYPE_CHECKING" in PRODUCT[module].read_text(encoding="utf-8"):
            wrong.append(f"{module} has imports for type checking alone")
    assert not sorted(set(wrong))


def test_heavy_packages_are_loaded_only_at_home() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in PRODUCT
        for name in imports(module)
        if part_of(module) not in HOME.get(name.split(".")[0], {part_of(module)})
    ]
    assert not sorted(wrong)


def test_types_and_errors_need_only_numpy_and_the_standard_library() -> None:
    for module in ("rtbrain.types", "rtbrain.errors"):
        tops = {name.split(".")[0] for name in imports(module)}
        assert tops <= {"numpy", "rtbrain"} | sys.stdlib_module_names


def test_only_packages_list_their_public_names() -> None:
    wrong = []
    for module, path in PRODUCT.items():
        lists = any(
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for node in tree(module).body
        )
        if lists and path.name != "__init__.py":
            wrong.append(module)
    assert not wrong


@pytest.mark.parametrize("command", [["-c", "import rtbrain"], ["-m", "rtbrain.apps", "--help"]])
def test_help_and_import_load_neither_torch_nor_mne_nor_qt(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "rtbrain" in loaded
    assert not loaded & {"torch", "mne", "mne_realtime", "PySide6", "pyqtgraph", "sklearn"}


def test_what_decodes_without_an_encoder_loads_neither_torch_nor_mne_nor_what_fits() -> None:
    code = """
import sys, numpy as np
import rtbrain.apps.decode, rtbrain.live.source, rtbrain.live.record
from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings
from rtbrain.types import Chunk, Montage
recipe = load_settings("linear", Recipe)
names = tuple(f"A{number}" for number in range(1, 5))
montage = Montage(names, ("seeg",) * 4, 2048.0)
pipeline = build_feature_pipeline(recipe, montage)
data = np.random.default_rng(0).normal(0, 10, (4, 12_000)).astype(np.float32)
(*_, last) = pipeline.cut(Chunk(data, np.arange(12_000) / 2048, 0))
assert pipeline.encode(last).population.size == pipeline.n_features
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "mne", "mne_realtime", "sklearn", "matplotlib", "pandas", "PySide6"}
    assert not heavy & set(done.stdout.split())


def test_no_file_is_too_long() -> None:
    limits = {
        path: MAX_COMMAND_LINES
        if path.parent.name == "apps" and path in PRODUCT.values()
        else MAX_LINES
        for path in (*PRODUCT.values(), *TESTS.values())
    }
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in limits}
    assert not {str(path): n for path, n in lengths.items() if n > limits[path]}


def test_commands_are_a_small_part_of_the_product() -> None:
    lengths = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in PRODUCT.items()}
    commands = sum(length for module, length in lengths.items() if module.startswith("apps"))
    assert commands <= MAX_APPS_SHARE * sum(lengths.values())


def test_no_folder_is_too_full() -> None:
    folders = [path.parent for path in PRODUCT.values() if path.name != "__init__.py"]
    counts = {str(folder.relative_to(ROOT)): folders.count(folder) for folder in set(folders)}
    assert not {f: n for f, n in counts.items() if n > MAX_FILES and f not in CATALOGUES}


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {module for module, path in PRODUCT.items() if path.name == "__init__.py"}
    agreed = {name if name.startswith("rtbrain") else f"rtbrain.{name}" for name in found}
    assert set(listed) == agreed | {"rtbrain.configs"}


def test_every_painter_ends_with_its_block_whatever_fails() -> None:
    # One that stays active after an error in a picture ends the whole window.
    open_ended = [
        f"{module}:{node.lineno}"
        for module, path in PRODUCT.items()
        if "QPainter(" in path.read_text()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Assign) and "QPainter(" in ast.unparse(node.value)
    ]
    assert not open_ended


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
