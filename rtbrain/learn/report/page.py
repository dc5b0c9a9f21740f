"""The report of a fit as one page for people: verdict first, no scripts, pictures inside."""

from collections.abc import Iterable, Mapping
from typing import Any

from rtbrain.decoder import Bundle
from rtbrain.learn.nulls import PERMUTED, REDRAWN, SHIFTED
from rtbrain.learn.report.html import banner, bullets, figure, page, table, text
from rtbrain.learn.report.score_table import fit_scores, remarks, report_tables, verdict_lines
from rtbrain.learn.verdict import Clock, decisive, describe_null

_COLOURS = {"yes": "#e3f1e3", "not shown": "#fbeed5", "not enough data": "#ececec"}
_ROWS = {
    "decoder": "what was fitted, scored on time that it was not fitted on",
    "frozen PopT": "the same without fine-tuning",
    "linear": "the same front end without an encoder",
    "linear of v0.1.0": "the front end that was the default before",
    "STFT": "a plain spectrum of the same windows",
    "random init": "the encoder with random weights: what its shape alone gives",
    "clock only": "time since the start, and nothing else: what order and drift alone give",
    SHIFTED: "fitted again on labels that cannot belong to these signals; p is the larger of two "
    "tests, one on the features as they are, one on features without slow drift",
    PERMUTED: "fitted again with the clips' classes exchanged; p does not see drift between clips",
    REDRAWN: "fitted again on other draws of the plan of the cues; p is exact whatever drifts",
    "UNSAFE random split": "windows held out at random, as in much published work: too high",
}
_CAPTIONS = {
    "roc.png": "Hits against false alarms at every threshold, for held-out windows.",
    "confusion.png": "Which class was taken for which, in held-out windows.",
    "reliability.png": "Whether a probability means what it says: points on the line do.",
    "lag.png": "The score by the moment that the label is taken from: how late decodes are.",
    "electrodes.png": "How far each contact moves the decode. A weight is not a source: a contact "
    "may have one to cancel another's noise.",
}


def fit_page(bundle: Bundle, pictures: Mapping[str, bytes]) -> str:
    """HTML page of a fitted decoder, self-contained.

    Parameters
    ----------
    bundle : Bundle
        Decoder of `rtbrain.fit`.
    pictures : dict of str to bytes
        PNGs by name.
    """
    report, manifest = bundle.report, bundle.manifest
    first, *warnings = verdict_lines(report) or ["No verdict."]
    answer = report.get("verdict", {}).get("answer", "")
    colour = _COLOURS.get(answer, _COLOURS["not enough data"])
    known = {name: None for name in _CAPTIONS if name in pictures}
    title = f"Decoder of {', '.join(manifest.labels)}"
    parts = [
        f"<h1>{text(title)}</h1>",
        banner(first, colour),
        bullets([*warnings, *report.get("warnings", ())], "Warnings"),
        bullets(
            _claimed(report),
            "What is claimed" if answer == "yes" else "What was measured, without a claim",
        ),
        bullets(_not_claimed(report), "What is not"),
        "<h2>Scores on held-out time</h2>",
        _scores(report),
        *(f"<p>{text(line)}</p>" for line in _reading(report)),
        *_tables(report),
        "<h2>Measured on</h2>",
        table((), _measured(bundle)),
        "<h2>Pictures</h2>" if pictures else "",
        *(_figure(name, pictures[name]) for name in (*known, *(pictures.keys() - known.keys()))),
    ]
    return page(title, parts)


def _claimed(report: Mapping[str, Any]) -> list[str]:
    key = decisive(report["task"])
    interval = report["scores"]["decoder"]["interval_95"][key]
    name = {"auc": "AUC", "pearson_r": "Correlation r"}[key]
    meaning = {
        "auc": "the share of pairs of windows, one of each class, that it puts in order; 0.5 is "
        "chance",
        "pearson_r": "between what was decoded and what was measured; 0 is chance",
    }[key]
    claims = [f"{name} {interval['text']}. {name} is {meaning}."]
    if report["verdict"]["answer"] == "yes" and not _doubts(report):
        claims.append(
            "The signals of these recordings hold information about the labels, beyond what time, "
            "slow drift and the order of the labels give."
        )
    return claims


