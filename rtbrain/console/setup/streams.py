"""The streams that are there, and what each is used as."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from rtbrain.check.doctor.network import FoundStream
from rtbrain.check.doctor.signal import SignalReading
from rtbrain.console.folder import SessionSettings
from rtbrain.console.setup.panel import (
    Choice,
    Elided,
    Panel,
    embolden,
    repolish,
    styled,
    tab_through,
)
from rtbrain.signal.reference import contact_rows
from rtbrain.stream_names import is_manual_marks, is_status
from rtbrain.units import microvolts_per
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

SIGNAL: Final = "signal"
MARKERS: Final = "markers"
RECORD, NONE = "record", ""
# Least width of each, and its share of what is left.
_COLUMNS = ((0, 102, 0), (1, 96, 5), (2, 120, 7), (3, 60, 1))
_UNITS = {1.0: "µV", 1e3: "mV", 1e6: "V", 1e-3: "nV"}
Key = tuple[str, str]  # name and source id


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One line of the list; `channel` is that of a trigger, empty where it is a stream."""

    key: Key
    role: str
    roles: tuple[str, ...]
    kind: str
    sends: str
    more: str
    host: str
    channels: tuple[str, ...] = ()
    channel: str = ""
    there: bool = True

    @property
    def of(self) -> tuple[Key, bool]:
        """What the line is about: a stream, or the trigger channels of one."""
        return self.key, bool(self.channels or self.channel)


def rows_of(
    streams: Sequence[FoundStream], settings: SessionSettings, reading: SignalReading | None
) -> list[StreamRow]:
    """Lines for what is there, what is used and gone, and the trigger channels of the signal."""
    roles = {(used.name, used.source_id): used.role for used in settings.streams}
    rows = []
    for stream in streams:
        if is_status(stream.type) or stream.type == "Decode":
            continue
        key = (stream.name, stream.source_id)
        if key not in roles and (stream.name, "") in roles:
            key = (stream.name, "")  # chosen by its name alone
        role = roles.pop(key, NONE)
        rows.append(_row(key, role, stream))
        if role == SIGNAL:
            rows += _trigger_row(key, stream, settings, reading)
    for (name, source_id), role in roles.items():
        gone = say("setup.streams.gone")
        row = StreamRow((name, source_id), role, (role, NONE), "", gone, "", "", there=False)
        rows.append(row)
    order = {SIGNAL: 0, MARKERS: 1, RECORD: 2}
    return sorted(rows, key=lambda row: order.get(_order_role(row), 3))


def _order_role(row: StreamRow) -> str:
    return SIGNAL if row.channels else row.role


def _row(key: Key, role: str, stream: FoundStream) -> StreamRow:
    words = {
        "contacts": stream.n_contacts,
        "channels": stream.n_channels,
        "labels": len(stream.labels),
        "shafts": stream.n_shafts,
        "rate": f"{stream.sfreq_hz:g}",
        "last": stream.last or say("setup.streams.no_marker"),
        "n": stream.n_recent,
        "unit": _unit_words(stream.unit),
    }
    if not stream.answered:
        case = "refused" if stream.problem else "asking"
    elif is_manual_marks(stream.name):
        case = "marks"
    elif stream.is_markers:
        case = "texts" if stream.is_text else "numbers"
    elif stream.n_contacts:
        case = "signal"
    else:
        case = "other"
    roles = [RECORD, NONE]
    if stream.is_markers:
        roles.insert(0, MARKERS)
    elif stream.is_signal:
        roles.insert(0, SIGNAL)
    sends, more = (say(f"setup.streams.{case}.{line}", **words) for line in ("sends", "more"))
    if case == "refused":
        more = stream.problem
    return StreamRow(key, role, tuple(roles), stream.type, sends, more, stream.host)


def _trigger_row(
    key: Key, stream: FoundStream, settings: SessionSettings, reading: SignalReading | None
) -> list[StreamRow]:
    others: list[str] = []
    if reading is not None:
        rows = {*contact_rows(reading.montage)}
        others = [name for row, name in enumerate(reading.montage.names) if row not in rows]
    channels = tuple(dict.fromkeys([*stream.triggers, *others]))
    chosen = settings.trigger or ""
    if not channels and not chosen:
        return []
    counts = {} if reading is None else (reading.codes or {}).get(chosen, {})
    heard = say("setup.streams.trigger.more", codes=", ".join(sorted(counts)[:6]))
    return [
        StreamRow(
            key,
            MARKERS if chosen else NONE,
            (MARKERS, NONE),
            say("setup.streams.trigger.name"),
            say("setup.streams.trigger.sends", name=stream.name),
            heard if counts else say("setup.streams.trigger.unheard"),
            stream.host,
            channels,
            chosen or channels[0],
        )
    ]


def _unit_words(unit: str) -> str:
    factor = microvolts_per(unit)
    if factor is None:
        return say("setup.streams.no_unit")
    return _UNITS.get(factor, unit)


