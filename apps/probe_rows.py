"""The rows of a probe's table: what each reads of a subject's windows, pretrained and random."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from rtbrain.encoder import ChannelEncoder, EncoderModel
    from rtbrain.offline.probing import FrozenRow, TunedRow
    from rtbrain.offline.probing_windows import SubjectWindows
    from rtbrain.types import Floats

TUNED = "PopT tuned"
PRETRAINED, RANDOM = "pretrained", "random"
_MEAN, _WHOLE, _SPECTRA = "mean spectrogram", "whole spectrogram", "|FFT| of the window"


class _Asked(Protocol):
    """How many random encoders there are, and how long PopT is tuned."""

    @property
    def n_seeds(self) -> int: ...
    @property
    def tune_steps(self) -> int: ...


def row_names(model: "EncoderModel", tune_steps: int, form: str) -> list[str]:
    """Rows of the table, the pretrained before their controls."""
    channels = _channels(model)
    families = [channels]
    if model.popt is not None:
        families = [f"{channels} + PopT", channels, *([TUNED] if tune_steps else [])]
    names = [f"{name}, {state}" for name in families for state in (PRETRAINED, RANDOM)]
    return [*names, *linear_names(form)]


def linear_names(form: str) -> dict[str, str]:
    """Rows without an encoder, and what each reads of all contacts."""
    bins = "in bins of 0.25 s over all that the encoders see"
    if form == "patches":  # the linear mode reads spectrograms; the mean of patches means nothing
        return {_SPECTRA: f"its first 40 frequencies {bins}"}
    return {_MEAN: "the mean of the frames that the encoders pool", _WHOLE: f"means {bins}"}


def encoders_of(model: "EncoderModel", n_seeds: int) -> "dict[str, ChannelEncoder]":
    """The pretrained encoder of channels and random ones of its sizes, where they compute."""
    from rtbrain.encoder import kind_of, random_encoder

    sizes = model.brainbert.sizes
    encoders = {PRETRAINED: model.brainbert}
    for k in range(n_seeds):
        encoders[f"{RANDOM} {k}"] = random_encoder(kind_of(sizes), sizes, _seed(k))
    return {name: encoder.to(_device()).eval() for name, encoder in encoders.items()}


def features_of(
    windows: "SubjectWindows",
    model: "EncoderModel",
    encoders: "dict[str, ChannelEncoder]",
    form: str,
    length_s: float,
    on_window: Callable[[int], None],
) -> "dict[str, Floats]":
    """Channel embeddings by encoder, and what each linear row reads."""
    from functools import partial

    from rtbrain.offline.probing_linear import binned_frames, binned_spectra, mean_frame
    from rtbrain.offline.probing_windows import embedded

    reads = {
        _MEAN: partial(mean_frame, pool=model.pool, n_pooled=model.n_pooled),
        _WHOLE: partial(binned_frames, length_s=length_s),
        _SPECTRA: partial(binned_spectra, length_s=length_s),
    }
    return embedded(
        windows,
        encoders,
        {name: reads[name] for name in linear_names(form)},
        pool=model.pool,
        n_pooled=model.n_pooled,
        device=_device(),
        on_window=on_window,
    )


def rows_of(
    windows: "SubjectWindows",
    model: "EncoderModel",
    features: "dict[str, Floats]",
    form: str,
    asked: _Asked,
) -> "list[FrozenRow | TunedRow]":
    """Every row that there is for this model."""
    import numpy as np

    from rtbrain.encoder import random_encoder
    from rtbrain.offline.fitting_popt import ChannelEmbeddings, population_of
    from rtbrain.offline.placing import placed_positions
    from rtbrain.offline.probing import FrozenRow, TunedRow
    from rtbrain.offline.probing_windows import filled

    good, seeds, channels = windows.good, range(asked.n_seeds), _channels(model)
    of = {
        PRETRAINED: [features[PRETRAINED]],
        RANDOM: [features[f"{RANDOM} {k}"] for k in seeds],
    }
    rows: list[FrozenRow | TunedRow] = [
        FrozenRow(name, [filled(features[name], good)]) for name in linear_names(form)
    ]
    for state, several in of.items():
        rows.append(FrozenRow(f"{channels}, {state}", [filled(one, good) for one in several]))
    if model.popt is None:
        return rows
    sizes = model.popt.sizes
    popts = {
        PRETRAINED: [model.popt],
        RANDOM: [random_encoder("popt", sizes, _seed(k) + 1) for k in seeds],
    }
    positions, placed = placed_positions(windows.sessions[0].montage)
    everything = np.arange(good.shape[0])
    for state, several in of.items():
        made = [
            population_of(popt, ChannelEmbeddings(one, positions, good & placed), everything)
            for popt, one in zip(popts[state], several, strict=True)
        ]
        rows.append(FrozenRow(f"{channels} + PopT, {state}", made))
        rows.append(TunedRow(f"{TUNED}, {state}", popts[state], several, asked.tune_steps))
    return rows


def dimensions_of(
    windows: "SubjectWindows",
    encoders: "dict[str, ChannelEncoder]",
    on_contact: Callable[[int], None],
) -> dict[str, Any]:
    """Intrinsic dimensions of the subject's contacts: pretrained, one random, and the input."""
    from rtbrain.offline.probing_dimension import contact_dimensions

    pair = {PRETRAINED: encoders[PRETRAINED], RANDOM: encoders[f"{RANDOM} 0"]}
    return contact_dimensions(
        windows.sessions[0], pair, device=_device(), on_contact=lambda: on_contact(1)
    )


def _channels(model: "EncoderModel") -> str:
    return type(model.brainbert).__name__


def _device() -> "torch.device":
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _seed(number: int) -> int:
    """Seed of the random weights of a run: far from those of the recipes."""
    return 1000 * (number + 1)
