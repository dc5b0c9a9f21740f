"""`rtbrain distill`: what it leaves, what its ablations are, what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from rtbrain.config import DistillSettings, load_settings
from rtbrain.encoder import (
    BrainBERTSizes,
    StreamingBERT,
    StreamingBERTSizes,
    load_encoder,
    load_trained,
    random_encoder,
    save_encoder,
    weights_sha256,
)
from rtbrain.learn.training.distill import distillation_objective, teacher_of
from rtbrain.learn.training.records import read_log
from tests.apps.pretraining import ENCODER, POPULATION, corpus_of, settings_of
from tests.apps.program import refused, rtbrain

RECIPE = {
    "mode": "edge",
    "window": {"length_s": 5.0, "hop_s": 0.5},
    "spectrogram": {"form": "running"},
    "encoder": {"pool": "last", "n_pooled": 10},
}
STUDENT = {
    "hidden_dim": 8,
    "layer_dim_feedforward": 16,
    "nhead": 2,
    "encoder_num_layers": 2,
    "patch_frames": 5,
    "context_patches": 4,
    "input_dim": 8,
}
STEPS = 6


def save_teacher(folder: Path, learned: list[str] | None = None, **sizes: int) -> Path:
    """A folder of a BrainBERT, and of its report where it is told whom it learned from."""
    encoder = random_encoder(BrainBERTSizes(**(ENCODER | sizes)), 7)
    save_encoder(encoder, folder / "brainbert")
    if learned is not None:
        report = json.dumps({"corpus": {"learned": learned}})
        (folder / "brainbert" / "report.json").write_text(report)
    return folder


def distilling(path: Path, **changed: object) -> Path:
    """A file of settings that distil in a blink."""
    values: dict[str, object] = {
        "student": STUDENT,
        "context_s": 0.1,
        "next_patch": {"weight": 0.1},
        "optimiser": {"name": "adamw", "lr": 0.01},
        "steps": STEPS,
        "batch": 16,
        "micro_batch": 8,
        "validate_every": 4,
        "validate_items": 20,
        "checkpoint_every": 4,
    }
    path.write_text(yaml.safe_dump(values | changed))
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_of(tmp_path_factory.mktemp("corpus") / "c", "spectrogram", RECIPE)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher"), ["s1", "s9"])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def given(mine: Path, corpus: Path, teacher: Path | str, out: Path) -> tuple[object, ...]:
    return (
        *("distill", "--config", mine, "--corpus", corpus),
        *("--teacher", teacher, "--out", out),
    )


def test_a_student_its_report_and_its_pictures_are_left_and_the_rest_of_the_chain_reads_them(
    tmp_path: Path, corpus: Path, teacher: Path
) -> None:
    mine, out = distilling(tmp_path / "mine.yaml"), tmp_path / "chain" / "streaming"
    done = rtbrain(*given(mine, corpus, teacher, out))
    assert done.returncode == 0, done.stderr
    assert "held out: s3" in done.stderr
    assert "teacher: trained, 1 layers; match delayed by 0.000 s" in done.stderr
    for name in ("curve.png", "guidance.png"):
        assert (out / name).stat().st_size > 1000
    report = json.loads((out / "report.json").read_text())
    assert report["corpus"]["learned"] == ["s1", "s2", "s9"]  # the teacher's too
    assert report["corpus"]["teacher_sha256"] == weights_sha256([teacher / "brainbert"])
    assert report["corpus"]["teacher_learned"] == ["s1", "s9"]
    assert {"matched_edge_r2", "cka_student_2_teacher_1", "next_patch_l1"} <= set(
        report["validation"]["last"]
    )
    assert list(report["validation"]["by_subject"]) == ["s3"]
    emb = tmp_path / "emb"
    done = rtbrain("corpus", "embed", corpus, out, "--out", emb, "--n-pooled", 5)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((emb / "manifest.json").read_text())
    assert manifest["settings"]["n_pooled"] == manifest["recipe"]["encoder"]["n_pooled"] == 5
    assert manifest["settings"]["learned"] == ["s1", "s2", "s9"]
    popt = settings_of(
        tmp_path / "popt.yaml", "popt", objective={"popt": {"sizes": POPULATION}}, steps=2
    )
    done = rtbrain(
        *("pretrain", "--config", popt, "--corpus", emb, "--out", tmp_path / "chain" / "popt")
    )
    assert done.returncode == 0, done.stderr
    channel, population = load_trained(str(tmp_path / "chain"))
    assert isinstance(channel, StreamingBERT)
    assert population is not None


def test_a_distillation_that_was_stopped_resumes_to_the_bit(
    tmp_path: Path, corpus: Path, teacher: Path
) -> None:
    guidance = {"weight": 1.0, "first_steps": 30}
    mine = distilling(tmp_path / "mine.yaml", steps=40, guidance=guidance, checkpoint_every=50)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert rtbrain(*given(mine, corpus, teacher, whole)).returncode == 0
    command = [
        sys.executable,
        "-m",
        "rtbrain.apps",
        *map(str, given(mine, corpus, teacher, cut)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "dumb"}
    with subprocess.Popen(
        [*command, "--threads", "1"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        told = next((line for line in process.stderr if line.startswith("step 8 of")), None)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert told, rest
    assert process.returncode == 143, rest
    assert read_log(cut)[-1]["step"] < 40
    done = rtbrain(*given(mine, corpus, teacher, cut), "--resume")
    assert done.returncode == 0, done.stderr
    assert read_log(cut) == read_log(whole)
    names = [set(row["measures"]) for row in read_log(whole) if "measures" in row]
    assert [("guidance" in each) for each in names] == [True] * 30 + [False] * 10
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (whole, cut)]
    assert weights[0] == weights[1]
    other = save_teacher(tmp_path / "other", encoder_num_layers=2)
    message = refused(*given(mine, corpus, other, cut), "--resume")
    assert "was trained with teacher" in message


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ["guidance", "match", "next_patch"]),
        ({"teacher": "untrained"}, ["guidance", "match", "next_patch"]),
        ({"teacher": "none"}, ["next_patch"]),
        ({"guidance": {"weight": 0}}, ["match", "next_patch"]),
        ({"guidance": {"weight": 0}, "next_patch": {"weight": 0}}, ["match"]),
        ({"guidance": {"tokenwise": True}, "match": {"weight": 0}}, ["guidance", "next_patch"]),
        ({"match": {"delay_s": 0.25, "loss": "cosine"}}, ["guidance", "match", "next_patch"]),
    ],
    ids=str,
)
def test_ablations_are_settings(
    tmp_path: Path, corpus: Path, teacher: Path, changed: dict[str, object], expected: list[str]
) -> None:
    mine, out = distilling(tmp_path / "mine.yaml", **changed), tmp_path / "out"
    done = rtbrain(*given(mine, corpus, teacher, out), "--steps", 2, "--seed", 3)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert (report["steps"], report["settings"]["seed"]) == (2, 3)
    assert set(read_log(out)[1]["measures"]) == set(expected)
    trained = report["settings"]["teacher"] == "trained"
    assert (report["corpus"]["teacher_sha256"] is not None) == trained
    assert ("s9" in report["corpus"]["learned"]) == trained
    assert (out / "guidance.png").exists() == (report["settings"]["teacher"] != "none")
    n_patches = 2 if "delay_s" in str(changed) else 0
    assert ("delayed by 0.244 s, 2 patches" in done.stderr) == (n_patches == 2)
    student = load_encoder(out)
    assert isinstance(student, StreamingBERT)
    assert student.sizes.delay_patches == n_patches


def test_weights_follow_from_the_seed_and_an_untrained_teacher_is_another(tmp_path: Path) -> None:
    def made(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        mine = distilling(tmp_path / "mine.yaml", seed=seed, teacher="untrained")
        settings = load_settings(str(mine), DistillSettings)
        teacher = teacher_of(settings, random_encoder(BrainBERTSizes(**ENCODER), 0))
        assert teacher is not None
        spectrogram = torch.ones(1, 20, 8)
        student = distillation_objective(settings, teacher, 0.122, 4).encoder(spectrogram)
        return student.detach(), teacher.layers_of(spectrogram, 5)[-1]

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, same, other = made(1), made(1), made(2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


def test_corpora_that_a_student_cannot_learn_from_are_refused(
    tmp_path: Path, corpus: Path, teacher: Path
) -> None:
    mine, out = distilling(tmp_path / "mine.yaml"), tmp_path / "out"
    patches = corpus_of(tmp_path / "patches", "patches")
    message = refused(*given(mine, patches, teacher, out))
    assert "form spectrogram, this is of form patches" in message
    published = RECIPE | {"spectrogram": {"form": "published"}}
    looks_ahead = corpus_of(tmp_path / "published", "spectrogram", published)
    message = refused(*given(mine, looks_ahead, teacher, out))
    assert "expected spectrogram.form running" in message
    assert "got published" in message
    wide = distilling(tmp_path / "wide.yaml", student="compact")
    message = refused(*given(wide, corpus, teacher, out))
    assert "have 8 frequencies, the student reads 40" in message
    long = distilling(tmp_path / "long.yaml", student=STUDENT | {"patch_frames": 9})
    assert "fewer than three patches of 9" in refused(*given(long, corpus, teacher, out))
    assert not out.exists()


def test_teachers_that_do_not_fit_are_refused(tmp_path: Path, corpus: Path, teacher: Path) -> None:
    mine, out = distilling(tmp_path / "mine.yaml"), tmp_path / "out"
    message = refused(*given(mine, corpus, "compact", out))
    assert "--teacher reads frames of 40 frequencies" in message
    message = refused(*given(mine, corpus, save_teacher(tmp_path / "knows", ["s3"]), out))
    assert "held_out s3: teacher" in message
    assert "no such folder" in refused(*given(mine, corpus, tmp_path / "none", out))
    save_encoder(load_encoder(teacher / "brainbert"), tmp_path / "bare")
    save_encoder(StreamingBERT(StreamingBERTSizes(**STUDENT)), tmp_path / "student")
    message = refused(*given(mine, corpus, tmp_path / "student", out))
    assert "expected a BrainBERT, found a StreamingBERT" in message
    narrow = distilling(
        tmp_path / "narrow.yaml", student=STUDENT | {"hidden_dim": 4}, match={"projection": False}
    )
    assert "the teacher has 8, the student 4" in refused(*given(narrow, corpus, teacher, out))
    assert not out.exists()
    done = rtbrain(*given(mine, corpus, tmp_path / "bare", out), "--steps", 1)
    assert done.returncode == 0, done.stderr
    assert "it is not known whether the teacher was trained on them" in done.stderr


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"teacher": "none", "next_patch": {"weight": 0}}, "teacher none leaves nothing to learn"),
        (
            {
                "guidance": {"first_steps": 3},
                "match": {"weight": 0},
                "next_patch": {"weight": 0},
            },
            "no loss that lasts leaves nothing to learn",
        ),
        ({"micro_batch": 2}, "expected 4 or more"),
        ({"student": "huge"}, "no sizes 'huge'; known are"),
        ({"student": STUDENT | {"nhead": 3}}, "multiple of nhead"),
        ({"student": STUDENT | {"delay_patches": 1}}, "follows from match.delay_s"),
        ({"context_s": 9}, "leave nothing of a window of 4 patches"),
        ({"match": {"delay_s": 3}}, "leave nothing of a window of 4 patches"),
        ({"match": {"lag_s": 3}}, "unknown key match.lag_s"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, corpus: Path, teacher: Path, changed: dict[str, object], told: str
) -> None:
    mine = distilling(tmp_path / "mine.yaml", **changed)
    assert told in refused(*given(mine, corpus, teacher, tmp_path / "out"))


def test_the_ready_made_settings_are_those_of_a_distillation() -> None:
    done = rtbrain("config", "check", "configs/distill-compact.yaml")
    assert "valid settings of kind distill" in done.stdout
