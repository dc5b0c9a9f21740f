"""A decoder that is fitted again: what is kept, what is added, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

import rtbrain
from rtbrain.config import Recipe, load_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import RtbrainError
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.recording.recording import Recording
from rtbrain.synthetic.patient import Patient
from tests.apps.program import refused
from tests.apps.program import rtbrain as program

HZ = 512.0
NEW = "synthetic:3,duration_s=70,n_channels=8,gain_drift_db=6"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = load_settings("linear", Recipe).model_dump(exclude_unset=True)
    values["signal"] = [step for step in values["signal"] if "resample_hz" not in step]
    values["window"]["hop_s"] = 0.25
    values["spectrogram"]["time_constant_s"] = 10.0
    patient = Patient(3, n_channels=8, sfreq_hz=HZ)
    found = tmp_path_factory.mktemp("bundles") / "old"
    quick_fit(Recipe.model_validate(values), patient, 50.0, found)
    return found


@pytest.fixture(scope="module")
def new() -> Recording:
    return rtbrain.read(NEW, sfreq_hz=HZ)


@pytest.fixture(scope="module")
def decoder(folder: Path, new: Recording) -> FittedDecoder:
    return rtbrain.refit(folder, new)


def test_a_new_session_is_added_and_compared_on_time_that_was_held_out(
    decoder: FittedDecoder, folder: Path, new: Recording, tmp_path: Path
) -> None:
    compared = decoder.report["refit"]
    assert compared["kept"] == "new"
    assert compared["interval_95"]["low"] > -0.02
    assert compared["old"] > 0.7
    assert "the new one is used" in compared["text"]
    old, again = read_bundle(folder), read_bundle(decoder.save(tmp_path / "new"))
    assert again.manifest.recipe == old.manifest.recipe
    assert [(one.kind, one.parent) for one in again.manifest.history] == [("refit", old.id)]
    weights, before = (one.tensors["memory.weights"] for one in (again, old))
    added = len(weights) - len(before)
    assert added > 200
    np.testing.assert_allclose(weights[: len(before)], before * 0.5**0.5)
    np.testing.assert_array_equal(weights[len(before) :], 1)
    count = (one.tensors["normaliser.count"].max() for one in (again, old))
    assert next(count) > 2000, "the normaliser is that of the new session"
    scores = rtbrain.evaluate(decoder, new)
    assert scores["decoder"]["balanced_accuracy"] > 0.8
    shown = program("inspect", tmp_path / "new", "--history")
    assert "refit" in shown.stdout
    assert old.id[:12] in shown.stdout
    # Refitted once more, it is one session older.
    with pytest.raises(RtbrainError, match="fitted on this session already"):
        rtbrain.refit(tmp_path / "new", new)
    other = rtbrain.read("synthetic:4,duration_s=40,n_channels=8", sfreq_hz=HZ)
    third = rtbrain.refit(tmp_path / "new", other, half_life=1.0)
    assert [one.kind for one in third.bundle.manifest.history] == ["refit", "refit"]


def test_a_session_too_short_to_compare_keeps_the_old_readout(folder: Path, new: Recording) -> None:
    old = read_bundle(folder)
    short = rtbrain.refit(
        folder, rtbrain.read("synthetic:4,duration_s=22,n_channels=8", sfreq_hz=HZ)
    )
    assert short.report["refit"]["kept"] == "old"
    assert "too few to compare them; the old one is kept" in short.report["refit"]["text"]
    np.testing.assert_array_equal(
        short.bundle.tensors["readout.weight"], old.tensors["readout.weight"]
    )
    assert len(short.bundle.tensors["memory.z"]) > len(old.tensors["memory.z"])
    assert short.bundle.manifest.history[-1].kind == "kept"
    assert short.report["balanced_accuracy_blocked"] == old.report["balanced_accuracy_blocked"]


def old_of(folder: Path) -> FittedDecoder:
    return rtbrain.load(folder)


def test_recordings_that_are_named_again_replace_what_is_remembered(
    folder: Path, new: Recording
) -> None:
    decoder = rtbrain.load(folder)
    for name in [name for name in decoder.bundle.tensors if name.startswith("memory.")]:
        del decoder.bundle.tensors[name]
    with pytest.raises(RtbrainError, match=r"remembers nothing .*--with"):
        rtbrain.refit(decoder, new)
    old = rtbrain.read("synthetic:3,duration_s=50,n_channels=8", sfreq_hz=HZ)
    again = rtbrain.refit(decoder, new, old=old)
    assert again.report["refit"]["new"] > 0.8
    with pytest.raises(RtbrainError, match="fitted on this session already"):
        rtbrain.refit(decoder, new, old=[old, new])


def test_the_recording_of_the_fit_is_no_new_session(folder: Path) -> None:
    fitted = rtbrain.read("synthetic:3,duration_s=50,n_channels=8", sfreq_hz=HZ)
    with pytest.raises(RtbrainError, match="nothing would be held out"):
        rtbrain.refit(folder, fitted)


@pytest.mark.parametrize(
    ("recording", "options", "says"),
    [
        ("synthetic:3,duration_s=30,n_channels=8,classes=rest/music", (), "no event 'speech'"),
        ("synthetic:3,duration_s=30,n_channels=8,classes=rest/speech/music",
         ("--classes", "rest,music"), "distinguishes rest, speech, the labels are rest, music"),
        ("synthetic:3,duration_s=30,n_channels=8", ("--sfreq", 1024), "1024"),
        ("synthetic:3,duration_s=30,n_channels=8,electrodes=grids", (), "channels"),
        ("synthetic:3,duration_s=30,n_channels=8", ("--half-life", -1), "half-life -1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_decoder_is_refused_and_nothing_is_written(
    recording: str, options: tuple[object, ...], says: str, folder: Path, tmp_path: Path
) -> None:
    rate = () if "--sfreq" in options else ("--sfreq", 512)
    line = refused("refit", folder, recording, *rate, *options, "--out", tmp_path / "new")
    assert says in line
    assert not list(tmp_path.iterdir())
