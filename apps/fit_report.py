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
        caption="first line: pooled over folds [95 % over blocks of time]; second: mean ± SD by "
        f"fold. Encoder: {report['encoder']}",
        show_lines=True,
    )
    table.add_column("", no_wrap=True)
    for key in keys:
        table.add_column(_TITLES[key], justify="right", no_wrap=True)
    for name, scores in report["scores"].items():
        cells = [f"{_pooled(scores, key)}\n{_by_fold(scores['by_fold'][key])}" for key in keys]
        table.add_row(name, *cells)
    if "shifted_labels" in report:
        of_readout = " (readout)" if "frozen PopT" in report["scores"] else ""
        told = (_shifted(report["shifted_labels"][key]) for key in keys)
        table.add_row(f"labels shifted{of_readout}", *told)
    if "unsafe_random_split" in report:
        leaky = report["unsafe_random_split"]["pooled"]
        table.add_row(
            "UNSAFE random split", *(f"{leaky[key]:.3f}\nleaks" for key in keys), style="red"
        )
    return table


def _shifted(chance: Mapping[str, Any]) -> str:
    low, high = chance["interval_95"]
    return f"{low:.3f} to {high:.3f}\np {chance['p']:.3f}"


def _pooled(scores: Mapping[str, Any], key: str) -> str:
    told = f"{scores['pooled'][key]:.3f}"
    if "pooled_interval_95" in scores:
        low, high = scores["pooled_interval_95"][key]
        return f"{told} [{low:.3f}, {high:.3f}]"
    over = scores["pooled_over_seeds"][key]
    return f"{told} (seeds {over['lowest']:.3f} to {over['highest']:.3f})"


def _by_fold(spread: Mapping[str, float]) -> str:
    return f"{spread['mean']:.3f} ± {spread['std']:.3f}"
