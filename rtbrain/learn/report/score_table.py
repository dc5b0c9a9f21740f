"""Scores of a decoder and its controls as a table, for a terminal, a notebook and Python."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from rtbrain.learn.presets import ReportTable, detection_tables
from rtbrain.learn.verdict import decisive, describe_null
from rtbrain.terminal import table

TITLES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "pearson_r": "r", "r2": "R²"}
EARLIER = "This report is of an earlier version: fit again for a verdict and intervals."
_WIDTH, _MAX_COLUMNS, _MIN_CONFUSED = 118, 3, 2


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
    ['decoder', 'linear of v0.1.0', 'STFT', 'clock only', 'random init', 'labels shifted']
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
        """Table for a rich console; of many columns two, so that a width of 80 holds them."""
        caption, n = self.caption or None, len(self.columns)
        if n > _MAX_COLUMNS:
            n = sum(column in TITLES.values() for column in self.columns)
        scores = [(name, *cells[:n]) for name, cells in self.cells.items()]
        headings = ("", *self.columns[:n])
        if n == len(self.columns):
            return table(self.title, headings, scores, caption=caption, lines=True)
        both, others = (
            Table.grid(),
            [(name, *cells[n:]) for name, cells in self.cells.items() if any(cells[n:])],
        )
        both.add_row(table(self.title, headings, scores, lines=True))
        both.add_row(table("", ("", *self.columns[n:]), others, caption=caption, lines=True))
        return both

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
    if "verdict" not in report:
        return _earlier_scores(report)
    scores, split = report["scores"], report["split"]
    keys = [key for key in TITLES if key in scores["decoder"]["pooled"]]
    cells: dict[str, tuple[str, ...]] = {}
    values: dict[str, dict[str, Any]] = {}
    for name, one in scores.items():
        cells[name] = tuple(f"{_pooled(one, key)}\n{_by_fold(one['by_fold'][key])}" for key in keys)
        values[name] = {}
        for key in keys:
            values[name] |= {key: one["pooled"][key], f"{key}_by_fold": one["by_fold"][key]}
            if "interval_95" in one:
                found = one["interval_95"][key]
                values[name][f"{key}_interval_95"] = (found["low"], found["high"])
    if "random init" not in scores:
        text = "no encoder" if report["encoder"] == "none" else "is the decoder"
        cells["random init"], values["random init"] = (text,) * len(keys), {}
    if "null_distribution" in report:
        null = report["null_distribution"]
        name = f"{null['how']} (readout)" if null.get("of") else null["how"]
        cells[name], values[name] = null_row(null, keys)
    if "unsafe_random_split" in report:
        name, leaky = "UNSAFE random split", report["unsafe_random_split"]["pooled"]
        cells[name] = tuple(f"{leaky[key]:.3f}\nleaks" for key in keys)
        values[name] = dict(leaky)
    apart = f"embargo {split['embargo_s']:g} s" if split["kind"] == "blocks" else "each whole"
    held_out = (
        f"held out by {split['kind']}: {len(split['folds'])} folds, {apart}, "
        f"{report['windows']} windows"
    )
    return ScoreTable(
        "\n".join((*verdict_lines(report), held_out)),
        tuple(TITLES[key] for key in keys),
        cells,
        values,
        dict(report),
        "\n".join(
            (
                f"{how_to_read(report)} Encoder: {report['encoder']}",
                *remarks(report),
                *(f"WARNING: {text}" for text in report.get("warnings", ())),
            )
        ),
    )


def report_tables(report: Mapping[str, Any]) -> list[ReportTable]:
    """Of three classes or more, which was taken for which; and what is to be detected."""
    tables, found = detection_tables(report), report.get("confusion")
    if found and len(found["classes"]) > _MIN_CONFUSED:
        rows = [
            (f"true {name}", *(str(n) for n in row), f"{row[at] / max(1, sum(row)):.0%}")
            for at, (name, row) in enumerate(zip(found["classes"], found["windows"], strict=True))
        ]
        headings = ("", *(f"decoded {name}" for name in found["classes"]), "right")
        tables.insert(0, ReportTable("Held-out windows by class", headings, rows))
    return tables


def _earlier_scores(report: Mapping[str, Any]) -> ScoreTable:
    """What an earlier version's report is sure to hold; its intervals were of another kind."""
    pooled = {name: one.get("pooled", {}) for name, one in report.get("scores", {}).items()}
    keys = [key for key in TITLES if any(key in one for one in pooled.values())]
    cells = {name: tuple(number(one.get(key)) for key in keys) for name, one in pooled.items()}
    titles = tuple(TITLES[key] for key in keys)
    return ScoreTable(EARLIER, titles, cells, pooled, dict(report), "Pooled over folds.")


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """What a report claims, and what stands against it, a sentence a line."""
    verdict = report.get("verdict")
    if verdict is None:
        return [EARLIER] if "split" in report else []
    return [verdict["text"], *verdict["warnings"]]


