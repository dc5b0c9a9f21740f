"""PopT fitted together with its readout, on embeddings of contacts that stay frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .fit_features import Gathered

if TYPE_CHECKING:
    from rich.console import Console

    from rtbrain.encoder import EncoderModel
    from rtbrain.offline.cross_validation import CrossValidated
    from rtbrain.offline.fitting_popt import TunedPopT
    from rtbrain.offline.splits import Fold

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A tuned decoder and its scores on held-out windows.

    Attributes
    ----------
    whole : TunedPopT
        Fitted on all windows.
    validated : CrossValidated
        Fitted anew in every fold.
    """

    whole: "TunedPopT"
    validated: "CrossValidated"


def tune(
    console: "Console",
    gathered: Gathered,
    model: "EncoderModel",
    folds: "Sequence[Fold]",
    embargo_s: float,
    n_steps: int,
) -> Tuned:
    """Fine-tune PopT in every fold, and on everything.

    Raises
    ------
    SettingsError
        The model has no PopT, or the targets are no classes.
    """
    import numpy as np
    from rich.progress import Progress

    from rtbrain.encoder import lip_positions
    from rtbrain.errors import SettingsError
    from rtbrain.offline.cross_validation import CrossValidated, FoldResult, scores_of, spread
    from rtbrain.offline.fitting_popt import ChannelEmbeddings, tune_popt

    labelled, popt, channels = gathered.labelled, model.popt, gathered.features.channels
    if popt is None or channels is None:
        raise SettingsError("tune popt: the recipe has no PopT; set encoder.popt, or tune readout")
    if labelled.task != "classification":
        raise SettingsError("tune popt fits classes: tune readout for continuous targets")
    positions = lip_positions(gathered.encoding.signal.montage)
    embeddings = ChannelEmbeddings(channels, positions, gathered.features.good)
    outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    results = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("tuning PopT", total=n_steps * (len(folds) + 1))

        def tuned(train: Any) -> "TunedPopT":
            return tune_popt(
                popt,
                embeddings,
                labelled,
                embargo_s=embargo_s,
                seed=_SEED,
                train=train,
                recordings=gathered.recordings,
                n_steps=n_steps,
                on_step=lambda: progress.advance(task),
            )

        for number, fold in enumerate(folds):
            found = tuned(fold.train)
            outputs[fold.test] = _outputs(found, embeddings, labelled.rows[fold.test])
            scores = scores_of(outputs[fold.test], labelled.targets[fold.test])
            sizes = fold.train.size, fold.test.size
            results.append(FoldResult(fold.name, scores, float("nan"), float("nan"), *sizes))
            # A fold that stopped early has done all its steps.
            progress.update(task, completed=n_steps * (number + 1))
        whole = tuned(None)
    pooled = scores_of(outputs, labelled.targets)
    by_fold = spread([result.scores for result in results])
    return Tuned(whole, CrossValidated(outputs, tuple(results), pooled, by_fold))


def _outputs(found: "TunedPopT", embeddings: Any, rows: Any) -> Any:
    import numpy as np

    from rtbrain.offline.cross_validation import outputs_of
    from rtbrain.offline.fitting_popt import population_of

    population = population_of(found.popt, embeddings, rows)
    return outputs_of(found.readout, population, np.arange(rows.size))
