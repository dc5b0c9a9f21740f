"""The Population Transformer fitted to a task, on embeddings of channels that stay as they are.

Legend: N windows, B batch, C channels, D features of a channel, P features of the population,
K classes.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.decoder import LinearReadout
from rtbrain.encoder import PopT
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.softmax import apply_temperature, balanced_weights, fit_temperature
from rtbrain.learn.fit.splits import block_folds
from rtbrain.learn.metrics import roc_auc
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
    validation_auc: float
    best_step: int
    n_steps: int
    feature_mean: Floats  # float32 [n_population_features]


def tune_popt(
    popt: PopT,
    embeddings: ChannelEmbeddings,
    labelled: Labelled,
    *,
    embargo_s: float,
    seed: int,
    train: Ints | None = None,
    recordings: Sequence[str] = (),
    n_steps: int = 2000,
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
    rows = np.arange(labelled.rows.size) if train is None else train
    fitting, held_out = _validation(labelled, rows, embargo_s, recordings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = copy.deepcopy(popt)
        head = nn.Linear(body.sizes.hidden_dim, len(labelled.names))
        batches = _batches(labelled.targets[fitting], len(labelled.names), seed)
        learn = _Learner(body, head, n_steps)
        every = max(1, n_steps // _EVALUATIONS)
        best = _Best(-1.0, 0, {}, {})
        while learn.step < min(n_steps, best.step + _PATIENCE * every):
            picks, weights = next(batches)
            at = fitting[picks]
            learn(embeddings, labelled.rows[at], labelled.targets[at], weights)
            on_step()
            if learn.step % every == 0 or learn.step == n_steps:
                logits = _logits(body, head, embeddings, labelled.rows[held_out])
                auc = roc_auc(softmax(logits, axis=1), labelled.targets[held_out])
                if auc > best.auc:
                    best = _Best.of(auc, learn.step, body, head)
    body.load_state_dict(best.body)
    head.load_state_dict(best.head)
    readout = _calibrated(body, head, embeddings, labelled, held_out)
    mean = population_of(body, embeddings, labelled.rows[rows]).mean(axis=0, dtype=np.float64)
    return TunedPopT(body, readout, best.auc, best.step, learn.step, mean.astype(np.float32))


def population_of(popt: PopT, embeddings: ChannelEmbeddings, rows: Ints) -> Floats:
    """Population vectors of these windows, float32 [n_rows, n_population_features]."""
    popt.eval()
    found = np.empty((rows.size, popt.sizes.hidden_dim), np.float32)
    with torch.no_grad():
        for first in range(0, rows.size, _BATCH):
            part = slice(first, first + _BATCH)
            found[part] = _population(popt, embeddings, rows[part]).numpy()
    return found


def _validation(
    labelled: Labelled, rows: Ints, embargo_s: float, recordings: Sequence[str]
) -> tuple[Ints, Ints]:
    """Rows to fit, and rows of the last block to stop on: the smallest that holds every class."""
    places = np.asarray(recordings)[rows].tolist() if len(recordings) else ()
    why = ""
    for n_folds in _VALIDATION_FOLDS:
        try:
            fold = block_folds(
                labelled.t_s[rows],
                labelled.targets[rows],
                n_folds=n_folds,
                embargo_s=embargo_s,
                names=labelled.names,
                recordings=places,
            )[-1]
        except SettingsError as error:
            why = str(error)
            continue
        return rows[fold.train], rows[fold.test]
    raise SettingsError(f"PopT needs a block of the training windows to stop on: {why}")


@dataclass(frozen=True, slots=True)
class _Best:
    """The weights with the best AUC so far."""

    auc: float
    step: int
    body: dict[str, Any]
    head: dict[str, Any]

    @classmethod
    def of(cls, auc: float, step: int, body: nn.Module, head: nn.Module) -> "_Best":
        return cls(auc, step, copy.deepcopy(body.state_dict()), copy.deepcopy(head.state_dict()))


class _Learner:
    """Steps of the optimiser on body and head."""

    def __init__(self, body: PopT, head: nn.Linear, n_steps: int) -> None:
        self.step = 0
        self._body, self._head = body, head
        self._optimiser = torch.optim.AdamW(
            [
                {"params": list(body.parameters()), "lr": _BODY_LR},
                {"params": list(head.parameters()), "lr": _HEAD_LR},
            ]
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: _rate(step, n_steps)
        )

    def __call__(
        self,
        embeddings: ChannelEmbeddings,
        rows: Ints,
        targets: Ints,
        weights: Doubles,
    ) -> None:
        self._body.train()
        logits = self._head(_population(self._body, embeddings, rows))  # [B, K]
        losses = functional.cross_entropy(logits, torch.from_numpy(targets), reduction="none")
        loss = (torch.from_numpy(weights.astype(np.float32)) * losses).mean()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for module in (self._body, self._head):
            nn.utils.clip_grad_norm_(module.parameters(), _LONGEST_GRADIENT)
        self._optimiser.step()
        self._schedule.step()
        self.step += 1


def _batches(targets: Ints, n_classes: int, seed: int) -> Iterator[tuple[Ints, Doubles]]:
    """Rows drawn for each step, and their weights, so that every class weighs the same."""
    order = np.random.default_rng(seed)
    weights = balanced_weights(targets, n_classes)
    while True:
        picks = order.choice(targets.size, min(_BATCH, targets.size), replace=False)
        yield picks, weights[picks]


def _calibrated(
    body: PopT,
    head: nn.Linear,
    embeddings: ChannelEmbeddings,
    labelled: Labelled,
    held_out: Ints,
) -> LinearReadout:
    logits = _logits(body, head, embeddings, labelled.rows[held_out])
    truth = labelled.targets[held_out]
    temperature = fit_temperature(logits, truth, balanced_weights(truth, len(labelled.names)))
    weight, bias = (value.numpy(force=True) for value in (head.weight, head.bias))
    return apply_temperature(LinearReadout(weight, bias, "classification"), temperature)


def _logits(body: PopT, head: nn.Linear, embeddings: ChannelEmbeddings, rows: Ints) -> Doubles:
    with torch.no_grad():
        logits: Tensor = head(torch.from_numpy(population_of(body, embeddings, rows)))
    return logits.numpy().astype(np.float64)


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