def how_to_read(report: Mapping[str, Any]) -> str:
    """What the figures of a report mean and what they rest on."""
    key = decisive(report["task"])
    interval = report["scores"]["decoder"]["interval_95"][key]
    text = f"First lines: pooled over folds; {TITLES[key]} {interval['text']}. Second: by fold."
    if null := report.get("null_distribution"):
        text += f" {describe_null(null, key, report.get('clock'))}"
    return text


def remarks(report: Mapping[str, Any]) -> list[str]:
    """The front end that was chosen, the time of the label, and which decoder is suggested."""
    lines = [*_front_end(report), describe_lags(report)]
    if "simplest" in report:
        lines.append(f"Simplest decoder: {report['simplest']['text']}.")
    lines.append(report.get("drift", {}).get("text", ""))
    return [line for line in lines if line]


def _front_end(report: Mapping[str, Any]) -> list[str]:
    """Which front end was chosen, how surely, and what it gains, a line each."""
    lines, found = [], report.get("front_end")
    if found:
        n = sum(found["folds"].values())
        chose = ", ".join(f"{name} ({count} of {n})" for name, count in found["folds"].items())
        best = sorted(found["inner_scores_too_high"].items(), key=lambda one: -one[1])[:3]
        shown = ", ".join(f"{name} {number(score)}" for name, score in best)
        lines += [
            f"Front end: {found['chosen']}, chosen on all windows. The folds chose {chose}: the "
            "scores include the choice. Inner scores, which choosing makes too high: "
            f"{shown}."
        ]
    old = report["scores"].get("linear of v0.1.0", {}).get("decoder_minus_this", {})
    key = next((key for key in ("auc", "pearson_r") if key in old), None)
    if key is not None:
        one = old[key]
        text = f"Decoder less linear of v0.1.0: {TITLES[key]} {one['score']:+.3f}"
        if one["low"] == one["low"]:
            text += f" [{one['low']:+.3f}, {one['high']:+.3f}]"
        lines.append(f"{text}, on the same {one['n_blocks']} {one['unit']}.")
    return lines


def describe_lags(report: Mapping[str, Any]) -> str:
    """How scores depend on the time of the label, in a line; empty where a report lacks it."""
    lag = report.get("lag")
    if not lag:
        return ""
    described_s = lag.get("described_s", lag["fitted_s"])
    best = max(score for score in lag["scores"] if score is not None and score == score)
    return (
        f"Decodes describe {described_s:.2f} s before the newest sample. {TITLES[lag['score']]} "
        f"against what is true now (each decode holds until the next): {number(lag['now'])}; "
        f"highest against labels {lag['best_s']:.2f} s before the newest sample: {number(best)}."
    )


def null_row(
    null: Mapping[str, Any], keys: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Cells and values of the row of shifted labels."""
    texts: list[str] = []
    values: dict[str, Any] = {}
    for key in keys:
        median, p = null[key]["median"], null[key]["p"]
        texts.append(f"median {number(median, 2)}\np {p:.3f}")
        values |= {key: median, f"{key}_band_95": tuple(null[key]["band_95"]), f"{key}_p": p}
    return tuple(texts), values


def number(value: float | None, decimals: int = 3) -> str:
    """Score with its decimals; a dash where it is not known."""
    return "–" if value is None or value != value else f"{value:.{decimals}f}"


def _pooled(scores: Mapping[str, Any], key: str) -> str:
    text = number(scores["pooled"][key])
    if "interval_95" in scores:
        return str(scores["interval_95"][key]["brief"])
    over = scores["pooled_over_seeds"][key]
    return f"{text} (seeds {number(over['lowest'])} to {number(over['highest'])})"


def _by_fold(spread: Mapping[str, float | None]) -> str:
    low, high = spread["lowest"], spread["highest"]
    return f"folds {number(low, 2)} to {number(high, 2)}"
