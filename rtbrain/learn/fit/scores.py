"""A decoder and its controls, scored on the same held-out windows."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rtbrain.config import LabelSettings
from rtbrain.decoder import LinearReadout, Memory
from rtbrain.learn.fit.cross_validation import (
    CrossValidated,
    cross_validate,
    null_distribution,
    score_clock,
    summarise_folds,
)
from rtbrain.learn.fit.features import fill_missing
from rtbrain.learn.fit.gather import (
    CLOCK,
    FEWER,
    FROZEN,
    LINEAR,
    MAIN,
    OLD,
    RANDOM,
    STFT,
    LabelledFeatures,
)
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import (
    FittedReadout,
    Standardiser,
    contact_weights,
    fit_readout,
    remember,
)
from rtbrain.learn.fit.splits import (
    Fold,
    block_folds,
    group_folds,
    subsample,
    unsafe_random_folds,
)
from rtbrain.learn.intervals import (
    Blocks,
    Interval,
    group_blocks,
    jackknife,
    paired_jackknife,
    stretch_blocks,
)
from rtbrain.learn.metrics import confusions, scores_of
from rtbrain.learn.nulls import (
    Design,
    NullDistribution,
    null_targets,
)
from rtbrain.learn.verdict import Clock, Verdict, decisive, judge_scores, simplest
from rtbrain.terminal import OnProgress
from rtbrain.types import Doubles, Floats


@dataclass(frozen=True, slots=True, eq=False)
class DecoderScores:
    """What was scored, and how."""

    folds: list[Fold]
    validated: dict[str, CrossValidated]
    intervals: dict[str, dict[str, Interval]]
    blocks: Blocks
    null: NullDistribution | None
    clock: Clock
    unsafe: CrossValidated | None

    def minus(self, name: str, other: str, labelled: Labelled) -> dict[str, Interval]:
        """Scores of one less those of another on the same blocks."""
        one, of_other = (self.validated[each].outputs for each in (name, other))
        return paired_jackknife(one, of_other, labelled.targets, self.blocks)

    def verdict(self, labelled: Labelled) -> Verdict:
        """Whether the decoder is better than chance."""
        outputs = self.validated[MAIN].outputs
        return judge_scores(self.intervals[MAIN], self.null, self.clock, outputs, labelled)


@dataclass(frozen=True, slots=True, eq=False)
class FitRows:
    """Features with labels, one row per window, or two: of all channels and of fewer."""

    features: Floats  # float32 [n_rows, n_features]
    labelled: Labelled
    n_per_window: int
    embargo_s: float
    max_windows: int
    by_fold: tuple[Floats, ...] = ()  # features of each fold's own

    def fit(self) -> FittedReadout:
        """Readout of all rows."""
        return fit_readout(
            self.features, self.labelled, embargo_s=self.embargo_s, max_windows=self.max_windows
        )

    def remember(self, fitted: FittedReadout, most: int) -> Memory | None:
        """What a bundle keeps of them; None where that is nothing."""
        kept = self.labelled.pick(subsample(np.arange(self.labelled.rows.size), self.max_windows))
        return remember(self.features, kept, fitted, most) if most else None

    def validate(self, folds: Sequence[Fold], on_fold: Callable[[], None]) -> CrossValidated:
        """Scores of folds of the windows: all rows of a window train, the first one is tested."""
        n = self.n_per_window
        of_rows = [
            replace(
                fold, train=(n * fold.train[:, None] + np.arange(n)).ravel(), test=n * fold.test
            )
            for fold in folds
        ]
        found = cross_validate(
            self.features,
            self.labelled,
            of_rows,
            by_fold=self.by_fold,
            embargo_s=self.embargo_s,
            max_windows=self.max_windows,
            on_fold=on_fold,
        )
        return replace(found, outputs=found.outputs[::n])


def select_rows(gathered: LabelledFeatures, name: str) -> FitRows:
    """Rows of a maker; those of a decoder with PopT hold windows with fewer channels besides."""
    made, labelled = gathered.features.rows, gathered.labelled
    rows, n = _filled_rows(gathered, name), 1
    if name == MAIN and FEWER in made:
        n = 2
        rows = np.stack((rows, made[FEWER]), axis=1).reshape(2 * len(rows), -1)
        twice = labelled.pick(np.repeat(np.arange(labelled.rows.size), 2))
        labelled = replace(twice, rows=2 * twice.rows + np.tile((0, 1), twice.rows.size // 2))
    by_fold = gathered.by_fold if name == MAIN else ()
    return FitRows(rows, labelled, n, gathered.embargo_s, gathered.settings.max_windows, by_fold)


def _filled_rows(gathered: LabelledFeatures, name: str) -> Floats:
    """Rows of a maker; where they are contacts in a row, masked ones get their mean.

    The mean over the other windows says nothing of the class.
    """
    rows, good = gathered.features.rows[name], gathered.features.good
    of_contacts = name == LINEAR or (name == MAIN and LINEAR not in gathered.features.rows)
    if of_contacts and not good.all():
        by_contact = rows.reshape(*good.shape, -1)
        rows = np.where(good[..., None], by_contact, np.float32(np.nan)).reshape(rows.shape)
    return fill_missing(rows)


def folds_of(gathered: LabelledFeatures) -> list[Fold]:
    """Folds that hold: of time, of clips, of sessions or of subjects."""
    splits, labelled = gathered.settings.splits, gathered.labelled
    if splits.kind != "blocks":
        return group_folds(gathered.groups[splits.kind], labelled)
    return block_folds(labelled, n_folds=splits.n_folds, embargo_s=gathered.embargo_s)


def score_all(
    gathered: LabelledFeatures, on_progress: OnProgress, design: Design | None = None
) -> DecoderScores:
    """Score the decoder and every control on the same folds; a `design` of cues is drawn again."""
    settings, labelled, embargo_s = gathered.settings, gathered.labelled, gathered.embargo_s
    splits = settings.splits
    folds = folds_of(gathered)
    names = [name for name in gathered.features.rows if name != FEWER]
    n_fits = (len(names) + splits.unsafe_random) * len(folds)
    n_draws = len(folds) + 4 * bool(settings.n_permutations)
    fits, draws_done = itertools.count(1), itertools.count(1)

    def step() -> None:
        on_progress(next(fits), n_fits, "scoring")

    def drawn() -> None:
        on_progress(next(draws_done), n_draws, "chance")

    validated = {name: select_rows(gathered, name).validate(folds, step) for name in names}
    null = draws = None
    if settings.n_permutations:
        draws = null_targets(
            labelled,
            embargo_s=embargo_s,
            n_permutations=settings.n_permutations,
            design=design,
        )
        rows, penalties = _filled_rows(gathered, MAIN), validated[MAIN].penalties
        null = null_distribution(
            rows, labelled, folds, penalties, draws, by_fold=gathered.by_fold, on_draw=drawn
        )
    validated[CLOCK], clock = score_clock(
        labelled, folds, draws, embargo_s=embargo_s, on_step=drawn
    )
    unsafe = None
    if splits.unsafe_random:
        random = unsafe_random_folds(labelled.rows.size, n_folds=splits.n_folds)
        unsafe = replace(select_rows(gathered, MAIN), by_fold=()).validate(random, step)
    kind = splits.kind
    blocks = (
        stretch_blocks(labelled, embargo_s=embargo_s)
        if kind == "blocks"
        else group_blocks(gathered.groups[kind], kind)
    )
    intervals = {
        name: jackknife(one.outputs, labelled.targets, blocks) for name, one in validated.items()
    }
    return DecoderScores(folds, validated, intervals, blocks, null, clock, unsafe)


def named_scores(scored: DecoderScores, labelled: Labelled) -> dict[str, Any]:
    """Scores of the decoder and its controls as plain values; random inits over their seeds."""
    named: dict[str, Any] = {}
    for name in (MAIN, FROZEN, LINEAR, OLD, STFT, CLOCK):
        if name in scored.validated:
            one = scored.validated[name]
            named[name] = {
                "pooled": one.pooled,
                "interval_95": {
                    key: found.summary() for key, found in scored.intervals[name].items()
                },
                "by_fold": one.by_fold,
            }
    gains = scored.minus(MAIN, OLD, labelled)
    named[OLD]["decoder_minus_this"] = {key: asdict(one) for key, one in gains.items()}
    random = [one for name, one in scored.validated.items() if name.startswith(RANDOM)]
    if random:
        over = summarise_folds([one.pooled for one in random])
        means = [{key: value["mean"] for key, value in one.by_fold.items()} for one in random]
        named[RANDOM] = {
            "pooled": {key: value["mean"] for key, value in over.items()},
            "pooled_over_seeds": over,
            "by_fold": summarise_folds(means),
        }
    return named


def fit_report(
    gathered: LabelledFeatures,
    labels: LabelSettings,
    scored: DecoderScores,
    encoder: str,
    weights: Doubles,
) -> dict[str, Any]:
    """Everything about the scores of a fit, as plain values; `weights` of the channels."""
    names, share = gathered.pipeline.signal.montage.names, weights / (weights.sum() or 1.0)
    labelled, kind = gathered.labelled, gathered.settings.splits.kind
    shown = labels.model_copy(update={"plan": None})  # a path may hold a name
    report: dict[str, Any] = {
        "task": labelled.task,
        "encoder": encoder,
        "labels": shown.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        "windows": int(labelled.rows.size),
        "windows_invalid": gathered.features.n_invalid,
        "split": {
            "kind": "clips" if kind == "blocks" and labelled.are_clips else kind,
            "folds": [fold.name for fold in scored.folds],
            "embargo_s": gathered.embargo_s,
        },
        "blocks": {"n": scored.blocks.n, "unit": scored.blocks.unit},
        "scores": named_scores(scored, labelled),
        "verdict": scored.verdict(labelled).summary(),
        "contacts": dict(zip(names, share.round(6).tolist(), strict=True)),
    }
    if gathered.front_end is not None:
        report["front_end"] = gathered.front_end.report
    if labelled.task == "classification":
        report["windows_by_class"] = labelled.counts
        outputs = scored.validated[MAIN].outputs
        report["confusion"] = confusions(outputs, labelled.targets, labelled.names)
    if scored.null is not None:
        report["null_distribution"] = scored.null.summary()
    report["clock"] = asdict(scored.clock)
    if LINEAR in scored.validated:
        key = decisive(labelled.task)
        difference = scored.minus(LINEAR, MAIN, labelled)[key]
        report["simplest"] = simplest(replace(difference, name=key), LINEAR)
    if scored.unsafe is not None:
        report["unsafe_random_split"] = {
            "pooled": scored.unsafe.pooled,
            "why_not": "windows at random share samples and slow drift with the windows that they "
            "are tested on: what this scores above the blocks of time is leakage",
        }
    return report


def channel_weights(gathered: LabelledFeatures, readout: LinearReadout, encoder: str) -> Doubles:
    """Weight of each channel in a readout of this encoder's features, float64 [n_channels]."""
    rows = select_rows(gathered, encoder).features
    scale = Standardiser.of(rows, gathered.labelled.rows).scale
    return contact_weights(readout, scale, gathered.pipeline.signal.montage.n_channels)


def score_lags(gathered: LabelledFeatures, outputs: Floats, delay_s: float) -> dict[str, Any]:
    """Held-out scores by how long before a window's end its label is read, as plain values.

    ``fitted_s`` is that time in the fit, ``described_s`` what decodes state, `delay_s`; ``now`` is
    the score of a decode that is held until the next, against what is true meanwhile. Nothing is
    chosen by these. Empty for windows at events.
    """
    rows, labels = gathered.labelled.rows, gathered.settings.labels
    of_channel = labels is not None and labels.channel is not None  # labelled by its newest value
    name = "auc" if gathered.labelled.task == "classification" else "r2"
    scores = [scores_of(outputs, targets[rows])[name] for targets in gathered.lagged.values()]
    if not scores or not np.isfinite(scores[1:]).any():
        return {}
    lags_s = list(gathered.lagged)
    return {
        "score": name,
        "now": scores[0],
        "fitted_s": 0.0 if of_channel else gathered.label_delay_s,
        "described_s": delay_s,
        "best_s": lags_s[1 + int(np.nanargmax(scores[1:]))],
        "lags_s": lags_s[1:],
        "scores": scores[1:],
    }
