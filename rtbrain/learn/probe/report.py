"""The results of a probe: scores by row, their differences, dimensions, tables, a picture."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator
from rich.table import Table
from rich.text import Text

from rtbrain.learn.probe.comparisons import claim, compare, estimate, labels_saved
from rtbrain.learn.probe.encoders import PRETRAINED, RANDOM
from rtbrain.learn.probe.label_efficiency import METRICS, RowName
from rtbrain.learn.report.figures import COLOURS, GREY, new_axes, save_figure
from rtbrain.terminal import table
from rtbrain.types import Doubles, Ints

_INTERVALS = {
    "subjects": "95 %: t interval over the means of subjects, with equal weights",
    "subjects and runs": "of encoders with several training runs over subjects and runs, both "
    "random (Satterthwaite)",
    "runs": "of encoders with several training runs over the runs, on one subject",
    "seeds": "range over the seeds of one subject, which says nothing about others",
    "none": "no interval: one subject, one seed",
}
_MARKERS = "os^Dv"  # fewer than colours, so that the sixth group differs from the first
_DODGE = 0.012  # of the axis between lines, so that their bars do not hide each other


@dataclass(frozen=True, slots=True, eq=False)
class ProbeResult:
    """Scores and dimensions; `provenance` says of what."""

    rows: list[RowName]
    scores: dict[str, Doubles]  # by row, [n_metrics, n_runs, n_subjects, n_seeds, n_counts]
    dimensions: dict[str, Ints]  # by encoder, [n_contacts]
    counts: tuple[int, ...]
    left_out: dict[int, str]
    provenance: dict[str, Any]


def probe_report(result: ProbeResult) -> dict[str, Any]:
    """All figures as plain values."""
    subjects = list(result.provenance["windows"])
    ending = f", {RANDOM}"  # of rows that come pretrained too
    families = [name.removesuffix(ending) for name in result.scores if name.endswith(ending)]
    # What intervals are over where no score is missing.
    over = ["seeds" if result.provenance["seeds"] > 1 else "none"]
    if len(subjects) > 1:
        over = ["subjects"]
    if any(len(runs) > 1 for runs in result.provenance["compared"].values()):
        over.append("subjects and runs" if len(subjects) > 1 else "runs")
    return {
        **result.provenance,
        "labels": list(result.counts),
        "labels_left_out": {str(count): why for count, why in result.left_out.items()},
        "interval": "; ".join(_INTERVALS[one] for one in over),
        "notes": _notes(result),
        "scores": {name: _estimates(scores) for name, scores in result.scores.items()},
        "auc_by_subject": {
            name: {subject: _means(scores[0, :, number]) for number, subject in enumerate(subjects)}
            for name, scores in result.scores.items()
        },
        "auc_by_run": {
            row.label: [_means(run) for run in result.scores[row.label][0]]
            for row in result.rows
            if row.owner
        },
        "pretrained_minus_random": {
            family: _compared(result, f"{family}, {PRETRAINED}", f"{family}, {RANDOM}")
            for family in families
        },
        "paired_differences": {
            row.label: _compared(result, row.label, reference) for row, reference in _pairs(result)
        },
        "minus_linear": _minus_linear(result),
        "claims": [
            claim(one, other, _compared(result, one, other)["auc"], list(result.counts))
            for one, other in (
                *((f"{family}, {PRETRAINED}", f"{family}, {RANDOM}") for family in families),
                *((row.label, reference) for row, reference in _pairs(result)),
                *_beside_linear(result),
            )
        ],
        "intrinsic_dimension": {
            name: _spread(counts) for name, counts in result.dimensions.items()
        },
    }


def draw_label_efficiency(path: Path, result: ProbeResult) -> None:
    """Draw the AUC of every row against labelled windows, with 95 % intervals."""
    counts, rows = result.counts, result.rows
    families = list(dict.fromkeys(name.split(", ")[0] for name in result.scores))
    figure, axes = new_axes(8.6, 4.4)
    axes.axhline(0.5, color=GREY, linestyle=":", label="chance")
    width = np.log10(counts[-1] / counts[0]) if len(counts) > 1 else 1.0
    for place, row in enumerate(rows):
        shift = 10 ** (_DODGE * width * (place - (len(rows) - 1) / 2))
        auc = result.scores[row.label][0]
        estimates = [estimate(auc[..., k]) for k in range(len(counts))]
        means = np.array([one.mean for one in estimates])
        below = means - [one.low for one in estimates]
        above = [one.high for one in estimates] - means
        group = families.index(row.label.split(", ")[0])
        colour = COLOURS[group % len(COLOURS)]
        axes.errorbar(
            np.array(counts) * shift,
            means,
            yerr=np.maximum([below, above], 0),
            color=colour,
            linestyle="--" if row.is_random else "-",
            marker=_MARKERS[group % len(_MARKERS)],
            markerfacecolor="white" if row.is_random else colour,
            markersize=5,
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2,
            label=row.label,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(counts), [str(count) for count in counts])
    axes.set(xlabel="labelled windows", ylabel="AUC, held-out time of held-out subjects")
    # The interval of two subjects can reach far past any area under a curve.
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    subjects, classes = result.provenance["windows"], result.provenance["classes"]
    axes.set_title(f"{' vs '.join(classes)}, {len(subjects)} held-out subjects", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    save_figure(figure, path)


def probe_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Scores by row and number of labels; paired differences; dimensions by encoder."""
    notes = [f"{report['seeds']} seeds, embargo {report['embargo_s']:g} s", *report["notes"]]
    notes += [f"{count} left out: {why}" for count, why in report["labels_left_out"].items()]
    notes += [
        f"{name} has no report: it is not known whether it was trained on these subjects"
        for name in report["training_unknown"]
    ]
    several = len(report["windows"]) > 1

    def cells(by_metric: Mapping[str, Any], form: str, style: str = "") -> list[str | Text]:
        return [Text(_cell(one, form, several=several), style) for one in by_metric["auc"]]

    headings = ["", *(str(count) for count in report["labels"])]
    scores: list[list[str | Text]] = [
        [name, *cells(by_metric, ".3f")] for name, by_metric in report["scores"].items()
    ]
    scores += [
        [Text(f"{family}, difference", "bold"), *cells(by_metric, "+.3f", "bold")]
        for family, by_metric in report["pretrained_minus_random"].items()
    ]
    yield table(
        "AUC on held-out time of held-out subjects, by labelled windows",
        headings,
        scores,
        caption="; ".join((report["interval"], *notes)),
        lines=True,
    )
    if report["paired_differences"]:
        yield table(
            f"AUC minus that of {report['baseline'] or 'ENCODER'}, paired",
            headings,
            [
                [name, *cells(by_metric, "+.3f")]
                for name, by_metric in report["paired_differences"].items()
            ],
            caption="row by row on the same windows and draws: populations minus its population, "
            "channels and spectrograms minus its channels; means over draws, then runs, then "
            "subjects",
            lines=True,
        )
    claims = [*report["claims"]]
    for name, linear in report["minus_linear"].items():
        claims += [
            f"{name} beside {other}: {of['labels_saved']['text']}."
            for other, of in linear.items()
            if "labels_saved" in of
        ]
    yield table(
        "What this shows",
        ("",),
        [(text,) for text in claims],
        caption=f"p: t over subjects, each the mean of its seeds and runs, Holm over the "
        f"{len(report['labels'])} numbers of labels; claims are made at 64 labels, or the nearest",
        n_names=1,
    )
    yield table(
        "Principal components to 95 % of the variance, by contact",
        ("", "median", "range", "contacts"),
        [(name, *_dimension(found)) for name, found in report["intrinsic_dimension"].items()],
        caption="of the mean over frames of the first 500 windows",
    )


