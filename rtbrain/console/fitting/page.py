"""The page Fit: a decoder is fitted, judged in words, and used, or more is recorded."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout

from rtbrain.console.calibrate.counting import blocks_file, load_blocks
from rtbrain.console.fitting.results import (
    ICONS,
    Fitted,
    broken_decoders,
    called,
    carriers,
    chance_of,
    decoders_of,
    enough,
    fit_command,
    score_rows,
    stages,
    verdict_lines,
)
from rtbrain.console.fitting.widgets import (
    Painted,
    paint_called,
    paint_contacts,
    paint_scores,
    paint_stages,
    paint_verdict,
)
from rtbrain.console.folder import Session
from rtbrain.console.frame.controls import open_in_desktop
from rtbrain.console.jobs import last_words
from rtbrain.console.page import Action, Page
from rtbrain.errors import SettingsError, list_words
from rtbrain.learn.verdict import decisive
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

_DRAW_EVERY_S = 0.5


class FitPage(Page):
    """Fits on the calibrations of the session, and shows how well the newest decoder does.

    Attributes
    ----------
    decoders : list of Fitted
        Those of the session, the newest last; the newest is shown.
    """

    step = "fit"

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__(session, theme)
        self.decoders: list[Fitted] = []
        self._broken: list[str] = []
        self._drawn_at = -1e9
        self._seen: object = None
        self._ready = False  # whether there is something to fit on
        self._stages = Painted(theme, 28, self._paint_stages)
        self._verdict = Painted(theme, 126, self._paint_verdict)
        self._scores = Painted(theme, 230, self._paint_scores)
        self._called = Painted(theme, 150, self._paint_called)
        self._contacts = Painted(theme, 300, self._paint_contacts)
        left, below = QVBoxLayout(), QHBoxLayout()
        fill(left, self._verdict, self._scores, self._called, stretched=self._scores, spacing=12)
        left.addStretch(0)
        self._verdict.setMaximumHeight(theme.px(140))
        below.setSpacing(16)
        self.side_by_side = (below,)
        below.addLayout(left, 68)
        below.addWidget(self._contacts, 32)
        fill(QVBoxLayout(self), self._stages, below, stretched=below, spacing=8)
        self._look()

    @property
    def shown(self) -> Fitted | None:
        """The decoder that is shown: the newest."""
        return self.decoders[-1] if self.decoders else None

    @property
    def _fitting(self) -> bool:
        return self.session.running("fit")

    def state(self) -> tuple[str, str]:
        """Whether a decoder is better than chance."""
        if self._fitting:
            return "checking", say("fit.runs")
        if self.session.settings.decoder is not None:
            chosen = [one for one in self.decoders if one.folder == self.session.settings.decoder]
            answer = chosen[0].answer if chosen else "gone"
            return ("fine" if answer == "yes" else "look"), say(f"fit.state.{_key(answer)}")
        if self.shown is not None:
            return "unchecked", say(f"fit.state.{_key(self.shown.answer)}")
        return "unchecked", say("fit.ready" if self._ready else "step.fit.not_begun")

    def draw(self, now: float) -> None:
        """Follow a fit that runs."""
        if now < self._drawn_at + _DRAW_EVERY_S and now >= self._drawn_at:
            return
        self._drawn_at = now
        self._look()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        self._verdict.setMaximumHeight(theme.px(140))
        for panel in (self._stages, self._verdict, self._scores, self._called, self._contacts):
            panel.restyle(theme)

    def _look(self) -> None:
        job = self.session.jobs.get("fit")
        seen = (
            self._fitting,
            None if job is None else (job.t_start, str(job.progress), job.output[-1:]),
            tuple(self.session.files("decoder")),
            tuple(self._calibrations()),
            self._goes_on(),
            self.session.settings,
        )
        if seen == self._seen:
            return
        self._seen = seen
        if not self._fitting:
            self.decoders = decoders_of(self.session)
            self._broken = broken_decoders(self.session, self.decoders)
        for panel in (self._stages, self._verdict, self._scores, self._called, self._contacts):
            panel.update()
        result = self.shown is not None
        for panel in (self._scores, self._called, self._contacts):
            panel.setVisible(result)
        self._offer()
        self.changed.emit()

    def _calibrations(self) -> list[Path]:
        """Calibrations with usable blocks; where none was counted, those that are closed."""
        files = self.session.files("calib", ".xdf")
        counted = {path: load_blocks(self.session.folder / blocks_file(path)) for path in files}
        usable = [path for path in files if any(not one.reason for one in counted[path])]
        return usable or [path for path in files if str(path) != self.session.growing]

    def _goes_on(self) -> list[str]:
        """A line while a calibration is recorded."""
        return [say("fit.goes_on")] if self.session.records("calib") else []

    # What can be done

    def _offer(self) -> None:
        found, files, settings = self.shown, self._calibrations(), self.session.settings
        self._ready = ready = bool(files) and len(settings.classes) > 1
        more = Action(say("fit.more"), self._record_more)
        again = Action(say("fit.again" if found else "fit.begin"), self.begin, enabled=ready)
        if self._fitting:
            reason = _lines(say("fit.cancel_keeps"), *self._goes_on())
            self.buttons = []
            self.primary = Action(say("fit.cancel"), self.cancel, reason=reason)
            return
        if found is None:
            self.buttons = [more] if ready else []
            reason = self._why_not_ready() or _lines(*self._goes_on())
            begin = Action(again.text, self.begin, reason=reason, enabled=ready)
            self.primary = begin if ready else Action(more.text, more.call, reason=begin.reason)
            return
        other = "linear" if found.mode != "linear" else "encoder"
        compare = Action(say(f"fit.compare_{other}"), lambda: self.begin(other), enabled=ready)
        details = Action(say("fit.details"), self._open_report)
        use = {one.mode: one for one in self.decoders}
        suggested = self._suggested(use)
        others = [
            Action(say("fit.use", name=one.name), partial(self.use, one), right=True)
            for one in use.values()
            if one is not suggested or suggested.answer != "yes"
        ]
        self.buttons = [again, compare, details, *others]
        if suggested.answer == "yes":
            reason = say("fit.suggested", name=suggested.name) if len(use) > 1 else ""
            text, reason = say("fit.use", name=suggested.name), _lines(reason, *self._goes_on())
            self.primary = Action(text, lambda: self.use(suggested), reason=reason)
            self.buttons = [more, *self.buttons]
        else:
            reason = _lines(say("fit.more_reason"), *self._goes_on())
            self.primary = Action(more.text, more.call, reason=reason)

    def _suggested(self, by_mode: dict[str, Fitted]) -> Fitted:
        """The simplest decoder that is not shown to be worse."""
        encoder = next((one for mode, one in by_mode.items() if mode != "linear"), None)
        linear = by_mode.get("linear")
        if linear is None or encoder is None:
            return linear or encoder or self.decoders[-1]
        worse = encoder.report.get("simplest", {}).get("use", "decoder") == "decoder"
        return encoder if encoder.answer == "yes" and (worse or linear.answer != "yes") else linear

    def _why_not_ready(self) -> str:
        if not self._calibrations():
            return say("fit.needs")
        return "" if len(self.session.settings.classes) > 1 else say("fit.needs_classes")

    def begin(self, kind: str = "") -> None:
        """Fit on all calibrations of the session; raises a SettingsError where there is none."""
        if why := self._why_not_ready():
            raise SettingsError(why)
        kind = kind or ("encoder" if self.session.settings.recipe == "encoder" else "linear")
        out = self.session.next_name("decoder")
        files = self._calibrations()
        self.session.start("fit", fit_command(self.session, kind, files, out))
        if empty := [one.name for one in self.session.files("calib", ".xdf") if one not in files]:
            self.says.emit(say("fit.no_blocks", names=list_words(empty)))
        self._seen = None
        self._look()

    def cancel(self) -> None:
        """End the fit; the calibration stays."""
        self.session.stop("fit")
        self.says.emit(say("fit.cancelled"))

    def use(self, fitted: Fitted) -> None:
        """Run this decoder; one that is not better than chance after a question."""
        if fitted.answer == "yes":
            self._choose(fitted)
            return
        answers = [
            Action(say("fit.use_all_the_same"), lambda: self._choose(fitted)),
            Action(say("fit.more"), self._record_more),
        ]

        def still() -> bool:
            return fitted in self.decoders and not self._fitting

        self.asks.emit(say("fit.use_question"), answers, still)

    def _choose(self, fitted: Fitted) -> None:
        none = dict.fromkeys(("preset", "threshold", "rearm", "hold_s"))
        self.session.change(decoder=fitted.folder, **none)
        said = say("fit.chosen", folder=fitted.folder, answer=fitted.answer)
        self.session.log(note=said)
        self._look()
        self.go.emit("run")

    def _record_more(self) -> None:
        self.go.emit("calibrate")

    def _open_report(self) -> None:
        if self.shown is not None:
            page = self.session.folder / self.shown.folder / "report.html"
            open_in_desktop(page)

    # What is painted

    def _failed(self) -> str:
        """Why the last fit failed; empty where it did not."""
        job = self.session.jobs.get("fit")
        if job is None or job.running or not job.exit_code or job.stopping:
            return ""
        return last_words(job) or say("fit.killed")

    def _paint_stages(self, widget: Painted, painter: QPainter) -> None:
        job = self.session.jobs.get("fit")
        if job is None or not (self._fitting or self.shown is not None) or self._failed():
            return
        progress, end = job.progress, ""
        seconds = progress.get("left_s" if self._fitting else "elapsed_s")
        if isinstance(seconds, int | float) and math.isfinite(seconds):
            end = say("fit.left" if self._fitting else "fit.took", time=_minutes(seconds))
        paint_stages(widget, painter, stages(progress, not self._fitting), end)

    def _paint_verdict(self, widget: Painted, painter: QPainter) -> None:
        icon, word, lines = self.verdict()
        paint_verdict(widget, painter, icon, word, lines)

    def verdict(self) -> tuple[str, str, Sequence[str]]:
        """Icon, word and lines of the verdict, or of why there is none."""
        found = self.shown
        if self._fitting:
            return "checking", say("fit.fitting"), [say("fit.fitting_line"), *self._goes_on()]
        if failed := self._failed():
            return "fix", say("fit.failed"), [failed, say("fit.failed_line")]
        broken = [say("fit.broken", names=list_words(self._broken))] if self._broken else []
        if found is None:
            why = self._why_not_ready()
            lines = [*broken, why] if why else [*broken, say("fit.none_line"), *self._goes_on()]
            return "unchecked", say("fit.none"), lines
        word = say(f"fit.answer.{_key(found.answer)}")
        return ICONS[found.answer], word, [*verdict_lines(found.report), *broken]

    def _paint_scores(self, widget: Painted, painter: QPainter) -> None:
        if (found := self.shown) is not None:
            score = say(f"fit.score.{decisive(found.report['task'])}")
            split = found.report["split"]
            about = say(
                "fit.scores_about", score=score, n=len(split["folds"]), gap=split["embargo_s"]
            )
            paint_scores(widget, painter, score_rows(found), chance_of(found.report), about)

    def _paint_called(self, widget: Painted, painter: QPainter) -> None:
        if (found := self.shown) is not None:
            target = self.session.settings.target
            foot = enough(found.report)
            paint_called(widget, painter, called(found.report, target), target, foot)

    def _paint_contacts(self, widget: Painted, painter: QPainter) -> None:
        if (found := self.shown) is not None:
            paint_contacts(widget, painter, *carriers(found.report))


def _lines(*lines: str) -> str:
    return " ".join(filter(None, lines))


def _key(answer: str) -> str:
    return answer.replace(" ", "_")


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return say("fit.seconds", n=round(seconds))
    return say("fit.minutes", n=round(seconds / 60))
