"""Ways to a signal where the amplifier sends none yet, and to another session."""

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from rtbrain.console.setup.panel import styled
from rtbrain.view.texts import say
from rtbrain.view.theme import fill

_WAYS = ("fieldtrip", "recording", "simulate", "folder")
_GAP_PX = 8


class Ways(QWidget):
    """Buttons, of which the first asks for an address in place of all.

    `chosen` passes on the others by their names, `address` the one of a FieldTrip buffer.
    """

    chosen = Signal(str)
    address = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.buttons = {way: QPushButton(say(f"setup.ways.{way}")) for way in _WAYS}
        self.field = QLineEdit("127.0.0.1:1972")
        self.field.setAccessibleName(say("setup.ways.address"))
        self.connect_button = QPushButton(say("setup.ways.connect"))
        cancel = QPushButton(say("setup.ways.cancel"))
        self._row, self._asking, self._grid = QWidget(), QWidget(), QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(_GAP_PX)
        self._row.setLayout(self._grid)
        label = styled(say("setup.ways.address"), "quiet")
        parts = (label, self.field, self.connect_button, cancel)
        fill(QHBoxLayout(self._asking), *parts, spacing=_GAP_PX)
        fill(QVBoxLayout(self), self._row, self._asking)
        for way, button in self.buttons.items():
            button.clicked.connect(lambda _=False, way=way: self._choose(way))
        self.connect_button.clicked.connect(self._connect)
        self.field.returnPressed.connect(self._connect)
        cancel.clicked.connect(lambda: self._ask(False))
        self._ask(False)

    def show_playing(self, playing: bool) -> None:
        """Let the third button end what plays."""
        self.buttons["simulate"].setText(say(f"setup.ways.{'stop' if playing else 'simulate'}"))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Give the buttons as many rows as they need."""
        super().resizeEvent(event)
        needed = sum(one.sizeHint().width() + _GAP_PX for one in self.buttons.values())
        n_columns = len(self.buttons) if event.size().width() >= needed else 2
        for number, button in enumerate(self.buttons.values()):
            self._grid.addWidget(button, number // n_columns, number % n_columns)
        for column in range(len(self.buttons) + 1):
            self._grid.setColumnStretch(column, int(column == n_columns))

    def _choose(self, way: str) -> None:
        if way == "fieldtrip":
            self._ask(True)
            self.field.setFocus()
        else:
            self.chosen.emit(way)

    def _connect(self) -> None:
        self._ask(False)
        self.address.emit(self.field.text().strip())

    def _ask(self, asking: bool) -> None:
        self._asking.setVisible(asking)
        self._row.setVisible(not asking)
