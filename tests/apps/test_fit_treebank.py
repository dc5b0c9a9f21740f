"""A Brain Treebank trial by command: loud words drive two contacts, and the decoder says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from rtbrain.decoder import read_bundle
from tests.apps.program import rtbrain
from tests.conftest import brain_like
from tests.recording.treebank import write_trial

SFREQ_HZ = 512.0
N_WORDS = 120
SETTINGS = """
recipe:
  mode: linear
  signal: [{pick: {kinds: [seeg]}}, {notch: {mains_hz: 60, up_to_hz: 180}}, {reference: laplacian}]
  window: {length_s: 1.0, hop_s: 0.25}
  spectrogram: {form: running, frame_s: 0.25, frame_hop_s: 0.0625, time_constant_s: 60}
splits: {n_folds: 3}
n_permutations: 20
"""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(4)
    onsets = 3 + np.cumsum(rng.uniform(1.6, 2.4, N_WORDS))
    loudness = rng.uniform(0, 1, N_WORDS)
    n_samples = round((onsets[-1] + 8) * SFREQ_HZ)
    data = brain_like(4, n_samples, SFREQ_HZ).astype(np.float64)
    t = np.arange(n_samples) / SFREQ_HZ
    for onset, loud in zip(onsets, loudness, strict=True):
        heard = (t >= onset + 0.15) & (t < onset + 0.9)
        data[1, heard] += 30 * loud * np.sin(2 * np.pi * 92 * t[heard])
    words = [
        (f"w{n}", float(onset), float(onset + 0.4), int(n % 6 == 0), float(loud))
        for n, (onset, loud) in enumerate(zip(onsets, loudness, strict=True))
    ]
    triggers = [(float(s), round(s * SFREQ_HZ)) for s in np.arange(0, n_samples / SFREQ_HZ, 5)]
    root = tmp_path_factory.mktemp("treebank")
    return write_trial(root, np.vstack([data, data[:1] * 0]), triggers, words,
                       columns=("is_onset", "rms"))  # fmt: skip


@pytest.mark.parametrize("rules", ["neuroprobe", "published"])
def test_loud_words_are_told_from_quiet_ones_by_either_rules(
    trial: Path, tmp_path: Path, rules: str
) -> None:
    settings = tmp_path / "treebank.yaml"
    settings.write_text(SETTINGS)
    out = tmp_path / "bundle"
    done = rtbrain(
        "fit", trial, "--task", "volume", "--rules", rules, "--config", settings, "--out", out
    )
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(out)
    length_s = {"neuroprobe": 1.0, "published": 5.0}[rules]
    assert bundle.manifest.recipe["window"]["length_s"] == length_s
    assert bundle.manifest.labels == ("no volume", "volume")
    assert bundle.report["scores"]["STFT"]["pooled"]["auc"] > 0.7
    assert bundle.report["windows"] == 2 * 29  # strictly beyond the quartiles


def test_a_decoder_of_a_task_reads_its_whole_window_and_is_evaluated_on_a_trial(
    trial: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "bundle", tmp_path / "report.json"
    settings = tmp_path / "quick.yaml"
    settings.write_text(
        "n_permutations: 0\nsplits: {n_folds: 3}\nrecipe: linear\nfront_end: recipe\n"
    )
    done = rtbrain("fit", trial, "--task", "volume", "--config", settings, "--out", out)
    assert done.returncode == 0, done.stderr
    assert read_bundle(out).manifest.recipe["encoder"]["n_pooled"] == 25
    done = rtbrain("evaluate", out, trial, "--report", report)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["decoder"]
    assert figures["labelled"] == 2 * 29
    assert "events" not in figures
