"""Scores of a decoder and its controls as a table, for a terminal, a notebook and Python."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from rtbrain.tables import table

TITLES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "pearson_r": "r", "r2": "R²"}
_WIDTH, _MAX_COLUMNS = 118, 3


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """Scores, a row for the decoder and for each control; prints as a table.

    Attributes
    ----------
    title, caption : str
        What was scored, and how to read it.
    columns : tuple of str
        Headings of the scores.
    cells : dict of str to tuple of str
        Texts of each row, by the name of the row.
    values : dict of str to dict
        Numbers of each row, as ``table["decoder"]["auc"]``.
    report : dict
        All figures, as plain values.

    Examples
    --------
    >>> import rtbrain
    >>> scores = rtbrain.load("bundle").scores
    >>> list(scores)
    ['decoder', 'STFT', 'labels shifted']
    >>> scores["decoder"]["auc"] > 0.5
    True
    """

    title: str
    columns: tuple[str, ...]
    cells: dict[str, tuple[str, ...]]
    values: dict[str, dict[str, Any]]
    report: dict[str, Any]
    caption: str = ""

    def __getitem__(self, row: str) -> dict[str, Any]:
        """Numbers of a row by their names."""
        return self.values[row]

    def __iter__(self) -> Iterator[str]:
        """Names of the rows."""
        return iter(self.cells)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.cells)

    def __rich__(self) -> Table:
        """Table for a rich console; many scores run down, so that 80 columns hold them."""
        rows = [(name, *cells) for name, cells in self.cells.items()]
        headings: tuple[str, ...] = ("", *self.columns)
        if len(self.columns) > _MAX_COLUMNS:
            by_score = list(zip(headings, *rows, strict=True))
            headings = by_score[0]
            rows = [(score.replace("\n", " "), *cells) for score, *cells in by_score[1:]]
        return table(self.title, headings, rows, caption=self.caption or None, lines=True)

    def __repr__(self) -> str:
        """Table as text."""
        out = io.StringIO()
        Console(file=out, width=_WIDTH).print(self)
        return out.getvalue().rstrip()

    def _repr_mimebundle_(
        self, include: Sequence[str], exclude: Sequence[str], **options: Any
    ) -> dict[str, str]:
        return self.__rich__()._repr_mimebundle_(include, exclude, **options)


def fit_scores(report: Mapping[str, Any]) -> ScoreTable:
    """Scores on held-out time, of the report of a fit.

    Raises
    ------
    KeyError
        The report holds no scores of `rtbrain.fit`.
    """
    scores, split = report["scores"], report["split"]
    keys = [key for key in TITLES if key in scores["decoder"]["pooled"]]
    cells: dict[str, tuple[str, ...]] = {}
    values: dict[str, dict[str, Any]] = {}
    for name, one in scores.items():
        cells[name] = tuple(f"{_pooled(one, key)}\n{_by_fold(one['by_fold'][key])}" for key in keys)
        values[name] = {}
        for key in keys:
            values[name] |= {key: one["pooled"][key], f"{key}_by_fold": one["by_fold"][key]}
            if "pooled_interval_95" in one:
                values[name][f"{key}_interval_95"] = tuple(one["pooled_interval_95"][key])
    if "null_distribution" in report:
        name = "labels shifted (readout)" if "frozen PopT" in scores else "labels shifted"
        cells[name], values[name] = null_row(report["null_distribution"], keys)
    if "unsafe_random_split" in report:
        name, leaky = "UNSAFE random split", report["unsafe_random_split"]["pooled"]
        cells[name] = tuple(f"{leaky[key]:.3f}\nleaks" for key in keys)
        values[name] = dict(leaky)
    return ScoreTable(
        f"held out by {split['kind']}: {len(split['folds'])} folds, embargo "
        f"{split['embargo_s']:g} s, {report['windows']} windows",
        tuple(TITLES[key] for key in keys),
        cells,
        values,
        dict(report),
        "first line: pooled over folds [95 % over blocks of time]; second: mean ± SD by fold. "
        f"Encoder: {report['encoder']}"
        + f"\n{describe_lags(report)}".rstrip()
        + "".join(f"\nWARNING: {text}" for text in report.get("warnings", ())),
    )


def describe_lags(report: Mapping[str, Any]) -> str:
    """How scores depend on the time of the label, in a line; empty where a report lacks it."""
    lag = report.get("lag")
    if not lag:
        return ""
    described_s = lag.get("described_s", lag["fitted_s"])
    best = max(score for score in lag["scores"] if score is not None and score == score)
    return (
        f"Decodes describe {described_s:.2f} s before the newest sample. {TITLES[lag['score']]} of "
        f"what is true now, each decode held until the next: {number(lag['now'])}; highest with "
        f"labels {lag['best_s']:.2f} s before the newest sample: {number(best)}."
    )


def null_row(
    null: Mapping[str, Any], keys: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Cells and values of the row of shifted labels."""
    texts: list[str] = []
    values: dict[str, Any] = {}
    for key in keys:
        low, high = null[key]["interval_95"]
        texts.append(f"{number(low)} to {number(high)}\np {null[key]['p']:.3f}")
        values |= {f"{key}_interval_95": (low, high), f"{key}_p": null[key]["p"]}
    return tuple(texts), values


def number(value: float | None) -> str:
    """Score with three decimals; a dash where it is not known."""
    return "–" if value is None or value != value else f"{value:.3f}"


def _pooled(scores: Mapping[str, Any], key: str) -> str:
    text = number(scores["pooled"][key])
    if "pooled_interval_95" in scores:
        low, high = scores["pooled_interval_95"][key]
        return f"{text} [{number(low)}, {number(high)}]"
    over = scores["pooled_over_seeds"][key]
    return f"{text} (seeds {number(over['lowest'])} to {number(over['highest'])})"


def _by_fold(spread: Mapping[str, float | None]) -> str:
    return f"{number(spread['mean'])} ± {number(spread['std'])}"
