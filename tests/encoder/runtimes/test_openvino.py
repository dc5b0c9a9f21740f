"""The OpenVINO runtime: near the eager model at each precision, whole and unaltered, or refused."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    OpenVINORuntime,
    PopTSizes,
    compile_openvino,
    compile_population,
    random_encoder,
)
from rtbrain.encoder.runtimes import openvino_runtime as conversion
from rtbrain.encoder.runtimes.openvino_runtime import openvino_module, read_openvino
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats
from tests.encoder.runtimes.test_window_runtime import NO_BF16, has_bf16

if find_spec("openvino") is None:
    pytest.skip('needs pip install "rtbrain[fast]"', allow_module_level=True)
torch.set_num_threads(1)

SIZES = BrainBERTSizes(hidden_dim=32, layer_dim_feedforward=64, nhead=2, encoder_num_layers=2)
POPT = PopTSizes(input_dim=32, hidden_dim=32, layer_dim_feedforward=40, n_head=4, n_layers=2)
SHAPE = (5, 31, 40)
RNG = np.random.default_rng(0)
POSITIONS = RNG.integers(0, 300, (5, 3))
GOOD = np.array([True, False, True, True, False])


def model(seed: int = 0, *, popt: bool = True) -> EncoderModel:
    population = random_encoder(POPT, seed + 1) if popt else None
    return EncoderModel(random_encoder(SIZES, seed), population).eval()


def windows(n_windows: int) -> list[Floats]:
    return [RNG.standard_normal((7, *SHAPE[1:]), dtype=np.float32) for _ in range(n_windows)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def exact(folder: Path) -> Path:
    return compile_openvino(model(), SHAPE, precision="fp32", folder=folder)


@pytest.fixture(scope="module")
def quantised(folder: Path) -> Path:
    if find_spec("nncf") is None:
        pytest.skip('needs pip install "rtbrain[fast]"')
    return compile_openvino(model(), SHAPE, precision="int8", folder=folder, calibration=windows(8))


def errors(path: Path, folder: Path) -> tuple[float, float]:
    """Largest of channels, relative, and of the population, over a window with bad channels."""
    eager = model()
    runtime = OpenVINORuntime(
        path, compile_population(eager, SHAPE, cache_folder=folder), POSITIONS
    )
    spectrogram = RNG.standard_normal(SHAPE, dtype=np.float32)
    spectrogram[~GOOD] = np.nan
    with torch.inference_mode():
        expected = eager(*map(torch.from_numpy, (spectrogram, POSITIONS, GOOD)))
    channels, population = runtime(spectrogram, GOOD)
    assert channels.dtype == population.dtype == np.float32
    assert not channels[~GOOD].any()
    assert runtime.load_s > 0 < runtime.warm_up_s
    wanted = expected[0].numpy()[GOOD]
    each = np.linalg.norm(channels[GOOD] - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    return float(each.max()), float(np.abs(population - expected[1].numpy()).max())


def test_float32_is_exact(exact: Path, folder: Path) -> None:
    channels, population = errors(exact, folder)
    assert channels <= 2e-6
    assert population <= 1e-5


@pytest.mark.skipif(not has_bf16(), reason=NO_BF16)
def test_bfloat16_is_near_and_not_exact(folder: Path) -> None:
    path = compile_openvino(model(), SHAPE, precision="bf16", folder=folder)
    channels, population = errors(path, folder)
    assert 1e-4 < channels < 0.03
    assert population < 0.05


def test_int8_is_near_after_calibration(quantised: Path, folder: Path) -> None:
    channels, population = errors(quantised, folder)
    assert 1e-4 < channels < 0.1
    assert population < 0.2
    assert "FakeQuantize" in (quantised / "encoder.xml").read_text()


def test_the_same_model_is_converted_once(
    exact: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_convert", lambda *_: pytest.fail("converted again"))
    assert compile_openvino(model(), SHAPE, precision="fp32", folder=folder) == exact
    for other, shape in ((model(1), SHAPE), (model(popt=False), SHAPE), (model(), (4, 31, 40))):
        with pytest.raises(pytest.fail.Exception, match="converted again"):
            compile_openvino(other, shape, precision="fp32", folder=folder)
    assert not list(folder.glob("*.part"))


def test_calibration_passes_over_channels_that_are_not_finite() -> None:
    contract = conversion.openvino_contract(model(), SHAPE, "int8")
    first, second = windows(2)
    first[1:, 3] = np.nan
    second[:] = np.inf
    blocks = conversion._blocks([first, second], contract)
    assert [block.shape for block in blocks] == [SHAPE]
    assert all(np.array_equal(row, first[0]) for row in blocks[0])
    most = conversion._MAX_CALIBRATION_BLOCKS
    assert len(conversion._blocks(windows(most + 3), contract)) == most


def test_int8_without_windows_that_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompiledModelError, match="expected calibration windows, got none"):
        compile_openvino(model(), SHAPE, precision="int8", folder=tmp_path)
    wrong = [np.zeros((3, 30, 40), np.float32)]
    with pytest.raises(CompiledModelError, match=r"expected float32 \(n, 31, 40\)"):
        compile_openvino(model(), SHAPE, precision="int8", folder=tmp_path, calibration=wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["encoder.xml", "encoder.bin", "contract.json"])
def test_what_was_altered_or_lost_is_refused(exact: Path, tmp_path: Path, name: str) -> None:
    path = shutil.copytree(exact, tmp_path / exact.name)
    file = path / name
    file.write_bytes(file.read_bytes()[:-9] + b"surprise!")
    with pytest.raises(CompiledModelError, match=r"was altered since|carries no contract"):
        read_openvino(path)
    file.unlink()
    with pytest.raises(CompiledModelError, match="not a converted encoder"):
        read_openvino(path)


def test_what_was_altered_is_converted_again(exact: Path, tmp_path: Path) -> None:
    path = shutil.copytree(exact, tmp_path / exact.name)
    (path / "encoder.bin").write_bytes(b"surprise!")
    assert compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path) == path
    assert read_openvino(path).precision == "fp32"
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_version_converted_is_refused(exact: Path, tmp_path: Path) -> None:
    path = shutil.copytree(exact, tmp_path / exact.name)
    note = json.loads((path / "contract.json").read_text())
    note["contract"]["openvino"] = "1.0"
    (path / "contract.json").write_text(json.dumps(note))
    with pytest.raises(CompiledModelError, match=r"converted by openvino 1\.0, here it is"):
        read_openvino(path)


def test_parts_of_two_models_do_not_run_together(exact: Path, tmp_path: Path) -> None:
    other = compile_population(model(5), SHAPE, cache_folder=tmp_path)
    with pytest.raises(CompiledModelError, match="made of other weights"):
        OpenVINORuntime(exact, other, POSITIONS)


def test_a_conversion_that_differs_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = conversion._convert
    monkeypatch.setattr(conversion, "_convert", lambda _, *rest: honest(model(9), *rest))
    with pytest.raises(CompiledModelError, match="differs from the eager one"):
        compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_converted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Check failed\nno rule for aten::fft_rfft\n\n")

    monkeypatch.setattr(openvino_module(), "convert_model", fail)
    with pytest.raises(CompiledModelError, match=r"BrainBERT: no rule for aten::\w+: set"):
        compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_processes_that_convert_at_once_do_not_disturb_each_other(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / exact.name
    honest, remove = conversion._convert, shutil.rmtree

    def overtaken(*arguments: Any) -> None:
        honest(*arguments)
        shutil.copytree(exact, path)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_convert", overtaken)
        assert compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path) == path
    theirs = path / "encoder.bin"
    assert theirs.stat().st_mtime_ns == (exact / "encoder.bin").stat().st_mtime_ns  # in use

    def overtaken_late(folder: Path, **options: bool) -> None:
        """Between the removal of the damaged one and the new one's way in."""
        remove(folder, **options)
        if folder == path:
            shutil.copytree(exact, path)

    theirs.write_bytes(b"surprise!")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", overtaken_late)
        assert compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path) == path
    assert read_openvino(path).precision == "fp32"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_replaced_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", forbidden)
    with pytest.raises(CompiledModelError, match="hold compiled models: Permission denied: look"):
        compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompiledModelError, match="cannot hold compiled models"):
        compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path / "file")


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(CompiledModelError, match=r'pip install "rtbrain\[fast\]"'):
        openvino_module()


def test_it_reports_on_nobody() -> None:
    code = (
        "import sys; from rtbrain.encoder.runtimes.openvino_runtime import openvino_module; "
        "openvino_module(); sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
