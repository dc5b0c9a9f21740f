"""A decoder and its controls, scored on the same held-out windows."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtbrain.config import SplitSettings
from rtbrain.encoder import EncoderModel, lip_positions
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.cross_validation import (
    CrossValidated,
    NullDistribution,
    block_bootstrap,
    cross_validate,
    null_distribution,
    outputs_of,
    score_folds,
    summarise_folds,
)
from rtbrain.learn.fit.gather import FEWER, FROZEN, LINEAR, MAIN, RANDOM, STFT, LabelledFeatures
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.popt import ChannelEmbeddings, TunedPopT, population_of, tune_popt
from rtbrain.learn.fit.readout import FittedReadout, fit_readout
from rtbrain.learn.fit.splits import Fold, block_folds, group_folds, unsafe_random_folds
from rtbrain.progress import OnProgress
from rtbrain.types import Floats, Ints

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class DecoderScores:
    """What was scored, and how."""

    folds: list[Fold]
    validated: dict[str, CrossValidated]
    intervals: dict[str, dict[str, tuple[float, float]]]
    null: NullDistribution | None
    unsafe: CrossValidated | None


@dataclass(frozen=True, slots=True, eq=False)
class FitRows:
    """Features with labels, one row per window, or two: of all channels and of fewer."""

    features: Floats  # float32 [n_rows, n_features]
    labelled: Labelled
    recordings: list[str]
    n_a_window: int

    def folds(self, folds: Sequence[Fold]) -> list[Fold]:
        """The folds in these rows: all rows of a window train, the first one is tested."""
        n = self.n_a_window
        return [
            replace(
                fold, train=(n * fold.train[:, None] + np.arange(n)).ravel(), test=n * fold.test
            )
            for fold in folds
        ]

    def fit(self, embargo_s: float, max_windows: int) -> FittedReadout:
        """Readout of all rows."""
        return fit_readout(
            self.features,
            self.labelled,
            embargo_s=embargo_s,
            recordings=self.recordings,
            max_windows=max_windows,
        )


def select_rows(gathered: LabelledFeatures, name: str) -> FitRows:
    """Rows of a maker; those of a decoder with PopT hold windows with fewer channels besides."""
    made, labelled = gathered.features.rows, gathered.labelled
    rows = _filled(_masked_as_missing(gathered, name))
    if name != MAIN or FEWER not in made:
        return FitRows(rows, labelled, gathered.recordings, 1)
    both = np.empty((2 * rows.shape[0], rows.shape[1]), np.float32)
    both[0::2], both[1::2] = rows, made[FEWER]
    twice = replace(
        labelled,
        rows=(2 * labelled.rows[:, None] + np.arange(2)).ravel(),
        targets=np.repeat(labelled.targets, 2, axis=0),
        t_s=np.repeat(labelled.t_s, 2),
    )
    return FitRows(both, twice, [name for name in gathered.recordings for _ in range(2)], 2)


def _masked_as_missing(gathered: LabelledFeatures, name: str) -> Floats:
    """Rows of a maker; where they are contacts in a row, those that were masked are NaN."""
    made, good = gathered.features.rows[name], gathered.features.good
    of_contacts = name == LINEAR or (name == MAIN and LINEAR not in gathered.features.rows)
    if not of_contacts or good.all():
        return made
    by_contact = made.reshape(*good.shape, -1)
    return np.where(good[..., None], by_contact, np.float32(np.nan)).reshape(made.shape)


def _filled(rows: Floats) -> Floats:
    """Features of masked contacts as their mean over the other windows, which says nothing."""
    missing = np.isnan(rows)
    if not missing.any():
        return rows
    counts = (~missing).sum(axis=0)
    means = np.where(missing, 0, rows).sum(axis=0) / np.maximum(counts, 1)
    filled: Floats = np.where(missing, means, rows).astype(np.float32)
    return filled


def folds_of(gathered: LabelledFeatures, splits: SplitSettings, embargo_s: float) -> list[Fold]:
    """Folds that hold: of time, of sessions or of subjects."""
    labelled = gathered.labelled
    if splits.kind != "blocks":
        return group_folds(gathered.groups[splits.kind], labelled.targets, names=labelled.names)
    return block_folds(
        labelled.t_s,
        labelled.targets,
        n_folds=splits.n_folds,
        embargo_s=embargo_s,
        names=labelled.names,
        recordings=gathered.recordings,
    )


def score_all(
    gathered: LabelledFeatures,
    splits: SplitSettings,
    embargo_s: float,
    n_permutations: int,
    max_windows: int,
    on_progress: OnProgress,
) -> DecoderScores:
    """Score the decoder and every control on the same folds."""
    folds = folds_of(gathered, splits, embargo_s)
    names = [name for name in gathered.features.rows if name != FEWER]
    total = (len(names) + splits.unsafe_random) * len(folds) + n_permutations
    steps = itertools.count(1)

    def step() -> None:
        on_progress(next(steps), total, "scoring")

    validated = {
        name: _validated(select_rows(gathered, name), folds, embargo_s, max_windows, step)
        for name in names
    }
    null = None
    if n_permutations:
        null = null_distribution(
            _filled(_masked_as_missing(gathered, MAIN)),
            gathered.labelled,
            folds,
            validated[MAIN],
            embargo_s=embargo_s,
            seed=_SEED,
            n_permutations=n_permutations,
            recordings=gathered.recordings,
            on_permutation=step,
        )
    unsafe = None
    if splits.unsafe_random:
        random = unsafe_random_folds(
            gathered.labelled.rows.size, n_folds=splits.n_folds, seed=_SEED
        )
        unsafe = _validated(select_rows(gathered, MAIN), random, embargo_s, max_windows, step)
    intervals = {name: interval_of(gathered, one, embargo_s) for name, one in validated.items()}
    return DecoderScores(folds, validated, intervals, null, unsafe)


def interval_of(
    gathered: LabelledFeatures, one: CrossValidated, block_s: float
) -> dict[str, tuple[float, float]]:
    """Middle 95 % of pooled scores over draws of blocks of time."""
    return block_bootstrap(
        one.outputs,
        gathered.labelled,
        block_s=block_s,
        seed=_SEED,
        recordings=gathered.recordings,
    )


def tune_decoder(
    gathered: LabelledFeatures,
    model: EncoderModel,
    folds: Sequence[Fold],
    embargo_s: float,
    n_steps: int,
    on_progress: OnProgress,
) -> tuple[TunedPopT, CrossValidated]:
    """PopT fine-tuned on all windows, and scored by fine-tuning it in every fold."""
    labelled, popt = gathered.labelled, model.popt
    if popt is None:
        raise SettingsError("tune popt: the recipe has no PopT; set encoder.popt, or tune readout")
    if labelled.task != "classification":
        raise SettingsError("tune popt fits classes: tune readout for continuous targets")
    positions = lip_positions(gathered.pipeline.signal.montage)
    embeddings = ChannelEmbeddings(gathered.features.channels, positions, gathered.features.good)
    total = n_steps * (len(folds) + 1)
    n_before = itertools.count(0, n_steps)

    def tuned(train: Ints | None) -> TunedPopT:
        steps = itertools.count(next(n_before) + 1)
        return tune_popt(
            popt,
            embeddings,
            labelled,
            embargo_s=embargo_s,
            seed=_SEED,
            train=train,
            recordings=gathered.recordings,
            n_steps=n_steps,
            on_step=lambda: on_progress(next(steps), total, "tuning PopT"),
        )

    def held_out(fold: Fold) -> tuple[Floats, float, float]:
        found, rows = tuned(fold.train), labelled.rows[fold.test]
        population = population_of(found.popt, embeddings, rows)
        return outputs_of(found.readout, population, np.arange(rows.size)), math.nan, math.nan

    validated = score_folds(labelled, folds, held_out)
    return tuned(None), validated


def with_tuned(
    gathered: LabelledFeatures, scored: DecoderScores, tuned: CrossValidated, embargo_s: float
) -> DecoderScores:
    """Scores in which the tuned PopT is the decoder, and the frozen one a control."""
    validated = {MAIN: tuned, FROZEN: scored.validated[MAIN]} | {
        name: one for name, one in scored.validated.items() if name != MAIN
    }
    intervals = {
        **scored.intervals,
        FROZEN: scored.intervals[MAIN],
        MAIN: interval_of(gathered, tuned, embargo_s),
    }
    return replace(scored, validated=validated, intervals=intervals)


def _validated(
    rows: FitRows,
    folds: Sequence[Fold],
    embargo_s: float,
    max_windows: int,
    on_fold: Callable[[], None],
) -> CrossValidated:
    found = cross_validate(
        rows.features,
        rows.labelled,
        rows.folds(folds),
        embargo_s=embargo_s,
        recordings=rows.recordings,
        max_windows=max_windows,
        on_fold=on_fold,
    )
    return replace(found, outputs=found.outputs[:: rows.n_a_window])


def named_scores(scored: DecoderScores) -> dict[str, Any]:
    """Scores of the decoder and its controls as plain values; random inits over their seeds."""
    named: dict[str, Any] = {}
    for name in (MAIN, FROZEN, LINEAR, STFT):
        if name in scored.validated:
            one = scored.validated[name]
            named[name] = {
                "pooled": one.pooled,
                "pooled_interval_95": scored.intervals[name],
                "by_fold": one.by_fold,
            }
    random = [one for name, one in scored.validated.items() if name.startswith(RANDOM)]
    if random:
        named[RANDOM] = {
            "pooled": {key: value["mean"] for key, value in _over(random).items()},
            "pooled_over_seeds": _over(random),
            "by_fold": summarise_folds([_means(one) for one in random]),
        }
    return named


def _over(several: Sequence[CrossValidated]) -> dict[str, dict[str, float]]:
    return summarise_folds([one.pooled for one in several])


def _means(one: CrossValidated) -> dict[str, float]:
    return {key: value["mean"] for key, value in one.by_fold.items()}
