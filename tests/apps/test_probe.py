"""`rtbrain probe`: a corpus and an encoder in, tables, a report and a picture out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rtbrain.encoder import (
    BioFAMESizes,
    BrainBERTSizes,
    NeuroBERTSizes,
    PopTSizes,
    StreamingBERTSizes,
    random_encoder,
    save_encoder,
    weights_sha256,
)
from tests.apps.program import refused, rtbrain
from tests.learn.corpus.tiny import write_corpus
from tests.learn.planted import HOP_S, LENGTH_S, N_FREQS, N_POOLED, planted_session

# 15 frames in 2 s.
RECIPE = {
    "window": {"length_s": LENGTH_S, "hop_s": HOP_S},
    "spectrogram": {
        "form": "running",
        "frame_s": 0.25,
        "frame_hop_s": 0.125,
        "n_freqs": N_FREQS,
    },
    "encoder": {"pool": "last", "n_pooled": N_POOLED},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "tiny"
    sessions = [
        planted_session(f"s{seed}", n_windows=180, strength=2.0, seed=seed) for seed in (1, 2)
    ]
    return write_corpus(folder, sessions, hop_s=HOP_S, recipe=RECIPE).folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    brainbert = random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 1)
    save_encoder(brainbert, folder / "brainbert")
    save_encoder(random_encoder(PopTSizes(16, 16, 32, 2, 1), 2), folder / "popt")
    wide = random_encoder(BrainBERTSizes(16, 32, 2, 1, 40), 1)
    save_encoder(wide, folder / "wide")
    return folder


def test_a_probe_reports_every_row_on_every_count_that_there_are_windows_for(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    out = tmp_path / "probe"
    done = rtbrain(
        "probe", encoders / "brainbert", "--popt", encoders / "popt", "--corpus", corpus,
        "--subjects", "s1,s2", "--labels", "20,60,4000", "--seeds", "2", "--tune-steps", "4",
        "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["labels"] == [20, 60]
    assert "labelled windows to draw" in report["labels_left_out"]["4000"]
    assert report["classes"] == ["a", "b"]
    families = ["BrainBERT + PopT", "BrainBERT", "PopT tuned"]
    names = [f"{name}, {state}" for name in families for state in ("pretrained", "random")]
    assert list(report["scores"]) == [*names, "mean spectrogram", "whole spectrogram"]
    # The state is planted in the frames themselves, from its marker up to the window's end; what
    # is scored is that of the pooled frames, a little earlier.
    assert report["scores"]["mean spectrogram"]["auc"][1]["mean"] > 0.85
    assert report["scores"]["whole spectrogram"]["auc"][1]["mean"] > 0.85
    assert list(report["pretrained_minus_random"]) == families
    for family in families:
        left, right, paired = (
            report["scores"][f"{family}, pretrained"]["auc"][0]["mean"],
            report["scores"][f"{family}, random"]["auc"][0]["mean"],
            report["pretrained_minus_random"][family]["auc"][0]["mean"],
        )
        assert paired == pytest.approx(left - right)
    assert report["intrinsic_dimension"]["pretrained"]["contacts"] == 8
    assert (out / "label-efficiency.png").stat().st_size > 10_000
    shown = " ".join(done.stdout.split())
    assert "4000 left out" in shown
    assert "t interval over the means of subjects" in report["interval"]
    assert {one["interval"] for one in report["scores"][names[0]]["auc"]} == {"subjects"}
    for part in (
        report["interval"],
        "one pretraining run, not several, with 2 random encoders",
        "whole spectrogram: means in bins of 0.25 s over all that the encoders see",
        "PopT alone is fine-tuned: the encoder of a channel is frozen, as published",
        "What this shows",
        f"{names[0]} minus mean spectrogram at 60 labels: ",
        "2 subjects, p ",
        "no claim below 6 subjects",
    ):
        assert part in shown
    assert report["training_unknown"] == ["brainbert", "popt"]
    assert "popt has no report: it is not known whether it was trained on these subjects" in shown


def test_a_streaming_encoder_is_probed_by_its_own_frames(corpus: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    save_encoder(
        random_encoder(StreamingBERTSizes(16, 32, 2, 1, 3, 4, N_FREQS), 1),
        tmp_path / "streaming",
    )
    arguments = (
        "probe", tmp_path / "streaming", "--corpus", corpus, "--subjects", "s1",
        "--labels", "20", "--seeds", "1", "--out", tmp_path / "out", "--n-pooled",
    )  # fmt: skip
    assert "pools whole patches of 3 frames, got 4: give --n-pooled 3" in refused(*arguments, 4)
    done = rtbrain(*arguments, 3)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["n_pooled"] == 3
    # From the middle of the last three frames, 0.125 s apart and 0.25 s long, to the end.
    assert report["neural_delay_s"] == pytest.approx(0.125 + 0.125, abs=0.001)
    assert "StreamingBERT, pretrained" in report["scores"]


def test_a_contact_without_a_position_is_left_to_the_other_rows(
    encoders: Path, tmp_path: Path
) -> None:
    session = planted_session("s1", n_windows=180, strength=2.0)
    positions = session.montage.positions.copy()
    positions[3] = np.nan
    session = replace(session, montage=replace(session.montage, positions=positions))
    folder = write_corpus(tmp_path / "c", [session], hop_s=HOP_S, recipe=RECIPE).folder
    done = rtbrain(
        "probe", encoders / "brainbert", "--popt", encoders / "popt", "--corpus", folder,
        "--subjects", "s1", "--labels", "20", "--seeds", "1", "--tune-steps", "2",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "which PopT does not read: 1" in " ".join(done.stdout.split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["contacts_without_position"] == {"s1": 1}
    assert report["intrinsic_dimension"]["pretrained"]["contacts"] == 4


def test_without_a_population_transformer_channels_are_read_in_a_row(
    corpus: Path, encoders: Path
) -> None:
    done = rtbrain(
        "probe", encoders / "brainbert", "--corpus", corpus, "--subjects", "s2",
        "--labels", "20", "--seeds", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "PopT" not in shown
    assert "BrainBERT, pretrained" in shown
    assert "no interval: one subject, one seed" in shown
    assert "every encoder is frozen" in shown


@pytest.mark.parametrize("make", [NeuroBERTSizes, BioFAMESizes])
def test_encoders_of_waveforms_are_probed_on_patches(
    make: type[NeuroBERTSizes | BioFAMESizes], tmp_path: Path
) -> None:
    # The recipe leaves the window's length at its default, as a manifest may.
    recipe = {
        "window": {"hop_s": HOP_S},
        "spectrogram": {"form": "patches", "frame_s": N_FREQS / 2048},
        "encoder": {"pool": "last", "n_pooled": N_POOLED},
    }
    session = planted_session("s1", n_windows=300)
    corpus = write_corpus(tmp_path / "c", [session], form="patches", hop_s=HOP_S, recipe=recipe)
    encoder, sizes = tmp_path / "encoder", make(16, 32, 2, 1, N_FREQS)
    save_encoder(random_encoder(sizes, 1), encoder)
    out = tmp_path / "out"
    done = rtbrain(
        "probe", encoder, "--corpus", corpus.folder, "--subjects", "s1",
        "--labels", "20", "--seeds", "1", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    name = make.__name__.removesuffix("Sizes")
    linear = "|FFT| of the window"
    assert list(report["scores"]) == [f"{name}, pretrained", f"{name}, random", linear]
    assert list(report["linear"]) == [linear]
    assert report["embargo_s"] == 5.0


def test_what_cannot_be_probed_is_refused_in_one_line(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    sessions = [planted_session("s1", n_windows=20)]
    waveform = write_corpus(tmp_path / "waves", sessions, form="waveform", recipe=RECIPE).folder
    brainbert = encoders / "brainbert"
    given = ("--corpus", corpus, "--subjects")
    wrong = {
        (brainbert, *given, "s9"): "no subject s9",
        (brainbert, *given, "s1,s1"): "each once",
        (brainbert, *given, "s1", "--labels", "few"): "expected counts",
        (brainbert, *given, "s1", "--labels", "5000"): "ask for fewer",
        (brainbert, *given, "s1", "--classes", "a,c"): "no event 'c'",
        (brainbert, *given, "s1", "--out", corpus): "already exists",
        (brainbert, "--corpus", waveform, "--subjects", "s1"): "of form waveform",
        (brainbert, "--corpus", encoders, "--subjects", "s1"): "manifest.json",
        (encoders / "wide", *given, "s1"): "reads frames of 40 values",
        (encoders / "popt", *given, "s1"): "found a PopT",
        (encoders, *given, "s1"): "encoder.json",
    }
    for arguments, part in wrong.items():
        assert part in refused("probe", *arguments)


def test_subjects_that_an_encoder_was_trained_on_are_refused(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    trained = tmp_path / "trained"
    brainbert = random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 1)
    save_encoder(brainbert, trained)
    report = trained / "report.json"
    report.write_text(json.dumps({"corpus": {"learned": ["s2", "s7"]}}))
    given = ("--corpus", corpus, "--subjects", "s1,s2")
    assert "s2: trained was trained on them" in refused("probe", trained, *given)
    report.write_text("{}")
    assert "does not say on which subjects" in refused("probe", trained, *given)


def test_a_population_transformer_of_another_encoder_is_refused(
    corpus: Path, encoders: Path, tmp_path: Path
) -> None:
    popt = tmp_path / "popt"
    save_encoder(random_encoder(PopTSizes(16, 16, 32, 2, 1), 2), popt)
    sums = {name: weights_sha256([encoders / name]) for name in ("brainbert", "wide")}
    arguments = (
        "probe", encoders / "brainbert", "--popt", popt, "--corpus", corpus, "--subjects", "s1",
        "--labels", "20", "--seeds", "1", "--tune-steps", "0",
    )  # fmt: skip
    for name, returncode in (("brainbert", 0), ("wide", 2)):
        shown = {"learned": ["s2"], "encoder_sha256": sums[name]}
        (popt / "report.json").write_text(json.dumps({"corpus": shown}))
        assert rtbrain(*arguments).returncode == returncode
    assert f"another encoder (sha {sums['wide'][:12]})" in refused(*arguments)
