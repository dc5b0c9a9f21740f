"""`rtbrain evaluate`: a decoder on a stretch that it has not seen, as if live."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

import rtbrain as rtbrain_api
from rtbrain.config import Recipe, load_settings
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.learn.report import score_table
from rtbrain.recording.open import read_recording
from rtbrain.synthetic.patient import Patient
from tests.apps.program import refused, rtbrain


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "bundle"
    patient = Patient(3, n_channels=12, sfreq_hz=2048.0, classes=("rest", "speech"))
    quick_fit(load_settings("linear", Recipe), patient, 40.0, folder)
    return folder


HELD_OUT = ("synthetic:3,duration_s=60,n_channels=12", "--sfreq", "2048")
SHORT = ("synthetic:3,duration_s=20,n_channels=12", "--sfreq", "2048")


def test_a_stretch_is_scored_by_windows_and_by_events(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_table, "_MIN_CONFUSED", 1)  # shown as of three classes
    done = rtbrain("evaluate", bundle, *HELD_OUT, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert "as if live" in done.stdout
    figures = json.loads((tmp_path / "report.json").read_text())["decoder"]
    assert figures["valid"] > 200
    assert figures["balanced_accuracy"] > 0.75
    confused = np.array(figures["confusion"]["windows"])
    assert confused.sum() == figures["labelled"]
    right = np.diag(confused) / confused.sum(axis=1)
    assert right.mean() == pytest.approx(figures["balanced_accuracy"])
    assert "decoded speech" in done.stdout
    assert f"{right[1]:.0%}" in done.stdout
    low, high = figures["null_distribution"]["balanced_accuracy"]["band_95"]
    assert low < 0.5 < high < figures["balanced_accuracy"]
    events = figures["events"]["speech"]
    assert events["n_events"] > 10
    assert 0.5 < events["hit_rate"] <= 1
    assert np.isfinite(events["delay_s"])


def test_a_control_beside_the_decoder_is_scored_too(bundle: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(bundle, twin)
    shutil.copytree(bundle, twin / "controls" / "same")
    rtbrain("evaluate", twin, *SHORT, "--report", tmp_path / "report.json")
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["same"] == figures["decoder"]


def test_channels_are_left_out_and_told(bundle: Path) -> None:
    names = Patient(3, n_channels=12, sfreq_hz=2048.0).montage.names
    done = rtbrain("evaluate", bundle, *SHORT, "--exclude", names[5], "--kinds", "seeg")
    assert done.returncode == 0, done.stderr
    assert names[5] in done.stderr
    assert "are ecog" not in refused("evaluate", bundle, *SHORT, "--kinds", "ecog")


def test_labels_that_the_decoder_does_not_know_are_refused(bundle: Path) -> None:
    assert "speech" in refused("evaluate", bundle, *SHORT, "--classes", "rest,music")
    assert "same order" in refused("evaluate", bundle, *SHORT, "--classes", "speech,rest")


def test_a_recording_of_another_rate_or_of_other_contacts_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    line = refused("evaluate", bundle, "synthetic:3,duration_s=20,n_channels=12", "--sfreq", "1024")
    assert "1024 Hz" in line
    np.save(tmp_path / "others.npy", np.zeros((12, 40960), np.float32))
    line = refused("evaluate", bundle, tmp_path / "others.npy", "--sfreq", "2048")
    assert "0 of the decoder's 12 channels" in line


def test_a_contact_that_went_bad_since_is_masked_as_it_would_be_live(
    bundle: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad_raw.fif"
    done = rtbrain("export", *SHORT, "--to", "fif", "--out", bad, "--bad", "RA3")
    assert done.returncode == 0, done.stderr
    done = rtbrain("evaluate", bundle, bad, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    masked = json.loads((tmp_path / "report.json").read_text())["decoder"]
    rtbrain("evaluate", bundle, *SHORT, "--report", tmp_path / "whole.json")
    whole = json.loads((tmp_path / "whole.json").read_text())["decoder"]
    assert masked["valid"] == whole["valid"]
    assert masked["auc"] != whole["auc"]


def test_what_a_fit_that_was_cut_off_left_is_no_control(bundle: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(bundle, twin)
    (twin / "controls" / ".bundle-half").mkdir(parents=True)
    done = rtbrain("evaluate", twin, *SHORT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 0.0}, "expected thresholds above 0 and at most 1"),
        (
            {"threshold": 0.7, "preset": "balanced"},
            "preset balanced has a threshold and a refractory time",
        ),
        ({"refractory_s": 0.0, "preset": "balanced"}, "preset balanced has a threshold"),
    ],
)
def test_what_it_cannot_detect_by_is_refused_before_any_work(bundle: Path, options, says) -> None:
    with pytest.raises(SettingsError, match=says):
        rtbrain_api.evaluate(bundle, "absent.xdf", **options)


def test_a_recording_without_a_valid_decode_is_refused(bundle: Path) -> None:
    alive = read_recording(SHORT[0], sfreq_hz=2048)
    dead = replace(alive, reader=lambda start, stop: np.zeros((12, stop - start), np.float32))
    with pytest.raises(RtbrainError, match="is valid"):
        rtbrain_api.evaluate(bundle, dead)
    assert "threshold" in refused("evaluate", bundle, *SHORT, "--threshold", "7")


def test_a_recording_that_lacks_a_contact_is_decoded_as_it_would_be_live(
    bundle: Path, tmp_path: Path
) -> None:
    whole, fewer = tmp_path / "whole_raw.fif", tmp_path / "fewer_raw.fif"
    assert rtbrain("export", *SHORT, "--to", "fif", "--out", whole).returncode == 0
    raw = mne.io.read_raw_fif(whole, verbose="ERROR").drop_channels(["RA3"])
    raw.save(fewer, verbose="ERROR")
    raw.close()
    done = rtbrain("evaluate", bundle, fewer, "--report", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["decoder"]["auc"] > 0.7