def _set_columns(grid: QGridLayout) -> None:
    for column, width, share in _COLUMNS:
        grid.setColumnMinimumWidth(column, width)
        grid.setColumnStretch(column, share)
    grid.setHorizontalSpacing(8)


class StreamTable(Panel):
    """The list; `used` passes on a line's key and role, `trigger` the channel or none."""

    used = Signal(tuple, str)
    trigger = Signal(str)
    least_px = 125

    def __init__(self, theme: Theme, again: QPushButton) -> None:
        super().__init__(theme, say("setup.streams.title"), "", again)
        heads = QGridLayout()
        for column, word in enumerate(("use", "stream", "sends", "host")):
            head = Elided("small")
            head.show_text(say(f"setup.streams.{word}"))
            heads.addWidget(head, 0, column)
        _set_columns(heads)
        heads.setContentsMargins(14, 0, 11, 4)
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        fill(self._column)
        self._empty = styled(say("setup.streams.empty"), "quiet")
        self._empty.setContentsMargins(15, 12, 12, 0)
        self._empty.setWordWrap(True)
        self._column.addWidget(self._empty)
        self._column.addStretch(1)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        fill(self.body, heads, scroll, stretched=scroll)
        self._again = again  # what the focus leaves for the first line
        self.rows: list[_Line] = []

    def show_rows(self, rows: Sequence[StreamRow]) -> None:
        """Show lines in this order; a stream keeps its line, and with it the focus."""
        self._empty.setVisible(not rows)
        before, lines = [*self.rows], []
        for row in rows:
            line = next((one for one in before if one.row and one.row.of == row.of), None)
            if line is not None:
                before.remove(line)
            lines.append(line or self._new_line())
        for line in before:
            line.hide()
            line.deleteLater()
        if lines != self.rows:
            for place, line in enumerate(lines):
                self._column.insertWidget(place, line)
            tab_through(self._again, *(one for line in lines for one in (line.role, line.channel)))
        self.rows = lines
        for line, row in zip(lines, rows, strict=True):
            line.show_row(row, self.theme)

    def line(self, name: str) -> "_Line":
        """The line of a stream, or of a trigger channel."""
        shown = [(line, line.row) for line in self.rows]
        return next(line for line, row in shown if row and name in (row.channel, row.key[0]))

    def _new_line(self) -> "_Line":
        line = _Line()
        line.role.activated.connect(lambda: self._chosen(line))
        line.channel.activated.connect(lambda: self._chosen(line))
        line.edit.editingFinished.connect(lambda: self._typed(line))
        embolden(line, self.theme)
        return line

    def _chosen(self, line: "_Line") -> None:
        if line.row is None:
            return
        role = str(line.role.currentData())
        if line.row.channels or line.row.channel:
            self.trigger.emit(line.channel.currentText().strip() if role == MARKERS else "")
        else:
            self.used.emit(line.row.key, role)

    def _typed(self, line: "_Line") -> None:
        if line.row is not None and line.row.role == MARKERS:
            self._chosen(line)


class _Line(QFrame):
    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("row")
        self.row: StreamRow | None = None
        self.role, self.channel, self.edit = Choice(), Choice(), QLineEdit()
        self.channel.setLineEdit(self.edit)
        self._name, self._kind = Elided("strong"), Elided("small")
        self._sends, self._more, self._host = Elided("words"), Elided("small"), Elided("words")
        grid = QGridLayout(self)
        grid.addWidget(self.role, 0, 0, 2, 1)
        grid.addWidget(self._name, 0, 1)
        grid.addWidget(self.channel, 0, 1)
        grid.addWidget(self._kind, 1, 1)
        grid.addWidget(self._sends, 0, 2)
        grid.addWidget(self._more, 1, 2)
        grid.addWidget(self._host, 0, 3, 2, 1)
        _set_columns(grid)
        grid.setContentsMargins(10, 5, 11, 6)
        grid.setVerticalSpacing(0)

    def show_row(self, row: StreamRow, theme: Theme) -> None:
        """Show a line; what a person is choosing from is left alone."""
        self.show()
        if row == self.row:
            return
        before, self.row = self.row, row
        if before is None or before.roles != row.roles:
            self.role.clear()
            for role in row.roles:
                self.role.addItem(say(f"setup.role.{role or 'none'}"), role)
        self.role.setCurrentIndex(self.role.findData(row.role))
        self.role.setAccessibleName(f"{row.key[0]}: {self.role.currentText()}")
        used = row.role in (SIGNAL, MARKERS)
        self.role.setFont(theme.font(13, 600 if used else 400))
        repolish(self.role, "used", used)
        repolish(self, "used", used)
        is_trigger = bool(row.channels or row.channel)
        self.channel.setVisible(is_trigger)
        self._name.setVisible(not is_trigger)
        if is_trigger and not self.channel.hasFocus():
            self.channel.clear()
            self.channel.addItems(list(row.channels))
            self.channel.setEditText(row.channel)
        for label, text in (
            (self._name, row.key[0]),
            (self._kind, row.kind),
            (self._sends, row.sends),
            (self._more, row.more),
            (self._host, row.host),
        ):
            label.show_text(text)
