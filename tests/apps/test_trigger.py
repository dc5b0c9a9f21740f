"""`--trigger` of the commands: codes of a channel are the events, and it is not decoded from."""

from pathlib import Path

import mne
import numpy as np
import pytest

from rtbrain.decoder import read_bundle
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like

SFREQ_HZ, SECONDS = 512.0, 60
QUICK = "recipe: linear\nfront_end: recipe\nsplits: {n_folds: 2}\nn_permutations: 0\nseeds: 1\n"


def session(path: Path, seed: int) -> Path:
    """Two seconds by turns; in the second, A2 has a rhythm. STI 014: codes and a high bit."""
    n_samples = round(SECONDS * SFREQ_HZ)
    t = np.arange(n_samples) / SFREQ_HZ
    state = (t // 2) % 2 == 1
    data = np.vstack([1e-6 * brain_like(3, n_samples, SFREQ_HZ, seed=seed), np.zeros(n_samples)])
    data[1] += 40e-6 * state * np.sin(2 * np.pi * 80 * t)
    for start in range(0, n_samples, round(2 * SFREQ_HZ)):
        data[3, start + 10 : start + 30] = 0x100 + 1 + state[start]
    info = mne.create_info(["A1", "A2", "A3", "STI 014"], SFREQ_HZ, ["seeg"] * 3 + ["stim"])
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raw.set_annotations(mne.Annotations([30.0], [0.0], ["nurse"]))
    raw.save(path, verbose="ERROR")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trigger")
    for seed in (1, 2):
        session(folder / f"{seed}_raw.fif", seed)
    (folder / "quick.yaml").write_text(QUICK)
    flags = ("--config", folder / "quick.yaml", "--classes", "1,2", "--trigger", "STI 014:0xFF")
    done = rtbrain("fit", folder / "1_raw.fif", *flags, "--out", folder / "bundle")
    assert done.returncode == 0, done.stderr
    assert "the events are the codes of trigger channel 'STI 014'" in done.stderr
    assert "1 other events are not used" in done.stderr
    return folder


def test_codes_are_states_and_their_channel_is_not_decoded_from(folder: Path) -> None:
    bundle = read_bundle(folder / "bundle")
    assert bundle.report["scores"]["decoder"]["pooled"]["auc"] > 0.9
    assert bundle.montage.names == ("A1", "A2", "A3")
    assert bundle.report["labels"] == {"classes": ["1", "2"], "trigger": "STI 014:0xFF"}
    assert bundle.trigger is None  # its windows slide: live, there is nothing to cut at


def test_another_recording_is_scored_by_the_trigger_of_the_fit(folder: Path) -> None:
    evaluated = "evaluate", folder / "bundle", folder / "2_raw.fif"
    done = rtbrain(*evaluated, "--report", folder / "scores.json")
    assert done.returncode == 0, done.stderr
    other = refused(*evaluated, "--trigger", "STI 014")
    assert "no event '1', '2': there are '257' (15), '258' (15)" in other


def test_a_channel_that_is_not_there_is_refused_by_name(folder: Path) -> None:
    recording, flags = folder / "1_raw.fif", ("--trigger", "STI")
    expected = "no channel fits 'STI': the channels are A1, A2, A3, STI 014"
    assert expected in refused("replay", recording, *flags)
    assert expected in refused("evaluate", folder / "bundle", recording, *flags)
    quick = ("--config", folder / "quick.yaml", "--classes", "1,2", "--out", folder / "new")
    assert expected in refused("fit", recording, *flags, *quick)
    both = ("--stream", "amp", "--markers", "task", *flags)
    assert "trigger and markers: give one" in refused("decode", *both)
