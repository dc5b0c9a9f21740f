"""The page Review: what was recorded and lost, how the decoder did, the files, the export."""

import re
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
)

from rtbrain.console.folder import Session
from rtbrain.console.frame.controls import open_in_desktop
from rtbrain.console.jobs import KILLED, last_words
from rtbrain.console.page import Action, Page
from rtbrain.console.review.drawing import FigureCard, RunPlot
from rtbrain.console.review.results import clock, files_of, happenings, key_figures, read_report
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.view.icons import icon_pixmap
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label, set_type

_LOOK_EVERY_S = 1.0
_OTHER_DECODER = "was sent by decoder"


class ReviewPage(Page):
    """Shows the report of a run, which is written as soon as the run has ended."""

    step = "review"

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__(session, theme)
        self._looked, self._refused = -1e9, ""
        self._run: Path | None = None
        self._tries: dict[Path, int] = {}
        self._exports: list[list[str]] = []
        self._exported = 0
        self._shown: object = None
        self.runs, self.plot = QComboBox(), RunPlot(theme)
        self.cards = [FigureCard(theme) for _ in range(5)]
        self.happened, self.files = QListWidget(), QListWidget()
        self.out = QLineEdit(str(session.folder.parent / f"{session.folder.name}-bids"))
        self.out.setAccessibleName(say("review.bids_folder"))
        self.runs.setAccessibleName(say("review.which"))
        self.runs.activated.connect(self._choose)
        self._build()
        self._refresh()

    def _build(self) -> None:
        cards, top, below, out = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for some in (self.cards[:2], self.cards[2:]):
            row = QHBoxLayout()
            fill(row, *some, spacing=12)
            cards.addLayout(row, len(some))
        cards.setSpacing(12)
        top.addStretch(1)
        fill(top, plain_label(say("review.which")), self.runs, spacing=8)
        fill(out, plain_label(say("review.bids_folder")), self.out, stretched=self.out, spacing=8)
        left, right = QVBoxLayout(), QVBoxLayout()
        self._heads = [plain_label(say(f"review.{name}")) for name in ("happened", "files")]
        fill(left, self._heads[0], self.happened, spacing=4)
        fill(right, self._heads[1], self.files, out, spacing=4)
        for side, share in ((left, 3), (right, 2)):
            below.addLayout(side, share)
        below.setSpacing(12)
        self.side_by_side = (cards, below)
        fill(QVBoxLayout(self), top, self.plot, cards, below, stretched=below, spacing=12)

    def draw(self, now: float) -> None:
        """Look after reports and exports, about once a second."""
        if now < self._looked + _LOOK_EVERY_S:
            return
        self._looked = now
        refused, self._refused = self._refused, ""
        try:
            self._next_export()
            self._report_new(self._ended_runs())
        except RtbrainError as error:  # no room, for one: tried again
            self._refused = str(error)
            if self._refused != refused:
                self.says.emit(self._refused)
        self._refresh()

    def state(self) -> tuple[str, str]:
        """Whether there is a report."""
        session = self.session
        runs = self._ended_runs()
        if not runs:
            return "unchecked", say("step.review.not_begun")
        if session.running("report"):
            return "checking", say("review.writing")
        if session.running("export"):
            return "checking", say("review.exporting")
        if self._report_of(runs[-1]).exists():
            return "fine", say("review.ready")
        return "look", say("review.no_report")

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        self.plot.restyle(theme)
        for head in self._heads:
            set_type(head, theme, 12.5, 600)
        for card in self.cards:
            card.restyle(theme)
        self._shown = None
        self._refresh()

    # Runs and their reports

    def _ended_runs(self) -> list[Path]:
        """Runs whose file is closed, the newest last."""
        runs = self.session.files("run", ".xdf")
        return [path for path in runs if str(path) != self.session.growing]

    def _report_of(self, run: Path) -> Path:
        return self.session.folder / "reports" / f"{run.stem}.json"

    def _choose(self, row: int) -> None:
        self._run = Path(str(self.runs.itemData(row)))
        self._shown = None
        self._refresh()

    def _refresh(self) -> None:
        session, runs = self.session, self._ended_runs()
        if [self.runs.itemData(row) for row in range(self.runs.count())] != list(map(str, runs)):
            self.runs.clear()
            for one in runs:
                self.runs.addItem(one.stem, str(one))
            self._run = runs[-1] if runs else None
            self.runs.setCurrentIndex(len(runs) - 1)
        run = self._run
        report = {} if run is None else read_report(self._report_of(run))
        files = files_of(session)
        state = (run, bool(report), files, self.state(), self._message(), self.theme)
        if state == self._shown:
            return
        self._shown = state
        title = self._message()
        if report and run is not None:
            title = say("review.length", run=run.stem, length=clock(report["duration_s"]))
            for card, figure in zip(
                self.cards, key_figures(report, session.settings.target), strict=True
            ):
                card.show_figure(figure)
        for card in self.cards:
            card.setVisible(bool(report))
        self.plot.show_report(title, report, session.settings.classes)
        rows = (
            [(icon, f"{clock(t)}   {text}") for t, icon, text in happenings(report)]
            if report
            else []
        )
        self._list(self.happened, rows)
        self._list(self.files, [(row.icon, f"{row.name}   {row.about}") for row in files])
        self._offer(bool(report))
        self.changed.emit()

    def _list(self, into: QListWidget, rows: Sequence[tuple[str, str]]) -> None:
        into.clear()
        into.setIconSize(QSize(self.theme.px(14), self.theme.px(14)))
        for icon, text in rows:
            pixmap = icon_pixmap(icon, self.theme.px(14), self.theme, self.devicePixelRatioF())
            into.addItem(QListWidgetItem(QIcon(pixmap), text))

    def _message(self) -> str:
        """Why there is nothing to see, or what it waits for."""
        if self._run is None:
            return say("review.nothing")
        if self.session.running("report"):
            return say("review.writing")
        job = self.session.jobs.get("report")
        if job is not None and job.exit_code and job.output:
            return last_words(job)
        return say("review.no_report")

    def _report_new(self, runs: Sequence[Path]) -> None:
        """Write the report of each run that has none, one after the other, once a console.

        One that was killed gets a second try.
        """
        if self.session.running("report"):
            return
        failed = self.session.jobs.get("report")
        if (
            failed is not None
            and failed.exit_code
            and any(_OTHER_DECODER in line for line in failed.output)
        ):  # the run was that of a decoder before
            run = Path(failed.argv[1])
            if run in runs and "--bundle" in failed.argv:
                self._write_report(run, scored=False)
                return
        for run in runs:
            tries = self._tries.get(run, 0)
            killed = failed is not None and failed.exit_code == KILLED and failed.argv[1]
            again = tries == 1 and killed == str(run)
            if not self._report_of(run).exists() and (not tries or again):
                self._write_report(run, scored=True)
                self._tries[run] = tries + 1
                return

    def _write_report(self, run: Path, *, scored: bool) -> None:
        session = self.session
        argv = ["report", str(run), "--out", f"reports/{run.stem}.html"]
        signal = session.settings.signal
        if signal is not None:
            argv += ["--stream", signal.name]
        decoder = session.settings.decoder
        if scored and decoder is not None:
            argv += ["--bundle", decoder]
        session.start("report", argv)

    # What can be done

    def _offer(self, reported: bool) -> None:
        some = bool(self._recordings())
        busy = self.session.running("export") or bool(self._exports)
        self.primary = Action(
            say("review.export"),
            self.export,
            "Ctrl+E",
            enabled=some and not busy,
            reason=say("review.exporting") if busy else "" if some else say("review.nothing"),
        )
        self.buttons = [
            Action(say("review.new_run"), lambda: self.go.emit("run")),
            Action(say("review.open_folder"), self._open_folder),
            Action(say("review.open_report"), self._open_report, enabled=reported, right=True),
        ]

    def _recordings(self) -> list[Path]:
        """Recordings whose files are closed, calibrations first."""
        found = [*self.session.files("calib", ".xdf"), *self.session.files("run", ".xdf")]
        return [path for path in found if str(path) != self.session.growing]

    def export(self) -> None:
        """Export every recording, one job after the other."""
        out, about = Path(self.out.text().strip()).expanduser(), self.session.settings
        inside = self.session.folder in (out.absolute(), *out.absolute().parents)
        if not self.out.text().strip() or not out.is_absolute() or inside:
            raise SettingsError(say("review.outside"))
        subject, session = _label(about.code, "sub"), _label(about.session, "ses")
        always = ["--subject", subject, "--session", session]
        if about.mains_hz is not None:
            always += ["--mains", str(about.mains_hz)]
        if about.signal is not None:
            always += ["--stream", about.signal.name]
        if about.scale != 1.0:
            always += ["--scale", f"{about.scale:g}"]
        self._exports = []
        for path in self._recordings():
            # Each keeps its task and number, whatever else is recorded later.
            kind, number = path.stem.split("-")[:2]
            task = _label(about.task, "task") + ("" if kind == "run" else kind)
            made = f"sub-{subject}/ses-{session}/*/*_task-{task}_run-{number}_*.vhdr"
            if not any(out.glob(made)):
                of_file = ["--task", task, "--run", number]
                self._exports.append(
                    ["export", str(path), "--to", "bids", "--out", str(out), *always, *of_file]
                )
        if not self._exports:
            raise SettingsError(say("review.all_exported", out=out))
        self._exported = 0
        self._next_export()
        self._shown = None
        self._refresh()

    def _next_export(self) -> None:
        job = self.session.jobs.get("export")
        if self.session.running("export") or (job is None and not self._exports):
            return
        if self._exported:
            if job is not None and job.exit_code:
                said = "" if job.exit_code == KILLED else last_words(job)
                self._exports, self._exported = [], 0
                self.says.emit(say("review.not_exported", why=said or say("session.killed")))
                return
            if not self._exports:
                self.says.emit(say("review.exported", n=self._exported, out=self.out.text()))
                self._exported = 0
                return
        if self._exports:
            self.session.start("export", self._exports.pop(0))
            self._exported += 1

    def _open_folder(self) -> None:
        open_in_desktop(self.session.folder)

    def _open_report(self) -> None:
        if self._run is not None:
            open_in_desktop(self._report_of(self._run).with_suffix(".html"))


def _label(code: str, prefix: str) -> str:
    """A code as a BIDS label: without its prefix, letters and digits alone."""
    return re.sub(r"[^A-Za-z0-9]", "", code.removeprefix(f"{prefix}-")) or "01"
