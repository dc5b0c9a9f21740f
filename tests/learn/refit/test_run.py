"""A decoder that is fitted again: what is kept, what is added, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

import rtbrain
from rtbrain.config import DetectSettings, Recipe, load_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import RtbrainError
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.learn.fit.splits import block_folds
from rtbrain.learn.held_out import HeldOut
from rtbrain.learn.refit import run
from rtbrain.live.detections import build_detector
from rtbrain.recording.recording import Recording
from rtbrain.synthetic.patient import Patient
from rtbrain.terminal import no_progress
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
    other = rtbrain.read("synthetic:4,duration_s=60,n_channels=8", sfreq_hz=HZ)
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


DETECT = {"speech": DetectSettings(up=0.77), "rest": DetectSettings(up=0.88)}


def detecting(folder: Path) -> FittedDecoder:
    """The decoder as one with detections and drift, whose figures are those of another session."""
    decoder = rtbrain.load(folder)
    bundle = decoder.bundle
    manifest = bundle.manifest.model_copy(update={"detect": DETECT})
    preset = {"balanced": {"settings": {"up": 0.77}}}
    report = bundle.report | {"detections": {"speech": {"calibrated": True, "presets": preset}}}
    tensors = bundle.tensors | {"drift.thresholds": np.full(6, 7.0)}
    return replace(
        decoder, bundle=replace(bundle, manifest=manifest, report=report, tensors=tensors)
    )


def test_a_new_readout_has_thresholds_and_a_drift_limit_from_its_own_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[HeldOut] = []

    def propose(own: HeldOut, *of: Any) -> dict[str, Any]:
        seen.append(own)
        return real(own, *of)

    def compare(old: Any, memory: Any, before: Any, after: Any, **of: Any) -> Any:
        compared.append((after, really(old, memory, before, after, **of)))
        return compared[0][1]

    compared: list[Any] = []
    real, really = HeldOut.propose, run.compare
    monkeypatch.setattr(HeldOut, "propose", propose)
    monkeypatch.setattr(run, "compare", compare)
    session = rtbrain.read("synthetic:3,duration_s=130,n_channels=8,gain_drift_db=6", sfreq_hz=HZ)
    again = rtbrain.refit(detecting(folder), session)
    assert again.report["refit"]["kept"] == "new"
    found = again.report["detections"]
    presets = {
        label: one["presets"]["balanced"]["settings"]
        for label, one in found.items()
        if one["calibrated"]
    }
    assert set(presets) == {"speech", "rest"}, {key: one["n_events"] for key, one in found.items()}
    chosen = {label: DetectSettings(**one) for label, one in presets.items()}
    assert again.bundle.manifest.detect == chosen != DETECT
    assert build_detector(again.bundle, chosen).calibrated == {"speech": True, "rest": True}
    # They are of decodes that were held out, by the readouts that the comparison is of.
    timeline = seen[0].timeline(no_progress)
    values = np.array([one.values for one in timeline.decodes if one.quality.valid])
    after, found = compared[0]
    t_s = after.labelled.t_s - after.labelled.t_s[0]
    at = np.searchsorted(timeline.times, t_s - 0.1)
    of_folds = [one.weight @ after.features.T + one.bias[:, None] for one in found.by_fold]
    expected = np.take_along_axis(scipy.special.softmax(of_folds, 1), found.fold[None, None], 0)[0]
    np.testing.assert_allclose(values[at], expected.T, atol=1e-4)
    assert np.abs(np.diff(of_folds, axis=0)).max() > 0.1
    held_out = block_folds(after.labelled, n_folds=5, embargo_s=after.embargo_s)
    for number, fold in enumerate(held_out):
        assert set(found.fold[fold.test]) == {number}
    assert set(np.unique(again.bundle.tensors["drift.thresholds"])) != {7.0}
    assert again.report["drift"]["blocks"] >= 4
    assert again.report["refit"]["text"].endswith(
        "the new one is used; thresholds of speech, rest are chosen anew on held-out time; "
        "drift is judged by the new session"
    )


def test_thresholds_and_drift_that_a_short_session_cannot_give_are_said_to_be_old(
    folder: Path, new: Recording
) -> None:
    again = rtbrain.refit(detecting(folder), new)
    assert again.bundle.manifest.detect == DETECT
    assert set(build_detector(again.bundle, DETECT).calibrated.values()) == {False}
    assert set(again.bundle.tensors["drift.thresholds"]) == {7.0}
    said = again.report["refit"]["text"]
    assert "thresholds of speech, rest are no longer calibrated: that takes 20 events" in said
    assert "drift is still judged by the first calibration" in said


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
        ("synthetic:3,duration_s=30,n_channels=8", ("--half-life", -1), "half-life above 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_decoder_is_refused_and_nothing_is_written(
    recording: str, options: tuple[object, ...], says: str, folder: Path, tmp_path: Path
) -> None:
    rate = () if "--sfreq" in options else ("--sfreq", 512)
    line = refused("refit", folder, recording, *rate, *options, "--out", tmp_path / "new")
    assert says in line
    assert not list(tmp_path.iterdir())
