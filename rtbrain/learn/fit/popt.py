"""The Population Transformer fitted to a task, on embeddings of channels that stay as they are.

Legend: N windows, B batch, C channels, D features of a channel, P features of the population,
K classes.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.decoder import LinearReadout
from rtbrain.encoder import PopT, population_positions
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.cross_validation import HeldOut, outputs_of, score_folds
from rtbrain.learn.fit.gather import FROZEN, MAIN, LabelledFeatures
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import apply_temperature, fit_temperature
from rtbrain.learn.fit.scores import DecoderScores
from rtbrain.learn.fit.solvers import balanced_weights
from rtbrain.learn.fit.splits import Fold, block_folds
from rtbrain.learn.intervals import jackknife
from rtbrain.learn.metrics import roc_auc
from rtbrain.terminal import OnProgress
from rtbrain.types import Doubles, Floats, Ints, Mask

_HEAD_LR, _BODY_LR = 5e-4, 5e-5
_BATCH = 128
_WARM_UP, _DECAY, _DECAY_EVERY = 0.025, 0.95, 0.01  # shares of the steps
_LONGEST_GRADIENT = 1.0
_EVALUATIONS, _PATIENCE = 40, 10
_VALIDATION_FOLDS = (5, 4, 3, 2)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelEmbeddings:
    """What the frozen encoder of channels gave for all windows."""

    channels: Floats  # float32 [n_windows, n_channels, n_features]
    positions: Ints  # int64 [n_channels, 3]
    good: Mask  # bool [n_windows, n_channels]


@dataclass(frozen=True, slots=True, eq=False)
class TunedPopT:
    """A Population Transformer and the readout of its CLS, fitted together."""

    popt: PopT
    readout: LinearReadout
    feature_mean: Floats  # float32 [n_population_features]


def tune_popt(
    popt: PopT,
    embeddings: ChannelEmbeddings,
    labelled: Labelled,
    *,
    embargo_s: float,
    seed: int,
    n_steps: int,
    train: Ints | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> TunedPopT:
    """Fit a Population Transformer and a linear head to classes, as published.

    AdamW with learning rates 5e-4 of the head and 5e-5 of the body, batches of 128 balanced by
    weight, warm-up over 2.5 % of the steps, then a factor of 0.95 every 1 %, gradients clipped at
    1. The last block of time of the training windows that holds every class is kept out, an
    embargo away; the state with its best AUC is taken, and fitting ends when it has not risen for
    a quarter of the steps.

    References
    ----------
    Chau et al. 2025, Population Transformer, arXiv:2406.03044, appendix.
    """
    known = labelled if train is None else labelled.pick(train)
    fitting, held_out = _validation(known, embargo_s)
    n_classes = len(labelled.names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Classifier(popt, n_classes)
        learn = _learner(model, embeddings, n_steps)
        batches = _batches(fitting, n_classes, seed)
        every = max(1, n_steps // _EVALUATIONS)
        step = best_step = 0
        best_auc, best = -1.0, model.state_dict()
        while step < min(n_steps, best_step + _PATIENCE * every):
            learn(*next(batches))
            step += 1
            on_step()
            if step % every == 0 or step == n_steps:
                logits = model.logits(embeddings, held_out.rows)
                auc = roc_auc(softmax(logits, axis=1), held_out.targets)
                if auc > best_auc:
                    best_auc, best_step, best = auc, step, copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    logits = model.logits(embeddings, held_out.rows)
    weights = balanced_weights(held_out.targets, n_classes)
    temperature = fit_temperature(logits, held_out.targets, weights)
    weight, bias = (value.numpy(force=True) for value in (model.head.weight, model.head.bias))
    readout = apply_temperature(LinearReadout(weight, bias, "classification"), temperature)
    mean = population_of(model.body, embeddings, known.rows).mean(axis=0, dtype=np.float64)
    return TunedPopT(model.body, readout, mean.astype(np.float32))


def population_of(popt: PopT, embeddings: ChannelEmbeddings, rows: Ints) -> Floats:
    """Population vectors of these windows, float32 [n_rows, n_population_features]."""
    popt.eval()
    found = np.empty((rows.size, popt.sizes.hidden_dim), np.float32)
    with torch.no_grad():
        for first in range(0, rows.size, _BATCH):
            part = slice(first, first + _BATCH)
            found[part] = _population(popt, embeddings, rows[part]).numpy()
    return found


def _validation(labelled: Labelled, embargo_s: float) -> tuple[Labelled, Labelled]:
    """Windows to fit, and those of the last block to stop on: the smallest with every class."""
    why = ""
    for n_folds in _VALIDATION_FOLDS:
        try:
            fold = block_folds(labelled, n_folds=n_folds, embargo_s=embargo_s)[-1]
        except SettingsError as error:
            why = str(error)
            continue
        return labelled.pick(fold.train), labelled.pick(fold.test)
    raise SettingsError(f"PopT needs a block of the training windows to stop on: {why}")


class _Classifier(nn.Module):
    """A copy of a Population Transformer, and a linear head on its CLS."""

    def __init__(self, popt: PopT, n_classes: int) -> None:
        super().__init__()
        self.body = copy.deepcopy(popt)
        self.head = nn.Linear(popt.sizes.hidden_dim, n_classes)

    def logits(self, embeddings: ChannelEmbeddings, rows: Ints) -> Doubles:
        """Logits of these windows, without their gradients."""
        with torch.no_grad():
            found: Tensor = self.head(torch.from_numpy(population_of(self.body, embeddings, rows)))
        return found.numpy().astype(np.float64)


def _learner(
    model: _Classifier, embeddings: ChannelEmbeddings, n_steps: int
) -> Callable[[Ints, Ints, Doubles], None]:
    """Function that takes one step on a batch: its rows, their classes and weights."""
    optimiser = torch.optim.AdamW(
        [
            {"params": list(model.body.parameters()), "lr": _BODY_LR},
            {"params": list(model.head.parameters()), "lr": _HEAD_LR},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, n_steps))

    def learn(rows: Ints, targets: Ints, weights: Doubles) -> None:
        model.body.train()
        logits = model.head(_population(model.body, embeddings, rows))  # [B, K]
        losses = functional.cross_entropy(logits, torch.from_numpy(targets), reduction="none")
        loss = (torch.from_numpy(weights.astype(np.float32)) * losses).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for module in (model.body, model.head):
            nn.utils.clip_grad_norm_(module.parameters(), _LONGEST_GRADIENT)
        optimiser.step()
        schedule.step()

    return learn


def _batches(labelled: Labelled, n_classes: int, seed: int) -> Iterator[tuple[Ints, Ints, Doubles]]:
    """Windows drawn for each step, and their weights, so that every class weighs the same."""
    order = np.random.default_rng(seed)
    weights = balanced_weights(labelled.targets, n_classes)
    n_windows = labelled.rows.size
    while True:
        picks = order.choice(n_windows, min(_BATCH, n_windows), replace=False)
        yield labelled.rows[picks], labelled.targets[picks], weights[picks]


def _population(popt: PopT, embeddings: ChannelEmbeddings, rows: Ints) -> Tensor:
    channels = torch.from_numpy(embeddings.channels[rows])  # [B, C, D]
    good = torch.from_numpy(embeddings.good[rows])
    positions = torch.from_numpy(embeddings.positions).expand(rows.size, -1, -1)
    return popt.population(channels, positions, good)


def _rate(step: int, n_steps: int) -> float:
    """Factor on both learning rates."""
    warm_up = max(1, round(_WARM_UP * n_steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return float(_DECAY ** ((step - warm_up) // max(1, round(_DECAY_EVERY * n_steps))))


def tune_decoder(
    gathered: LabelledFeatures, popt: PopT, scored: DecoderScores, on_progress: OnProgress
) -> tuple[TunedPopT, DecoderScores]:
    """PopT fine-tuned on all windows, and scores in which it is the decoder.

    It is scored by fine-tuning it in every fold; the frozen one becomes a control. It is not tuned
    again for each draw of the null distribution, which stays that of the frozen one's readout.
    """
    labelled, n_steps = gathered.labelled, gathered.settings.tune_steps
    if labelled.task != "classification":
        raise SettingsError("tune popt fits classes: tune readout for continuous targets")
    positions = population_positions(gathered.pipeline.signal.montage)[0]
    embeddings = ChannelEmbeddings(gathered.features.channels, positions, gathered.features.good)
    total = n_steps * (len(scored.folds) + 1)
    n_before = itertools.count(0, n_steps)

    def tuned(train: Ints | None) -> TunedPopT:
        steps = itertools.count(next(n_before) + 1)
        return tune_popt(
            popt,
            embeddings,
            labelled,
            embargo_s=gathered.embargo_s,
            seed=0,
            n_steps=n_steps,
            train=train,
            on_step=lambda: on_progress(next(steps), total, "tuning PopT"),
        )

    def held_out(fold: Fold) -> HeldOut:
        found, rows = tuned(fold.train), labelled.rows[fold.test]
        population = population_of(found.popt, embeddings, rows)
        return HeldOut(outputs_of(found.readout, population, np.arange(rows.size)))

    main = score_folds(labelled, scored.folds, map(held_out, scored.folds))
    interval = jackknife(main.outputs, labelled.targets, scored.blocks)
    validated = {**scored.validated, FROZEN: scored.validated[MAIN], MAIN: main}
    intervals = {**scored.intervals, FROZEN: scored.intervals[MAIN], MAIN: interval}
    null = scored.null and replace(scored.null, of=" of the readout before tuning")
    return tuned(None), replace(scored, validated=validated, intervals=intervals, null=null)
