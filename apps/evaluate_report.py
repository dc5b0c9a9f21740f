"""Figures of an evaluation: windows, events, delays; and the table that shows them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from rtbrain.offline.labels import Labelled
    from rtbrain.types import Decode

_GRACE_S = 0.5


def figures_of(
    decodes: "Sequence[Decode]",
    valid: "Sequence[Decode]",
    labelled: "Labelled",
    threshold: float | None,
) -> dict[str, Any]:
    """Scores of every decode against its label, and of classes as events.

    Parameters
    ----------
    decodes : sequence of Decode
        All.
    valid : sequence of Decode
        The valid ones: what `labelled` numbers.
    labelled : Labelled
        Labels.
    threshold : float or None
        Probability above which a class is an event; None where windows are cut at events, so that
        there is nothing to detect.
    """
    from dataclasses import asdict

    import numpy as np

    from rtbrain.offline.scoring import score_classes, score_values

    values = np.stack([decode.values for decode in valid])[labelled.rows]
    counts = {"decodes": len(decodes), "valid": len(valid), "labelled": int(labelled.rows.size)}
    if labelled.task == "regression":
        return counts | asdict(score_values(values, labelled.targets))
    scores = asdict(score_classes(values, labelled.targets))
    figures = counts | scores | {"by_chance": _by_chance(values, labelled)}
    if threshold is not None:
        figures["events"] = _events(valid, values, labelled, threshold)
    return figures


def _by_chance(values: Any, labelled: "Labelled") -> dict[str, list[float]]:
    """What decodes of another time score: middle 95 % over circular shifts of the labels."""
    import numpy as np

    from rtbrain.offline.scoring import score_classes

    n_windows = labelled.targets.size
    # The first and last twentieth of the shifts leave labels near their own windows.
    nearest = n_windows // 20 + 1
    shifts = np.unique(np.rint(np.linspace(nearest, n_windows - nearest, 200)).astype(np.int64))
    scores = [score_classes(values, np.roll(labelled.targets, shift)) for shift in shifts]
    return {
        name: np.nanquantile([getattr(score, name) for score in scores], (0.025, 0.975)).tolist()
        for name in ("balanced_accuracy", "auc")
    }


def _events(
    valid: "Sequence[Decode]", values: Any, labelled: "Labelled", threshold: float
) -> dict[str, Any]:
    """Each class but the first as events: hits, false alarms, delays."""
    from dataclasses import asdict

    import numpy as np

    from rtbrain.offline.evaluation import alarms, score_events, spans_of_states

    ready = labelled.t_s
    moments = np.array([valid[row].t_neural for row in labelled.rows])
    duration_s = float(ready[-1] - ready[0])
    return {
        name: asdict(
            score_events(
                spans_of_states(moments, labelled.targets, number),
                alarms(ready, values[:, number], threshold),
                duration_s,
                grace_s=_GRACE_S,
            )
        )
        for number, name in enumerate(labelled.names)
        if number
    }


def closing_table(figures: Mapping[str, Mapping[str, Any]]) -> "Table":
    """The decoder and its controls side by side."""
    from rich.table import Table

    table = Table(title="held out, decoded as if live")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for title, told in _lines(figures):
        table.add_row(title, *told)
    return table


def _lines(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    columns = list(figures.values())
    first = columns[0]
    lines = [
        ("valid decodes", [f"{each['valid']} of {each['decodes']}" for each in columns]),
        ("samples lost", [str(each["lost_samples"]) for each in columns]),
    ]
    names = {"balanced_accuracy": "balanced accuracy", "auc": "AUC", "pearson_r": "r", "r2": "R²"}
    for key, title in names.items():
        if key in first:
            lines.append((title, [f"{each[key]:.3f}" for each in columns]))
        if key in first.get("by_chance", {}):
            intervals = [each["by_chance"][key] for each in columns]
            lines.append((f"  by chance, 95 % of {title}", [_span(one) for one in intervals]))
    for name in first.get("events", {}):
        events = [each["events"][name] for each in columns]
        lines += [
            (f"{name}: events", [str(each["n_events"]) for each in events]),
            ("  hit", [f"{100 * each['hit_rate']:.0f} %" for each in events]),
            ("  false alarms a minute", [f"{each['false_alarms_per_min']:.2f}" for each in events]),
            (
                "  delay, median and 90 %",
                [f"{each['delay_s']:.2f} / {each['delay_p90_s']:.2f} s" for each in events],
            ),
        ]
    return lines


def _span(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.3f} to {high:.3f}"
