"""Whether a decoder is better than chance, in words that are the same wherever they stand.

The constants are defaults by judgement from simulated recordings of known truth.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.intervals import FEW_BLOCKS, Interval, share_interval
from rtbrain.learn.nulls import SHIFTED, NullDistribution
from rtbrain.types import Floats

ALPHA = 0.05
LEAST_EFFECTIVE = 8.0  # independent stretches of the labels
LEAST_DRAWS = 59
LEAST_SUBJECTS = 6  # to call one decoder better than another
LARGE_ORDER, LARGE_OVERLAP = 0.1, 0.2
_REST_SHARE = 0.6
_ADVICE = 20  # more blocks of each class
FIXED_PACE = "cues come at a fixed pace: chance cannot be estimated."
OVERLAPPING = "Shifted labels overlap the true ones: the band is not chance."

Answer = Literal["yes", "not shown", "not enough data"]


def decisive(task: str) -> str:
    """Name of the score that a verdict goes by."""
    return "auc" if task == "classification" else "pearson_r"


@dataclass(frozen=True, slots=True)
class Clock:
    """What time alone scores through the same folds."""

    score: float
    p: float
    order: float  # |AUC of time - 0.5|

    @property
    def suspicious(self) -> bool:
        """Whether a decoder could do well by knowing the time only."""
        return self.p <= ALPHA or self.order >= LARGE_ORDER


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, the sentence that gives it, and what else must be said."""

    answer: Answer
    text: str
    warnings: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """As plain values for a report."""
        return asdict(self) | {"warnings": list(self.warnings)}


def judge(interval: Interval, null: NullDistribution | None, clock: Clock | None = None) -> Verdict:
    """Whether a score is better than chance.

    Yes: its lower bound is above chance, AUC 0.5 or correlation 0, and p at most 0.05. Not enough
    data: fewer than 10 blocks, 8 independent stretches of labels or 59 draws of the null.

    `interval` is that of the AUC (of several classes, the mean of each against the rest), or of
    the correlation.
    """
    warnings = []
    if null is not None and null.draws.overlap >= LARGE_OVERLAP and null.draws.how == SHIFTED:
        warnings.append(OVERLAPPING)
    alone = ""
    if clock is not None:
        alone = f"; time alone {clock.score:.2f}"
        if clock.suspicious:
            warnings.append(_order_warning(interval.name, clock))
    answer, text = _answer(interval, null, alone)
    return Verdict(answer, text, tuple(warnings))


def judge_scores(
    intervals: Mapping[str, Interval],
    null: NullDistribution | None,
    clock: Clock | None,
    outputs: Floats,
    labelled: Labelled,
) -> Verdict:
    """Whether a decoder is better than chance, by the AUC or the correlation."""
    key = decisive(labelled.task)
    found = judge(intervals[key], null, clock)
    if key == "auc" and intervals[key].n_blocks < FEW_BLOCKS:
        found = replace(found, text=f"{found.text}{found_stretches(outputs, labelled)}")
    return found


def found_stretches(outputs: Floats, labelled: Labelled) -> str:
    """How many events most of their held-out windows decode as such; where one class is rest.

    Rest is a class that has 6 of 10 windows; empty where none has.
    """
    shares = np.bincount(labelled.targets) / max(1, labelled.targets.size)
    common = int(shares.argmax())
    if shares[common] < _REST_SHARE:
        return ""
    right = outputs.argmax(axis=1) == labelled.targets
    counts: dict[int, tuple[int, int]] = {}
    for part in labelled.parts:
        edges = np.flatnonzero(np.diff(labelled.targets[part])) + 1
        for rows in np.split(part, edges):
            number = int(labelled.targets[rows[0]])
            if number != common:
                n_found, n = counts.get(number, (0, 0))
                counts[number] = (n_found + int(right[rows].mean() > 0.5), n + 1)
    described = [
        describe_found(n_found, n, f"stretches of {labelled.names[number]}")
        for number, (n_found, n) in sorted(counts.items())
    ]
    return f" By most of their held-out windows, {'; '.join(described)}."


