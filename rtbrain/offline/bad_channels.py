"""What bad contacts cost a decoder: its accuracy with them masked, and with them let through."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rich.table import Table
from sklearn.metrics import balanced_accuracy_score

from rtbrain.decoder import LinearReadout
from rtbrain.offline.dropout import ChannelDropout
from rtbrain.offline.fitting import fit_logistic
from rtbrain.signal import ChannelQuality
from rtbrain.spectrogram import RunningStatistics, RunningStft
from rtbrain.stage import Stage
from rtbrain.stream.patient import Patient
from rtbrain.stream.synthetic import SyntheticSource
from rtbrain.types import Chunk, Embedding, Floats, Spectrogram, Window

__all__ = ["Builder", "Row", "measure_bad_channels", "table"]

_CHUNK_S = 0.25
# Before the contacts go bad, the windows fill and some decodes are good.
_HEALTHY_S = 10.0
_HUM_UV = 2000.0
_NOISE_UV = 1000.0
_FLAT_UV = 40.0


class Encodes(Protocol):
    """The way from chunks to embeddings, as `rtbrain.pipeline.Encoding` has it."""

    @property
    def spectrogram(self) -> object:
        """Stage whose running statistics are carried from fitting to decoding."""
        ...

    @property
    def encoder(self) -> Stage[Spectrogram, Embedding]:
        """Stage that embeds."""
        ...

    def cut(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that a chunk completes."""
        ...

    def encode(self, window: Window) -> Embedding:
        """Embedding of a window."""
        ...


Builder = Callable[[RunningStatistics | None, Floats | None], Encodes]
"""Makes the encoding anew from running statistics and the mean of the training features.

It holds no quality step, since that is what is tried here, and its floor of coverage is one that
half of the contacts reach.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    n_bad : int
        Contacts that go bad.
    clean, masked, unmasked : float
        Balanced accuracy without a fault, with `ChannelQuality`, and without it and zeros for
        what is not finite: means over the draws, all decodes from the fault on.
    coverage : float
        Mean share of good channels where masked.
    found : float
        Share of the bad contacts that were called bad.
    false : float
        Good contacts called bad, mean over the draws.
    """

    n_bad: int
    clean: float
    masked: float
    unmasked: float
    coverage: float
    found: float
    false: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Decoder:
    """A fitted decoder and how to make its encoding anew."""

    build: Builder
    statistics: RunningStatistics | None
    feature_mean: Floats
    readout: LinearReadout


def measure_bad_channels(
    patient: Patient,
    build: Builder,
    *,
    embargo_windows: int,
    n_bad: Sequence[int] = (1, 2, 8, 32),
    train_s: float = 120.0,
    test_s: float = 120.0,
    n_draws: int = 2,
    dropout: bool = False,
) -> list[Row]:
    """Fit on a healthy stretch of a patient, then let contacts go bad in the next.

    The bad contacts are drawn anew in each draw; each in turn is NaN, flat, swamped by mains or
    by noise. They go bad at one moment and stay so; decodes count from that moment on.

    Parameters
    ----------
    patient : Patient
        Whose signal.
    build : callable
        See `Builder`.
    embargo_windows : int
        Windows that share samples, for the choice of the penalty.
    n_bad : sequence of int
        How many contacts go bad, a row each.
    train_s, test_s : float
        Length of the stretches, s; the second counts from the fault on.
    n_draws : int
        Draws of bad contacts a row.
    dropout : bool
        Fit with `ChannelDropout`, as decoders with a Population Transformer are.
    """
    n_train = round(train_s * patient.sfreq_hz)
    n_healthy = round(_HEALTHY_S * patient.sfreq_hz)
    n_test = n_healthy + round(test_s * patient.sfreq_hz)
    decoder = _fitted(patient, build, _signal(patient, 0, n_train), embargo_windows, dropout)
    signal = _signal(patient, n_train, n_test)
    clean, _ = _score(patient, decoder, signal, n_train, n_healthy, None)
    rows = []
    for n in n_bad:
        found = []
        for draw in range(n_draws):
            bad, spoilt = _spoilt(patient, signal, n_healthy, n, draw)
            quality = ChannelQuality(patient.montage, mains_hz=patient.mains_hz)
            masked, coverage = _score(patient, decoder, spoilt, n_train, n_healthy, quality)
            zeros = np.where(np.isfinite(spoilt), spoilt, np.float32(0))
            unmasked, _ = _score(patient, decoder, zeros, n_train, n_healthy, None)
            called = patient.montage.rows(tuple(quality.bad))
            hits = len(set(called) & set(bad.tolist()))
            found.append((masked, unmasked, coverage, hits / n, len(called) - hits))
        rows.append(Row(n, clean, *(float(value) for value in np.mean(found, axis=0))))
    return rows


