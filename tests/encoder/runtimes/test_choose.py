"""Which runtime runs: what was asked for, or what was admitted and still holds."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from rtbrain.encoder import (
    ApprovedRuntime,
    BrainBERTSizes,
    EncoderModel,
    RuntimeChoice,
    approve_runtime,
    compile_openvino,
    compiled_folder_of,
    load_runtime,
    random_encoder,
)
from rtbrain.encoder.runtimes.choose import approved_runtime
from rtbrain.errors import CompiledModelError
from tests.encoder.runtimes.test_window_runtime import NO_BF16, has_bf16

torch.set_num_threads(1)

SHAPE = (3, 15, 40)


def model(seed: int = 0) -> EncoderModel:
    sizes = BrainBERTSizes(16, 24, 2, 2)
    return EncoderModel(random_encoder(sizes, seed), None).eval()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = "rtbrain.encoder.runtimes.contract.user_cache_folder"
    monkeypatch.setattr(target, lambda: tmp_path / "cache")


def needs_openvino() -> None:
    if find_spec("openvino") is None:
        pytest.skip('needs pip install "rtbrain[fast]"')


def running(**asked: object) -> tuple[str, str]:
    told: dict[str, str] = {}
    choice = RuntimeChoice(**asked)  # type: ignore[arg-type]
    runtime = load_runtime(model(), SHAPE, None, choice, on_event=lambda _, **it: told.update(it))
    assert not told["note"]
    assert np.isfinite(runtime(np.zeros(SHAPE, np.float32), np.ones(3, bool))[1]).all()
    return runtime.name, runtime.precision


def test_alone_it_is_torchscript_in_float32(tmp_path: Path) -> None:
    assert running() == ("torchscript", "fp32")
    assert running(compiled_folder=tmp_path / "none") == ("torchscript", "fp32")
    assert running(runtime="torchscript") == ("torchscript", "fp32")


@pytest.mark.skipif(not has_bf16(), reason=NO_BF16)
def test_a_precision_that_is_asked_for_wins(tmp_path: Path) -> None:
    assert running(precision="bf16") == ("torchscript", "bf16")
    folder = compiled_folder_of(tmp_path / "bundle")
    assert folder == tmp_path / "bundle.compiled"
    way = ApprovedRuntime("torchscript", "bf16", "one")
    approve_runtime(folder, way)
    assert approved_runtime(folder) == way
    assert running(compiled_folder=folder, precision="fp32") == ("torchscript", "fp32")


def test_what_was_admitted_runs_while_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_openvino()
    way, folder = ApprovedRuntime("openvino", "fp32", "one"), tmp_path / "bundle.compiled"
    told: dict[str, str] = {}

    def fallen_back(why: str, seed: int = 0, bundle_id: str = "one") -> bool:
        load_runtime(
            model(seed),
            SHAPE,
            None,
            RuntimeChoice(compiled_folder=folder, bundle_id=bundle_id),
            on_event=lambda _, **it: told.update(it),
        )
        return told["runtime"] == "torchscript" and why in told["note"]

    approve_runtime(folder, way)
    assert fallen_back("not a converted encoder")
    shutil.rmtree(folder)
    path = compile_openvino(model(), SHAPE, precision="fp32", folder=tmp_path)
    folder.mkdir()
    path = path.rename(folder / way.folder)
    approve_runtime(folder, way)
    assert running(compiled_folder=folder, bundle_id="one") == ("openvino", "fp32")
    assert fallen_back("compiled for other weights", seed=1)
    assert fallen_back("approved for another decoder", bundle_id="another")
    assert fallen_back("approved for another decoder", bundle_id="")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        assert fallen_back("is not installed")
    (path / "encoder.bin").write_bytes(b"altered")
    assert fallen_back("was altered since")


def test_int8_is_never_of_another_decoder_and_its_refusal_tells_why(tmp_path: Path) -> None:
    needs_openvino()
    if find_spec("nncf") is None:
        pytest.skip('needs pip install "rtbrain[fast]"')
    way, folder = ApprovedRuntime("openvino", "int8", "one"), tmp_path / "bundle.compiled"
    windows = [np.random.default_rng(0).standard_normal(SHAPE, np.float32)]
    path = compile_openvino(model(), SHAPE, precision="int8", folder=tmp_path, calibration=windows)
    folder.mkdir()
    path = path.rename(folder / way.folder)
    asked = {"compiled_folder": folder, "precision": "int8"}
    runtimes = ("auto", "openvino")

    def refused(why: str, **of: object) -> None:
        for runtime in runtimes:
            with pytest.raises(CompiledModelError, match=why):
                load_runtime(model(), SHAPE, None, RuntimeChoice(runtime=runtime, **asked, **of))  # type: ignore[arg-type]

    refused("another decoder", bundle_id="one")  # nothing was admitted
    approve_runtime(folder, way)
    for runtime in runtimes:
        assert running(runtime=runtime, bundle_id="one", **asked) == ("openvino", "int8")
    refused("another decoder than this bundle's: run rtbrain compile", bundle_id="refitted")
    approve_runtime(folder, ApprovedRuntime("torchscript", "fp32", "refitted"))
    refused("another decoder than this bundle's: run rtbrain compile", bundle_id="refitted")
    assert running(runtime="openvino", bundle_id="one", **asked) == ("openvino", "int8")
    (path / "encoder.bin").write_bytes(b"altered")
    refused("was altered since", bundle_id="one")


def test_openvino_that_is_asked_for_is_converted_now() -> None:
    needs_openvino()
    assert running(runtime="openvino") == ("openvino", "fp32")
    with pytest.raises(CompiledModelError, match="expected calibration windows"):
        running(runtime="openvino", precision="int8")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"runtime": "cuda", "precision": "fp32"}',
        '{"runtime": "openvino", "precision": "fp32"}',
    ],
)
def test_a_note_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "admitted.json").write_text(text)
    with pytest.raises(CompiledModelError, match="not a note of rtbrain compile"):
        approved_runtime(tmp_path)
