"""What `fit` shows at its end: the decoder beside its controls, and what to make of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_TITLES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "pearson_r": "r", "r2": "R²"}


def closing_table(report: Mapping[str, Any]) -> "Table":
    """Scores of the decoder and its controls on held-out time.

    Parameters
    ----------
    report : mapping
        As in the bundle's ``report.json``.
    """
    from rich.table import Table

    keys = [key for key in _TITLES if key in report["scores"]["decoder"]["pooled"]]
    split = report["split"]
    table = Table(
        title=f"held out by {split['kind']}: {len(split['folds'])} folds, embargo "
        f"{split['embargo_s']:g} s, {report['windows']} windows",
        caption="pooled over folds [95 % over blocks of time]; mean and SD by fold",
    )
    table.add_column("")
    for key in keys:
        table.add_column(_TITLES[key], justify="right")
        table.add_column("by fold", justify="right")
    for name, scores in report["scores"].items():
        cells = []
        for key in keys:
            cells += [_pooled(scores, key), _by_fold(scores["by_fold"][key])]
        table.add_row(name, *cells)
    if "shifted_labels" in report:
        cells = []
        for key in keys:
            low, high = report["shifted_labels"][key]["interval_95"]
            cells += [f"{low:.3f} to {high:.3f}", f"p {report['shifted_labels'][key]['p']:.3f}"]
        table.add_row("labels shifted in time", *cells)
    if "unsafe_random_split" in report:
        cells = []
        for key in keys:
            cells += [f"{report['unsafe_random_split']['pooled'][key]:.3f}", "leaks"]
        table.add_row("UNSAFE random split", *cells, style="red")
    return table


def _pooled(scores: Mapping[str, Any], key: str) -> str:
    told = f"{scores['pooled'][key]:.3f}"
    if "pooled_interval_95" in scores:
        low, high = scores["pooled_interval_95"][key]
        return f"{told} [{low:.3f}, {high:.3f}]"
    over = scores["pooled_over_seeds"][key]
    return f"{told} (seeds {over['lowest']:.3f} to {over['highest']:.3f})"


def _by_fold(spread: Mapping[str, float]) -> str:
    return f"{spread['mean']:.3f} ± {spread['std']:.3f}"
