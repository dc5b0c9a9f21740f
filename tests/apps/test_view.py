"""`rtbrain view`: flags, pictures without a screen, and a contact marked bad at the decoder."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from rtbrain.apps import view

from rtbrain.errors import MontageError, SettingsError
from rtbrain.types import Chunk, Times
from rtbrain.view.marks import MarkOutlet
from tests.conftest import brain_like, montage_of
from tests.stream.receiving import lsl_source
from tests.test_live_equals_offline import bundle_of

SFREQ_HZ = 2048.0
_PROGRAM = "import typer; from rtbrain.apps import view; typer.run(view.command)"


def refused(**flags: object) -> str:
    with pytest.raises(SettingsError) as error:
        view.command(
            **{"headless_png": None, "theme": None, "after": 1.0, "size": "1280x800"} | flags
        )
    return str(error.value)


@contextmanager
def running(*command: str, **kwargs: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *command], **kwargs)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("size", ["", "1280", "1280x", "ax800", "10x10", "1280x100000", "-1x800"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    assert "--size" in refused(size=size)


def test_without_a_display_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert refused().startswith("no display: use --headless-png")


def test_a_folder_that_is_not_there_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    assert "no folder" in refused(headless_png=tmp_path / "none" / "a.png")


def test_settings_of_another_kind_are_refused() -> None:
    with pytest.raises(SettingsError):
        view.command(config="edge", size="1280x800", headless_png=None)


def test_the_view_goes_through_the_decoders_own_stages() -> None:
    montage = montage_of(16, SFREQ_HZ)
    stamps: Times = np.arange(4096) / SFREQ_HZ
    chunk = Chunk(brain_like(16, 4096, SFREQ_HZ), stamps)
    assert view.build_display_chain("none", None, montage)(chunk) is chunk
    car = view.build_display_chain("car", None, montage)(chunk).data
    np.testing.assert_allclose(car, chunk.data - chunk.data.mean(axis=0), atol=1e-2)
    assert view.build_display_chain("bipolar", 60.0, montage).montage.n_channels == 14
    notched = view.build_display_chain("none", 60.0, montage)(chunk).data[:, 2048:]
    at = np.abs(np.fft.rfft(notched, axis=1))[:, 60]
    assert (at < 0.1 * np.abs(np.fft.rfft(chunk.data[:, 2048:], axis=1))[:, 60]).all()
    with pytest.raises(MontageError):
        view.build_display_chain("laplacian", None, montage_of(1, SFREQ_HZ))


@pytest.mark.lsl
@pytest.mark.parametrize(("size", "theme"), [("1024x640", "dark"), ("3840x2160", "light")])
def test_a_picture_is_taken_without_a_screen(tmp_path: Path, size: str, theme: str) -> None:
    from PySide6.QtGui import QImage

    path = tmp_path / "a.png"
    name = f"none-{uuid4().hex}"
    flags = ("--stream", name, "--headless-png", str(path), "--after", "0.5", "--size", size)
    environment = {key: value for key, value in os.environ.items() if key != "QT_QPA_PLATFORM"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *flags, "--theme", theme],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    picture = QImage(str(path))
    assert f"{picture.width()}x{picture.height()}" == size
    assert (picture.pixelColor(picture.width() // 2, 5).lightness() > 128) == (theme == "light")


@pytest.mark.lsl
def test_sigterm_closes_the_window_with_exit_code_0() -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    name = f"view-{uuid4().hex}"
    program = "import rtbrain.view.window as w\nf = w.MainWindow._poll\n"
    program += "w.MainWindow._poll = lambda self: (print('up', flush=True), f(self))[1]\n"
    with running(
        "-c", program + _PROGRAM, "--stream", name, env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        assert process.wait(30) == 0


@pytest.mark.lsl
def test_a_contact_marked_bad_lowers_the_decoders_coverage(tmp_path: Path) -> None:
    montage = montage_of(8, SFREQ_HZ)
    bundle_of("linear", montage, tmp_path / "bundle")
    name, source_id = f"marks-{uuid4().hex}", uuid4().hex
    settings = tmp_path / "live.yaml"
    settings.write_text(
        f"stream: {{name: {name}, manual_marks: {name}-marks, timeout_s: 30}}\n"
        f"outlet: {{name: {name}}}\n"
    )
    sender = ("-m", "tests.stream.sender", name, source_id, "0", "2048")
    flags = ("--config", str(settings), "--bundle", str(tmp_path / "bundle"))
    labels = ",".join(montage.names)
    with (
        running(*sender, labels, stdout=subprocess.DEVNULL),
        running("-m", "rtbrain.apps.main", "decode", *flags, stderr=subprocess.DEVNULL),
    ):
        decodes = lsl_source(name=f"{name}-decode", timeout_s=60)
        marks = MarkOutlet(name)
        coverage_row = decodes.montage.names.index("coverage")

        def until(expected: float, meanwhile: Callable[[], None] = lambda: None) -> None:
            coverage = float("nan")
            while coverage != pytest.approx(expected):
                meanwhile()
                chunk = decodes.pull(20)
                assert chunk is not None
                assert chunk.n_samples, f"no decodes; coverage was {coverage}"
                coverage = float(chunk.data[coverage_row, -1])

        until(1.0)
        # The Laplacian leaves 6 of the 8.
        until(5 / 6, lambda: marks.mark_contact("A3", True))
        until(1.0, lambda: marks.mark_contact("A3", False))
        decodes.close()
