"""Cues that follow a stored plan are drawn again from it; others are not taken for them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rtbrain
from rtbrain.config import LabelSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.cue_plan import PLAN_MARKER, CuePlan, stored_design
from rtbrain.learn.fit.labels import Labelled, states_from_markers
from rtbrain.learn.nulls import REDRAWN, null_targets
from rtbrain.learn.report_page import fit_page
from rtbrain.recording.recording import Event, Recording
from tests.conftest import brain_like, montage_of

PLAN = {"classes": ["rest", "go"], "n_per_class": 15, "duration_s": [3, 7], "seed": 5}
LABELS = LabelSettings(classes=("rest", "go"))


def cued(plan: CuePlan, first_s: float = 12.0) -> tuple[Recording, list[Event]]:
    drawn = plan.draw(np.random.default_rng(plan.seed))
    events = [replace(event, onset_s=event.onset_s + first_s) for event in drawn]
    montage = montage_of(1, 100.0)
    recording = Recording(
        montage,
        20_000,
        lambda start, stop: np.zeros((1, stop - start), np.float32),
        events=tuple(events),
    )
    return recording, events


def windows_of(events: list[Event]) -> Labelled:
    return states_from_markers(np.arange(5, 180, 0.5), events, ("rest", "go"))


def test_a_plan_in_a_marker_or_a_file_gives_other_draws_of_the_same_design(tmp_path: Path) -> None:
    recording, events = cued(CuePlan(**PLAN))
    labelled = windows_of(events)
    assert stored_design(LABELS, [recording], labelled, 0.0) is None
    marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + json.dumps(PLAN)), *events))
    path = tmp_path / "cues.json"
    path.write_text(json.dumps(PLAN))
    filed = LABELS.model_copy(update={"plan": str(path)})
    for design in (
        stored_design(LABELS, [marked], labelled, 0.0),
        stored_design(filed, [recording], labelled, 0.0),
    ):
        assert design is not None
        np.testing.assert_array_equal(design(np.random.default_rng(5)), labelled.targets)
        drawn = null_targets(labelled, embargo_s=6.0, n_permutations=60, design=design)
        assert (drawn.how, drawn.n) == (REDRAWN, 60)
        assert set(np.unique(drawn.targets)) == {0, 1}
        changes = np.count_nonzero(np.diff(drawn.targets, axis=1), axis=1)
        assert np.ptp(changes) > 0
        assert drawn.overlap < 0.25


def test_a_plan_that_one_of_two_recordings_lacks_is_not_used_and_that_is_said() -> None:
    recording, events = cued(CuePlan(**PLAN))
    marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + json.dumps(PLAN)), *events))
    notes: list[str] = []
    both = [marked, recording]
    assert stored_design(LABELS, both, windows_of(events), 0.0, notes.append) is None
    assert notes[0].startswith("no plan of cues in recording 2 of 2: labels are shifted for p")
    assert stored_design(LABELS, both[1:], windows_of(events), 0.0, notes.append) is None
    assert len(notes) == 1


def test_a_fit_draws_the_plan_again_and_its_report_does_not_say_where_it_lay(
    tmp_path: Path,
) -> None:
    path = tmp_path / "Erika-Mustermann.json"
    path.write_text(json.dumps(PLAN))
    plan = CuePlan(**PLAN)
    _, events = cued(plan)
    source = brain_like(2, 18_000, 100.0), 100.0, ("A1", "A2")
    recording = rtbrain.read(source, events=[(event.onset_s, event.text) for event in events])
    recipe = {
        "mode": "linear", "signal": [], "window": {"length_s": 1, "hop_s": 0.5},
        "encoder": {"n_pooled": 4},
        "spectrogram": {"form": "running", "frame_s": 0.4, "frame_hop_s": 0.1, "n_freqs": 20},
    }  # fmt: skip
    fitted = rtbrain.fit(
        recording, classes=plan.classes, plan=path, recipe=recipe, front_end="recipe", n_folds=3,
        n_permutations=9,
    )  # fmt: skip
    assert fitted.report["null_distribution"]["how"] == REDRAWN
    assert "Mustermann" not in fit_page(fitted.bundle, {}) + repr(fitted.bundle)


def test_markers_that_are_not_those_of_the_plan_are_refused(tmp_path: Path) -> None:
    recording, events = cued(CuePlan(**PLAN))
    path = tmp_path / "cues.json"
    path.write_text(json.dumps(PLAN | {"seed": 6}))
    labels = LABELS.model_copy(update={"plan": str(path)})
    with pytest.raises(SettingsError, match=r"does not give the 30 markers .*order another"):
        stored_design(labels, [recording], windows_of(events), 0.0)
    for broken, why in (("no json", "holds no plan"), ('{"seed": -1}', "the plan of cues")):
        marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + broken), *events))
        with pytest.raises(SettingsError, match=why):
            stored_design(LABELS, [marked], windows_of(events), 0.0)
