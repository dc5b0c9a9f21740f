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
import pylsl
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


def picture_of(tmp_path: Path, *flags: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Take a picture in a process without a screen."""
    path = tmp_path / "a.png"
    environment = {key: value for key, value in os.environ.items() if key != "QT_QPA_PLATFORM"}
    done = subprocess.run(
        [sys.executable, "-m", "rtbrain.apps", "view", "--headless-png", str(path), *flags],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, path


@pytest.mark.lsl
def test_a_picture_is_taken_without_a_screen(tmp_path: Path) -> None:
    from PySide6.QtGui import QImage

    name, labels = f"amp-{uuid4().hex}", ",".join(montage_of(4, SFREQ_HZ).names)
    sender = ("-m", "tests.stream.sender", name, uuid4().hex, "0", "2048", labels)
    with running(*sender, stdout=subprocess.DEVNULL):
        flags = ("--stream", name, "--after", "8", "--size", "3840x2160", "--theme", "light")
        done, path = picture_of(tmp_path, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    picture = QImage(str(path))
    assert (picture.width(), picture.height()) == (3840, 2160)
    # Between the menu and what stands at its right: the ground of the theme.
    assert picture.pixelColor(picture.width() // 2, 24).lightness() > 128


@pytest.mark.lsl
def test_a_picture_of_a_stream_that_is_no_signal_is_refused_and_none_is_saved(
    tmp_path: Path,
) -> None:
    name = f"gaze-{uuid4().hex}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "EEG", 2, 0.0, "float32", name))
    done, path = picture_of(tmp_path, "--stream", name, "--after", "4")
    assert done.returncode == 2
    assert f"stream '{name}' has no regular rate (nominal rate 0 Hz)" in done.stderr
    assert not path.exists()
    del outlet


@pytest.mark.lsl
def test_of_several_signals_and_none_named_there_is_a_list_and_no_picture(tmp_path: Path) -> None:
    name = f"amp-{uuid4().hex}"
    infos = [pylsl.StreamInfo(name, "EEG", 2, 100.0, "float32", source) for source in "ab"]
    outlets = [pylsl.StreamOutlet(info) for info in infos]
    done, path = picture_of(tmp_path, "--after", "30")
    assert done.returncode == 2
    assert all(f"{name!r} (type 'EEG', source_id {source!r}" in done.stderr for source in "ab")
    assert "rtbrain view --source-id 'a'" in done.stderr
    assert not path.exists()
    outlets.clear()


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
        running("-m", "rtbrain.apps", "decode", *flags, stderr=subprocess.DEVNULL),
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
