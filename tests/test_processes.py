"""Child commands, when to stop, and how far LSL sees."""

import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import psutil
import pytest

from rtbrain.errors import RtbrainError
from rtbrain.processes import (
    END_SIGNALS,
    at_low_priority,
    end_with_parent,
    last_line,
    private_lsl_session,
    require_running,
    resident_kib,
    running_command,
    stop_after,
    stop_on_signals,
    use_lsl_scope,
)


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    numbers = END_SIGNALS
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_command_that_has_ended_is_refused_with_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "inspect.log"
    with running_command(["inspect", str(tmp_path / "none")], log) as process:
        process.wait(60)
        with pytest.raises(RtbrainError, match=r"^inspect ended early: .*none") as caught:
            require_running({log: process})
    assert last_line(log) in str(caught.value)


def test_a_command_ends_with_its_block(tmp_path: Path) -> None:
    with running_command(["simulate", "--wait"], tmp_path / "log") as process:
        require_running({tmp_path / "log": process})
    assert process.poll() is not None


def test_a_loop_stops_after_its_duration_by_the_clock_or_sooner() -> None:
    now, asked = [5.0], [False]
    stop = stop_after(lambda: asked[0], 2.0, lambda: now[0])
    assert not stop()
    now[0] = 6.9
    assert not stop()
    asked[0] = True
    assert stop()
    asked[0] = False
    now[0] = 7.0
    assert stop()


def test_a_loop_without_a_duration_stops_only_when_asked() -> None:
    asked = [False]
    stop = stop_after(lambda: asked[0], None, lambda: 1e9)
    assert not stop()
    asked[0] = True
    assert stop()


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_signal_is_a_request_to_stop(number: int, signal_handlers: None) -> None:
    stop = stop_on_signals()
    assert not stop()
    signal.raise_signal(number)
    assert stop()


# Starts a child with a scratch folder, says where they are, and waits.
_PARENT = """
import sys, time
from rtbrain.processes import interrupt_on_signals, scratch_folder, start_child
interrupt_on_signals()
code = "from rtbrain.processes import end_with_parent as e; import time; e(); time.sleep(60)"
with scratch_folder("rtbrain-test-") as folder:
    child = start_child([sys.executable, "-c", code])
    try:
        (folder / "open.log").write_text("x")
        print(child.pid, folder, flush=True)
        time.sleep(60)
    finally:
        if sys.argv[1] != "forget":
            child.terminate()
"""
WITHIN_S = 20.0


@pytest.mark.parametrize("number", [*END_SIGNALS, signal.SIGKILL])
@pytest.mark.parametrize("how", ["tidy", "forget"])
def test_no_child_and_no_scratch_folder_outlive_their_process(
    number: signal.Signals, how: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        child, scratch = int(pid), Path(folder.decode())
        assert psutil.pid_exists(child)
        assert scratch.is_dir()
        process.send_signal(number)
        process.wait(WITHIN_S)
    end = time.monotonic() + WITHIN_S
    while psutil.pid_exists(child) or scratch.exists():
        assert time.monotonic() < end


def test_a_process_without_a_parent_to_heed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = threading.active_count()
    end_with_parent()
    assert threading.active_count() == before


def test_what_a_nohup_ignores_stays_ignored(signal_handlers: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = stop_on_signals()
    signal.raise_signal(signal.SIGHUP)
    assert not stop()


def test_a_private_lsl_session_is_new_each_time_and_leaves_what_the_user_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Path(str(resources.files("rtbrain.configs"))) / "lsl-machine.cfg"
    monkeypatch.setenv("LSLAPICFG", str(ours))
    seen = []
    for _ in range(2):
        with private_lsl_session(tmp_path):
            seen.append(Path(os.environ["LSLAPICFG"]).read_text())
    assert os.environ["LSLAPICFG"] == str(ours)
    assert seen[0] != seen[1]
    assert all(text.startswith(ours.read_text()) and "SessionID = " in text for text in seen)
    monkeypatch.setenv("LSLAPICFG", "/etc/lsl.cfg")
    with private_lsl_session(tmp_path):
        assert os.environ["LSLAPICFG"] == "/etc/lsl.cfg"


def test_the_scope_of_the_settings_gives_way_to_that_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LSLAPICFG", raising=False)
    use_lsl_scope("link")
    assert os.environ["LSLAPICFG"].endswith("lsl-link.cfg")
    use_lsl_scope("site")
    assert os.environ["LSLAPICFG"].endswith("lsl-site.cfg")
    monkeypatch.setenv("LSLAPICFG", "/etc/lsl.cfg")
    use_lsl_scope("machine")
    assert os.environ["LSLAPICFG"] == "/etc/lsl.cfg"


def test_resident_memory_grows_by_what_the_process_holds() -> None:
    before_kib = resident_kib()
    # Mapped, since numpy may be given memory that this process freed and still holds.
    with mmap.mmap(-1, 64 << 20) as held:
        np.frombuffer(held, np.uint8)[:] = 1
        assert 60_000 < resident_kib() - before_kib < 80_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority")
def test_what_runs_at_low_priority_gives_way_and_the_rest_of_the_process_does_not() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []
    at_low_priority(
        lambda: found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    )
    assert found == [19]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.skipif(os.name != "posix", reason="Windows does not replace processes")
def test_a_process_that_becomes_another_module_still_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text(
        "import sys, time\nfrom rtbrain.processes import end_with_parent\nend_with_parent()\n"
        "print(*sys.argv[1:], 'rtbrain.terminal' in sys.modules, flush=True)\ntime.sleep(60)\n"
    )
    first = (
        "import rtbrain.terminal; from rtbrain.processes import become, end_with_parent\n"
        "end_with_parent(); become('later', 'a b')"
    )
    parent = (
        "import sys; from rtbrain.processes import start_child\n"
        f"child = start_child([sys.executable, '-c', {first!r}])\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        child = psutil.Process(int(process.stdout.readline()))
        assert process.stdout.readline() == "a b False\n"
        process.kill()
        child.wait(30)
