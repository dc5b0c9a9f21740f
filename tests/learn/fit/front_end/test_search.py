"""A fit whose front end is chosen, from the recording to the bundle."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rtbrain
from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings
from rtbrain.learn.cue_plan import PLAN_MARKER, CuePlan
from rtbrain.learn.fit import run
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.fit.features import gather
from rtbrain.learn.fit.front_end import search
from rtbrain.learn.fit.front_end.choice import FrontEndChoice
from rtbrain.learn.fit.front_end.names import FrontEnd, parse_front_end
from rtbrain.learn.fit.front_end.search import _labelled_rows
from rtbrain.learn.fit.gather import LabelledFeatures
from rtbrain.learn.fit.labels import Labelled, join_labels
from rtbrain.learn.nulls import Design
from rtbrain.recording.recording import Event
from rtbrain.types import Chunk
from tests.apps.program import refused

PATIENT = rtbrain.read("synthetic:3,duration_s=40,n_channels=6", sfreq_hz=2048)
QUICK: dict[str, Any] = {"classes": ["rest", "speech"], "n_folds": 4, "n_permutations": 0}
PLAN: dict[str, Any] = {
    "classes": ["rest", "speech"], "n_per_class": 9, "duration_s": [1.5, 2.5], "seed": 2,
}  # fmt: skip
LINEAR = load_settings("linear", Recipe).adapt(mains_hz=60)
OWN, LONG, SHORT = (
    parse_front_end(name, LINEAR) for name in ("laplacian", "1s-bipolar", "short-magnitude")
)

Fitted = tuple[FittedDecoder, LabelledFeatures, Design]


def rows_alone(front_end: FrontEnd) -> dict[float, np.ndarray]:
    pipeline = build_feature_pipeline(front_end.recipe(LINEAR), PATIENT.montage)
    n = PATIENT.n_samples
    chunk = Chunk(PATIENT.read(0, n), np.arange(n) / 2048.0)
    found = gather([chunk], pipeline, {"": pipeline.encoder})
    return dict(zip(found.t_stop.round(6).tolist(), found.rows[""], strict=True))


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """A fit of which every fold chose another front end than all windows did."""
    seen = []
    events = CuePlan.model_validate(PLAN).draw(np.random.default_rng(PLAN["seed"]))
    marked = (
        Event(0.0, 0.0, PLAN_MARKER + json.dumps(PLAN)),
        *(replace(event, onset_s=event.onset_s + 0.8) for event in events),
    )

    def choose(
        features: Any, front_ends: Sequence[FrontEnd], default: FrontEnd, *rest: Any, **more: Any
    ) -> FrontEndChoice:
        assert default == OWN
        assert {LONG, SHORT} < set(front_ends)
        assert np.isfinite(features(LONG)).all()
        return FrontEndChoice(OWN, (OWN, LONG, SHORT, OWN), LONG, {"a": 0.5}, 1)

    def score(gathered: LabelledFeatures, *rest: Any) -> Any:
        seen.extend((gathered, rest[-1]))
        return score_all(gathered, *rest)

    score_all = run.score_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "choose_front_end", choose)
        patch.setattr(run, "score_all", score)
        return rtbrain.fit(replace(PATIENT, events=marked), mains_hz=60, **QUICK), *seen


def test_each_fold_is_fitted_on_its_own_front_end_and_all_windows_on_theirs(
    fitted: Fitted,
) -> None:
    _, gathered, _ = fitted
    t_stop = gathered.features.t_stop.round(6).tolist()
    used = (gathered.features.rows["decoder"], *gathered.by_fold)
    for rows, front_end in zip(used, (LONG, OWN, LONG, SHORT, OWN), strict=True):
        alone = rows_alone(front_end)
        assert rows.shape[1] == next(iter(alone.values())).size
        for t_s, row in list(zip(t_stop, rows, strict=True))[60::20]:
            # The statistics begin with the first whole window, which is not the same.
            np.testing.assert_allclose(row, alone[t_s], atol=0.25)


def test_the_bundle_decodes_with_what_was_chosen_and_says_how_surely(
    fitted: Fitted,
) -> None:
    decoder, gathered, _ = fitted
    assert decoder.bundle.recipe == LONG.recipe(LINEAR)
    assert decoder.bundle.recipe.window.length_s == pytest.approx(1.21875)
    assert decoder.report["front_end"]["folds"] == {OWN.name: 2, LONG.name: 1, SHORT.name: 1}
    caption = " ".join(decoder.scores.caption.split())
    assert (
        f"Front end: {LONG.name}, chosen on all windows. The folds chose {OWN.name} (2 of 4)"
        in caption
    )
    assert "Inner scores, which choosing makes too high" in caption
    decodes = decoder.decode(PATIENT)
    assert decodes.valid.sum() > 1000
    assert decodes.latency_s == pytest.approx(decodes.latency_s[0])
    assert 0.4 < decodes.latency_s[0] < 0.7
    assert gathered.label_delay_s < 0.2


def test_the_decoder_of_v0_1_0_stands_beside_on_the_same_windows_with_a_paired_difference(
    fitted: Fitted,
) -> None:
    decoder, gathered, _ = fitted
    assert gathered.features.rows["linear of v0.1.0"].shape[0] == gathered.features.t_stop.size
    old = decoder.report["scores"]["linear of v0.1.0"]
    less = old["decoder_minus_this"]["auc"]
    gain = decoder.scores["decoder"]["auc"] - decoder.scores["linear of v0.1.0"]["auc"]
    assert less["score"] == pytest.approx(gain)
    assert f"Decoder less linear of v0.1.0: AUC {gain:+.3f}" in decoder.scores.caption


def test_cues_are_drawn_again_for_the_moments_that_are_labelled_whatever_was_chosen(
    fitted: Fitted,
) -> None:
    _, gathered, design = fitted
    assert gathered.pipeline.neural_delay_s > gathered.label_delay_s + 0.2
    same = design(np.random.default_rng(PLAN["seed"]))
    np.testing.assert_array_equal(same, gathered.labelled.targets)


def test_windows_to_choose_on_are_those_of_their_own_recording_where_another_has_none() -> None:
    t_s = np.arange(4.0)
    none, labelled = (
        Labelled(np.empty(0, int), np.empty(0, int), ("a", "b"), np.empty(0)),
        Labelled(np.arange(4), np.array([0, 1, 0, 1]), ("a", "b"), t_s),
    )
    every = join_labels([labelled, none, labelled], [4, 3, 4], ["0", "1", "2"])
    at, positions = _labelled_rows(every, (t_s[::2], t_s[:3], t_s[1::2]), 0.1)
    assert at.tolist() == [0, 1, 5, 6]
    assert positions.tolist() == [0, 2, 5, 7]


def test_a_front_end_that_there_is_not_is_refused_in_a_line() -> None:
    flags = ("--classes", "rest,speech", "--out", "never", "--front-end", "wavelet")
    line = refused("fit", "synthetic:3,duration_s=40", *flags)
    assert "no word 'wavelet'" in line
    assert "bipolar" in line


def test_contacts_without_neighbours_are_taken_as_they_are_given() -> None:
    one = "synthetic:3,duration_s=40,n_channels=6"
    kept = rtbrain.fit(one, sfreq_hz=2048, channels=["RA2"], mains_hz=60, **QUICK | {"n_folds": 2})
    assert any("taken as they are given" in note for note in kept.notes)
    assert not any(step.reference for step in kept.bundle.recipe.signal)
