"""What a fit came to, in the words and figures of the page Fit: from the report of a bundle."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbrain.config.flags import join_names
from rtbrain.console.commands import setting
from rtbrain.console.folder import IGNORE, Session
from rtbrain.files import UNREADABLE, parse_json
from rtbrain.learn.fit.inputs import STAGES
from rtbrain.learn.nulls import SHIFTED
from rtbrain.learn.verdict import LARGE_OVERLAP, decisive
from rtbrain.stream_names import cues_name
from rtbrain.view.texts import say

ICONS = {"yes": "fine", "not shown": "fix", "not enough data": "unchecked"}
RECIPES = {"linear": "linear", "encoder": "streaming"}
_MOST_CONTACTS, _MOST_SHARE = 7, 0.5


@dataclass(frozen=True, slots=True)
class Fitted:
    """A decoder of the session: its folder, which kind it is, and its report."""

    folder: str  # relative to the session's
    mode: str
    report: Mapping[str, Any]

    @property
    def answer(self) -> str:
        """Whether it is better than chance: ``yes``, ``not shown`` or ``not enough data``."""
        return str(self.report["verdict"]["answer"])

    @property
    def name(self) -> str:
        """Its kind in words."""
        return say(f"fit.mode.{'linear' if self.mode == 'linear' else 'encoder'}")


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A score with its 95 % interval, NaN where there is none."""

    name: str
    about: str
    score: float
    low: float
    high: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Chance:
    """What scores without information: a value, and a band where that is chance."""

    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Called:
    """Of 100 windows of a class, as what they were decoded."""

    label: str
    right: int
    others: tuple[tuple[str, int], ...]


def decoders_of(session: Session) -> list[Fitted]:
    """Decoders of the session, in the order in which they were fitted; what is broken is not."""
    found = []
    for path in session.files("decoder"):
        with suppress(*UNREADABLE):
            report = parse_json((session.folder / path / "report.json").read_bytes())
            manifest = parse_json((session.folder / path / "manifest.json").read_bytes())
            one = Fitted(path.as_posix(), str(manifest["mode"]), report)
            if one.answer in ICONS and _can_be_shown(one):
                found.append(one)
    return found


def _can_be_shown(one: Fitted) -> bool:
    """Whether all is there that the page shows; an error of `UNREADABLE` where it is not."""
    report, split = one.report, one.report["split"]
    verdict_lines(report), called(report, None), carriers(report), enough(report), chance_of(report)
    return bool(score_rows(one)) and len(split["folds"]) > 0 and "embargo_s" in split


def broken_decoders(session: Session, whole: Sequence[Fitted]) -> list[str]:
    """Folders of decoders that hold a report which cannot be shown."""
    known = {one.folder for one in whole}
    return [
        path.name
        for path in session.files("decoder")
        if path.as_posix() not in known and (session.folder / path / "report.json").exists()
    ]


def fit_command(session: Session, kind: str, files: Sequence[Path], out: Path) -> list[str]:
    """``fit`` of a session's calibrations: ``linear``, or with an ``encoder``."""
    settings = session.settings
    argv = ["fit", *map(str, files), "--out", str(out), "--recipe", RECIPES[kind]]
    argv += ["--classes", join_names(settings.classes)]
    if settings.target is not None:
        argv += ["--detect", join_names([settings.target])]
    if settings.signal is not None:
        argv += ["--stream", settings.signal.name]
    if settings.mains_hz is not None:
        argv += ["--mains", str(settings.mains_hz)]
    if settings.scale != 1.0:
        argv += ["--scale", f"{settings.scale:g}"]
    if settings.trigger is not None:
        argv += ["--trigger", settings.trigger]
    elif settings.plan is not None:  # whatever else sends markers
        argv += setting("labels.marker_stream", cues_name(settings.outlet))
    elif markers := settings.of_role("markers"):  # marks by hand may have the names of classes
        argv += setting("labels.marker_stream", markers[0].name)
    names = {code: name for code, name in settings.markers.items() if name not in (IGNORE, code)}
    if names:
        argv += setting("labels.names", names)
    return [*argv, "--progress-json"]


