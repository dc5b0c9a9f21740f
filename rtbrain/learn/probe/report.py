"""What a probe shows at its end: rows of scores, their differences, and dimensions."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from rtbrain.learn.probe.figures import Curve
from rtbrain.learn.probe.label_efficiency import estimate_runs, paired_differences
from rtbrain.learn.probe.rows import PRETRAINED, RANDOM, RowName

_INTERVALS = {
    "subjects": "95 %: t interval over the means of subjects, which weigh the same",
    "subjects and runs": "of encoders with several training runs over subjects and runs, both "
    "drawn (Satterthwaite)",
    "runs": "of encoders with several training runs over the runs, on one subject",
    "seeds": "95 %: t interval over the seeds of one subject, it says nothing of others",
    "none": "no interval: one subject, one seed",
}


@dataclass(frozen=True, slots=True, eq=False)
class ProbeResult:
    """What was found."""

    rows: list[RowName]
    scores: dict[str, dict[str, Any]]
    dimensions: dict[str, Any]  # dict of ndarray, int64 [n_contacts]
    counts: tuple[int, ...]
    left_out: dict[int, str]
    told: dict[str, Any]


def probe_report(probed: ProbeResult) -> dict[str, Any]:
    """All figures as plain values."""
    subjects = list(probed.told["windows"])
    over = [_over(len(subjects), probed.told["seeds"])]
    if any(len(runs) > 1 for runs in probed.told["beside"].values()):
        over.append("subjects and runs" if len(subjects) > 1 else "runs")
    return {
        **probed.told,
        "labels": list(probed.counts),
        "labels_left_out": {str(count): why for count, why in probed.left_out.items()},
        "interval": "; ".join(_INTERVALS[one] for one in over),
        "notes": _notes(probed),
        "scores": {
            name: {metric: _by_count(values) for metric, values in scores.items()}
            for name, scores in probed.scores.items()
        },
        "auc_by_subject": {
            name: {
                subject: [_mean(scores["auc"][:, k, :, c]) for c in range(len(probed.counts))]
                for k, subject in enumerate(subjects)
            }
            for name, scores in probed.scores.items()
        },
        "auc_by_run": {
            row.label: [
                [_mean(run[:, :, c]) for c in range(len(probed.counts))]
                for run in probed.scores[row.label]["auc"]
            ]
            for row in probed.rows
            if row.owner
        },
        "pretrained_minus_random": {
            family: _differences(
                probed.scores[f"{family}, {PRETRAINED}"], probed.scores[f"{family}, {RANDOM}"]
            )
            for family in _families(probed.scores)
        },
        "paired_differences": {
            row.label: _differences(probed.scores[row.label], probed.scores[reference])
            for row, reference in _pairs(probed)
        },
        "intrinsic_dimension": {
            name: _spread(counts) for name, counts in probed.dimensions.items()
        },
    }


def probe_curves(probed: ProbeResult) -> list[Curve]:
    """Lines of the picture: AUC of every row."""
    families = list(dict.fromkeys(name.split(", ")[0] for name in probed.scores))
    return [
        Curve(
            row.label,
            families.index(row.label.split(", ")[0]),
            row.is_random,
            [
                estimate_runs(probed.scores[row.label]["auc"][..., k])
                for k in range(len(probed.counts))
            ],
        )
        for row in probed.rows
    ]


def probe_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Scores by row and count of labels; dimensions by encoder."""
    left_out = report["labels_left_out"]
    missing = "".join(f"; {count} left out: {why}" for count, why in left_out.items())
    missing += "".join(
        f"; {name} has no report: whether it learned from these subjects is not known"
        for name in report["learned_unknown"]
    )
    notes = "".join(f"; {note}" for note in report["notes"])
    scores = Table(
        title="AUC on held-out time of held-out subjects, by labelled windows",
        caption=f"{report['interval']}; {report['seeds']} seeds, embargo "
        f"{report['embargo_s']:g} s{notes}{missing}",
        show_lines=True,
    )
    several = len(report["windows"]) > 1
    scores.add_column("")
    for count in report["labels"]:
        scores.add_column(str(count), justify="right", no_wrap=True)
    for name, by_metric in report["scores"].items():
        scores.add_row(name, *(_cell(one, ".3f", several=several) for one in by_metric["auc"]))
    for family, by_metric in report["pretrained_minus_random"].items():
        cells = [_cell(one, "+.3f", several=several) for one in by_metric["auc"]]
        scores.add_row(f"{family}, difference", *cells, style="bold")
    yield scores
    if report["paired_differences"]:
        yield _paired_table(report, several=several)
    dimensions = Table(
        title="Principal components to 95 % of the variance, by contact",
        caption="of the mean over frames of the first 500 windows",
    )
    for heading in ("", "median", "range", "contacts"):
        dimensions.add_column(heading, justify="right" if heading else "left")
    for name, found in report["intrinsic_dimension"].items():
        told = "-", "-"
        if found["contacts"]:
            told = f"{found['median']:g}", f"{found['lowest']} to {found['highest']}"
        dimensions.add_row(name, *told, str(found["contacts"]))
    yield dimensions


