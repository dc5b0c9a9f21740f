"""`rtbrain pretrain` killed, and spread over processes: the losses are the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rtbrain.learn.training.records import read_log
from tests.apps.pretraining import corpus_of, settings_of
from tests.apps.program import rtbrain

STEPS = 30
MAIN = ("-m", "rtbrain.apps", "pretrain")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Corpus and settings, as the command takes them."""
    folder = tmp_path_factory.mktemp("given")
    mine = settings_of(folder / "mine.yaml", steps=STEPS)
    corpus = corpus_of(folder / "corpus", "spectrogram")
    return ("--config", mine, "--corpus", corpus, "--threads", 1)


@pytest.fixture(scope="module")
def whole(given: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = rtbrain("pretrain", *given, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def environment() -> dict[str, str]:
    return os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "TERM": "dumb"}


def test_a_training_that_was_killed_resumes_to_the_bit(
    tmp_path: Path, given: tuple[object, ...], whole: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, *MAIN, *map(str, given), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stderr is not None
        reached = next((line for line in process.stderr if line.startswith("step 8 of")), None)
        process.kill()
        rest = process.stderr.read()
    assert reached, rest
    assert not (out / "encoder.json").exists()
    begun = read_log(out)
    assert begun == read_log(whole)[: len(begun)]
    assert begun[-1]["step"] < STEPS
    done = rtbrain("pretrain", *given, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert read_log(out) == read_log(whole)
    assert (out / "weights.safetensors").read_bytes() == (
        whole / "weights.safetensors"
    ).read_bytes()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes")
def test_two_processes_that_share_the_batch_give_the_losses_of_one(
    tmp_path: Path, given: tuple[object, ...], whole: Path
) -> None:
    out = tmp_path / "out"
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [sys.executable, *launch, *MAIN, *map(str, given), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    pairs = list(zip(read_log(out), read_log(whole), strict=True))
    losses = [(ours["loss"], theirs["loss"]) for ours, theirs in pairs if "loss" in ours]
    assert len(losses) == STEPS
    assert max(abs(ours - theirs) for ours, theirs in losses) <= 1e-5
    assert '"processes": 2' in (out / "report.json").read_text()
