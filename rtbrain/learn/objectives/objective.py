"""What training needs: an objective, a model that returns its loss, and examples to draw."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.types import Floats, Ints

Batch = dict[str, Tensor]


class Examples(Protocol):
    """Numbered examples of a corpus; an item depends on its number and the generator alone."""

    def __len__(self) -> int:
        """Number of items."""
        ...

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Inputs, targets and masks of these items; the first axis of each is B."""
        ...


class Objective(nn.Module):
    """An encoder, which is kept after training, and whatever is trained along with it."""

    encoder: nn.Module

    def begin_step(self, step: int) -> None:
        """Take the number of steps done, before each step; for objectives that change with it."""

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, a scalar, and detached scalars to log beside it."""
        raise NotImplementedError

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures over held-out batches; called in eval mode, without gradients."""
        raise NotImplementedError

    def pictures(self, batch: Batch) -> dict[str, Floats]:
        """Pictures for people, by name: each [height, width]; none by default."""
        return {}

    def __call__(self, batch: Batch) -> Any:  # typed as `forward` is
        """Loss and measures, through the hooks of `nn.Module`."""
        return super().__call__(batch)


class GoodItems:
    """Windows of single good channels, numbered over sessions, then windows, then channels."""

    def __init__(self, sessions: Sequence[CorpusSession]) -> None:
        self._sessions = tuple(sessions)
        self._good = [np.flatnonzero(session.good) for session in self._sessions]
        self._starts = np.cumsum([0, *(good.size for good in self._good)])
        if not len(self):
            raise SettingsError(
                f"expected windows with a good channel, got none in {len(self._sessions)} "
                f"sessions: see what the corpus left out and why with rtbrain corpus inspect"
            )
        self.shape = self._sessions[0].shards[0].shape[2:]

    def __len__(self) -> int:
        """Number of items."""
        return int(self._starts[-1])

    def read(self, items: Ints) -> Floats:
        """Items of these numbers, float32 [B, ...]."""
        of = np.searchsorted(self._starts, items, side="right") - 1
        out = np.empty((len(items), *self.shape), np.float32)
        for number in np.unique(of).tolist():
            session, rows = self._sessions[number], np.flatnonzero(of == number)
            good = self._good[number][items[rows] - self._starts[number]]
            out[rows] = read_good(session, *np.divmod(good, session.montage.n_channels))
        return out


def read_good(session: CorpusSession, windows: Ints, channels: Ints) -> Floats:
    """Items of these (window, channel) pairs, float32 [n, ...]."""
    items = session.read(windows, channels)
    broken = np.flatnonzero(~np.isfinite(items).reshape(len(items), -1).all(axis=1))
    if broken.size:
        window, channel = windows[broken[0]], channels[broken[0]]
        raise RecordingError(
            f"session {session.session} of {session.subject}: window {window} of channel "
            f"{session.montage.names[channel]} is marked good but is not finite: build the corpus "
            f"again"
        )
    return items


class Reconstruction:
    """Errors over many batches, of a model and of two untrained predictors: zero and another."""

    def __init__(self, error: Literal["l1", "mse"], other: str) -> None:
        self._exponent = 1 if error == "l1" else 2
        self._errors = dict.fromkeys((error, f"{error}_of_zero", f"{error}_of_{other}"), 0.0)
        self._n = 0
        self._sum = self._squared = self._squared_error = 0.0

    def add(self, target: Tensor, predicted: Tensor, other: Tensor) -> None:
        """Take what one batch shows, is predicted and would be by the other: float32 [*] each."""
        true = target.double()
        guesses = (predicted, torch.zeros_like(true), other)
        for name, guess in zip(self._errors, guesses, strict=True):
            self._errors[name] += float((true - guess.double()).abs().pow(self._exponent).sum())
        self._n += true.numel()
        self._sum += float(true.sum())
        self._squared += float(true.square().sum())
        self._squared_error += float((true - predicted.double()).square().sum())

    def figures(self) -> dict[str, float]:
        """Mean errors, and the share of the variance explained; NaN where nothing was added."""
        if not self._n:
            return dict.fromkeys((*self._errors, "r2"), float("nan"))
        spread = self._squared - self._sum**2 / self._n
        means = {name: total / self._n for name, total in self._errors.items()}
        return means | {"r2": 1 - self._squared_error / spread if spread > 0 else float("nan")}


def input_target_output(*parts: Tensor) -> dict[str, Floats]:
    """Pictures of spectrograms [B, T, F], one per item, the first part on top."""
    items = zip(*(part.numpy(force=True) for part in parts), strict=True)
    return {f"input_target_output_{number}": _stacked(item) for number, item in enumerate(items)}


def _stacked(spectrograms: Sequence[Floats]) -> Floats:
    brightest = max(float(spectrogram.max()) for spectrogram in spectrograms)
    line = np.full((1, spectrograms[0].shape[0]), brightest, np.float32)
    rows = [part for spectrogram in spectrograms for part in (spectrogram.T[::-1], line)]
    return np.concatenate(rows[:-1])