def table(rows: Sequence[Row], title: str) -> Table:
    """Rich table of the rows, for a terminal."""
    drawn = Table(title=title)
    headings = ("bad", "clean", "masked", "not masked", "coverage", "found", "false")
    for heading in headings:
        drawn.add_column(heading, justify="right")
    for row in rows:
        n_bad, *values = dataclasses.astuple(row)
        drawn.add_row(str(n_bad), *(f"{value:.3f}" for value in values))
    return drawn


def _signal(patient: Patient, start: int, n_samples: int) -> Floats:
    source = SyntheticSource(
        patient,
        duration_s=n_samples / patient.sfreq_hz,
        chunk_samples=n_samples,
        start_sample=start,
    )
    return np.concatenate([chunk.data for chunk in iter(source.pull, None)], axis=1)


def _chunks(data: Floats, first_sample: int, sfreq_hz: float) -> Iterator[Chunk]:
    length = max(1, round(_CHUNK_S * sfreq_hz))
    for start in range(0, data.shape[1], length):
        piece = np.ascontiguousarray(data[:, start : start + length])
        first = first_sample + start
        yield Chunk(piece, np.arange(first, first + piece.shape[1]) / sfreq_hz, first)


def _states(patient: Patient, t_neural: Sequence[float]) -> npt.NDArray[np.int64]:
    return patient.state_at(np.rint(np.asarray(t_neural) * patient.sfreq_hz).astype(np.int64))


def _fitted(
    patient: Patient, build: Builder, signal: Floats, embargo_windows: int, dropout: bool
) -> _Decoder:
    encoding: Any = build(None, None)
    thinning = ChannelDropout(encoding.encoder)
    if dropout:
        encoding = dataclasses.replace(encoding, encoder=thinning)
    found = [
        encoding.encode(window)
        for chunk in _chunks(signal, 0, patient.sfreq_hz)
        for window in encoding.cut(chunk)
        if window.quality.valid
    ]
    rows = thinning.rows(found) if dropout else found
    fitted = fit_logistic(
        np.stack([embedding.population for embedding in rows]),
        _states(patient, [embedding.t_neural for embedding in rows]),
        n_classes=len(patient.classes),
        embargo_windows=embargo_windows * len(rows) // len(found),
    )
    spectrogram = encoding.spectrogram
    statistics = spectrogram.statistics if isinstance(spectrogram, RunningStft) else None
    return _Decoder(build, statistics, fitted.feature_mean, fitted.readout)


def _score(
    patient: Patient,
    decoder: _Decoder,
    signal: Floats,
    first_sample: int,
    n_healthy: int,
    quality: ChannelQuality | None,
) -> tuple[float, float]:
    """Balanced accuracy and mean coverage of the decodes whose windows end after the fault."""
    encoding = decoder.build(decoder.statistics, decoder.feature_mean)
    t_fault = (first_sample + n_healthy) / patient.sfreq_hz
    guesses, moments, coverages = [], [], []
    for chunk in _chunks(signal, first_sample, patient.sfreq_hz):
        for window in encoding.cut(chunk if quality is None else quality(chunk)):
            if not window.quality.valid:
                continue
            embedding = encoding.encode(window)
            if embedding.quality.valid and embedding.t_stop > t_fault:
                guesses.append(int(decoder.readout(embedding.population).argmax()))
                moments.append(embedding.t_neural)
                coverages.append(embedding.quality.coverage)
    accuracy = balanced_accuracy_score(_states(patient, moments), guesses)
    return float(accuracy), float(np.mean(coverages))


def _spoilt(
    patient: Patient, signal: Floats, start: int, n_bad: int, draw: int
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows that go bad at a sample, and the signal with them."""
    rng = np.random.default_rng([patient.seed, n_bad, draw])
    bad = rng.permutation(patient.n_channels)[:n_bad]
    spoilt = signal.copy()
    n_samples = signal.shape[1] - start
    phase = 2 * np.pi * patient.mains_hz / patient.sfreq_hz * np.arange(n_samples)
    for turn, row in enumerate(bad, start=draw):
        after = spoilt[row, start:]
        match turn % 4:
            case 0:
                after += rng.normal(0, _NOISE_UV, n_samples).astype(np.float32)
            case 1:
                after += (_HUM_UV * np.sin(phase + rng.uniform(0, 6))).astype(np.float32)
            case 2:
                after[:] = _FLAT_UV
            case 3:
                after[:] = np.nan
    return bad, spoilt
