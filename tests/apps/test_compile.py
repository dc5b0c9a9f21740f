"""`rtbrain compile`: what it makes, checks, refuses, and decodes with."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from rtbrain.bundling import build_decoder
from rtbrain.decoder import read_bundle, write_bundle
from rtbrain.encoder import OpenVINORuntime, compiled_folder_of, require_precision
from rtbrain.errors import CompiledModelError
from tests.apps.compiling import (
    N_CHANNELS,
    corpus_of,
    decoded_live,
    files_of,
    first_seconds,
    fitted,
    live_runtime,
    report_of,
)
from tests.apps.program import refused, rtbrain

INT8 = ("--runtime", "openvino", "--precision", "int8")
ON = f"synthetic:3,duration_s=30,n_channels={N_CHANNELS}"
# Without VNNI int8 costs more.
ADMITTED = (*INT8, "--validate-on", ON, "--tolerance", "0.02")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted("edge", tmp_path_factory.mktemp("fitted") / "bundle")


@pytest.fixture(scope="module")
def quantised(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with int8 compiled beside it."""
    folder = tmp_path_factory.mktemp("quantised") / "bundle"
    shutil.copytree(made, folder)
    done = rtbrain("compile", folder, *ADMITTED)
    assert done.returncode == 0, done.stderr
    assert "installed:" in done.stdout
    return folder


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy for each test: compiled encoders go beside it."""
    folder = tmp_path / "bundle"
    shutil.copytree(made, folder)
    return folder


@pytest.fixture
def compiled(quantised: Path, tmp_path: Path) -> Path:
    """The same with int8 beside it."""
    folder = tmp_path / "bundle"
    shutil.copytree(quantised, folder)
    shutil.copytree(compiled_folder_of(quantised), compiled_folder_of(folder))
    return folder


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cache = tmp_path_factory.getbasetemp() / "cache"
    with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(cache)}):
        yield


def has_bf16() -> bool:
    try:
        require_precision("bf16")
    except CompiledModelError:
        return False
    return True


def test_int8_is_calibrated_on_the_first_half_and_checked_on_the_rest(
    made: Path, quantised: Path
) -> None:
    report = report_of(quantised, "openvino-int8")
    assert report["calibration"]["first_s"] == 15
    hop_s = 10 * 50 / 2048
    assert 0 < report["decoder"]["n_windows"] <= (30 - 15 - 1 - 1) / hop_s + 1
    assert report["decoder"]["scores"]["auc"]["fall"] <= 0.02
    assert 0 < report["embedding_error"]["channels"]["cosine_p50"] < 0.1
    assert report["embedding_error"]["n_windows"] > 30
    assert report["contract"]["weights_sha256"]
    assert report["step"]["share_of_hop"][1] > 0
    assert str(quantised.parent) not in json.dumps(report), "folders may name people"
    assert files_of(quantised) == files_of(made), "a bundle may be shared"
    assert live_runtime(quantised) == {"runtime": "openvino", "precision": "int8", "note": ""}
    assert sorted(path.name for path in quantised.parent.iterdir()) == ["bundle", "bundle.compiled"]


def test_int8_that_decodes_worse_is_refused_and_an_older_one_stays(compiled: Path) -> None:
    before = files_of(compiled_folder_of(compiled))
    rng = np.random.default_rng(0)

    def noise(self: OpenVINORuntime, *_: object) -> tuple[np.ndarray, np.ndarray]:
        shape = (self.contract.n_channels, self.contract.n_features)
        population = rng.normal(size=self.contract.n_population_features).astype(np.float32)
        return rng.normal(size=shape).astype(np.float32), population

    with mock.patch.object(OpenVINORuntime, "__call__", noise):
        line = refused("compile", compiled, *INT8, "--validate-on", ON)
    assert "is refused: AUC" in line
    assert "at most 0.005" in line
    assert files_of(compiled_folder_of(compiled)) == before
    assert sorted(path.name for path in compiled.parent.iterdir()) == ["bundle", "bundle.compiled"]


def test_without_labels_the_decoder_is_not_checked_and_the_report_says_so(bundle: Path) -> None:
    done = rtbrain("compile", bundle, "--runtime", "torchscript", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert "a synthetic patient implanted as this one" in done.stdout
    assert "the decoder was not checked" in done.stdout
    report = report_of(bundle, "torchscript-fp32")
    assert report["synthetic_stand_in"]
    assert report["decoder"]["scores"] == {}
    assert report["embedding_error"]["channels"]["largest"] < 1e-5
    assert live_runtime(bundle)["runtime"] == "torchscript"


@pytest.mark.skipif(not has_bf16(), reason="this CPU has no bfloat16")
def test_bf16_is_checked_where_there_are_labels(bundle: Path) -> None:
    done = rtbrain(
        "compile", bundle, "--runtime", "torchscript", "--precision", "bf16", "--validate-on", ON
    )
    assert done.returncode == 0, done.stderr
    scores = report_of(bundle, "torchscript-bf16")["decoder"]["scores"]
    assert "WARNING: the readout was fitted on synthetic:3" in done.stdout
    assert abs(scores["auc"]["fall"]) < 0.01
    assert scores["auc"]["low"] <= -scores["auc"]["fall"] <= scores["auc"]["high"]
    assert live_runtime(bundle) == {"runtime": "torchscript", "precision": "bf16", "note": ""}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ("brainbert.spec_prediction_head.output.bias", "compiled for other weights"),
        ("readout.weight", "approved for another decoder"),
    ],
)
def test_a_decoder_that_was_fitted_again_does_not_run_on_what_was_compiled(
    compiled: Path, changed: str, why: str
) -> None:
    found = read_bundle(compiled)
    tensors = dict(found.tensors) | {changed: 1 - found.tensors[changed]}
    shutil.rmtree(compiled)
    manifest = found.manifest.model_copy(update={"sha256": "0" * 64})
    write_bundle(compiled, manifest, found.montage, tensors, found.report)
    reported = live_runtime(compiled)
    assert (reported["runtime"], reported["precision"]) == ("torchscript", "fp32")
    assert why in reported["note"]
    for runtime in ("auto", "openvino"):
        with pytest.raises(
            CompiledModelError, match=f"{why} than this bundle's: run rtbrain compile"
        ):
            live_runtime(compiled, runtime=runtime, precision="int8")


def _altered(folder: Path) -> None:
    path = folder / "encoder.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def _of_another_machine(folder: Path) -> None:
    path = folder / "contract.json"
    note = json.loads(path.read_text(encoding="utf-8"))
    note["contract"]["machine"] = "x86_64, another processor"
    path.write_text(json.dumps(note), encoding="utf-8")


@pytest.mark.parametrize("change", [_altered, _of_another_machine, shutil.rmtree])
def test_what_is_foreign_or_damaged_is_left_with_a_note(
    compiled: Path, change: Callable[[Path], None]
) -> None:
    change(compiled_folder_of(compiled) / "openvino-int8")
    reported = live_runtime(compiled)
    assert (reported["runtime"], reported["precision"]) == ("torchscript", "fp32")
    assert "compile it again" in reported["note"]


def test_what_cannot_be_compiled_is_refused_in_one_line(bundle: Path, tmp_path: Path) -> None:
    linear = fitted("linear", tmp_path / "linear")
    bf16, int8 = ("--precision", "bf16"), ("--precision", "int8")
    torchscript, openvino = ("--runtime", "torchscript"), ("--runtime", "openvino")
    line = refused("compile", linear, *torchscript, "--precision", "fp32")
    assert "mode linear, which has no encoder" in line
    with mock.patch("os.access", lambda path, mode: mode != os.W_OK):
        line = refused("compile", bundle, *torchscript, "--precision", "fp32")
    assert "cannot be written to" in line
    assert "int8 needs openvino" in refused(
        "compile", bundle, *torchscript, *int8, "--validate-on", ON
    )
    assert "--validate-on RECORDING" in refused("compile", bundle, *INT8)
    with (
        mock.patch.object(torch.cpu, "_is_avx512_bf16_supported", return_value=False),
        mock.patch.object(torch.cpu, "_is_amx_tile_supported", return_value=False),
    ):
        assert "AVX512-BF16" in refused("compile", bundle, *openvino, *bf16)
    with mock.patch("rtbrain.check.compile.inputs.find_spec", return_value=None):
        line = refused("compile", bundle, *openvino, "--precision", "fp32")
    assert 'pip install "rtbrain[fast]"' in line
    np.save(tmp_path / "unlabelled.npy", np.ones((N_CHANNELS, 4096), np.float32))
    line = refused("compile", bundle, *INT8, "--validate-on", tmp_path / "unlabelled.npy")
    assert "holds no labels of the decoder's rest, speech" in line
    line = refused("compile", bundle, *INT8, "--validate-on", ON, "--validate-on", "synthetic:3")
    assert "listed twice" in line
    flags = ("--validate-on", ON, "--calibrate-on", "synthetic:4")
    assert "needs none" in refused("compile", bundle, *torchscript, "--precision", "fp32", *flags)
    assert not compiled_folder_of(bundle).exists()


def test_int8_is_calibrated_on_a_corpus_that_does_not_hold_what_checks_it(
    bundle: Path, tmp_path: Path
) -> None:
    flags = ("compile", bundle, *ADMITTED)
    corpus = corpus_of(tmp_path, 9, 1.0)
    done = rtbrain(*flags, "--calibrate-on", corpus)
    assert done.returncode == 0, done.stderr
    calibration = report_of(bundle, "openvino-int8")["calibration"]
    assert calibration["from"] == corpus.name
    assert 1 < calibration["windows"] <= 32
    assert report_of(bundle, "openvino-int8")["decoder"]["n_windows"] > 100, "all of it checks"
    line = refused(*flags, "--calibrate-on", corpus_of(tmp_path, 9, 2.0))
    assert "name a corpus of its recipe" in line
    line = refused(*flags, "--calibrate-on", corpus_of(tmp_path, 3, 1.0))
    assert "was built from synthetic:3" in line


@pytest.mark.lsl
def test_a_live_session_runs_on_what_was_admitted_and_decodes_the_same(
    compiled: Path, tmp_path: Path
) -> None:
    found = read_bundle(compiled)
    features, readout = build_decoder(found, found.montage)
    source = first_seconds()
    windows = (w for chunk in iter(lambda: source.pull(0.0), None) for w in features.cut(chunk))
    whole = [readout(features.encode(window)) for window in windows if window.quality.valid]
    expected = np.stack([decode.values for decode in whole])
    decoded, printed = decoded_live(compiled, tmp_path, len(expected))
    assert "the encoder runs on openvino, int8" in printed
    difference = np.abs(decoded - expected).max()
    # The most that the largest error of the population vector can do to a probability.
    report = report_of(compiled, "openvino-int8")
    weight = found.tensors["readout.weight"]
    largest = report["embedding_error"]["population"]["largest"]
    assert 0 < difference <= 0.25 * np.abs(weight[1] - weight[0]).sum() * largest
