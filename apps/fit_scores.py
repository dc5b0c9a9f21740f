"""A decoder and its controls, scored on the same held-out windows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .fit_features import FEWER, FROZEN, LINEAR, MAIN, RANDOM, STFT, Gathered

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.config import SplitSettings
    from rtbrain.offline.chance import Chance
    from rtbrain.offline.cross_validation import CrossValidated
    from rtbrain.offline.fitting import FittedReadout
    from rtbrain.offline.labels import Labelled
    from rtbrain.offline.splits import Fold
    from rtbrain.types import Floats

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What was scored, and how.

    Attributes
    ----------
    folds : list of Fold
        Blocks of time, sessions or subjects.
    validated : dict of str to CrossValidated
        By the maker of the features: the decoder, its controls.
    intervals : dict of str to dict
        Middle 95 % of the pooled scores over draws of blocks of time.
    chance : Chance or None
        The decoder's scores with labels shifted in time.
    unsafe : CrossValidated or None
        The decoder on windows at random, where that was asked for.
    """

    folds: "list[Fold]"
    validated: "dict[str, CrossValidated]"
    intervals: dict[str, dict[str, tuple[float, float]]]
    chance: "Chance | None"
    unsafe: "CrossValidated | None"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Features with labels, maybe two rows a window: of all channels, and of fewer.

    Attributes
    ----------
    features : ndarray, float32 [n_rows, n_features]
        Row after row; where there are two, window `i` has rows `2 i` and `2 i + 1`.
    labelled : Labelled
        Their labels.
    recordings : list of str
        Which recording each labelled row is of.
    n_a_window : int
        1 or 2.
    """

    features: "Floats"
    labelled: "Labelled"
    recordings: list[str]
    n_a_window: int

    def folds(self, folds: "Sequence[Fold]") -> "list[Fold]":
        """The folds in these rows: trained on all of a window's, tested on the first."""
        from dataclasses import replace

        import numpy as np

        n = self.n_a_window
        return [
            replace(
                fold, train=(n * fold.train[:, None] + np.arange(n)).ravel(), test=n * fold.test
            )
            for fold in folds
        ]


def rows_of(gathered: Gathered, name: str) -> Rows:
    """Rows of a maker; those of a decoder with PopT hold windows with fewer channels besides."""
    from dataclasses import replace

    import numpy as np

    made, labelled = gathered.features.rows, gathered.labelled
    rows = _filled(_masked_as_missing(gathered, name))
    if name != MAIN or FEWER not in made:
        return Rows(rows, labelled, gathered.recordings, 1)
    both = np.empty((2 * rows.shape[0], rows.shape[1]), np.float32)
    both[0::2], both[1::2] = rows, made[FEWER]
    twice = replace(
        labelled,
        rows=(2 * labelled.rows[:, None] + np.arange(2)).ravel(),
        targets=np.repeat(labelled.targets, 2, axis=0),
        t_s=np.repeat(labelled.t_s, 2),
    )
    return Rows(both, twice, [name for name in gathered.recordings for _ in range(2)], 2)


def _masked_as_missing(gathered: Gathered, name: str) -> "Floats":
    """Rows of a maker; where they are contacts in a row, those that were masked are NaN."""
    import numpy as np

    made, good = gathered.features.rows[name], gathered.features.good
    of_contacts = name == LINEAR or (name == MAIN and LINEAR not in gathered.features.rows)
    if not of_contacts or good.all():
        return made
    by_contact = made.reshape(*good.shape, -1)
    return np.where(good[..., None], by_contact, np.float32(np.nan)).reshape(made.shape)


def _filled(rows: "Floats") -> "Floats":
    """A masked contact's features as their mean over the other windows: they speak for nothing."""
    import numpy as np

    missing = np.isnan(rows)
    if not missing.any():
        return rows
    counts = (~missing).sum(axis=0)
    means = np.where(missing, 0, rows).sum(axis=0) / np.maximum(counts, 1)
    filled: Floats = np.where(missing, means, rows).astype(np.float32)
    return filled


def fit_rows(rows: Rows, embargo_s: float, most_windows: int) -> "FittedReadout":
    """Readout of all labelled windows."""
    from rtbrain.offline.fitting import fit_classifier, fit_regressor

    fit = fit_classifier if rows.labelled.task == "classification" else fit_regressor
    return fit(
        rows.features,
        rows.labelled,
        embargo_s=embargo_s,
        recordings=rows.recordings,
        most_windows=most_windows,
    )