def _paired_table(report: Mapping[str, Any], *, several: bool) -> Table:
    """Differences of AUC to the reference, of rows that a readout reads alike."""
    table = Table(
        title=f"AUC less that of {report['against'] or 'ENCODER'}, paired",
        caption="row by row on the same windows and draws: populations to its population, channels "
        "and spectrograms to its channels; means over draws, then runs, then subjects",
        show_lines=True,
    )
    table.add_column("")
    for count in report["labels"]:
        table.add_column(str(count), justify="right", no_wrap=True)
    for name, by_metric in report["paired_differences"].items():
        table.add_row(name, *(_cell(one, "+.3f", several=several) for one in by_metric["auc"]))
    return table


def _pairs(probed: ProbeResult) -> list[tuple[RowName, str]]:
    """Rows and the row of the reference that is read alike; none where nothing is beside."""
    if not probed.told["beside"]:
        return []
    own = {
        row.reads: row.label
        for row in probed.rows
        if row.owner == probed.told["against"] and row.reads != "linear" and not row.is_random
    }
    references = own | {"linear": own["channels"]}
    return [
        (row, references[row.reads])
        for row in probed.rows
        if row.reads in references and not row.is_random and row.label not in own.values()
    ]


def _over(n_subjects: int, n_seeds: int) -> str:
    """What an interval is over where no score is missing."""
    if n_subjects > 1:
        return "subjects"
    return "seeds" if n_seeds > 1 else "none"


def _notes(probed: ProbeResult) -> list[str]:
    """What the rows do not say of themselves."""
    notes, n_random = [], probed.told["random"]
    if n_random:
        against = f"{n_random} random encoders" if n_random > 1 else "one random encoder"
        notes.append(
            f"differences are of one pretraining run against {against}, not of several runs"
        )
    if any(row.reads == "tuned" for row in probed.rows):
        notes.append("PopT alone is fine-tuned: the encoder of a channel is frozen, as published")
    else:
        notes.append("every encoder is frozen")
    unplaced = sum(probed.told["contacts_without_position"].values())
    if unplaced:
        notes.append(f"contacts without a position, which PopT does not read: {unplaced}")
    notes += [
        f"{name}: {len(runs)} training runs"
        for name, runs in probed.told["beside"].items()
        if len(runs) > 1
    ]
    alone = [name for name, runs in probed.told["beside"].items() if len(runs) == 1]
    if alone:
        notes.append(f"one training run, whose luck no interval shows: {', '.join(alone)}")
    beside = [one for runs in probed.told["beside"].values() for one in runs]
    if len({one["neural_delay_s"] for one in (probed.told, *beside)}) > 1:
        notes.append("each row is labelled at the moment that its embeddings describe")
    return [*notes, *(f"{name}: {what}" for name, what in probed.told["linear"].items())]


def _families(names: Mapping[str, Any]) -> list[str]:
    """Rows that come pretrained and random."""
    ending = f", {RANDOM}"
    return [name.removesuffix(ending) for name in names if name.endswith(ending)]


def _differences(scores: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    return {
        metric: [
            asdict(paired_differences(values[..., k], reference[metric][..., k]))
            for k in range(values.shape[-1])
        ]
        for metric, values in scores.items()
    }


def _by_count(scores: Any) -> list[dict[str, Any]]:
    return [asdict(estimate_runs(scores[..., k])) for k in range(scores.shape[-1])]


def _mean(values: Any) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _spread(counts: Any) -> dict[str, Any]:
    if not counts.size:
        return {"contacts": 0}
    return {
        "contacts": int(counts.size),
        "median": float(np.median(counts)),
        "lowest": int(counts.min()),
        "highest": int(counts.max()),
    }


def _cell(found: Mapping[str, Any], form: str, *, several: bool) -> str:
    """Mean and interval; where scores of subjects are missing, that it is over seeds."""
    told = f"{found['mean']:{form}}"
    if found["interval"] != "none":
        # Two lines, so that the names of the rows have room in a terminal of 80 columns.
        told += f"\n{found['low']:{form}} to\n{found['high']:{form}}"
    if found["interval"] in ("seeds", "runs") and several:
        told += f"\nover {found['interval']}"
    return told + (f"\n{found['n_missing']} not fitted" if found["n_missing"] else "")