def verdict_lines(report: Mapping[str, Any]) -> list[str]:
    """The verdict in words: how often it is right, its score, its control, what to know."""
    lines = []
    scores = report["scores"]["decoder"]
    if report["task"] == "classification":
        right = scores["pooled"]["balanced_accuracy"]
        of = scores.get("interval_95", {}).get("balanced_accuracy", {})
        text = say("fit.right", percent=round(100 * right))
        if _known(of.get("low")) and _known(of.get("high")):
            low, high = (round(100 * of[key]) for key in ("low", "high"))
            text += say("fit.right_interval", low=low, high=high)
        n = len(report["confusion"]["classes"])
        lines += [f"{text}.", say("fit.by_chance", percent=round(100 / n))]
    lines.append(str(report["verdict"]["text"]))
    if simplest := report.get("simplest"):
        text = str(simplest["text"])
        lines.append(f"{text[:1].upper()}{text[1:]}.")
    return [*lines, *map(str, report["verdict"]["warnings"])]


def score_rows(fitted: Fitted) -> list[ScoreRow]:
    """The decoder, the linear one beside it, and what the clock alone scores."""
    report, rows = fitted.report, []
    key = decisive(report["task"])
    for name in ("decoder", "linear", "clock only"):
        one = report["scores"].get(name)
        if one is None:
            continue
        of = one.get("interval_95", {}).get(key, {})
        brief = str(of.get("brief", ""))  # which gives as many bounds as may be given
        low = _number(of.get("low")) if "[" in brief or "at least" in brief else math.nan
        high = _number(of.get("high")) if "[" in brief else math.nan
        word = {"decoder": "decoder", "linear": "linear", "clock only": "clock"}[name]
        about = fitted.name if name == "decoder" else say(f"fit.row.{word}_about")
        score = _number(one["pooled"][key])
        rows.append(ScoreRow(say(f"fit.row.{word}"), about, score, low, high, name == "decoder"))
    return rows


def chance_of(report: Mapping[str, Any]) -> Chance:
    """What has no information scores; of shifted labels that overlap the band is not chance."""
    key = decisive(report["task"])
    middle, null = 0.5 if key == "auc" else 0.0, report.get("null_distribution")
    if null is None or (null["how"] == SHIFTED and null["overlap"] >= LARGE_OVERLAP):
        return Chance(middle, math.nan, math.nan)
    low, high = map(_number, null[key]["band_95"])
    return Chance(middle, low, high)


def called(report: Mapping[str, Any], target: str | None) -> list[Called]:
    """What each class was taken for, the target first."""
    confusion = report.get("confusion")
    if confusion is None:
        return []
    names, rows = confusion["classes"], []
    for at, (label, counts) in enumerate(zip(names, confusion["windows"], strict=True)):
        total = sum(counts) or 1
        shares = [round(100 * count / total) for count in counts]
        others = [(name, share) for name, share in zip(names, shares, strict=True) if share]
        others = [one for one in others if one[0] != label]
        rows.append(Called(label, shares[at], tuple(sorted(others, key=lambda one: -one[1]))))
    return sorted(rows, key=lambda row: row.label != target)


def carriers(report: Mapping[str, Any]) -> tuple[list[tuple[str, float]], str]:
    """Contacts with most of the weight, their shares, and what that means in a sentence."""
    shares = sorted(report.get("contacts", {}).items(), key=lambda one: -one[1])
    most, held = 0, 0.0
    for _, share in shares:
        if held > _MOST_SHARE:
            break
        most, held = most + 1, held + share
    if not shares:
        return [], ""
    if most <= _MOST_CONTACTS:
        text = say("fit.carried", names=", ".join(name for name, _ in shares[:most]))
    else:
        text = say("fit.spread", n=most)
    return shares[:_MOST_CONTACTS], text


def stages(progress: Mapping[str, Any], finished: bool) -> list[tuple[str, str]]:
    """Icon and text of each stage of a fit that runs, or has ended."""
    at = list(STAGES).index(progress["stage"]) if progress.get("stage") in STAGES else -1
    rows = []
    for number, name in enumerate(STAGES):
        icon = "fine" if finished or number < at else "checking" if number == at else "unchecked"
        text = say(f"fit.stage.{name}")
        share = _number(progress.get("done")) / (_number(progress.get("total")) or math.nan)
        if number == at and not finished and math.isfinite(share):
            text += f" {min(99, round(100 * share))} %"
        rows.append((icon, text))
    return rows


def enough(report: Mapping[str, Any]) -> str:
    """How much it was fitted on, in a line."""
    blocks, windows = report["blocks"], report["windows"]
    left_out = report["windows_invalid"]
    text = say("fit.fitted_on", n=blocks["n"], unit=blocks["unit"], windows=windows)
    return text + (say("fit.left_out", n=left_out) if left_out else "")


def _known(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: Any) -> float:
    return float(value) if _known(value) else math.nan