def _compared(result: ProbeResult, one: str, other: str) -> dict[str, Any]:
    """Paired differences of two rows by metric and number of labels."""
    differences = result.scores[one] - result.scores[other]
    pairs = zip(METRICS, differences, strict=True)
    return {metric: compare(values, result.counts) for metric, values in pairs}


def _beside_linear(result: ProbeResult) -> list[tuple[str, str]]:
    """Each trained encoder with each row that has none."""
    linear = [row.label for row in result.rows if row.reads == "linear"]
    trained = [row.label for row in result.rows if row.reads != "linear" and not row.is_random]
    return [(one, other) for one in trained for other in linear]


def _minus_linear(result: ProbeResult) -> dict[str, Any]:
    """Differences to the rows without an encoder, and how many labels those would need more."""
    found: dict[str, Any] = {}
    for one, other in _beside_linear(result):
        saved = labels_saved(result.scores[one][0], result.scores[other][0], result.counts)
        of = _compared(result, one, other)
        if saved is not None:
            of["labels_saved"] = saved.summary()
        found.setdefault(one, {})[other] = of
    return found


def _dimension(found: Mapping[str, Any]) -> tuple[str, str, str]:
    if not found["contacts"]:
        return "-", "-", "0"
    spread = f"{found['lowest']} to {found['highest']}"
    return f"{found['median']:g}", spread, str(found["contacts"])


