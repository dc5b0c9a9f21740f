"""The plan of the cues as fields, which are locked while the cues run."""

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from rtbrain.config.files import parse_settings
from rtbrain.config.flags import join_names, names_of
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.learn.cue_plan import ScreenPlan
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label, set_type

_COLUMNS = 4


class PlanPanel(QFrame):
    """Fields of a plan; `changed` passes on its values, as `ScreenPlan` reads them, or why not."""

    changed = Signal(dict)
    refused = Signal(str)
    target = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("plan")
        self.theme, self.locked = theme, False
        self._plan: ScreenPlan | None = None
        self._head, self._note, self._ends = plain_label(), plain_label(), plain_label()
        self.fields = {
            name: QLineEdit()
            for name in ("classes", "pause_s", "order", "duration_s", "n_per_class", "settle_s")
        }
        self.targets = QComboBox()
        self._labels = []
        grid, self._grid = QGridLayout(), QWidget()
        self._grid.setLayout(grid)
        cells: list[tuple[str, QWidget]] = [
            ("classes", self.fields["classes"]),
            ("pause", self.fields["pause_s"]),
            ("order", self.fields["order"]),
            ("block", self.fields["duration_s"]),
            ("target", self.targets),
            ("n_per_class", self.fields["n_per_class"]),
            ("settle", self.fields["settle_s"]),
        ]
        for number, (key, field) in enumerate(cells):
            label = plain_label(say(f"calibrate.plan.{key}"))
            label.setBuddy(field)
            label.setObjectName("quiet")
            field.setAccessibleName(label.text())
            self._labels.append(label)
            row, column = divmod(number, _COLUMNS)
            grid.addWidget(label, 2 * row, column)
            grid.addWidget(field, 2 * row + 1, column)
            grid.setColumnStretch(column, 1)
        grid.setContentsMargins(14, 2, 14, 10)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(3)
        head = QHBoxLayout()
        fill(head, self._head, self._note, margins=(14, 8, 14, 2), spacing=10)
        head.addStretch(1)
        head.addWidget(self._ends)
        for label in (self._note, self._ends):
            label.setObjectName("quiet")
        self._head.setText(say("calibrate.plan.title"))
        fill(QVBoxLayout(self), head, self._grid, margins=(1, 1, 1, 1))
        self.fields["order"].setReadOnly(True)
        for name, field in self.fields.items():
            if name != "order":
                field.editingFinished.connect(self._edited)
        self.targets.activated.connect(lambda _: self.target.emit(self.targets.currentText()))
        self.restyle(theme)

    def show_plan(
        self, plan: ScreenPlan, target: str | None, *, locked: bool, left_s: float | None
    ) -> None:
        """Show a plan; `left_s` is how long it takes still."""
        if plan != self._plan:
            self._plan = plan
            for name, text in self._texts(plan).items():
                self.fields[name].setText(text)
                self.fields[name].setCursorPosition(0)
        names = list(plan.classes)
        if [self.targets.itemText(at) for at in range(self.targets.count())] != names:
            self.targets.clear()
            self.targets.addItems(names)
        self.targets.setCurrentText(target or names[-1])
        if locked != self.locked or not self._note.text():
            self.locked = locked
            self._note.setText(say("calibrate.plan.locked" if locked else "calibrate.plan.free"))
            self.targets.setEnabled(not locked)
            for name, field in self.fields.items():
                field.setReadOnly(locked or name == "order")
                field.style().unpolish(field)
                field.style().polish(field)
        if left_s is None:
            ends = say("calibrate.plan.lasts", minutes=round(plan.lasts_s / 60))
        else:
            at = time.strftime("%H:%M", time.localtime(time.time() + left_s))
            ends = say("calibrate.plan.ends", minutes=max(1, round(left_s / 60)), time=at)
        self._ends.setText(ends)

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme, px = theme, theme.px
        set_type(self._head, theme, 12.5, 600)
        self.setStyleSheet(f"""
            #plan {{ background: {theme.bg0}; border: 1px solid {theme.line}; border-radius: 3px; }}
            #plan QLabel, #plan QWidget {{ background: transparent; }}
            #quiet {{ color: {theme.text2}; font-size: {px(12)}px; }}
            #plan QLineEdit, #plan QComboBox {{ font-size: {px(13)}px; font-weight: 600; }}
            #plan QLineEdit[readOnly="true"], #plan QComboBox:disabled
            {{ border-color: transparent; padding-left: 0; color: {theme.text}; }}
            #plan QComboBox QAbstractItemView {{ background: {theme.bg0}; }}
        """)

    def _texts(self, plan: ScreenPlan) -> dict[str, str]:
        def span(pair: tuple[float, float]) -> str:
            return say("calibrate.plan.from_to", low=f"{pair[0]:g}", high=f"{pair[1]:g}")

        return {
            "classes": ", ".join(join_names([name]) for name in plan.classes),
            "pause_s": span(plan.pause_s),
            "order": say("calibrate.plan.order_value", n=plan.max_alike or plan.n_per_class),
            "duration_s": span(plan.duration_s),
            "n_per_class": str(plan.n_per_class),
            "settle_s": f"{plan.settle_s:g}",
        }

    def _edited(self) -> None:
        plan = self._plan
        if plan is None or self.locked or self._texts(plan) == self._read():
            return
        try:
            values = plan.model_dump(mode="json") | self._values()
            parse_settings(values, ScreenPlan, where=say("calibrate.plan.title"))
        except RtbrainError as error:
            self.refused.emit(str(error))
            return
        self.changed.emit({name: one for name, one in values.items() if name != "seed"})

    def _read(self) -> dict[str, str]:
        return {name: field.text() for name, field in self.fields.items()}

    def _values(self) -> dict[str, Any]:
        texts = self._read()
        classes = list(names_of(texts["classes"], say("calibrate.plan.classes")))
        values: dict[str, Any] = {"classes": classes}
        for name, key in (("duration_s", "block"), ("pause_s", "pause")):
            values[name] = _span(texts[name], say(f"calibrate.plan.{key}"))
        for name, key, kind in (("n_per_class", "n_per_class", int), ("settle_s", "settle", float)):
            values[name] = _number(texts[name], say(f"calibrate.plan.{key}"), kind)
        looks = self._plan.looks if self._plan is not None else {}
        values["looks"] = {
            name: look.model_dump(mode="json") for name, look in looks.items() if name in classes
        }
        return values


def _number(text: str, name: str, kind: Callable[[str], float]) -> float:
    try:
        return kind(text.replace(",", ".").strip())
    except ValueError:
        raise SettingsError(say("calibrate.plan.number", name=name, text=text)) from None


def _span(text: str, name: str) -> list[float]:
    """Two numbers, whatever stands between them."""
    try:
        low, high = [float(part) for part in text.replace(":", " ").split() if part[0].isdigit()]
    except ValueError:
        raise SettingsError(say("calibrate.plan.range", name=name)) from None
    return [low, high]
