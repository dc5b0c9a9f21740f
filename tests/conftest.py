"""Fixtures for all: brain-like signals, the reference folder, an isolated LSL."""

import gc
import itertools
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from rtbrain.types import Chunk, Floats, Montage

SHARED = Path(__file__).parents[2] / "shared"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["PYTEST_QT_API"] = "pyside6"
# One thread a process, set before torch is loaded: the workers of xdist share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
if hasattr(signal, "SIGHUP"):
    # Under nohup it is ignored, also by every process that a test starts.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# How long an example takes depends on what else runs here.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

LSL_SETTINGS = """
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{}}
SessionID = {session}
[ports]
IPv6 = disable
PortRange = 256
[log]
level = -1
"""


def _own_lsl_session() -> "tempfile.TemporaryDirectory[str] | None":
    """Give each pytest process, and all that it starts, an LSL session that no other hears.

    liblsl reads its settings once, when it is loaded: this runs before anything imports pylsl.
    """
    name = f"lsl-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.cfg"
    if os.environ.get("LSLAPICFG", "").endswith(name):
        return None  # a process that a test started
    folder = tempfile.TemporaryDirectory(prefix="rtbrain-tests-")
    settings = Path(folder.name) / name
    settings.write_text(LSL_SETTINGS.format(session=uuid.uuid4().hex), encoding="utf-8")
    os.environ["LSLAPICFG"] = str(settings)
    return folder


_LSL_SESSION = _own_lsl_session()  # the folder goes when the process ends


def _why_no_qt() -> str:
    """Why Qt cannot be loaded on this machine, as where libEGL is absent; empty where it can."""
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


NO_QT = _why_no_qt()
# pytest-qt ends pytest where Qt cannot be loaded: it is kept from loading itself (pyproject.toml).
pytest_plugins = [] if NO_QT else ["pytestqt.plugin"]
collect_ignore_glob = (
    ["view/*", "console/*", "apps/test_view*.py", "apps/test_cue.py"] if NO_QT else []
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the windows of a test with it, and let its garbage go in this thread, as Qt needs it.

    A window whose deletion waits for the next test of windows listens to streams till then.
    """
    if "qtbot" not in getattr(item, "fixturenames", ()):
        return (yield)
    from PySide6.QtCore import QCoreApplication, QEvent

    gc.disable()
    try:
        return (yield)
    finally:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        gc.collect(1)
        gc.enable()


def pytest_report_header() -> str:
    """Say at the top what is left out."""
    return f"the window's tests are left out: {NO_QT}" if NO_QT else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with a plain reason, what needs the reference folder where it is absent."""
    if SHARED.is_dir():
        return
    skip = pytest.mark.skip(reason="the folder of reference recordings, ../shared, is absent")
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference recordings and goldens."""
    return SHARED


def brain_like(n_channels: int, n_samples: int, sfreq_hz: float, seed: int = 0) -> Floats:
    """1/f background, mains with a harmonic, offsets: float32 [n_channels, n_samples] µV."""
    rng = np.random.default_rng(seed)
    freqs = np.fft.rfftfreq(n_samples, 1 / sfreq_hz)
    shape = np.zeros_like(freqs)
    shape[1:] = 1 / np.maximum(freqs[1:], 0.5)
    spectrum = shape * (
        rng.standard_normal((n_channels, freqs.size))
        + 1j * rng.standard_normal((n_channels, freqs.size))
    )
    signal = np.fft.irfft(spectrum, n_samples, axis=1)
    signal *= 40 / signal.std(axis=1, keepdims=True)
    t = np.arange(n_samples) / sfreq_hz
    signal += 15 * np.sin(2 * np.pi * 60 * t) + 4 * np.sin(2 * np.pi * 120 * t + 1)
    signal += rng.normal(0, 200, (n_channels, 1))
    return signal.astype(np.float32)


def wait_until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait for a condition; the pauses leave the cores to what it waits for."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def montage_of(n_channels: int, sfreq_hz: float, kind: str = "seeg") -> Montage:
    """Contacts A1, A2, ... B1, ... eight a shaft, with positions."""
    names = tuple(f"{chr(65 + i // 8)}{i % 8 + 1}" for i in range(n_channels))
    rng = np.random.default_rng(n_channels)
    positions = rng.integers(50, 200, (n_channels, 3)).astype(np.float32)
    return Montage(names, (kind,) * n_channels, sfreq_hz, positions, "LIP voxels")


def cut(data: Floats, sizes: list[int], sfreq_hz: float, start_s: float = 100.0) -> list[Chunk]:
    """Chunks of these sizes (the last takes the rest), stamped from `start_s`."""
    edges = [0]
    for size in sizes:
        edges.append(min(edges[-1] + size, data.shape[1]))
    edges.append(data.shape[1])
    stamps = start_s + np.arange(data.shape[1]) / sfreq_hz
    return [
        Chunk(np.ascontiguousarray(data[:, a:b]), stamps[a:b], a)
        for a, b in itertools.pairwise(edges)
    ]
