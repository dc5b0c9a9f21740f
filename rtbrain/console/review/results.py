"""What a run came to, for the page Review: from the report of its file. Without Qt."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbrain.console.folder import Session
from rtbrain.files import UNREADABLE, parse_json
from rtbrain.stream_names import is_manual_marks
from rtbrain.view.decodes.words import explain_later
from rtbrain.view.texts import reason_text, say

_ENOUGH_VALID = 0.95


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One figure, with what it means."""

    label: str
    value: str
    unit: str
    line: str
    icon: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file of the session: its name, its size and how it is."""

    name: str
    about: str
    icon: str


def read_report(path: Path) -> dict[str, Any]:
    """Figures of a report; empty where there is none that can be read, or of another version."""
    with suppress(*UNREADABLE):
        found: dict[str, Any] = parse_json(path.read_bytes())
        if (
            clock(found["duration_s"])
            and key_figures(found, None)
            and happenings(found) is not None
        ):
            return found
    return {}


def key_figures(report: Mapping[str, Any], target: str | None) -> list[KeyFigure]:
    """The five figures of a run."""
    signal, decodes = report["signal"], report.get("decodes")
    missing, gaps = signal["missing"], signal["gaps_s"]
    lost = KeyFigure(
        say("review.lost"),
        f"{missing}",
        say("review.of_samples", n=_many(signal["samples"] + missing)),
        _gaps(gaps),
        "look" if missing else "fine",
    )
    if decodes is None:
        valid = KeyFigure(say("review.valid"), "–", "", say("review.no_decodes"))
    else:
        share, seconds = decodes["valid_share"], sum(decodes["invalid_s_by_reason"].values())
        valid = KeyFigure(
            say("review.valid"),
            f"{100 * share:.1f}",
            "%",
            say("review.invalid", seconds=f"{seconds:.1f}"),
            "fine" if share >= _ENOUGH_VALID else "look",
        )
    return [lost, valid, *_scored(report, target)]


def _gaps(gaps: Sequence[Sequence[float]]) -> str:
    if not gaps:
        return say("review.no_gap")
    (a, b), at = gaps[0][:2], clock(gaps[0][0])
    if len(gaps) == 1:
        return say("review.gap", seconds=f"{b - a:.1f}", at=at)
    return say("review.gaps", n=len(gaps), at=at)


def _scored(report: Mapping[str, Any], target: str | None) -> list[KeyFigure]:
    scores = report.get("scores", {})
    events = scores.get("events", {})
    found = events.get(target) or next(iter(events.values()), None)
    labels = [say(f"review.{name}") for name in ("found", "alarms", "delay")]
    if not found or not found["n_events"]:
        why = str(scores.get("none") or say("review.nothing_scored"))
        if "--bundle" in why:
            why = say("review.not_scored")
        return [KeyFigure(label, "–", "", why) for label in labels]
    n, rest_s = found["n_events"], found["rest_s"]
    low, high = found["hit_rate_interval_95"]
    unseen = found["n_unseen"]
    beside = say("review.unseen", n=unseen) if unseen else ""
    return [
        KeyFigure(
            labels[0],
            f"{100 * found['hit_rate']:.0f}",
            "%",
            say(
                "review.found_of",
                found=found["n_found"],
                n=n,
                low=f"{100 * low:.0f}",
                high=f"{100 * high:.0f}",
            )
            + beside,
        ),
        _alarms(labels[1], found, rest_s),
        _delay(labels[2], found),
    ]


def _alarms(label: str, found: Mapping[str, Any], rest_s: float) -> KeyFigure:
    n, rate = found["false_alarms"], found["false_alarms_per_hour"]
    low, high = found["false_alarms_per_hour_interval_95"]
    if rate is None:
        return KeyFigure(label, "–", "", say("review.no_rest"))
    if low is None or high is None:
        return KeyFigure(label, f"{n}", "", say("review.no_rest"))
    if not n:  # never "0 an hour" alone
        line = say("review.no_alarm", minutes=_minutes(rest_s), high=_rate(high))
        return KeyFigure(label, say("review.none"), "", line)
    line = say("review.alarms_in", n=n, minutes=_minutes(rest_s), low=_rate(low), high=_rate(high))
    return KeyFigure(label, _rate(rate), say("review.an_hour"), line)


def _rate(per_hour: float) -> str:
    return f"{per_hour:.2g}" if per_hour < 10 else f"{per_hour:,.0f}"


def _delay(label: str, found: Mapping[str, Any]) -> KeyFigure:
    median, p90 = found["delay_s"], found["delay_p90_s"]
    low, high = found["delay_interval_95"]
    if median is None or not math.isfinite(median):
        return KeyFigure(label, "–", "", say("review.half_missed"))
    if p90 is not None and math.isfinite(p90):
        line = say("review.within", seconds=f"{p90:.2f}")
    elif low is not None and high is not None:
        line = say("review.interval", low=f"{low:.2f}", high=f"{high:.2f}")
    else:
        line = ""
    return KeyFigure(label, f"{median:.2f}", "s", line)


def happenings(report: Mapping[str, Any]) -> list[tuple[float, str, str]]:
    """What happened, in order: second, icon, text."""
    along = report.get("along", {})
    found = [
        (a, "fix", say("review.lost_for", seconds=f"{b - a:.1f}"))
        for a, b in report["signal"]["gaps_s"]
    ]
    found += [
        (
            a,
            "look",
            say(
                "review.invalid_for",
                seconds=f"{b - a:.0f}",
                why=explain_later(why) if why else say("review.stopped"),
            ),
        )
        for a, b, why in along.get("invalid_s", [])
        if b - a >= 1
    ]
    for contact, spans in report.get("contacts_bad", {}).items():
        for a, b, why in spans:
            why = reason_text(why)
            text = say("review.bad_for", contact=contact, why=why, seconds=f"{b - a:.0f}")
            found.append((a, "look", text))
    for t, stream, text in along.get("markers", []):
        if text.startswith("threshold "):
            found.append((t, "know", say("review.threshold", change=text[len("threshold ") :])))
        elif is_manual_marks(stream):
            found.append((t, "know", say("review.mark", text=text)))
    return sorted(found)


def files_of(session: Session) -> list[FileRow]:
    """The files of a session."""
    rows = []
    for kind, suffix in (("run", ".xdf"), ("calib", ".xdf"), ("decoder", "")):
        for path in session.files(kind, suffix):
            whole = session.folder / path
            if kind == "decoder" and not (whole / "manifest.json").exists():
                continue
            rows.append(FileRow(path.name, _about(whole), _how(whole)))
    others = [*sorted((session.folder / "reports").glob("*.html"))]
    others += [session.folder / name for name in ("session.json", "log.sh")]
    rows += [FileRow(path.name, _about(path), "fine") for path in others if path.exists()]
    return rows


def _how(path: Path) -> str:
    """Icon of a file: a recording says in its side file whether it is whole."""
    if path.suffix != ".xdf":
        return "fine"
    try:
        side = parse_json(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return "unchecked"
    return "fine" if isinstance(side, dict) and side.get("clean_end") is True else "look"


def _about(path: Path) -> str:
    n_bytes = 0
    for one in [path] if path.is_file() else path.rglob("*"):
        with suppress(OSError):  # it was deleted just now
            n_bytes += one.stat().st_size if one.is_file() else 0
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size / 10:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{math.ceil(n_bytes / 1e3)} kB"


def clock(seconds: float) -> str:
    """Minutes and seconds since the begin."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f}" if seconds >= 90 else f"{seconds / 60:.1f}"


def _many(n: int) -> str:
    return f"{n / 1e6:.1f} million" if n >= 1e6 else f"{n}"
