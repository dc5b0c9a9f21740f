"""`rtbrain fit`: recordings in, a decoder with scores that hold out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtbrain.bundling import model_of_bundle
from rtbrain.decoder import read_bundle
from rtbrain.encoder import (
    BioFAMESizes,
    BrainBERTSizes,
    NeuroBERTSizes,
    PopTSizes,
    encoder_kind,
    random_encoder,
    save_encoder,
)
from rtbrain.learn.fit.inputs import STAGES
from tests.apps.program import refused, rtbrain

PATIENT = ("synthetic:3,duration_s=60,n_channels=12", "--sfreq", "2048")
QUICK = """
recipe: linear
front_end: recipe
labels: {classes: [rest, speech]}
splits: {n_folds: 3}
n_permutations: 20
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "quick.yaml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, quick: Path) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "bundle"
    done = rtbrain("fit", *PATIENT, "--config", quick, "--out", folder, "--unsafe-random-split")
    assert done.returncode == 0, done.stderr
    assert "UNSAFE random split" in done.stdout
    return folder


def test_channels_mains_and_hop_of_the_settings_replace_those_of_the_recipe(
    tmp_path: Path, quick: Path
) -> None:
    chosen = "channels: [RA1, RA2, RA3, RA4, RA5]\nexclude: [RA9]\nmains_hz: 50\nhop_s: 0.5\n"
    settings = tmp_path / "chosen.yaml"
    settings.write_text(quick.read_text().replace("recipe:", f"{chosen}recipe:"))
    where = ("--config", settings, "--out", tmp_path / "bundle")
    done = rtbrain("fit", *PATIENT, *where, "--progress-json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    said = list(dict.fromkeys(line["stage"] for line in lines))
    assert said == [stage for stage in STAGES if stage in said] != []
    assert {"read", "folds", "chance"} <= {*said}
    bundle = read_bundle(tmp_path / "bundle")
    assert sum(bundle.report["contacts"].values()) == pytest.approx(1, abs=1e-4)
    assert bundle.montage.names == ("RA1", "RA2", "RA3", "RA4", "RA5")
    assert bundle.recipe.window.hop_s == 0.5
    notches = [step.notch.mains_hz for step in bundle.recipe.signal if step.notch is not None]
    assert notches == [50]


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ("channels: [RA1, X9]", "no channel fits 'X9'"),
        ("exclude: [X9]", "no channel fits 'X9'"),
        ("channels: [RA1]\nexclude: [RA1]", "channels and exclude both name RA1"),
        ("mains_hz: 55", "mains_hz"),
        ("hop_s: 0.1", "window.hop_s of 0.1 s"),
    ],
)
def test_channels_mains_and_hop_that_cannot_be_are_refused(
    tmp_path: Path, quick: Path, wrong: str, part: str
) -> None:
    settings = tmp_path / "wrong.yaml"
    settings.write_text(quick.read_text().replace("recipe:", f"{wrong}\nrecipe:"))
    message = refused("fit", *PATIENT, "--config", settings, "--out", tmp_path / "bundle")
    assert part in message
    assert not (tmp_path / "bundle").exists()


def test_what_is_wrong_with_options_names_no_file_that_nobody_gave() -> None:
    flags = ("--classes", "rest", "--out", "made")
    said = refused("fit", *PATIENT, *flags)
    assert "rtbrain: these options: labels.classes: expected 2 or more, got rest" in said


def test_the_report_holds_the_score_its_controls_and_what_chance_gives(fitted: Path) -> None:
    report = read_bundle(fitted).report
    decoder = report["scores"]["decoder"]
    assert decoder["pooled"]["balanced_accuracy"] > 0.75
    found = decoder["interval_95"]["balanced_accuracy"]
    assert found["low"] < decoder["pooled"]["balanced_accuracy"] < found["high"]
    assert len(report["split"]["folds"]) == 3
    assert report["split"]["embargo_s"] == 6.0
    assert report["scores"]["STFT"]["pooled"]["auc"] < 1
    low, high = report["null_distribution"]["auc"]["band_95"]
    assert low < 0.5 < high < decoder["pooled"]["auc"]
    assert "leakage" in report["unsafe_random_split"]["why_not"]
    assert report["labels"] == {"classes": ["rest", "speech"]}


def test_a_fitted_decoder_scores_on_a_stretch_held_out_as_it_did_across_blocks(
    fitted: Path, tmp_path: Path
) -> None:
    held_out = "synthetic:3,duration_s=120,n_channels=12"
    report = tmp_path / "report.json"
    done = rtbrain("evaluate", fitted, held_out, "--sfreq", "2048", "--report", report)
    assert done.returncode == 0, done.stderr
    live = json.loads(report.read_text())["decoder"]["balanced_accuracy"]
    validated = read_bundle(fitted).report["scores"]["decoder"]["pooled"]["balanced_accuracy"]
    assert abs(live - validated) < 0.08