def _pairs(result: ProbeResult) -> list[tuple[RowName, str]]:
    """Rows, each with the row of the baseline that reads the same kind of features."""
    if not result.provenance["compared"]:
        return []
    own = {
        row.reads: row.label
        for row in result.rows
        if row.owner == result.provenance["baseline"]
        and row.reads != "linear"
        and not row.is_random
    }
    references = own | {"linear": own["channels"]}
    return [
        (row, references[row.reads])
        for row in result.rows
        if row.reads in references and not row.is_random and row.label not in own.values()
    ]


def _notes(result: ProbeResult) -> list[str]:
    """Notes that readers of the rows need."""
    notes, n_random = [], result.provenance["random"]
    if n_random:
        controls = f"{n_random} random encoders" if n_random > 1 else "one random encoder"
        notes.append(f"differences compare one pretraining run, not several, with {controls}")
    if any(row.reads == "tuned" for row in result.rows):
        notes.append("PopT alone is fine-tuned: the encoder of a channel is frozen, as published")
    else:
        notes.append("every encoder is frozen")
    unplaced = sum(result.provenance["contacts_without_position"].values())
    if unplaced:
        notes.append(f"contacts without a position, which PopT does not read: {unplaced}")
    notes += [
        f"{name}: {len(runs)} training runs"
        for name, runs in result.provenance["compared"].items()
        if len(runs) > 1
    ]
    alone = [name for name, runs in result.provenance["compared"].items() if len(runs) == 1]
    if alone:
        notes.append(f"one training run, whose variance no interval includes: {', '.join(alone)}")
    compared = [one for runs in result.provenance["compared"].values() for one in runs]
    if len({one["neural_delay_s"] for one in (result.provenance, *compared)}) > 1:
        notes.append("each row is labelled at the moment that its embeddings describe")
    return [*notes, *(f"{name}: {what}" for name, what in result.provenance["linear"].items())]


def _estimates(scores: Doubles) -> dict[str, Any]:
    """Estimates by metric and number of labels."""
    return {
        metric: [asdict(estimate(values[..., k])) for k in range(values.shape[-1])]
        for metric, values in zip(METRICS, scores, strict=True)
    }


def _means(scores: Doubles) -> list[float]:
    """Mean of what there is, by number of labels."""
    by_count = [values[np.isfinite(values)] for values in np.moveaxis(scores, -1, 0)]
    return [float(kept.mean()) if kept.size else float("nan") for kept in by_count]


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
    """Mean and interval; what it is over, where scores of subjects are missing."""
    text = f"{found['mean']:{form}}"
    if found["interval"] != "none":
        # Two lines, so that the names of the rows have room in a terminal of 80 columns.
        text += f"\n{found['low']:{form}} to\n{found['high']:{form}}"
    if found.get("p_holm", float("nan")) == found.get("p_holm"):
        text += f"\np {found['p_holm']:.3f}"
    if found["interval"] in ("seeds", "runs") and several:
        text += f"\nover {found['interval']}"
    return text + (f"\n{found['n_missing']} not fitted" if found["n_missing"] else "")
