"""The report of a session as one page: plain words on top, then pictures and tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtbrain.errors import SettingsError
from rtbrain.files import EXISTS, require_writable_file, write_atomically
from rtbrain.learn.report.evaluation_table import evaluation_scores
from rtbrain.learn.report.html import bullets, figure, page, table, text
from rtbrain.learn.session.pictures import draw_session
from rtbrain.learn.session.report import SessionReport
from rtbrain.learn.session.words import clock, lasting

_CAPTIONS = {
    "timeline.png": "The session along its time. Hatched: no valid decode. Triangles: detections.",
    "latency.png": "From the moment that a decode describes to when it was ready, valid decodes.",
}
_WIDTHS = {"timeline.png": 840}

_LATENCY = {"whole": "from the brain to the decode", "computing": "of it, computing"}
_WITHIN = {"p50": "half within", "p90": "90% within", "p99": "99% within", "max": "longest"}


def report_files(path: Path) -> tuple[Path, Path]:
    """The page, and the file of figures beside it.

    Raises a SettingsError where one of them exists, cannot be written, or is no page.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--out {path.name}: expected a page, such as report.html")
    files = path, path.with_suffix(".json")
    for one in files:
        if one.exists():
            raise SettingsError(f"--out {path.name}: {one.name} {EXISTS}: name another page")
        require_writable_file(one, "--out")
    return files


def write_report(report: SessionReport, path: Path) -> Path:
    """Write the page, and its figures as JSON beside it; gives the JSON's path.

    Raises a SettingsError as `report_files`.
    """
    page_file, beside = report_files(path)
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
        *_scores(figures.get("scores", {}), made_by.get("bundle", "")),
        *_decodes(figures),
        *_contacts(figures["contacts_bad"]),
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
    return ["<h2>Scores against the cues</h2>", table(("", *shown.columns), rows)]


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
    for label, one in figures["detections"].items():
        held = ", ".join(f"{why}: {n}" for why, n in one["suppressed"].items()) or "none"
        rows.append([f"detections of {label}", f"{one['sent']} sent; suppressed: {held}"])
    for name, one in figures["triggers"].items():
        held = ", ".join(f"{why}: {n}" for why, n in one["suppressed"].items()) or "none"
        sent = f"{one['sent']} sent, {one['acknowledged']} acknowledged"
        rows.append([f"triggers of output {name}", f"{sent}; suppressed: {held}"])
    return ["<h2>Decodes</h2>", table((), [[text(one) for one in row] for row in rows])]


def _contacts(bad: Mapping[str, list[list[Any]]]) -> list[str]:
    if not bad:
        return []
    rows = [
        [text(contact), text(why or "bad"), f"{clock(start_s)} to {clock(stop_s)}"]
        for contact, spans in bad.items()
        for start_s, stop_s, why in spans
    ]
    return ["<h2>Bad contacts</h2>", table(("contact", "why", "when"), rows)]


def _streams(report: SessionReport) -> list[str]:
    rows = [[text(name), text(content), str(n)] for name, content, n in report.timeline.streams]
    parts = ["<h2>Streams in the file</h2>", table(("stream", "type", "samples"), rows)]
    if report.timeline.notes:
        parts.append(bullets(report.timeline.notes, "What is wrong in the file"))
    return parts