def simplest(difference: Interval, control: str) -> dict[str, Any]:
    """Whether a simpler decoder does, by its score minus that of the one that was fitted.

    It is suggested where it is not worse, the lower bound above a loss of 0.02, and where it scores
    no lower: then nothing speaks for the other.
    """
    score = "AUC" if difference.name == "auc" else "r"
    by = f"{score} difference {difference.score:+.3f}"
    if math.isfinite(difference.low):
        by += f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    by += f", {difference.n_blocks} {difference.unit}"
    use = difference.not_worse or difference.score >= 0
    if use:
        text = f"{control} is not shown to be worse ({by}): use it, it is simpler"
    elif difference.high < 0:
        text = f"{control} is worse ({by}): the encoder is worth its cost"
    else:
        text = f"too few data to say whether {control} is worse ({by}): record more to tell"
    return {"use": control if use else "decoder", "text": text}


def _answer(interval: Interval, null: NullDistribution | None, alone: str) -> tuple[Answer, str]:
    short: Answer = "not enough data"
    counted = f"{interval.n_blocks} {interval.unit}"
    if interval.n_blocks < FEW_BLOCKS:
        return short, f"Not enough data: {counted}, {FEW_BLOCKS} are needed. {_scored(interval)}."
    if null is None:
        return short, f"Not judged: no null distribution was made. {_scored(interval)}."
    draws = null.draws
    if draws.n_eff < LEAST_EFFECTIVE:
        why = FIXED_PACE if draws.fixed_pace else _few_stretches(draws.n_eff)
        return short, f"Not enough data: {why} {_scored(interval)}."
    if draws.n < LEAST_DRAWS:
        return short, (
            f"Not enough data: {draws.n} draws of the null, {LEAST_DRAWS} are needed. "
            f"{_scored(interval)}."
        )
    chance = 0.5 if interval.name == "auc" else 0.0
    p = null.p_value(interval.name)
    if interval.low > chance and p <= ALPHA:
        return "yes", f"Yes: better than chance ({interval.brief()}, p {p:.3f}{null.of}{alone})."
    more = "Record for longer" if not chance else f"Record {_ADVICE} more blocks of each"
    return "not shown", f"Not shown to be better than chance: {interval.brief()}. {more}."


def _few_stretches(n_eff: float) -> str:
    return (
        f"too few independent stretches of labels (n_eff {n_eff:.1f}, {LEAST_EFFECTIVE:.0f} are "
        "needed)."
    )


def _scored(interval: Interval) -> str:
    return f"{'AUC' if interval.name == 'auc' else 'r'} {interval.brief()}"


def _order_warning(name: str, clock: Clock) -> str:
    mix = "mix the classes in time" if name == "auc" else "let the values vary throughout"
    score = clock.score
    if name == "auc" and not score >= 0.5 + clock.order:
        score = 0.5 + clock.order  # the clock through folds can score below what its order shows
    return f"Order and time alone score {score:.2f}: {mix}."


def describe_null(null: Mapping[str, Any], name: str, clock: Mapping[str, Any] | None) -> str:
    """Line about a null distribution, from its summary, as every report prints it."""
    one = null[name]
    how = {"labels shifted": "shifts"}.get(null["how"], "draws")
    n_eff = null["n_effective"]
    text = (
        f"{null['how'].capitalize()}: median {one['median']:.2f}, p {one['p_shifted']:.3f}"
        f"{null.get('of', '')} ({null['n']} {how}, about {n_eff:.0f} independent)"
    )
    if "without_drift" in one:
        text += f"; without slow drift {one['without_drift']:.2f}, p {one['p_without_drift']:.3f}"
    if clock is not None:
        text += f"; time alone {clock['score']:.2f}"
    return f"{text}."


def describe_found(n_found: int, n: int, name: str) -> str:
    """How many events were found, for recordings with too few for a verdict by AUC."""
    low, high = share_interval(n_found, n)
    return f"{n_found} of {n} {name} found (95 %: {100 * low:.0f} to {100 * high:.0f} %)"
