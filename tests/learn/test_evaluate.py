"""Decodes of a recording become figures: only time with valid decodes counts, and one verdict."""

import io
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from rich.console import Console

from rtbrain.config import DetectSettings, Recipe, load_settings
from rtbrain.decoder import Bundle
from rtbrain.learn.evaluate import LabelledDecodes, score_decodes
from rtbrain.learn.fit.gather import CLOCK, OLD, RANDOM
from rtbrain.learn.fit.labels import states_from_markers
from rtbrain.learn.intervals import jackknife, stretch_blocks
from rtbrain.learn.nulls import null_of_outputs, null_targets
from rtbrain.learn.report.evaluation_table import evaluation_scores
from rtbrain.learn.verdict import judge
from rtbrain.recording.recording import Event
from rtbrain.types import Decode, Quality

HOP_S, DELAY_S, EMBARGO_S = 0.25, 0.1, 6.0
RECIPE = load_settings("linear", Recipe).adapt(hop_s=HOP_S)
BUNDLE = Bundle(None, RECIPE, None, {}, {"split": {"embargo_s": EMBARGO_S}}, "")  # type: ignore
GOOD = np.ones(1, np.bool_)
DETECT = {"b": DetectSettings(up=0.5, refractory_s=0.0)}


def decoded(
    on: list[tuple[float, float]],
    events: list[tuple[float, str]],
    *,
    last_s: float = 600.0,
    gap_s: tuple[float, float] = (0.0, 0.0),
    noise: float = 0.0,
) -> LabelledDecodes:
    """Decodes that say "b" at these times; in the gap there are none, or invalid ones."""
    rng, decodes = np.random.default_rng(0), []
    for t_stop in np.arange(0.5, last_s, HOP_S):
        inside = gap_s[0] <= t_stop < gap_s[1]
        if inside and t_stop < np.mean(gap_s):
            continue
        b = 0.9 if any(start <= t_stop < stop for start, stop in on) else 0.1
        b = float(np.clip(b + noise * rng.normal(), 0, 1))
        quality = Quality(GOOD, valid=not inside)
        values = np.array([1 - b, b], np.float32)
        decodes.append(Decode(values, t_stop - DELAY_S, t_stop, quality))
    marks = [Event(onset_s, 0.0, text) for onset_s, text in events]
    label = partial(states_from_markers, events=marks, classes=("a", "b"), lag_s=DELAY_S)
    valid = np.array([decode.t_stop for decode in decodes if decode.quality.valid])
    return LabelledDecodes(decodes, label(valid), label, n_lost=0)


def test_alarms_are_counted_by_the_hour_of_valid_decodes() -> None:
    # 5 alarms in 10 minutes of which 5 are a gap, half of it without and half with invalid decodes.
    on = [(at, at + 2) for at in (60.0, 120.0, 480.0, 520.0, 560.0)]
    found = decoded(on, [(0.0, "a"), (597.0, "b")], gap_s=(150.0, 450.0))
    events = score_decodes(found, BUNDLE, DETECT)["events"]["b"]
    assert events["false_alarms"] == 5
    assert events["rest_s"] == pytest.approx(300, rel=0.02)
    assert events["false_alarms_per_hour"] == pytest.approx(60, rel=0.02)


def test_an_alarm_before_a_gap_and_one_after_it_are_two() -> None:
    found = decoded([(140.0, 460.0)], [(0.0, "a"), (597.0, "b")], gap_s=(150.0, 450.0))
    assert score_decodes(found, BUNDLE, DETECT)["events"]["b"]["false_alarms"] == 2
    later = score_decodes(found, BUNDLE, {"b": DetectSettings(up=0.5, refractory_s=400.0)})[
        "events"
    ]["b"]
    assert later["false_alarms"] == 1


def test_an_event_goes_on_through_a_gap_and_two_events_stay_two() -> None:
    marks = [(0.0, "a"), (140.0, "b"), (160.0, "a"), (440.0, "b"), (470.0, "a")]
    found = decoded([(140.5, 160.0), (440.5, 470.0)], marks, gap_s=(150.0, 450.0))
    events = score_decodes(found, BUNDLE, DETECT)["events"]["b"]
    assert (events["n_events"], events["n_found"], events["false_alarms"]) == (2, 2, 0)
    hidden = decoded([], [(0.0, "a"), (200.0, "b"), (210.0, "a"), (590.0, "b")], gap_s=(150, 450))
    events = score_decodes(hidden, BUNDLE, DETECT)["events"]["b"]
    assert (events["n_events"], events["n_unseen"], events["n_found"]) == (1, 1, 0)
    assert events["text"].startswith("0 of 1 b found (95 %: 0 to 98 %), 1 more without a valid")


