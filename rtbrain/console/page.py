"""What the pages of the console have in common: one page a step, and the actions it offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from rtbrain.console.folder import Session
from rtbrain.errors import RtbrainError
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme

STEPS = ("setup", "calibrate", "fit", "run", "review")


@dataclass(frozen=True, slots=True)
class Action:
    """A button of the action bar, and its key.

    Parameters
    ----------
    text : str
        What it does; ``…`` at the end where it asks first.
    call : callable
        Does it, at once: what takes time is a job. Of an RtbrainError the text is shown.
    key : str
        As Qt spells it, such as ``Ctrl+End``; empty for none.
    reason : str
        Why it cannot be done now, shown beside the primary action; shown too where it can.
    right : bool
        Beside the primary action rather than at the left.
    """

    text: str
    call: Callable[[], object]
    key: str = ""
    enabled: bool = True
    reason: str = ""
    right: bool = False


class Page(QWidget):
    """One step. The window calls `take` and `draw` at each poll, whether it is shown or not.

    Attributes
    ----------
    step : str
        One of `STEPS`; its title and line below it are ``step.STEP.title`` and ``.intro`` of
        the file of texts.
    primary : Action or None
        The button at the right.
    buttons : sequence of Action
        The others of the action bar; `actions` is a method of Qt.
    keys : sequence of Action
        What has a key and no button, such as the pause of cues; only while the page is shown.
    live : ViewSession or None
        The streams that are read; None until a signal is chosen. The window sets it.
    bad : mapping or None
        Bad contacts and why, where the page judges them.
    """

    changed = Signal()
    """Its actions, its title or its state have changed."""
    go = Signal(str)
    """Show this step."""
    says = Signal(str)
    """Show one line of what has happened above the action bar."""
    asks = Signal(str, list)
    """Ask a question in place of the action bar: its text, and the Actions that answer it."""

    step = ""

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__()
        self.session, self.theme = session, theme
        self.live: ViewSession | None = None
        self.bad: Mapping[str, str] | None = None
        self.primary: Action | None = None
        self.buttons: Sequence[Action] = ()
        self.keys: Sequence[Action] = ()

    @property
    def title(self) -> str:
        """Name of the step."""
        return say(f"step.{self.step}.title")

    @property
    def intro(self) -> str:
        """One line below the title."""
        return say(f"step.{self.step}.intro")

    def do(self, call: Callable[[], object]) -> None:
        """Carry out what a control asks for; what keeps it from that is said in one line."""
        try:
            call()
        except RtbrainError as error:
            self.says.emit(str(error))

    def take(self, update: SessionUpdate) -> None:
        """Take note of what the streams have brought since the last poll."""

    def draw(self, now: float) -> None:
        """Show the state at `now`, LSL clock, s."""

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme

    def state(self) -> tuple[str, str]:
        """Icon of the step, as of `paint_icon`, and one line, for the rail."""
        return "unchecked", say(f"step.{self.step}.not_begun")
