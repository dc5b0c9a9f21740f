"""The report of a session as one page: plain words on top, then pictures and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtbrain.errors import SettingsError
from rtbrain.files import EXISTS, require_writable_file, write_atomically
from rtbrain.learn.report.evaluation_table import evaluation_scores
from rtbrain.learn.report.html import bullets, figure, page, table, text
from rtbrain.learn.session.pictures import draw_session
from rtbrain.learn.session.report import SessionReport
from rtbrain.learn.session.words import clock, lasting
from rtbrain.learn.verdict import describe_null

_CAPTIONS = {
    "timeline.png": "The session along its time. Hatched: no valid decode. Triangles: detections.",
    "latency.png": "From the moment that a decode describes to when it was ready, valid decodes.",
}
_HOW_TO_READ = (
    "AUC: 1 is perfect, 0.5 is guessing. Balanced accuracy: 1 is perfect, 1 divided by the number "
    "of classes is guessing. Clock only: what the time alone gives, without the signal. Labels "
    "shifted: the same decodes against cues that were moved in time. A decoder must be above both."
)
_MOST_ROWS = 60
_DETECTED_BY = {
    "up": "begins at",
    "down": "the next one only after a fall below",
    "hold_s": "once held, s:",
    "refractory_s": "none within, s:",
    "max_per_min": "most in a minute:",
}
_WIDTHS = {"timeline.png": 840}

_LATENCY = {"whole": "from the brain to the decode", "computing": "of it, computing"}
_WITHIN = {"p50": "half within", "p90": "90% within", "p99": "99% within", "max": "longest"}


def report_files(path: Path, recording: Path) -> tuple[Path, Path]:
    """The page, and the file of its figures beside it: ``report.json`` of ``report.html``.

    Beside a recording ``run.xdf``, whose ``run.json`` is the recorder's, the figures of
    ``run.html`` are ``run-report.json``. Raises a SettingsError where one of them exists, cannot
    be written, or is no page.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--out {path.name}: expected a page, such as report.html")
    files = path, path.with_suffix(".json")
    recorders = recording.with_name(recording.name.removesuffix(".gz")).with_suffix(".json")
    if files[1].absolute() == recorders.absolute():
        files = path, path.with_name(f"{path.stem}-report.json")
    for one in files:
        if one.exists():
            raise SettingsError(f"--out {path.name}: {one.name} {EXISTS}: name another page")
        require_writable_file(one, "--out")
    return files


def write_report(report: SessionReport, path: Path, recording: Path) -> Path:
    """Write the page, and its figures as JSON beside it; gives the JSON's path.

    Raises a SettingsError as `report_files`.
    """
    page_file, beside = report_files(path, recording)
    write_atomically(page_file, session_page(report))
    write_atomically(beside, report.as_json())
    return beside


def session_page(report: SessionReport) -> str:
    """HTML page of a session, self-contained."""
    figures = report.figures
    made_by = figures["made_by"]
    title = f"Session of {lasting(figures['duration_s'])}"
    pictures = draw_session(report)
    parts = [
        f"<h1>{text(title)}</h1>",
        '<p class="small">Research use only: nothing here may guide treatment.</p>',
        bullets(report.words, "In short"),
        "<h2>Along the time</h2>",
        *(figure(_CAPTIONS[name], png, _WIDTHS.get(name, 460)) for name, png in pictures.items()),
        *_happened(figures["happened"]),
        *_scores(figures.get("scores", {}), made_by.get("bundle", "")),
        *_decodes(figures),
        *_streams(report),
        "<h2>Made by</h2>",
        table((), [[text(key.replace("_", " ")), text(str(one))] for key, one in made_by.items()]),
    ]
    return page(title, parts)


def _scores(scores: Mapping[str, Any], bundle_id: str) -> list[str]:
    if not scores or "none" in scores:
        return []
    shown = evaluation_scores({"as decoded live": scores}, bundle_id)
    rows = [
        [text(name), *(text(cell).replace("\n", "<br>") for cell in cells)]
        for name, cells in shown.cells.items()
    ]
    parts = ["<h2>Scores against the cues</h2>", table(("", *shown.columns), rows)]
    if "auc" not in scores:
        return parts
    parts.append(f'<p class="small">{text(_HOW_TO_READ)}</p>')
    if null := scores.get("null_distribution"):
        line = describe_null(null, "auc", scores.get("clock"))
        parts.append(f'<p class="small">{text(line)}</p>')
    return parts


def _decodes(figures: Mapping[str, Any]) -> list[str]:
    if "decodes" not in figures:
        return []
    decodes, latency = figures["decodes"], figures["latency_s"]
    rows = [
        ["decodes", f"{decodes['decodes']}, of them {decodes['valid']} valid"],
        ["outputs", ", ".join(decodes["outputs"])],
    ]
    for what, one in latency.items():
        shown = ", ".join(f"{_WITHIN[name]} {1000 * value:.0f} ms" for name, value in one.items())
        rows.append([_LATENCY[what], shown or "unknown"])
    for why, seconds in decodes["invalid_s_by_reason"].items():
        rows.append([f"no valid decode: {why}", f"{seconds:.1f} s"])
    for label, one in decodes["thresholds"].items():
        by = [f"{said} {one[key]}" for key, said in _DETECTED_BY.items() if key in one]
        rows.append([f"thresholds of {label}", "; ".join(by)])
    for label, one in figures["detections"].items():
        held = ", ".join(f"{why}: {n}" for why, n in one["suppressed"].items()) or "none"
        rows.append([f"detections of {label}", f"{one['sent']}; suppressed: {held}"])
    for name, one in figures["triggers"].items():
        held = ", ".join(f"{why}: {n}" for why, n in one["suppressed"].items()) or "none"
        sent = f"{one['sent']} sent, {one['acknowledged']} acknowledged"
        rows.append([f"triggers of output {name}", f"{sent}; suppressed: {held}"])
    return ["<h2>Decodes</h2>", table((), [[text(one) for one in row] for row in rows])]


def _happened(happened: Sequence[Sequence[Any]]) -> list[str]:
    if not happened:
        return []
    rows = [
        [clock(start_s) + (f" to {clock(stop_s)}" if stop_s > start_s else ""), text(what)]
        for start_s, stop_s, what in happened[:_MOST_ROWS]
    ]
    parts = ["<h2>What happened, and when</h2>", table(("min:s", "what"), rows)]
    if more := len(happened) - _MOST_ROWS:
        parts += [f'<p class="small">{more} more are in the JSON file.</p>'] * (more > 0)
    return parts


def _streams(report: SessionReport) -> list[str]:
    rows = [[text(name), text(content), str(n)] for name, content, n in report.timeline.streams]
    parts = ["<h2>Streams in the file</h2>", table(("stream", "type", "samples"), rows)]
    if report.timeline.notes:
        parts.append(bullets(report.timeline.notes, "What is wrong in the file"))
    return parts
