"""What stands in the place of the signal until there is one: the streams to choose from."""

from collections import Counter
from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from rtbrain.errors import plain_text
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, plain_label

_CHOICE_CHARS = 200


class SignalChooser(QWidget):
    """What the window waits for, and a button for each signal that may be meant."""

    def __init__(self, choose: Callable[[StreamSummary], None], again: Callable[[], None]) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._choose = choose
        self._offered: tuple[StreamSummary, ...] = ()
        self.buttons: list[QPushButton] = []
        self.words = plain_label(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self.again = QPushButton(say("frame.look_again"))
        self.again.clicked.connect(lambda checked=False: again())
        self._layout = QVBoxLayout(self)
        self._layout.addStretch(1)
        self._layout.addWidget(self.words)
        self._layout.addSpacing(12)
        self._layout.addWidget(self.again, alignment=Qt.AlignmentFlag.AlignCenter)
        self._layout.addStretch(1)

    def offer(self, text: str, signals: tuple[StreamSummary, ...]) -> None:
        """Show a text and these signals; with none there is a button that looks again."""
        if text != self.words.text():
            self.words.setText(text)
        signals = tuple(sorted(signals, key=str))
        if signals == self._offered:
            return
        self._offered = signals
        self.again.setVisible(not signals)
        for button in self.buttons:
            self._layout.removeWidget(button)
            button.deleteLater()
        self.buttons = []
        names = Counter(signal.name for signal in signals)
        for signal in signals:
            words = _words(signal, alone=names[signal.name] == 1)
            # Where there is an ampersand, Qt sees a shortcut.
            button = QPushButton(plain_text(words, _CHOICE_CHARS).replace("&", "&&"))
            button.clicked.connect(lambda checked=False, signal=signal: self._press(signal))
            place = self._layout.count() - 1
            self._layout.insertWidget(place, button, alignment=Qt.AlignmentFlag.AlignCenter)
            self.buttons.append(button)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.words.setFont(theme.font(14, 600))
        edge = f"border: 1px solid {theme.line}; border-radius: 3px;"
        ground = f"background: {theme.bg0};"
        self.setStyleSheet(f"SignalChooser {{ {ground} {edge} }} QLabel {{ {ground} }}")

    def _press(self, signal: StreamSummary) -> None:
        self.offer("", ())
        self._choose(signal)


def _words(signal: StreamSummary, *, alone: bool) -> str:
    """A stream in words, by its source id where another one has its name."""
    return say(
        "frame.found" if alone else "frame.found_by_id",
        name=signal.name,
        source_id=signal.source_id,
        n=signal.n_channels,
        rate=f"{signal.sfreq_hz:g}",
        host=signal.host,
    )


def waiting_text(session: ViewSession) -> str:
    """What the window waits for, and what to do."""
    signal = feed_of(session.feeds, "signal")
    if signal.state == "connecting":
        return say("frame.connecting", name=signal.name)
    if session.choices:
        absent = signal.name and signal.state == "absent"
        return say("frame.not_found", name=signal.name) if absent else say("frame.choose")
    if signal.problem:
        return say("frame.problem", problem=signal.problem)
    return say("frame.waiting_for", name=signal.name) if signal.name else say("frame.waiting")