def test_windows_at_events_with_rest_between_become_classes(tmp_path: Path, quick: Path) -> None:
    folder = tmp_path / "cued"
    done = rtbrain(
        "fit", *PATIENT, "--config", quick, "--out", folder, "--event", "speech,rest",
        "--window", "0:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(folder)
    assert bundle.manifest.recipe["window"] == {"mode": "event", "length_s": 1.0, "offset_s": 0.0}
    assert bundle.manifest.labels == ("speech", "rest")


def test_a_channel_of_the_recording_is_decoded_and_not_fed_to_its_decoder(
    tmp_path: Path, quick: Path
) -> None:
    folder = tmp_path / "regression"
    done = rtbrain("fit", *PATIENT, "--config", quick, "--out", folder, "--channel", "RA1")
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(folder)
    assert bundle.manifest.task == "regression"
    assert "RA1" not in bundle.montage.names
    assert np.isfinite(bundle.report["scores"]["decoder"]["pooled"]["r2"])


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--classes", "rest,music"), "speech"),
        (("--classes", "rest"), "labels.classes"),
        (("--event", "go"), "one event is one class"),
        (("--channel", "GRIP"), "GRIP"),
        (("--classes", "rest,speech", "--folds", "40"), "stretches of each class"),
        (("--recipe", "linaer"), "did you mean linear?"),
        (("--task", "onset"), "Brain Treebank"),
        (("--window", "now"), "--window now"),
        (("--mains", "55"), "mains_hz"),
        (("--channels", "RA1", "--exclude", "RA1"), "channels and exclude both name RA1"),
        (("--embargo", "-1"), "splits.embargo_s"),
        (("--hop", "0.1"), "window.hop_s of 0.1 s"),
        (("--set", "splits.n_folds=1"), "splits.n_folds"),
        (("--set", "n_folds"), "expected key=value"),
        (("--window", "0:1"), "window is for events"),
        (("--classes", "rest,speech,rest"), "each once"),
        ((PATIENT[0],), "named twice"),
        (("--classes", "rest,speech", "--channel", "RA1"), "exactly one of"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(
    tmp_path: Path, quick: Path, flags: tuple[str, ...], part: str
) -> None:
    out = tmp_path / "none"
    line = refused("fit", *PATIENT, "--config", quick, "--out", out, *flags)
    assert part in line
    assert not out.exists()


def test_nothing_is_overwritten_and_nothing_is_guessed(fitted: Path, quick: Path) -> None:
    assert "already exists" in refused("fit", *PATIENT, "--config", quick, "--out", fitted)
    assert "--out" in refused("fit", *PATIENT, "--config", quick)
    assert "no recording" in refused("fit", "--config", quick, "--out", fitted.parent / "new")
    inside = fitted / "report.json" / "new"
    assert "can be written" in refused("fit", *PATIENT, "--config", quick, "--out", inside)
    assert not list(fitted.parent.glob(".*"))


def test_an_embargo_shorter_than_the_window_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "leaks.yaml"
    settings.write_text(QUICK.replace("n_folds: 3", "n_folds: 3, embargo_s: 0.4"))
    line = refused("fit", *PATIENT, "--config", settings, "--out", tmp_path / "none")
    assert "share samples" in line


@pytest.mark.parametrize(
    ("was", "wrong", "part"),
    [
        ("splits: {n_folds: 3}", "splits: 3", "splits"),
        (
            "recipe: linear",
            "recipe: {mode: linear, window: {length_s: 5, hop_s: 0.244140625}, "
            "spectrogram: {form: running}}\ntune: popt",
            "has no PopT",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, was: str, wrong: str, part: str
) -> None:
    settings = tmp_path / "wrong.yaml"
    settings.write_text(QUICK.replace(was, wrong))
    flags = ("--folds", "3", "--out", tmp_path / "none")
    assert part in refused("fit", *PATIENT, "--config", settings, *flags)


def test_a_recording_shorter_than_a_window_is_refused(tmp_path: Path, quick: Path) -> None:
    short = ("synthetic:3,duration_s=2,n_channels=12", "--sfreq", "2048")
    long = tmp_path / "long.yaml"
    recipe = "{mode: linear, window: {length_s: 5, hop_s: 0.25}, spectrogram: {form: bands}}"
    long.write_text(quick.read_text().replace("recipe: linear", f"recipe: {recipe}"))
    assert "no valid window" in refused("fit", *short, "--config", long, "--out", tmp_path / "x")


TUNED = """
recipe:
  mode: edge
  signal: [{reference: laplacian}]
  window: {length_s: 1.25, hop_s: 0.25}
  spectrogram: {form: running, frame_s: 0.1953125, frame_hop_s: 0.0244140625}
  encoder:
    n_pooled: 10
    weights: random
    brainbert: {hidden_dim: 32, layer_dim_feedforward: 64, nhead: 2, encoder_num_layers: 2,
                input_dim: 40}
    popt: {input_dim: 32, hidden_dim: 32, layer_dim_feedforward: 64, n_head: 2, n_layers: 2}
labels: {classes: [rest, speech]}
splits: {n_folds: 2}
tune: popt
tune_steps: 10
n_permutations: 3
seeds: 2
"""


def test_a_tuned_popt_stands_beside_the_frozen_one_and_every_control(tmp_path: Path) -> None:
    settings, out = tmp_path / "tuned.yaml", tmp_path / "tuned"
    settings.write_text(TUNED.replace("hop_s: 0.25}", "hop_s: 0.244140625}"))
    patient = "synthetic:3,duration_s=45,n_channels=6"
    done = rtbrain("fit", patient, "--sfreq", "2048", "--config", settings, "--out", out)
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(out)
    assert set(bundle.report["scores"]) == {
        "decoder", "frozen PopT", "linear", "linear of v0.1.0", "STFT", "random init",
        "clock only",
    }  # fmt: skip
    auc, old = (bundle.report["scores"][name] for name in ("decoder", "linear of v0.1.0"))
    gain = auc["pooled"]["auc"] - old["pooled"]["auc"]
    assert old["decoder_minus_this"]["auc"]["score"] == pytest.approx(gain)
    assert "of the readout before tuning (3 shifts" in " ".join(done.stdout.split())
    over = bundle.report["scores"]["random init"]["pooled_over_seeds"]["auc"]
    assert over["lowest"] < over["highest"]
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        "confusion.png", "lag.png", "reliability.png", "roc.png",
    ]  # fmt: skip
    assert read_bundle(out / "controls" / "linear").manifest.mode == "linear"
    assert bundle.report["simplest"]["text"] in " ".join(done.stdout.split())
    use = f"rtbrain decode --bundle {out}/controls/linear"
    assert (use in done.stdout) == (bundle.report["simplest"]["use"] == "linear")
    shown = rtbrain("inspect", out).stdout
    assert "held out: decoder" in shown
    assert "Decodes describe" in shown
    report = tmp_path / "evaluated.json"
    held_out = "synthetic:3,duration_s=30,n_channels=6"
    assert rtbrain("evaluate", out, held_out, "--sfreq", "2048", "--report", report).returncode == 0
    assert set(json.loads(report.read_text())) == {
        "bundle", "decoder", "linear", "linear of v0.1.0", "random init",
    }  # fmt: skip


def test_half_the_range_of_the_fit_is_the_threshold_of_the_evaluation(
    tmp_path: Path, quick: Path
) -> None:
    out, report = tmp_path / "half", tmp_path / "half.json"
    flags = ("--channel", "RA1", "--threshold", "half")
    done = rtbrain("fit", *PATIENT, "--config", quick, "--out", out, *flags)
    assert done.returncode == 0, done.stderr
    threshold = read_bundle(out).report["labels"]["threshold"]
    assert isinstance(threshold, float)
    held_out = "synthetic:3,duration_s=45,n_channels=12"
    done = rtbrain("evaluate", out, held_out, "--sfreq", "2048", "--report", report)
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["decoder"]["auc"] > 0.5


PATCHES = """
recipe:
  mode: edge
  signal: [{resample_hz: 256}]
  window: {length_s: 1, hop_s: 0.5}
  spectrogram: {form: patches, frame_s: 0.125}
  encoder: {n_pooled: 3}
labels: {classes: [rest, speech]}
splits: {n_folds: 2}
n_permutations: 0
seeds: 1
"""


@pytest.mark.parametrize("make", [NeuroBERTSizes, BioFAMESizes])
def test_an_encoder_of_waveforms_is_fitted_on_patches(
    tmp_path: Path, make: type[NeuroBERTSizes | BioFAMESizes]
) -> None:
    encoder, config, out = tmp_path / "encoder", tmp_path / "fit.yaml", tmp_path / "bundle"
    sizes = make(16, 32, 2, 1, 32)
    trained = random_encoder(sizes, seed=7)
    save_encoder(trained, encoder)
    config.write_text(f"{PATCHES}encoder: {encoder}\n")
    done = rtbrain("fit", *PATIENT, "--config", config, "--out", out)
    assert done.returncode == 0, done.stderr
    model = model_of_bundle(read_bundle(out))
    assert model is not None
    assert (encoder_kind(model.channel_encoder.sizes), model.n_pooled) == (encoder_kind(sizes), 3)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(model.channel_encoder.state_dict()[name], tensor)


def test_an_encoder_is_not_fitted_on_what_it_does_not_read(tmp_path: Path) -> None:
    brainbert, neurobert = BrainBERTSizes(16, 32, 2, 1, 32), NeuroBERTSizes(16, 32, 2, 1, 40)
    popt = PopTSizes(16, 16, 32, 2, 1)
    for sizes in (brainbert, neurobert, popt):
        save_encoder(random_encoder(sizes, seed=1), tmp_path / encoder_kind(sizes))
    config = tmp_path / "fit.yaml"
    spectrograms = QUICK.replace("linear", "edge")
    for text, kind, part in (
        (PATCHES, "brainbert", "a BrainBERT reads spectrograms, and would get"),
        (spectrograms, "neurobert", "a NeuroBERT reads patches, and would get"),
        (PATCHES, "popt", "expected a channel encoder, found a PopT"),
    ):
        config.write_text(f"{text}encoder: {tmp_path / kind}\n")
        assert part in refused("fit", *PATIENT, "--config", config, "--out", tmp_path / "none")
