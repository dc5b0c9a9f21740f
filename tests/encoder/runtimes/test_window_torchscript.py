"""The compiled encoder equals the eager one, says what it is, and refuses what it is not for."""

import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from platformdirs.unix import Unix

from rtbrain.encoder import (
    BrainBERTSizes,
    EncoderModel,
    PopTSizes,
    TorchScriptRuntime,
    compile_torchscript,
    random_encoder,
)
from rtbrain.encoder.runtimes import torchscript
from rtbrain.encoder.runtimes.contract import user_cache_folder
from rtbrain.encoder.runtimes.torchscript import open_torchscript
from rtbrain.errors import CompiledModelError, MontageError

torch.set_num_threads(1)

SIZES = BrainBERTSizes(hidden_dim=24, layer_dim_feedforward=40, nhead=3, encoder_num_layers=2)
POPT = PopTSizes(input_dim=24, hidden_dim=32, layer_dim_feedforward=40, n_head=4, n_layers=2)
SHAPE = (5, 31, 40)
RNG = np.random.default_rng(0)
SPECTROGRAM = RNG.standard_normal(SHAPE, dtype=np.float32)
POSITIONS = RNG.integers(0, 300, (5, 3))
GOOD = np.array([True, False, True, True, False])


def model(seed: int = 0, *, popt: bool = True, pool: str = "centre") -> EncoderModel:
    population = random_encoder(POPT, seed + 1) if popt else None
    return EncoderModel(random_encoder(SIZES, seed), population, pool).eval()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_torchscript(model(), SHAPE, cache_folder=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cached(compiled: Path, tmp_path: Path) -> Path:
    """The same in a cache of its own."""
    (tmp_path / "cache").mkdir()
    return Path(shutil.copy2(compiled, tmp_path / "cache"))


@pytest.mark.parametrize("popt", [True, False])
@pytest.mark.parametrize("pool", ["centre", "last"])
def test_compiled_equals_eager(tmp_path: Path, popt: bool, pool: str) -> None:
    eager = model(3, popt=popt, pool=pool)
    path = compile_torchscript(eager, SHAPE, cache_folder=tmp_path)
    runtime = TorchScriptRuntime(path, POSITIONS if popt else None)
    assert runtime.contract.n_features == 24
    assert runtime.contract.n_population_features == (32 if popt else 120)
    for good in (np.ones(5, bool), GOOD, np.zeros(5, bool)):
        spectrogram = SPECTROGRAM.copy()
        spectrogram[~good] = np.nan
        with torch.inference_mode():
            expected = eager(
                torch.from_numpy(spectrogram),
                torch.from_numpy(POSITIONS),
                torch.from_numpy(good),
            )
        channels, population = runtime(spectrogram, good)
        assert channels.dtype == population.dtype == np.float32
        assert np.abs(channels - expected[0].numpy()).max() <= 1e-5
        assert np.abs(population - expected[1].numpy()).max() <= 1e-5
        assert not channels[~good].any()
        assert population.shape == (runtime.contract.n_population_features,)


def test_the_cache_gives_the_same_file_for_the_same_model(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached.parent
    with monkeypatch.context() as patch:
        patch.setattr(torchscript, "_packed", lambda *_: pytest.fail("compiled again"))
        assert compile_torchscript(model(), SHAPE, cache_folder=cache) == cached
    others = [
        compile_torchscript(model(1), SHAPE, cache_folder=cache),
        compile_torchscript(model(pool="last"), SHAPE, cache_folder=cache),
        compile_torchscript(model(), (4, 31, 40), cache_folder=cache),
        compile_torchscript(model(popt=False), SHAPE, cache_folder=cache),
    ]
    assert len({cached, *others}) == 5
    assert sorted(item.suffix for item in cache.iterdir()) == [".pt"] * 5


def test_heads_are_part_of_the_contract(compiled: Path, tmp_path: Path) -> None:
    """The same weights under another number of heads are another model."""
    two = BrainBERTSizes(24, 40, 2, 2)
    other = EncoderModel(random_encoder(two, 0), random_encoder(POPT, 1))
    assert compile_torchscript(other, SHAPE, cache_folder=tmp_path).name != compiled.name


def test_a_damaged_file_in_the_cache_is_made_again(cached: Path) -> None:
    path, whole = cached, cached.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"PK\x03\x04 nonsense"):
        path.write_bytes(broken)
        with pytest.raises(CompiledModelError, match="not a compiled encoder"):
            open_torchscript(path)
        assert compile_torchscript(model(), SHAPE, cache_folder=path.parent) == path
        assert open_torchscript(path)[1].n_channels == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"torch": "1.0"}, "compiled as format, torch, machine"),
        ({"format": 0}, "compiled as format, torch, machine"),
        ({"surprise": 1}, "carries no contract"),
        (None, "carries no contract"),
    ],
)
def test_a_file_with_another_contract_is_refused(
    tmp_path: Path, compiled: Path, change: dict[str, object] | None, message: str
) -> None:
    head, _, program = compiled.read_bytes().partition(b"\n")
    note = json.loads(head)
    note["contract"] = note["contract"] | change if change else None
    (tmp_path / "other.pt").write_bytes(json.dumps(note).encode() + b"\n" + program)
    with pytest.raises(CompiledModelError, match=message):
        TorchScriptRuntime(tmp_path / "other.pt", POSITIONS)