def folds_of(gathered: Gathered, splits: "SplitSettings", embargo_s: float) -> "list[Fold]":
    """Folds that hold: of time, of sessions or of subjects."""
    from rtbrain.offline.splits import block_folds, group_folds

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
    console: "Console",
    gathered: Gathered,
    splits: "SplitSettings",
    embargo_s: float,
    n_shifts: int,
    most_windows: int,
) -> Scored:
    """Score the decoder and every control on the same folds."""
    from rich.progress import Progress

    from rtbrain.offline.chance import shifted_labels
    from rtbrain.offline.splits import unsafe_random_folds

    folds = folds_of(gathered, splits, embargo_s)
    names = [name for name in gathered.features.rows if name != FEWER]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=len(names) * len(folds) + n_shifts)

        def step() -> None:
            progress.advance(task)

        validated = {
            name: _validated(rows_of(gathered, name), folds, embargo_s, most_windows, step)
            for name in names
        }
        plain = Rows(_masked_as_missing(gathered, MAIN), gathered.labelled, gathered.recordings, 1)
        chance = None
        if n_shifts:
            chance = shifted_labels(
                _filled(plain.features),
                plain.labelled,
                folds,
                validated[MAIN],
                embargo_s=embargo_s,
                seed=_SEED,
                n_shifts=n_shifts,
                recordings=plain.recordings,
                on_shift=step,
            )
        unsafe = None
        if splits.unsafe_random:
            random = unsafe_random_folds(
                gathered.labelled.rows.size, n_folds=splits.n_folds, seed=_SEED
            )
            unsafe = _validated(rows_of(gathered, MAIN), random, embargo_s, most_windows, step)
    intervals = {name: interval_of(gathered, one, embargo_s) for name, one in validated.items()}
    return Scored(folds, validated, intervals, chance, unsafe)


def interval_of(
    gathered: Gathered, one: "CrossValidated", block_s: float
) -> dict[str, tuple[float, float]]:
    """Middle 95 % of pooled scores over draws of blocks of time."""
    from rtbrain.offline.cross_validation import block_bootstrap

    return block_bootstrap(
        one.outputs,
        gathered.labelled,
        block_s=block_s,
        seed=_SEED,
        recordings=gathered.recordings,
    )


def with_tuned(
    gathered: Gathered, scored: Scored, tuned: "CrossValidated", embargo_s: float
) -> Scored:
    """Scores in which the tuned PopT is the decoder, and the frozen one a control."""
    from dataclasses import replace

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
    rows: Rows,
    folds: "Sequence[Fold]",
    embargo_s: float,
    most_windows: int,
    on_fold: Callable[[], None],
) -> "CrossValidated":
    from dataclasses import replace

    from rtbrain.offline.cross_validation import cross_validate

    found = cross_validate(
        rows.features,
        rows.labelled,
        rows.folds(folds),
        embargo_s=embargo_s,
        recordings=rows.recordings,
        most_windows=most_windows,
        on_fold=on_fold,
    )
    return replace(found, outputs=found.outputs[:: rows.n_a_window])


def named_scores(scored: Scored) -> dict[str, Any]:
    """Scores of the decoder and its controls as plain values; random inits over their seeds."""
    from rtbrain.offline.cross_validation import spread

    told: dict[str, Any] = {}
    for name in (MAIN, FROZEN, LINEAR, STFT):
        if name in scored.validated:
            one = scored.validated[name]
            told[name] = {
                "pooled": one.pooled,
                "pooled_interval_95": scored.intervals[name],
                "by_fold": one.by_fold,
            }
    random = [one for name, one in scored.validated.items() if name.startswith(RANDOM)]
    if random:
        told[RANDOM] = {
            "pooled": {key: value["mean"] for key, value in _over(random).items()},
            "pooled_over_seeds": _over(random),
            "by_fold": spread([_means(one) for one in random]),
        }
    return told


def _over(several: "Sequence[CrossValidated]") -> dict[str, dict[str, float]]:
    from rtbrain.offline.cross_validation import spread

    return spread([one.pooled for one in several])


def _means(one: "CrossValidated") -> dict[str, float]:
    return {key: value["mean"] for key, value in one.by_fold.items()}
