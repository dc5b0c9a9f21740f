"""`rtbrain probe --compare`: several encoders on the same windows, and their paired differences."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import ttest_rel

from rtbrain.encoder import (
    BrainBERTSizes,
    PopTSizes,
    StreamingBERTSizes,
    random_encoder,
    save_encoder,
)
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.learn.probe.encoders import EncoderSpec, load_encoder_spec
from tests.apps.program import refused, rtbrain
from tests.apps.test_probe import RECIPE
from tests.learn.corpus.tiny import write_corpus
from tests.learn.planted import HOP_S, N_FREQS, planted_session

SUBJECTS = ("s1", "s2", "s3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "tiny"
    sessions = [
        planted_session(name, n_windows=160, strength=1.0, seed=seed)
        for seed, name in enumerate(SUBJECTS)
    ]
    return write_corpus(folder, sessions, hop_s=HOP_S, recipe=RECIPE).folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    sizes = StreamingBERTSizes(16, 32, 2, 1, 3, 4, N_FREQS)
    save_encoder(random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 1), folder / "whole")
    for seed in range(3):
        save_encoder(random_encoder(sizes, seed), folder / f"student{seed}")
    for seed in (7, 8):
        save_encoder(random_encoder(PopTSizes(16, 16, 32, 2, 1), seed), folder / f"popt{seed}")
    return folder


def probed(
    corpus: Path, out: Path, *arguments: object, labels: str = "20,40", n_seeds: int = 1
) -> tuple[dict[str, Any], str]:
    torch.set_num_threads(1)
    done = rtbrain(
        "probe", *arguments, "--corpus", corpus, "--subjects", ",".join(SUBJECTS),
        "--labels", labels, "--seeds", n_seeds, "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report, " ".join(done.stdout.split())


def test_an_encoder_with_a_delay_is_labelled_at_an_earlier_moment(
    corpus: Path, tmp_path: Path
) -> None:
    delays_s = []
    for n_patches in (0, 2):
        sizes = StreamingBERTSizes(16, 32, 2, 1, 3, 4, N_FREQS, delay_patches=n_patches)
        save_encoder(random_encoder(sizes, 0), tmp_path / str(n_patches))
        named = EncoderSpec("student", tmp_path / str(n_patches), None, 3)
        delays_s.append(load_encoder_spec(named, open_corpus(corpus)).delay_s)
    assert delays_s[1] - delays_s[0] == pytest.approx(6 * RECIPE["spectrogram"]["frame_hop_s"])


def test_compared_encoders_have_rows_and_paired_differences(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    report, shown = probed(
        corpus, tmp_path / "out", encoders / "whole", "--popt", encoders / "popt7",
        "--random", "0", "--tune-steps", "2",
        "--compare", f"same={encoders / 'whole'},popt={encoders / 'popt7'}",
        "--compare", f"student={encoders / 'student0'},n_pooled=3,popt={encoders / 'popt8'}",
        n_seeds=2,
    )  # fmt: skip
    linear = ["mean spectrogram", "whole spectrogram"]
    of_first = ["BrainBERT + PopT", "BrainBERT", "PopT tuned"]
    rows = [
        f"{name}{ending}"
        for name in ("same", "student")
        for ending in (" + PopT", "", " + PopT tuned")
    ]
    assert list(report["scores"]) == [f"{name}, pretrained" for name in of_first] + rows + linear
    assert list(report["paired_differences"]) == rows + linear
    assert report["pretrained_minus_random"] == {}
    for name in rows[:3]:  # the same encoder on the same windows and draws
        assert all(
            (one["low"], one["mean"], one["high"]) == (0, 0, 0)
            for one in report["paired_differences"][name]["auc"]
        )
    # Rows of one kind are compared: here computed from the means of subjects.
    for name, reference in (
        ("student + PopT", "BrainBERT + PopT, pretrained"),
        ("student", "BrainBERT, pretrained"),
        ("student + PopT tuned", "PopT tuned, pretrained"),
        ("whole spectrogram", "BrainBERT, pretrained"),
    ):
        means = [
            [report["auc_by_subject"][row][subject][1] for subject in SUBJECTS]
            for row in (name, reference)
        ]
        expected = ttest_rel(*means).confidence_interval(0.95)
        found = report["paired_differences"][name]["auc"][1]
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
        linear = report["minus_linear"][name.replace("whole spectrogram", reference)]
        assert set(linear) == {"mean spectrogram", "whole spectrogram"}
    (student,) = report["compared"]["student"]
    assert (student["n_pooled"], report["n_pooled"]) == (3, 4)
    assert student["neural_delay_s"] < report["neural_delay_s"]
    assert set(student["weights_sha256"]) == {"encoder", "popt"}
    assert "AUC minus that of ENCODER, paired" in shown
    assert "one training run, whose variance no interval includes: same, student" in shown
    assert (tmp_path / "out" / "label-efficiency.png").stat().st_size > 10_000


def test_an_encoder_scores_the_same_alone_and_compared(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    student = encoders / "student1"
    alone, _ = probed(corpus, tmp_path / "a", student, "--n-pooled", 3, "--random", 1, labels="20")
    beside, _ = probed(
        corpus, tmp_path / "b", encoders / "student0", "--n-pooled", 3, "--random", 0,
        "--compare", f"it={student},n_pooled=3", labels="20",
    )  # fmt: skip
    assert beside["windows"] == alone["windows"]
    assert beside["scores"]["it"] == alone["scores"]["StreamingBERT, pretrained"]
    assert "StreamingBERT, random" in alone["scores"]
    assert "StreamingBERT, random" not in beside["scores"]


def test_several_runs_of_one_name_are_one_row_over_subjects_and_runs(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    runs = [
        part
        for name, numbers in (("guided", (0, 1)), ("plain", (1, 2)))
        for k in numbers
        for part in ("--compare", f"{name}={encoders / f'student{k}'},n_pooled=3")
    ]
    report, shown = probed(
        corpus, tmp_path / "out", encoders / "whole", "--random", 0, *runs, "--baseline", "guided"
    )
    (found,) = report["scores"]["guided"]["auc"][1:]
    assert found["interval"] == "subjects and runs"
    by_run = [run[1] for run in report["auc_by_run"]["guided"]]
    assert len(by_run) == 2
    assert found["mean"] == pytest.approx(sum(by_run) / 2)
    # The second run of one is the first of the other: each is paired by its number.
    assert report["auc_by_run"]["plain"][0] == report["auc_by_run"]["guided"][1]
    difference = report["paired_differences"]["plain"]["auc"][1]
    other = [run[1] for run in report["auc_by_run"]["plain"]]
    assert difference["mean"] == pytest.approx(sum(other) / 2 - sum(by_run) / 2)
    assert list(report["paired_differences"]) == [
        "BrainBERT, pretrained", "plain", "mean spectrogram", "whole spectrogram"
    ]  # fmt: skip
    assert "AUC minus that of guided, paired" in shown
    assert "guided: 2 training runs" in shown
    assert "over subjects and runs, both random" in shown


def test_each_encoder_is_labelled_at_the_moment_it_describes_on_the_windows_of_the_first(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    given = (
        encoders / "whole",
        "--random",
        0,
        "--compare",
        f"far={encoders / 'whole'},n_pooled=12",
    )
    report, shown = probed(corpus, tmp_path / "out", *given, labels="20")
    assert "each row is labelled at the moment that its embeddings describe" in shown
    alone, shown_alone = probed(corpus, tmp_path / "alone", *given[:3], labels="20")
    assert report["windows"] == alone["windows"]
    first = "BrainBERT, pretrained"
    assert report["scores"][first] == alone["scores"][first]
    assert "labelled at the moment" not in shown_alone


def test_encoders_that_cannot_be_compared_are_refused_in_one_line(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    whole, student, popt = (encoders / name for name in ("whole", "student0", "popt7"))
    given = ("--corpus", corpus, "--subjects", "s1", "--compare")
    wrong = {
        (str(student),): "expected NAME=FOLDER",
        ("a/b=x",): "expected NAME=FOLDER",
        (f"a={student},pool=last",): "expected NAME=FOLDER",
        (f"a={student},n_pooled=3,n_pooled=6",): "expected NAME=FOLDER",
        (f"a={student},n_pooled=few",): "expected NAME=FOLDER",
        (f"a={student},n_pooled=0",): "1 or more",
        (f"a={student},n_pooled=4",): "give n_pooled=3, or a multiple",
        (f"a={popt}",): "found a PopT",
        (f"a={whole},popt={whole}",): "expected a PopT",
        (f"a={whole}", "--compare", f"a={whole},popt={popt}"): "some have none",
        (f"mean spectrogram={whole}",): "choose another name",
        (f"a={whole}", "--baseline", "b"): "expected a NAME of --compare: a",
        (f"a={whole}", "--random", "9"): "give 5 or fewer",
        (f"a={whole}",) + ("--compare", f"a={whole}") + ("--compare", f"b={whole}") * 3
        + ("--baseline", "a"): "these cannot be paired",
    }  # fmt: skip
    for arguments, part in wrong.items():
        assert part in refused("probe", whole, *given, *arguments)
    trained = tmp_path / "trained"
    save_encoder(random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 1), trained)
    (trained / "report.json").write_text(json.dumps({"corpus": {"learned": ["s1"]}}))
    assert "trained was trained on them" in refused("probe", whole, *given, f"a={trained}")
