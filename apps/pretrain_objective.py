"""Settings of a pretraining to the objective and the examples that they name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rtbrain.config import PretrainSettings
    from rtbrain.encoder.kinds import Sizes
    from rtbrain.offline.corpus.corpus import Corpus, CorpusSession
    from rtbrain.offline.objectives.objective import Examples, Objective

FORMS = {
    "brainbert": "spectrogram",
    "popt": "embedding",
    "neurobert": "patches",
    "biofame": "patches",
}


def name_of(settings: "PretrainSettings") -> str:
    """Which objective it is."""
    return next(name for name, chosen in settings.objective if chosen is not None)


def sizes_of(settings: "PretrainSettings") -> "Sizes":
    """Sizes of the encoder.

    Raises
    ------
    SettingsError
        There are none of that name, or the numbers do not make an encoder.
    """
    from rtbrain.encoder import BRAINBERT_SIZES, POPT_SIZES
    from rtbrain.encoder.biofame import BIOFAME_SIZES
    from rtbrain.encoder.kinds import SIZES
    from rtbrain.encoder.neurobert import NEUROBERT_SIZES
    from rtbrain.errors import SettingsError

    name = name_of(settings)
    sizes = getattr(settings.objective, name).sizes
    every: dict[str, Mapping[str, Sizes]] = {
        "brainbert": BRAINBERT_SIZES,
        "popt": POPT_SIZES,
        "neurobert": NEUROBERT_SIZES,
        "biofame": BIOFAME_SIZES,
    }
    named = every[name]
    where = f"objective.{name}.sizes"
    if isinstance(sizes, str):
        if sizes not in named:
            raise SettingsError(f"{where}: no sizes {sizes!r}; known are {', '.join(named)}")
        return named[sizes]
    make: Callable[..., Sizes] = SIZES[name]  # type: ignore[index]
    try:
        return make(**sizes)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{where}: {error}") from error


def objective_of(settings: "PretrainSettings") -> "Objective":
    """The objective with weights of the seed; the global generator is not moved."""
    import torch

    from rtbrain.encoder.kinds import encoder_of_sizes
    from rtbrain.encoder.layers import set_dropout

    sizes = sizes_of(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = encoder_of_sizes(sizes)
        if settings.upstream_layer_norm_bias:
            for module in encoder.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    torch.nn.init.ones_(module.bias)
        objective = _around(settings, encoder)
    if settings.dropout is not None:
        set_dropout(objective, settings.dropout)
    return objective


def begin(
    settings: "PretrainSettings", objective: "Objective", sessions: "Sequence[CorpusSession]"
) -> None:
    """Fit the first weights of an objective to what it will learn from, where that is asked for."""
    from rtbrain.offline.objectives.popt import Population
    from rtbrain.offline.objectives.standardise import standardise_inputs

    popt = settings.objective.popt
    if popt is not None and popt.standardise and isinstance(objective, Population):
        standardise_inputs(objective.encoder, sessions, seed=settings.seed)


def _around(settings: "PretrainSettings", encoder: Any) -> "Objective":
    chosen = settings.objective
    if chosen.brainbert is not None:
        from rtbrain.offline.objectives.brainbert import MaskedSpectrogram

        return MaskedSpectrogram(
            encoder, alpha=chosen.brainbert.alpha, gamma=chosen.brainbert.gamma
        )
    if chosen.popt is not None:
        from rtbrain.offline.objectives.popt import Population

        return Population(encoder)
    if chosen.neurobert is not None:
        from rtbrain.offline.objectives.neurobert import FourierInversion

        return FourierInversion(encoder)
    from rtbrain.offline.objectives.biofame import FrequencyMaintain

    return FrequencyMaintain(encoder)


def examples_of(
    settings: "PretrainSettings", sessions: "Sequence[CorpusSession]", hop_s: float
) -> "Examples":
    """What the objective is shown of these sessions."""
    chosen = settings.objective
    if chosen.brainbert is not None:
        from rtbrain.offline.objectives.brainbert import MaskedSpectrograms

        return MaskedSpectrograms(
            sessions,
            masking=chosen.brainbert.masking,
            upstream_mask_labels=chosen.brainbert.upstream_mask_labels,
        )
    if chosen.popt is not None:
        from rtbrain.offline.objectives.popt import PopulationPairs

        return PopulationPairs(
            sessions,
            subset_sizes=chosen.popt.subset_sizes,
            replace_share=chosen.popt.replace_share,
            blur_voxels=chosen.popt.blur_voxels,
            hop_s=hop_s,
            upstream_negatives=chosen.popt.upstream_negatives,
        )
    if chosen.neurobert is not None:
        from rtbrain.offline.objectives.neurobert import MaskedPatches

        return MaskedPatches(sessions, mask_share=chosen.neurobert.mask_share)
    if chosen.biofame is not None:
        from rtbrain.offline.objectives.biofame import Patches

        return Patches(sessions, mask_share=chosen.biofame.mask_share)
    raise AssertionError("settings hold exactly one objective")


def refuse_corpus(settings: "PretrainSettings", corpus: "Corpus") -> None:
    """Refuse a corpus that this objective cannot learn from.

    Raises
    ------
    SettingsError
        It holds another form, or items of another width.
    """
    from rtbrain.errors import SettingsError

    name, sizes = name_of(settings), sizes_of(settings)
    if corpus.form != FORMS[name]:
        made = "rtbrain corpus embed" if name == "popt" else "rtbrain corpus build"
        raise SettingsError(
            f"{corpus.folder}: objective {name} learns from a corpus of form {FORMS[name]}, this "
            f"is of form {corpus.form}: make one with {made}"
        )
    if corpus.item_shape[-1] != sizes.input_dim:
        raise SettingsError(
            f"{corpus.folder}: its items have {corpus.item_shape[-1]} features, objective.{name} "
            f"is for {sizes.input_dim}: set sizes with input_dim {corpus.item_shape[-1]}, or "
            f"build the corpus for this encoder"
        )