def states(seed: int, last_s: float) -> list[tuple[float, str]]:
    rng, marks, at = np.random.default_rng(seed), [], 0.0
    while at < last_s:
        marks.append((at, "ab"[len(marks) % 2]))
        at += rng.uniform(2, 6)
    return marks


def test_the_verdict_is_that_of_a_fit_and_stands_on_top() -> None:
    marks = states(0, 300.0)
    on = [(a, b) for (a, text), (b, _) in pairwise(marks) if text == "b"]
    found = decoded(on, marks, last_s=300.0, noise=0.3)
    scores = score_decodes(found, BUNDLE, DETECT)
    labelled = found.labelled
    values = np.stack([decode.values for decode in found.valid])[labelled.rows]
    blocks = stretch_blocks(labelled, embargo_s=EMBARGO_S)
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=199)
    expected = judge(
        jackknife(values, labelled.targets, blocks)["auc"], null_of_outputs(values, labelled, draws)
    )
    assert (scores["verdict"]["answer"], expected.answer) == ("yes", "yes")
    assert expected.text.split(")")[0] in scores["verdict"]["text"]
    assert f"time alone {scores['clock']['score']:.2f}" in scores["verdict"]["text"]
    assert "without_drift" in scores["null_distribution"]["auc"]
    table = evaluation_scores({"decoder": scores}, "id")
    assert table.title.splitlines()[0] == scores["verdict"]["text"]
    assert list(table) == ["decoder", CLOCK, "labels shifted"]
    assert table[CLOCK]["auc"] == pytest.approx(scores["clock"]["score"])
    low, high = (f"{scores['clock']['interval_95']['auc'][end]:.2f}" for end in ("low", "high"))
    assert table.cells[CLOCK][0].endswith(f"\n[{low}, {high}]"), "an interval, on a line"
    assert "without slow drift" in table.caption


def test_decodes_without_information_are_not_called_better_than_chance() -> None:
    found = decoded([], states(1, 300.0), last_s=300.0, noise=0.3)
    verdict = score_decodes(found, BUNDLE, DETECT)["verdict"]
    assert verdict["answer"] == "not shown"


def test_a_recording_too_short_for_a_null_is_scored_and_not_judged() -> None:
    found = decoded([(5.0, 8.0)], [(0.0, "a"), (5.0, "b"), (8.0, "a")], last_s=11.0)
    scores = score_decodes(found, BUNDLE, DETECT)
    assert scores["auc"] > 0.9
    assert scores["verdict"]["answer"] == "not enough data"
    assert "null_distribution" not in scores
    assert list(evaluation_scores({"decoder": scores}, "id")) == ["decoder"]


@pytest.mark.parametrize(
    ("state", "old", "random"),
    [
        ("none", "not in the bundle", "no encoder"),
        ("untrained", "not in the bundle", "is the decoder"),
        ("pretrained", "not in the bundle", "not in the bundle"),
    ],
)
def test_a_control_without_scores_says_why(state: str, old: str, random: str) -> None:
    found = decoded([(5.0, 8.0)], [(0.0, "a"), (5.0, "b"), (8.0, "a")], last_s=11.0)
    scores = score_decodes(found, BUNDLE, DETECT)
    table = evaluation_scores({"decoder": scores}, "id", state)
    assert list(table) == ["decoder", OLD, RANDOM]
    assert [table.cells[name][0] for name in (OLD, RANDOM)] == [old, random]
    assert {len(cells) for cells in table.cells.values()} == {len(table.cells["decoder"])}
    assert list(evaluation_scores({"decoder": scores, OLD: scores}, "id", state))[1] == OLD
    out = io.StringIO()
    Console(file=out, width=80).print(table)
    for words in (OLD, "random init", random, "valid decodes", "samples lost", "false alarms"):
        assert words in out.getvalue()  # nothing is cut off
    assert "…" not in out.getvalue()