def _doubts(report: Mapping[str, Any]) -> list[str]:
    """What else could give the score, as far as the report can say."""
    clips = report["null_distribution"]["how"] == PERMUTED
    return [
        *["the time or the order of the labels"] * Clock(**report["clock"]).suspicious,
        *["drift from one clip to the next"] * clips,
    ]


def _not_claimed(report: Mapping[str, Any]) -> list[str]:
    unit = report["blocks"]["unit"]
    other = {
        "sessions": "That it works in other patients: sessions were held out, not people.",
        "subjects": "That it works with other amplifiers or other tasks.",
    }.get(unit, "That it works on another day, in other patients, or after electrodes moved.")
    lines = [other]
    if report["verdict"]["answer"] != "yes":
        lines.append("That there is nothing to decode: little data cannot show a weak signal.")
    elif doubts := _doubts(report):
        lines.append(f"That it decodes the labels and not {' or '.join(doubts)}.")
    if report["task"] == "classification" and "detections" not in report:
        lines.append(
            "How many false alarms an hour there will be: rtbrain evaluate counts them on another "
            "recording."
        )
    lines.append("That it reads the brain and not a movement, a sound or a stimulus artifact.")
    return lines


def _scores(report: Mapping[str, Any]) -> str:
    scores = fit_scores(report)
    rows = []
    for name, cells in scores.cells.items():
        meaning = _ROWS.get(name.removesuffix(" (readout)"), "")
        shown = text(name) + (f'<br><span class="small">{text(meaning)}</span>' if meaning else "")
        rows.append([shown, *(text(cell).replace("\n", "<br>") for cell in cells)])
    return table(("", *scores.columns), rows)


def _tables(report: Mapping[str, Any]) -> Iterable[str]:
    for title, headings, rows in report_tables(report):
        yield f"<h2>{text(title)}</h2>"
        yield table(headings, [[text(cell) for cell in row] for row in rows])


def _reading(report: Mapping[str, Any]) -> Iterable[str]:
    yield "First lines: all folds together, with 95 % intervals; second: range over the folds."
    if null := report.get("null_distribution"):
        yield describe_null(null, decisive(report["task"]), report.get("clock"))
    yield from remarks(report)


def _measured(bundle: Bundle) -> list[list[str]]:
    report, manifest, montage = bundle.report, bundle.manifest, bundle.montage
    split = report["split"]
    apart = f"training windows {split['embargo_s']:g} s or more away"
    if split["kind"] != "blocks":
        apart = "each held out whole"
    labels = {key: _words(value) for key, value in report.get("labels", {}).items()}
    rows = {
        "recordings": manifest.trained_on,
        "labels": "; ".join(f"{key} {value}" for key, value in labels.items()),
        "windows": f"{report['windows']} labelled"
        + "".join(f", {n} of {name}" for name, n in report.get("windows_by_class", {}).items())
        + f"; {report['windows_invalid']} left out as invalid",
        "blocks": f"{report['blocks']['n']} {report['blocks']['unit']}",
        "held out": f"{split['kind']}: {len(split['folds'])} folds, {apart}",
        "channels": f"{montage.n_channels} at {manifest.sfreq_hz:g} Hz: {_words(montage.names)}",
        "decoder": f"mode {manifest.mode}; encoder {report['encoder']}",
        "contacts": report.get("population", ""),
        "version": manifest.trained_by,
    }
    return [[text(key), text(value)] for key, value in rows.items() if value]


def _words(value: Any, most: int = 24) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    rest = f" and {len(value) - most} more" if len(value) > most else ""
    return ", ".join(str(one) for one in value[:most]) + rest


def _figure(name: str, content: bytes) -> str:
    return figure(_CAPTIONS.get(name, name), content)
