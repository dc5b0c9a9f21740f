"""A verdict is yes only where bound and null agree, and says what is missing otherwise."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.learn.intervals import Interval
from rtbrain.learn.nulls import SHIFTED, NullDistribution, NullTargets
from rtbrain.learn.verdict import Clock, describe_found, describe_null, judge, simplest


def interval(low: float = 0.66, n_blocks: int = 22, score: float = 0.73) -> Interval:
    return Interval(score, low, 0.79, 0.03, n_blocks, "pairs of stretches", "auc")


def null(
    n: int = 199, n_eff: float = 72.0, overlap: float = 0.1, rank: int = 0, fixed_pace: bool = False
):
    """A null in which `rank` draws score as high as the truth, without drift twice as many."""
    targets = np.zeros((n + 1, 1), np.int64)
    drawn = NullTargets(
        np.zeros(1, np.int64), targets, targets, SHIFTED, n_eff, overlap, fixed_pace
    )
    plain, without = (np.r_[0.7, np.full(n, 0.5)] for _ in range(2))
    plain[1 : 1 + rank], without[1 : 1 + 2 * rank] = 0.8, 0.8
    return NullDistribution(drawn, {"auc": plain}, {"auc": without})


def test_it_is_yes_where_the_bound_is_above_chance_and_both_p_values_are_small() -> None:
    found = judge(interval(), null(), Clock(0.50, 0.4, 0.02))
    assert found.answer == "yes"
    assert found.text == ("Yes: better than chance (0.73 [0.66, 0.79], p 0.005; time alone 0.50).")
    assert found.warnings == ()
    of_frozen = replace(null(), of=" of the readout before tuning")
    assert "p 0.005 of the readout before tuning)" in judge(interval(), of_frozen).text


@pytest.mark.parametrize(
    ("of", "against"), [(interval(low=0.47, score=0.58), null()), (interval(), null(rank=6))]
)
def test_it_is_not_shown_where_the_bound_or_the_larger_p_is_not_enough(of, against) -> None:
    found = judge(of, against)
    assert found.answer == "not shown"
    assert found.text.startswith("Not shown to be better than chance: ")
    assert found.text.endswith("]. Record 20 more blocks of each.")


@pytest.mark.parametrize(
    ("of", "against", "why"),
    [
        (interval(n_blocks=9), null(), "9 pairs of stretches, 10 are needed"),
        (interval(), null(n_eff=3, fixed_pace=True), "cues come at a fixed pace: chance cannot be"),
        (
            interval(),
            null(n_eff=5.2),
            "too few independent stretches of labels (n_eff 5.2, 8 are needed)",
        ),
        (interval(), null(n=58), "58 draws of the null, 59 are needed"),
        (interval(), None, "no null distribution was made"),
        (interval(n_blocks=0), None, "Not enough data: 0 pairs of stretches, 10 are needed"),
    ],
)
def test_too_little_data_is_said_to_be_that(of, against, why: str) -> None:
    found = judge(of, against)
    assert found.answer == "not enough data"
    assert why in found.text


def test_what_time_alone_gives_and_overlapping_shifts_are_warned_of() -> None:
    found = judge(interval(), null(overlap=0.3), Clock(0.72, 0.01, 0.2))
    assert found.warnings == (
        "Shifted labels overlap the true ones: the band is not chance.",
        "Order and time alone score 0.72: mix the classes in time.",
    )
    assert judge(interval(), null(), Clock(0.41, 0.9, 0.2)).warnings == (
        "Order and time alone score 0.70: mix the classes in time.",
    )


def test_values_are_judged_by_their_correlation_against_none() -> None:
    of = replace(interval(low=0.1, score=0.3), name="pearson_r")
    against = null()
    against = replace(against, scores={"pearson_r": against.scores["auc"]}, without_drift=None)
    assert judge(of, against).answer == "yes"
    assert judge(replace(of, low=-0.1), against).text.endswith("Record for longer.")


def test_the_line_about_the_null_has_both_tests_and_their_independent_draws() -> None:
    line = describe_null(null().summary(), "auc", {"score": 0.55})
    assert line == (
        "Labels shifted: median 0.50, p 0.005 (199 shifts, about 72 independent); without slow "
        "drift 0.70, p 0.005; time alone 0.55."
    )


def test_events_that_were_found_have_an_exact_interval() -> None:
    assert describe_found(5, 5, "seizures") == "5 of 5 seizures found (95 %: 48 to 100 %)"
    assert describe_found(8, 10, "cues").endswith("(95 %: 44 to 97 %)")  # 0.444 to 0.975


@pytest.mark.parametrize(
    ("score", "low", "high", "use", "words"),
    [
        (0.01, -0.015, 0.035, "linear", "linear is not shown to be worse (AUC difference +0.010 ["),
        (-0.05, -0.08, -0.02, "decoder", "linear is worse (AUC difference -0.050 [-0.080, -0.020]"),
        (0.021, -0.037, 0.079, "linear", "linear is not shown to be worse (AUC difference +0.021"),
        (-0.01, -0.06, 0.06, "decoder", "too few data to say whether linear is worse"),
        (-0.3, math.nan, math.nan, "decoder", "too few data to say whether linear is worse"),
    ],
)
def test_the_simpler_decoder_is_suggested_where_it_is_not_worse(score, low, high, use, words):
    difference = Interval(score, low, high, 0.01, 22, "pairs of stretches", "auc")
    found = simplest(difference, "linear")
    assert found["use"] == use
    assert found["text"].startswith(words)
    assert "22 pairs of stretches" in found["text"]
    assert found["text"].endswith("use it, it is simpler") == (use == "linear")
