"""What the markers mean: a class for each code, ``ignore``, or no name yet; and the target."""

from collections.abc import Mapping

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from rtbrain.console.folder import IGNORE, SessionSettings
from rtbrain.console.setup.panel import (
    Choice,
    Elided,
    Panel,
    embolden,
    styled,
    tab_through,
    tabbed_before,
)
from rtbrain.marks import is_of_screen
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

_CODE_PX, _NAME_PX, _HEARD_PX = 110, 160, 92
_BASELINES = ("rest", "baseline", "pause", "idle")
_MOST_AS_CLASSES, _LONGEST_CLASS = 6, 40


def classes_of(markers: Mapping[str, str], before: tuple[str, ...]) -> tuple[str, ...]:
    """Classes that markers stand for; those that were there keep their order."""
    named = dict.fromkeys(name for name in markers.values() if name != IGNORE)
    return (*(name for name in before if name in named), *(n for n in named if n not in before))


def target_of(classes: tuple[str, ...], before: str | None) -> str | None:
    """The target before where it is still one; else the first class that is no rest."""
    if before in classes:
        return before
    return next((name for name in classes if name.lower() not in _BASELINES), None)


class MarkerNames(Panel):
    """One line for each marker that was heard or has a name.

    `named` passes on a code and its class, ``ignore`` or nothing; `target` the target.
    """

    named = Signal(str, str)
    target = Signal(str)
    least_px = 95

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, say("setup.markers.title"))
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        fill(self._column, margins=(12, 2, 12, 6), spacing=4)
        self._empty = styled(say("setup.markers.empty"), "quiet")
        self._empty.setWordWrap(True)
        self._column.addWidget(self._empty)
        self._column.addStretch(1)
        self.add_scrolled(inner)
        self._targets = QButtonGroup(self)
        self.rows: dict[str, _Marker] = {}

    def show_markers(
        self, source: str, heard: Mapping[str, int], settings: SessionSettings
    ) -> None:
        """Show what was heard from a source, and what it means by the settings."""
        codes = sorted({*heard, *settings.markers}, key=_by_number)
        note = say("setup.markers.note", source=source) if source else ""
        self.note.show_text(note)
        self._empty.setVisible(not codes)
        for code in [code for code in self.rows if code not in codes]:
            self._targets.removeButton(self.rows[code].target)
            self.rows.pop(code).deleteLater()
        known = {*self.rows}
        for at, code in enumerate(codes, 1):
            if code not in known:
                row = _Marker(code)
                row.name.activated.connect(lambda _, row=row: self._name(row))
                row.edit.editingFinished.connect(lambda row=row: self._name(row))
                row.target.clicked.connect(lambda _=False, row=row: self.target.emit(row.given))
                self._targets.addButton(row.target)
                self._column.insertWidget(at, row)
                embolden(row, self.theme)
                self.rows[code] = row
            self.rows[code].show_marker(heard.get(code, 0), settings)
        if not known.issuperset(codes):
            rows = [self.rows[code] for code in codes]
            fields = [field for row in rows for field in (row.name, row.target)]
            tab_through(tabbed_before(self), *fields)

    @staticmethod
    def unnamed_texts(heard: Mapping[str, int], settings: SessionSettings) -> list[str]:
        """Words without a name that can be classes: a few, and none that a cue screen sends."""
        texts = [code for code in heard if not (_is_number(code) or is_of_screen(code))]
        if len(texts) > _MOST_AS_CLASSES or max(map(len, texts), default=0) > _LONGEST_CLASS:
            return []
        return [code for code in texts if code not in settings.markers]

    def _name(self, row: "_Marker") -> None:
        given = row.name.currentText().strip()
        if given == say("setup.markers.ignore"):
            given = IGNORE
        if given != row.given:
            row.given = given
            self.named.emit(row.code, given)


class _Marker(QWidget):
    def __init__(self, code: str) -> None:
        super().__init__()
        self.code, self.given = code, ""
        self._code, self._heard = Elided("strong"), styled("", "words")
        self._heard.setMinimumWidth(_HEARD_PX)
        self._code.show_text(code)
        self._code.setMaximumWidth(_CODE_PX)
        self.name, self.edit = Choice(), QLineEdit()
        self.name.setLineEdit(self.edit)
        self.name.setMaximumWidth(_NAME_PX)
        self.name.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.edit.setPlaceholderText(say("setup.markers.name_it"))
        self.name.setAccessibleName(say("setup.markers.name_of", code=code))
        self.target = QRadioButton(say("setup.markers.target"))
        self.target.setObjectName("target")
        self.target.setFixedWidth(76)
        kept = self.target.sizePolicy()
        kept.setRetainSizeWhenHidden(True)
        self.target.setSizePolicy(kept)
        row = QHBoxLayout(self)
        fill(row, self._code, self.name, self.target, self._heard, spacing=10)
        for at, share in enumerate((2, 4, 0, 0)):
            row.setStretch(at, share)
        row.addStretch(1)

    def show_marker(self, heard: int, settings: SessionSettings) -> None:
        """Show how often it was heard; a name that is being typed is left alone."""
        times = "never" if not heard else "once" if heard == 1 else "times"
        self._heard.setText(say(f"setup.markers.received.{times}", n=heard))
        given = settings.markers.get(self.code, "")
        choices = [*settings.classes, say("setup.markers.ignore")]
        if [self.name.itemText(at) for at in range(self.name.count())] != choices:
            typed = self.name.currentText()
            self.name.clear()
            self.name.addItems(choices)
            self.name.setEditText(typed)
        shown = say("setup.markers.ignore") if given == IGNORE else given
        typing = self.edit.hasFocus() and given == self.given
        if not typing and self.name.currentText() != shown:
            self.name.setEditText(shown)
        self.given = given
        self.target.setVisible(given not in ("", IGNORE))
        self.target.setChecked(bool(given) and given == settings.target)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _by_number(code: str) -> tuple[float, str]:
    return (float(code), "") if _is_number(code) else (float("inf"), code)
