"""The rows of a probe's table: the features of each, from trained and random encoders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from rtbrain.encoder import ChannelEncoder, PopT, random_encoder
from rtbrain.learn.corpus.corpus import placed_positions
from rtbrain.learn.fit.popt import ChannelEmbeddings, population_of
from rtbrain.learn.probe.dimension import contact_dimensions
from rtbrain.learn.probe.label_efficiency import FrozenRow, TunedRow
from rtbrain.learn.probe.models import LoadedEncoder
from rtbrain.learn.probe.windows import (
    SubjectWindows,
    binned_frames,
    binned_spectra,
    embedded,
    filled,
    mean_frame,
)
from rtbrain.types import Floats

TUNED = "PopT tuned"
PRETRAINED, RANDOM = "pretrained", "random"
_MEAN, _WHOLE, _SPECTRA = "mean spectrogram", "whole spectrogram", "|FFT| of the window"


Reading = Literal["channels", "population", "tuned", "linear"]


@dataclass(frozen=True, slots=True)
class RowName:
    """A row of the table."""

    label: str
    owner: str
    reads: Reading
    is_random: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ProbeEncoders:
    """All encoders that are compared."""

    first: LoadedEncoder
    compared: Mapping[str, Sequence[LoadedEncoder]]
    n_random: int
    tune_steps: int
    form: str


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


def linear_names(form: str) -> dict[str, str]:
    """Rows without an encoder, and what each reads of all contacts."""
    bins = "in bins of 0.25 s over all that the encoders see"
    if form == "patches":  # the linear mode reads spectrograms; the mean of patches means nothing
        return {_SPECTRA: f"its first 40 frequencies {bins}"}
    return {_MEAN: "the mean of the frames that the encoders pool", _WHOLE: f"means {bins}"}


def embedding_passes(encoders: ProbeEncoders) -> int:
    """Number of passes over the windows: encoders that pool the same frames share one."""
    return len({one.model.n_pooled for one in trained_encoders(encoders)})


def probe_features(
    windows: SubjectWindows,
    encoders: ProbeEncoders,
    length_s: float,
    on_window: Callable[[int], None],
) -> dict[str, Floats]:
    """Channel embeddings by encoder, and what each linear row reads."""
    first = encoders.first.model
    reads: dict[str, Callable[[Floats], Floats]] = {
        _MEAN: partial(mean_frame, pool=first.pool, n_pooled=first.n_pooled),
        _WHOLE: partial(binned_frames, length_s=length_s),
        _SPECTRA: partial(binned_spectra, length_s=length_s),
    }
    by_frames: dict[int, dict[str, ChannelEncoder]] = {first.n_pooled: first_and_random(encoders)}
    for name, runs in encoders.compared.items():
        for number, one in enumerate(runs):
            same = by_frames.setdefault(one.model.n_pooled, {})
            same[_key(name, number)] = one.model.channel_encoder.to(_device()).eval()
    found: dict[str, Floats] = {}
    for n_pooled, several in by_frames.items():
        names = [] if found else linear_names(encoders.form)
        found |= embedded(
            windows,
            several,
            {name: reads[name] for name in names},
            pool=first.pool,
            n_pooled=n_pooled,
            device=_device(),
            on_window=on_window,
        )
    return found


def first_and_random(encoders: ProbeEncoders) -> dict[str, ChannelEncoder]:
    """The first channel encoder and random ones of its sizes, on their device."""
    sizes = encoders.first.model.channel_encoder.sizes
    found = {PRETRAINED: encoders.first.model.channel_encoder}
    for k in range(encoders.n_random):
        found[f"{RANDOM} {k}"] = random_encoder(sizes, _seed(k))
    return {name: encoder.to(_device()).eval() for name, encoder in found.items()}


def probe_rows(
    windows: SubjectWindows, encoders: ProbeEncoders, features: dict[str, Floats]
) -> dict[str, list[FrozenRow | TunedRow]]:
    """Rows by label: one per training run; random controls alternate within one."""
    first = encoders.first.model.popt
    rows_of = partial(_rows_of, windows, encoders.tune_steps)
    controls = range(encoders.n_random)
    popts = None if first is None else [first]
    randoms = (
        None if first is None else [random_encoder(first.sizes, _seed(k) + 1) for k in controls]
    )
    channels = [features[f"{RANDOM} {k}"] for k in controls]
    made: dict[tuple[str, bool], list[dict[str, FrozenRow | TunedRow]]] = {
        ("", False): [rows_of([features[PRETRAINED]], popts)]
    }
    if controls:
        made["", True] = [rows_of(channels, randoms)]
    for name, runs in encoders.compared.items():
        made[name, False] = [
            rows_of([features[_key(name, k)]], None if popt is None else [popt])
            for k, popt in enumerate(one.model.popt for one in runs)
        ]
    found: dict[str, list[FrozenRow | TunedRow]] = {}
    for row in row_names(encoders):
        if row.reads == "linear":
            found[row.label] = [FrozenRow(row.label, [filled(features[row.label], windows.good)])]
        else:
            found[row.label] = [run[row.reads] for run in made[row.owner, row.is_random]]
    return found


def _rows_of(
    windows: SubjectWindows,
    tune_steps: int,
    several: Sequence[Floats],
    popts: Sequence[PopT] | None,
) -> dict[str, FrozenRow | TunedRow]:
    """Rows by kind of feature; several embeddings alternate with the seed of the draw."""
    good = windows.good
    rows: dict[str, FrozenRow | TunedRow] = {
        "channels": FrozenRow("channels", [filled(one, good) for one in several])
    }
    if popts is None:
        return rows
    positions, placed = placed_positions(windows.sessions[0].montage)
    populations = [
        population_of(
            popt, ChannelEmbeddings(one, positions, good & placed), np.arange(good.shape[0])
        )
        for popt, one in zip(popts, several, strict=True)
    ]
    rows["population"] = FrozenRow("population", populations)
    rows["tuned"] = TunedRow("tuned", popts, several, tune_steps)
    return rows


def dimensions_of(
    windows: SubjectWindows,
    encoders: Mapping[str, ChannelEncoder],
    on_contact: Callable[[int], None],
) -> dict[str, Any]:
    """Intrinsic dimensions of the subject's contacts: pretrained, one random, and the input."""
    pair = {PRETRAINED: encoders[PRETRAINED]}
    if f"{RANDOM} 0" in encoders:
        pair[RANDOM] = encoders[f"{RANDOM} 0"]
    return contact_dimensions(
        windows.sessions[0], pair, device=_device(), on_contact=lambda: on_contact(1)
    )


def trained_encoders(encoders: ProbeEncoders) -> list[LoadedEncoder]:
    """The first encoder and every run of the others."""
    return [encoders.first, *(one for runs in encoders.compared.values() for one in runs)]


def _key(name: str, number: int) -> str:
    return f"{name}/{number}"  # no name has a slash, so it cannot be that of a random control


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _seed(number: int) -> int:
    """Seed of the random weights of a run, far from those of the recipes."""
    return 1000 * (number + 1)
