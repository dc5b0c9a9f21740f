"""Label efficiency: the performance of a readout with few labelled windows of a new subject.

Every row of the table is fitted on the same windows and scored on the same others, so that the
rows differ in their features alone. Windows to train on and to test on are blocks of time, an
embargo apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from rtbrain.encoder import PopT, on_threads, random_encoder
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import placed_positions
from rtbrain.learn.fit.cross_validation import outputs_of
from rtbrain.learn.fit.popt import ChannelEmbeddings, population_of, tune_popt
from rtbrain.learn.fit.readout import fit_readout
from rtbrain.learn.fit.splits import Fold, block_folds
from rtbrain.learn.metrics import scores_of
from rtbrain.learn.probe.encoders import (
    PRETRAINED,
    RANDOM,
    LoadedEncoder,
    ProbeEncoders,
    control_seed,
    linear_names,
    run_key,
)
from rtbrain.learn.probe.windows import SubjectWindows, filled
from rtbrain.types import Doubles, Floats, Ints

METRICS = ("auc", "balanced_accuracy")
_FOLDS = 5
TUNED = "PopT tuned"

Reading = Literal["channels", "population", "tuned", "linear"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelDraw:
    """Windows that a probe is fitted and scored on."""

    count: int
    seed: int
    train: Ints  # int64 [count]
    test: Ints  # int64 [n_test]


@dataclass(frozen=True, slots=True, eq=False)
class FrozenRow:
    """A row of the table whose features stay as they are, under a logistic readout."""

    features: Sequence[Floats]  # of each seed, float32 [n_windows, n_features]

    def score(self, windows: SubjectWindows, draw: LabelDraw, embargo_s: float) -> dict[str, float]:
        """Scores of the test windows."""
        features = self.features[draw.seed % len(self.features)]
        labelled = windows.labelled
        fitted = fit_readout(features, labelled, embargo_s=embargo_s, train=draw.train)
        outputs = outputs_of(fitted.readout, features, draw.test)
        return scores_of(outputs, labelled.targets[draw.test])


@dataclass(frozen=True, slots=True, eq=False)
class TunedRow:
    """A row of the table whose Population Transformer is fitted with the readout."""

    popts: Sequence[PopT]
    channels: Sequence[Floats]  # of each seed, float32 [n_windows, n_channels, n_features]
    n_steps: int

    def score(self, windows: SubjectWindows, draw: LabelDraw, embargo_s: float) -> dict[str, float]:
        """Scores of the test windows; NaN where the labelled ones hold no block to stop on."""
        positions, placed = placed_positions(windows.sessions[0].montage)
        channels = self.channels[draw.seed % len(self.channels)]
        embeddings = ChannelEmbeddings(channels, positions, windows.good & placed)
        try:
            with on_threads(1):  # on busy cores, products this small wait longer than they take
                tuned = tune_popt(
                    self.popts[draw.seed % len(self.popts)],
                    embeddings,
                    windows.labelled,
                    embargo_s=embargo_s,
                    seed=draw.seed,
                    n_steps=self.n_steps,
                    train=draw.train,
                )
        except SettingsError:  # the report counts the NaN
            return dict.fromkeys(METRICS, math.nan)
        population = population_of(tuned.popt, embeddings, draw.test)
        outputs = outputs_of(tuned.readout, population, np.arange(draw.test.size))
        return scores_of(outputs, windows.labelled.targets[draw.test])


@dataclass(frozen=True, slots=True)
class RowName:
    """A row of the table."""

    label: str
    owner: str
    reads: Reading
    is_random: bool = False


def row_names(encoders: ProbeEncoders) -> list[RowName]:
    """Rows of the table: the first encoder and its controls, the others, and no encoder."""
    states = (PRETRAINED, RANDOM) if encoders.n_random else (PRETRAINED,)
    kind = type(encoders.first.model.channel_encoder).__name__
    names = [
        RowName(f"{TUNED if reads == 'tuned' else kind + ending}, {state}", "", reads, is_random)
        for reads, ending in _readings(encoders.first, encoders.tune_steps)
        for state, is_random in zip(states, (False, True), strict=False)
    ]
    names += [
        RowName(name + ending, name, reads)
        for name, runs in encoders.compared.items()
        for reads, ending in _readings(runs[0], encoders.tune_steps)
    ]
    return [*names, *(RowName(name, "", "linear") for name in linear_names(encoders.form))]


def _readings(one: LoadedEncoder, tune_steps: int) -> list[tuple[Reading, str]]:
    """What is read of an encoder, and what its name ends in."""
    if one.model.popt is None:
        return [("channels", "")]
    tuned: list[tuple[Reading, str]] = [("tuned", f" + {TUNED}")] if tune_steps else []
    return [("population", " + PopT"), ("channels", ""), *tuned]


def probe_rows(
    windows: SubjectWindows, encoders: ProbeEncoders, features: dict[str, Floats]
) -> dict[str, list[FrozenRow | TunedRow]]:
    """Rows by label: one per training run; random controls alternate within one."""
    first, controls = encoders.first.model.popt, range(encoders.n_random)
    rows_of = partial(_rows_of, windows, encoders.tune_steps)
    made: dict[tuple[str, bool], list[dict[str, FrozenRow | TunedRow]]] = {
        ("", False): [rows_of([features[PRETRAINED]], [first])]
    }
    if controls:
        popts = [
            None if first is None else random_encoder(first.sizes, control_seed(k) + 1)
            for k in controls
        ]
        made["", True] = [rows_of([features[f"{RANDOM} {k}"] for k in controls], popts)]
    for name, runs in encoders.compared.items():
        made[name, False] = [
            rows_of([features[run_key(name, k)]], [one.model.popt]) for k, one in enumerate(runs)
        ]
    found: dict[str, list[FrozenRow | TunedRow]] = {}
    for row in row_names(encoders):
        if row.reads == "linear":
            found[row.label] = [FrozenRow([filled(features[row.label], windows.good)])]
        else:
            found[row.label] = [run[row.reads] for run in made[row.owner, row.is_random]]
    return found


def _rows_of(
    windows: SubjectWindows,
    tune_steps: int,
    several: Sequence[Floats],
    popts: Sequence[PopT | None],
) -> dict[str, FrozenRow | TunedRow]:
    """Rows by kind of feature; several embeddings alternate with the seed of the draw."""
    good = windows.good
    rows: dict[str, FrozenRow | TunedRow] = {
        "channels": FrozenRow([filled(one, good) for one in several])
    }
    there = [popt for popt in popts if popt is not None]
    if not there:
        return rows
    positions, placed = placed_positions(windows.sessions[0].montage)
    every = np.arange(good.shape[0])
    populations = [
        population_of(popt, ChannelEmbeddings(one, positions, good & placed), every)
        for popt, one in zip(there, several, strict=True)
    ]
    rows["population"] = FrozenRow(populations)
    rows["tuned"] = TunedRow(there, several, tune_steps)
    return rows


def draw_windows(
    windows: SubjectWindows, counts: Sequence[int], *, n_seeds: int, embargo_s: float
) -> list[LabelDraw]:
    """Labelled windows by count and seed: balanced, and larger draws contain the smaller.

    Seed k tests on block k of the subject's time, so that the spread over seeds is one over
    stretches of the recording too.
    """
    labelled = windows.labelled
    folds = _folds(windows, embargo_s)
    draws = []
    for seed in range(n_seeds):
        fold = folds[seed % _FOLDS]
        order = np.random.default_rng(seed).permutation(fold.train)
        by_class = [order[labelled.targets[order] == k] for k in range(len(labelled.names))]
        for count in counts:
            # Of 25 windows and two classes, the first gets 13.
            shares = [part.size for part in np.array_split(np.arange(count), len(by_class))]
            taken = [rows[:share] for rows, share in zip(by_class, shares, strict=True)]
            draws.append(LabelDraw(count, seed, np.sort(np.concatenate(taken)), fold.test))
    return draws


def max_labels(windows: SubjectWindows, *, embargo_s: float) -> int:
    """Most labelled windows that can be drawn, balanced, whichever block is tested."""
    n_classes = len(windows.labelled.names)
    targets = windows.labelled.targets
    fewest = min(
        int(np.bincount(targets[fold.train], minlength=n_classes).min())
        for fold in _folds(windows, embargo_s)
    )
    return n_classes * fewest


def probe_subject(
    windows: SubjectWindows,
    row: FrozenRow | TunedRow,
    draws: Sequence[LabelDraw],
    *,
    embargo_s: float,
    on_fit: Callable[[], None] = lambda: None,
) -> Doubles:
    """Fit and score a row on every draw, float64 [n_metrics, n_seeds, n_counts]."""
    counts = sorted({draw.count for draw in draws})
    n_seeds = 1 + max(draw.seed for draw in draws)
    found = np.full((len(METRICS), n_seeds, len(counts)), np.nan)
    for draw in draws:
        scores = row.score(windows, draw, embargo_s)
        found[:, draw.seed, counts.index(draw.count)] = [scores[metric] for metric in METRICS]
        on_fit()
    return found


def _folds(windows: SubjectWindows, embargo_s: float) -> list[Fold]:
    try:
        return block_folds(windows.labelled, n_folds=_FOLDS, embargo_s=embargo_s)
    except SettingsError as error:
        raise SettingsError(f"subject {windows.subject}: {error}") from error
