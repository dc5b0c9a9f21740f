"""What the pages of the console have in common: one page a step, and the actions it offers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from rtbrain.console.folder import Session
from rtbrain.errors import RtbrainError, one_line
from rtbrain.view.alarms.model import Alarms
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]
STEPS = ("setup", "calibrate", "fit", "run", "review")
# Of a page at 100 %: it is no narrower in large type in the smallest window.
_LEAST_PX, _STACKED_PX = 420, 620


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
    side_by_side : sequence of QBoxLayout
        What stands one below the other where the page is narrow for its type.
    hindrance : str
        Why nothing may be started on any page: what Set up says is to be fixed first. The window
        sets it.
    """

    changed = Signal()
    """Its actions, its title or its state have changed."""
    go = Signal(str)
    """Show this step."""
    says = Signal(str)
    """Show one line of what has happened above the action bar."""
    asks = Signal(str, list, object)
    """Ask a question in place of the action bar: its text, the Actions that answer it, and a
    callable that says whether it still concerns what is."""
    asks_text = Signal(str, str, object, object)
    """Ask for a text: the question, what stands there, the callable that takes it, and as above."""

    step = ""

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__()
        self.session, self.theme = session, theme
        self.live: ViewSession | None = None
        self.bad: Mapping[str, str] | None = None
        self.hindrance = ""
        self.primary: Action | None = None
        self.buttons: Sequence[Action] = ()
        self.keys: Sequence[Action] = ()
        self.side_by_side: Sequence[QBoxLayout] = ()

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

    def leave_for(self, step: str) -> None:
        """Show another step, after what the page has to ask first."""
        self.go.emit(step)

    def ask_end(self, end: Callable[[], object]) -> None:
        """Ask whether to end the recording that runs, with its length and size."""
        job = self.session.jobs["recorder"]
        path, size = self.session.folder / job.argv[1], 0
        with suppress(OSError):
            size = path.stat().st_size
        question = say(
            "session.end_question",
            name=path.stem,
            minutes=round(max(0.0, self.session.clock() - job.t_start) / 60),
            mb=round(size / 1e6),
        )
        answers = [
            Action(say("session.end_now"), end),
            Action(say("session.go_on"), lambda: None),
        ]
        self.asks.emit(question, answers, lambda: job.running and not job.stopping)

    def take(self, update: SessionUpdate) -> None:
        """Take note of what the streams have brought since the last poll."""

    def draw(self, now: float) -> None:
        """Show the state at `now`, LSL clock, s."""

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.fit_width(self.width())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Put its parts where there is room for them."""
        super().resizeEvent(event)
        self.fit_width(event.size().width())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Narrower than its parts are now: they give way once it is."""
        return QSize(self.theme.px(_LEAST_PX), super().minimumSizeHint().height())

    def fit_width(self, width: int) -> bool:
        """Put the parts in `side_by_side` so; whether they stand one below the other."""
        stacked = width < self.theme.px(_STACKED_PX)
        direction = QBoxLayout.Direction
        for row in self.side_by_side:
            row.setDirection(direction.TopToBottom if stacked else direction.LeftToRight)
        return stacked

    def state(self) -> tuple[str, str]:
        """Icon of the step, as of `paint_icon`, and one line, for the rail."""
        return "unchecked", say(f"step.{self.step}.not_begun")


class BrokenPage(Page):
    """Stands for a page that could not be made, and says why: the console goes on without it."""

    def __init__(self, session: Session, theme: Theme, step: str, why: str) -> None:
        super().__init__(session, theme)
        self.step, self._why = step, say("session.page_broken", why=why)
        label = plain_label(self._why)
        label.setWordWrap(True)
        fill(QVBoxLayout(self), label)

    def state(self) -> tuple[str, str]:
        """That it could not be made."""
        return "fix", self._why


def make_page(kind: type[Page], session: Session, theme: Theme) -> Page:
    """The page of a step; where that fails, one that says so."""
    try:
        return kind(session, theme)
    except Exception as error:  # noqa: BLE001  # what a file of a session holds ends no console
        return BrokenPage(session, theme, kind.step, _why(error))


class Guard:
    """Says what goes wrong in one line, so that it holds up nothing else.

    Parameters
    ----------
    show : callable
        Shows a line with an icon.
    alarms : Alarms
        Whose log has the line too.
    """

    def __init__(self, show: Callable[[str, str], object], alarms: Alarms) -> None:
        self._show, self._alarms = show, alarms
        self._said: set[str] = set()

    def carry_out(self, name: str, call: Callable[..., object], *given: object) -> None:
        """Call what may fail; what goes wrong in `name` is said once."""
        try:
            call(*given)
        except Exception as error:  # noqa: BLE001  # the alarm line goes on whatever a page does
            self.say_once(say("session.part_failed", name=name, why=_why(error)))

    def say_once(self, line: str) -> None:
        """Say a line, unless it was said before."""
        if line not in self._said:
            self._said.add(line)
            self._show(line, "fix")
            self._alarms.note("event", line)

    def note_unexpected(self, report: Hook) -> Hook:
        """An exception hook that says what went wrong in one line here too, beside `report`."""

        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            report(kind, error, trace)
            self._show(say("session.unexpected", what=_why(error)), "fix")

        return hook


def _why(error: BaseException) -> str:
    if isinstance(error, RtbrainError):
        return one_line(error)
    return f"{type(error).__name__}, {one_line(error)}"


def focus_first(page: QWidget) -> None:
    """Give the keyboard to the first control of a page that can take it."""
    control = page.nextInFocusChain()
    while control is not None and control is not page:
        reachable = control.focusPolicy() & Qt.FocusPolicy.TabFocus and control.isEnabled()
        if reachable and control.isVisible() and page.isAncestorOf(control):
            control.setFocus(Qt.FocusReason.TabFocusReason)
            return
        control = control.nextInFocusChain()
