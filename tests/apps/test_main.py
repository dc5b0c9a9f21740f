"""The program as a whole: mistakes, versions, what a bundle shows, live sessions that cannot be."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock
from uuid import uuid4

import numpy as np
import pytest

import rtbrain as package
from rtbrain.outlet import SignalOutlet
from rtbrain.processes import start_detached
from rtbrain.types import Montage
from tests.apps.program import refused, rtbrain
from tests.conftest import montage_of
from tests.test_live_equals_offline import bundle_of


def test_the_version_is_told() -> None:
    assert rtbrain("--version").stdout == f"rtbrain {package.__version__}\n"


@pytest.mark.parametrize("module", ["rtbrain.apps", "rtbrain.apps.main"])
def test_a_mistake_is_one_line_and_exit_code_2_in_a_process_of_its_own(module: str) -> None:
    command = [sys.executable, "-m", module, "inspect", "no-such-bundle"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("rtbrain: no folder no-such-bundle: expected")
    assert done.stderr.count("\n") == 1


def test_debug_shows_the_traceback_of_a_mistake() -> None:
    command = [sys.executable, "-m", "rtbrain.apps", "--debug", "inspect", "no-such-bundle"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr
    assert done.returncode


@pytest.mark.parametrize(
    ("number", "library"),
    [
        (signal.SIGINT, "typer"),  # which the program itself loads
        (signal.SIGINT, "numpy"),  # which the command loads
        (signal.SIGTERM, "numpy"),
    ],
)
def test_ctrl_c_while_libraries_load_ends_quietly(
    tmp_path: Path, number: signal.Signals, library: str
) -> None:
    interrupted = (
        f"import os\nos.kill(os.getpid(), {int(number)})\nraise ImportError('half loaded')\n"
    )
    (tmp_path / f"{library}.py").write_text(interrupted)
    output, left = tmp_path / "output", tmp_path / "exit_code"
    with mock.patch.dict(os.environ, {"PYTHONPATH": str(tmp_path)}):
        child = start_detached(["streams"], tmp_path, output, left)
    assert child.wait() == 130
    assert output.read_text() == ""
    assert left.read_text() == "130"


@pytest.mark.parametrize(
    "arguments",
    [
        ("dekode",),
        ("demo", "--duration", "soon"),
        ("streams", "--timeout", "-1"),
        ("control", "nobody", "stop"),
        ("cue", "--classes", "rest"),
        ("bridge", "fieldtrip", "127.0.0.1"),
        ("demo", "--mode", "magic"),
        ("demo", "--channels", "2"),
        ("decode", "--config", "linaer"),
        ("decode",),
        ("bench", "kitchen"),
        ("loopback", "tin"),
        ("simulate", "--difficulty", "absurd"),
        ("replay", "no-such-file.vhdr"),
        ("import-checkpoint", "brainbert", "no-such.pth", "out"),
    ],
)
def test_wrong_flags_and_files_get_one_line(arguments: tuple[str, ...]) -> None:
    line = refused(*arguments)
    assert len(line) > 20
    assert not any(words in line for words in ("Value error", "Input should", "Errno", "Tuple"))


@pytest.mark.parametrize("command", [("evaluate", "bundle", "run.xdf"), ("demo",)])
def test_figures_never_replace_a_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    report = tmp_path / "there.json"
    report.write_text("of another day")
    assert "nothing was overwritten" in refused(*command, "--report", report)
    assert report.read_text() == "of another day"


def test_a_bundle_is_shown_verified(tmp_path: Path) -> None:
    bundle = bundle_of("edge", montage_of(8, 2048.0), tmp_path / "mine")
    shown = rtbrain("inspect", tmp_path / "mine").stdout
    for part in (
        "mine: verified",
        "edge",
        "rest, speech",
        "2048 Hz",
        "laplacian",
        "0.3 s before the window's end",
    ):
        assert part in shown
    assert bundle.id[:40] in shown.replace("\n", "")


def test_an_altered_bundle_is_not_shown(tmp_path: Path) -> None:
    bundle_of("linear", montage_of(8, 2048.0), tmp_path / "mine")
    with (tmp_path / "mine" / "weights.safetensors").open("ab") as file:
        file.write(b"\0")
    assert "was altered" in refused("inspect", tmp_path / "mine")


@pytest.mark.lsl
def test_a_stream_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    bundle_of("linear", montage_of(8, 2048.0), tmp_path / "mine")
    name = f"other-{uuid4().hex}"
    outlet = SignalOutlet(name, montage_of(8, 2048.0), source_id=name, origin="replay")
    settings = tmp_path / "live.yaml"
    settings.write_text(f"stream: {{name: absent-{uuid4().hex}, timeout_s: 2}}\n")
    line = refused("decode", "--config", settings, "--bundle", tmp_path / "mine")
    outlet.close()
    assert "absent-" in line
    assert name in line


@pytest.mark.lsl
@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (montage_of(8, 1000.0), "1000 Hz"),
        (montage_of(2, 2048.0), "missing A3, A4, A5"),
        (Montage(("x", "y"), ("seeg", "seeg"), 2048.0), "missing A1, A2"),
    ],
)
def test_a_stream_that_does_not_fit_the_bundle_is_refused(
    tmp_path: Path, sent: Montage, told: str
) -> None:
    bundle_of("linear", montage_of(8, 2048.0), tmp_path / "mine")
    name = f"unfit-{uuid4().hex}"
    outlet = SignalOutlet(name, sent, source_id=name, origin="replay")
    line = refused(
        "decode", "--bundle", tmp_path / "mine", "--stream", name, "--name", f"t-{uuid4().hex}"
    )
    outlet.close()
    assert told in line


def test_live_decodes_follow_labels_not_places(tmp_path: Path) -> None:
    from rtbrain.bundling import build_decoder
    from rtbrain.types import Chunk
    from tests.conftest import brain_like

    montage = montage_of(8, 2048.0)
    bundle = bundle_of("linear", montage, tmp_path / "mine")
    signal = brain_like(8, 3000, 2048.0)
    stamps = np.arange(3000) / 2048.0
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    shuffled = montage.pick([montage.names[row] for row in order])
    straight, _ = build_decoder(bundle, montage)
    rebound, _ = build_decoder(bundle, shuffled)
    np.testing.assert_array_equal(
        straight.signal(Chunk(signal, stamps)).data,
        rebound.signal(Chunk(np.ascontiguousarray(signal[order]), stamps)).data,
    )


def test_an_unexpected_error_is_one_line_unless_debug() -> None:
    code = (
        "import sys; from rtbrain.apps import main\n"
        "from rtbrain import decoder\n"
        "def broken(folder): raise ZeroDivisionError('oops')\n"
        "decoder.read_bundle = broken\n"
        "sys.argv = ['rtbrain', *sys.argv[1:]]; main.main()\n"
    )
    for debug in ((), ("--debug",)):
        command = [sys.executable, "-c", code, *debug, "inspect", "x"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == bool(debug)
        assert "ZeroDivisionError: oops" in done.stderr


def test_help_and_completion_come_without_heavy_libraries() -> None:
    code = (
        "import sys; from rtbrain.apps import main\n"
        "sys.argv = ['rtbrain', *sys.argv[1:]]\n"
        "try: main.main()\n"
        "finally: print(sorted({'torch', 'mne', 'numpy', 'PySide6', 'pylsl'} & set(sys.modules)))\n"
    )
    for flag, part in (("--help", "streams"), ("--show-completion", "complete")):
        command = [sys.executable, "-c", code, flag]
        environment = os.environ | {"SHELL": "/bin/bash"}
        done = subprocess.run(
            [*command, "bash"] if "show" in flag else command,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert part in done.stdout, done.stderr
        assert done.stdout.rstrip().endswith("[]")