def own(path: Path) -> None:
    """Give a file to another user."""
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (own, "belongs to another user"),
        (lambda path: path.chmod(0o666), "can be changed by other users"),
        (lambda path: path.chmod(0o660), "can be changed by other users"),
        (lambda path: (path.rename(path.with_name("it")), path.symlink_to("it")), "is a link"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "damaged"),
    ],
)
def test_a_planted_model_is_never_loaded_and_another_is_made(
    cached: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], object],
    why: str,
) -> None:
    if change is own and os.geteuid():
        pytest.skip("only root can give a file away")
    path, cache = cached, cached.parent
    change(path)
    loaded: list[bytes] = []
    load = torch.jit.load

    def spy(file: io.BytesIO, *args: object, **options: object) -> object:
        loaded.append(file.getvalue())
        return load(file, *args, **options)

    with monkeypatch.context() as context:
        context.setattr("torch.jit.load", spy)
        with pytest.raises(CompiledModelError, match=why):
            open_torchscript(path)
        assert not loaded
    assert compile_torchscript(model(), SHAPE, cache_folder=cache) == path
    assert [why in line for line in capsys.readouterr().err.splitlines()] == [True]
    assert path.stat().st_uid == os.geteuid()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.is_symlink()
    assert open_torchscript(path)[1].n_channels == 5


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755])
def test_a_cache_folder_that_others_can_change_is_not_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: int,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "cache" / "rtbrain"
    folder.mkdir(parents=True)
    folder.chmod(mode)
    path = compile_torchscript(model(), SHAPE)
    safe = not mode & 0o022
    assert path.parent == (folder if safe else tmp_path / "state" / "rtbrain" / "compiled")
    assert len(capsys.readouterr().err.splitlines()) == (not safe)
    assert list(folder.iterdir()) == ([path] if safe else [])


def test_a_compiled_model_that_differs_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = torchscript._packed
    monkeypatch.setattr(torchscript, "_packed", lambda _, *rest: honest(model(9), *rest))
    with pytest.raises(CompiledModelError, match="differs from the eager one by"):
        compile_torchscript(model(), SHAPE, cache_folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 31, 39), "reads 40 frequencies, the spectrogram has 39"),
        ((5, 9, 40), "pools 10 frames"),
        ((5, 5001, 40), "5000 positions"),
        ((0, 31, 40), "1 or more channels"),
    ],
)
def test_shapes_that_cannot_be_are_refused(
    tmp_path: Path, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(CompiledModelError, match=message):
        compile_torchscript(model(), shape, cache_folder=tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompiledModelError, match="cannot hold compiled models"):
        compile_torchscript(model(), SHAPE, cache_folder=tmp_path / "file")


def test_the_runtime_takes_one_shape_and_no_other(compiled: Path) -> None:
    runtime = TorchScriptRuntime(compiled, POSITIONS)
    good = np.ones(5, bool)
    for wrong in (SPECTROGRAM[:4], SPECTROGRAM[:, 1:], SPECTROGRAM.astype(np.float64)):
        with pytest.raises(CompiledModelError, match=r"compiled for float32 \(5, 31, 40\)"):
            runtime(wrong, good)
    for mask in (good[:4], good.astype(np.int64)):
        with pytest.raises(CompiledModelError, match="mask of good channels"):
            runtime(SPECTROGRAM, mask)


def test_positions_that_do_not_fit_are_refused(compiled: Path) -> None:
    with pytest.raises(CompiledModelError, match="reads contact positions, got none"):
        TorchScriptRuntime(compiled, None)
    with pytest.raises(CompiledModelError, match=r"shape \(4, 3\)"):
        TorchScriptRuntime(compiled, POSITIONS[:4])
    with pytest.raises(MontageError, match="outside 0 to 4999"):
        TorchScriptRuntime(compiled, POSITIONS - 400)


def test_the_input_is_not_changed_and_may_be_read_only(compiled: Path) -> None:
    runtime = TorchScriptRuntime(compiled, POSITIONS)
    spectrogram, good = SPECTROGRAM.copy(), GOOD.copy()
    first = runtime(spectrogram, good)
    assert np.array_equal(spectrogram, SPECTROGRAM)
    assert np.array_equal(good, GOOD)
    strided = np.asfortranarray(SPECTROGRAM)
    for array in (spectrogram, good, strided):
        array.setflags(write=False)
    assert np.array_equal(first[1], runtime(spectrogram, good)[1])
    assert np.abs(first[1] - runtime(strided, good)[1]).max() < 1e-6
    assert runtime.name == "torchscript"


def unix_path(name: str, **options: bool) -> Path:
    return Unix(name, **options).user_cache_path


def _compile_in_a_process(folder: str, gate: "Callable[[], object]", names: object) -> None:
    torch.set_num_threads(1)
    gate()
    names.put(str(compile_torchscript(model(), SHAPE, cache_folder=Path(folder))))  # type: ignore[attr-defined]


def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate, names = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(target=_compile_in_a_process, args=(str(tmp_path), gate.wait, names))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    given = [names.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert given[0] == given[1]
    assert [str(item) for item in tmp_path.iterdir()] == [given[0]]
    open_torchscript(Path(given[0]))


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("rtbrain.encoder.runtimes.contract.platformdirs.user_cache_path", unix_path)
    assert user_cache_folder() == tmp_path / "rtbrain"
    path = compile_torchscript(model(), SHAPE)
    assert path.parent == tmp_path / "rtbrain"
    assert path.parent.stat().st_mode & 0o077 == 0  # nobody else's
