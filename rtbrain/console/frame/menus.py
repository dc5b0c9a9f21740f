"""Menus of the console, its marks by hand, and the dialogs that hold up nothing."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QSettings
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QMenu, QWidget

from rtbrain.console.page import STEPS, Action
from rtbrain.view.grid import MENU_PX
from rtbrain.view.health.dialogs import TextDialog
from rtbrain.view.marks import MarkLabels, MarkOutlet
from rtbrain.view.menus import ResearchOnly, about_dialog
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

# Command, menu, key.
_COMMANDS = (
    ("open_folder", "session", ""),
    ("screenshot", "session", "Ctrl+S"),
    ("close", "session", "Ctrl+Q"),
    *((f"step_{step}", "view", f"Alt+{number}") for number, step in enumerate(STEPS, 1)),
    ("live", "view", "F9"),
    ("light", "view", "Ctrl+T"),
    ("large", "view", "Ctrl+L"),
    ("seen", "view", "Ctrl+K"),
    ("log", "view", "Ctrl+J"),
    ("mark", "marks", "Ctrl+M"),
    *((f"F{number}", "marks", f"F{number}") for number in range(1, 9)),
    ("keys", "help", "Ctrl+H"),
    ("about", "help", ""),
)
# Keys of pages, for the list of all keys.
_PAGE_KEYS = ("esc", "again", "pause", "drop", "threshold", "end", "tab")


class ConsoleMenus:
    """Actions of the console: each in a menu, with a key."""

    def __init__(
        self,
        window: QMainWindow,
        commands: Mapping[str, Callable[[], object]],
        outlet: MarkOutlet | None,
        settings: QSettings,
        show_message: Callable[[str], object],
    ) -> None:
        self._window, self._outlet, self._show_message = window, outlet, show_message
        self.labels = MarkLabels(settings)
        self.actions: dict[str, QAction] = {}
        self.keys = TextDialog(say("session.menu.keys"), window)
        self.log = TextDialog(say("log.title"), window, grows=True)
        self.research = ResearchOnly()
        mine: dict[str, Callable[[], object]] = {
            "keys": self._show_keys,
            "log": self.log.toggle,
            "about": lambda: about_dialog(window).open(),
            **{f"F{n}": partial(self._press, n - 1) for n in range(1, 9)},
        }
        menus: dict[str, QMenu] = {}
        for command, menu, key in _COMMANDS:
            if menu not in menus:
                menus[menu] = window.menuBar().addMenu(say(f"session.menus.{menu}"))
            action = QAction(self._text(command), window)
            action.setShortcut(key)
            call = {**mine, **commands}[command]
            action.triggered.connect(partial(_without_state, call))
            menus[menu].addAction(action)
            self.actions[command] = action
        self._corner = QWidget(window)
        fill(QHBoxLayout(self._corner), self.research, margins=(0, 0, 12, 0))
        window.menuBar().setCornerWidget(self._corner)

    def send(self, text: str) -> None:
        """Send a mark, and say so."""
        sent = "" if self._outlet is None else self._outlet.send(text)
        if sent:
            self._show_message(say("session.marked", text=sent))

    def _press(self, number: int) -> None:
        self.send(self.labels[number])

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._corner.setFixedHeight(theme.px(MENU_PX))
        self.research.restyle(theme)

    def _text(self, command: str) -> str:
        if command.startswith("step_"):
            return say(f"step.{command[5:]}.title")
        if command[1:].isdecimal():
            return self.labels[int(command[1:]) - 1].replace("&", "&&")
        return say(f"session.menu.{command}")

    def _show_keys(self) -> None:
        rows = [
            (action.shortcut().toString(), action.text().replace("&", ""))
            for action in self.actions.values()
            if not action.shortcut().isEmpty()
        ]
        lines = [say(f"session.keys.{name}") for name in _PAGE_KEYS]
        lines += [f"{key}: {text}" for key, text in rows]
        self.keys.toggle()
        self.keys.show_text("\n".join(lines))


class PageKeys:
    """Keys of what the page that is shown offers; `do` carries out what one is for."""

    def __init__(self, window: QMainWindow, do: Callable[[Callable[[], object]], object]) -> None:
        self._window, self._do = window, do
        self._shortcuts: dict[str, QShortcut] = {}
        self._calls: dict[str, Callable[[], object]] = {}

    def show_actions(self, actions: Sequence[Action]) -> None:
        """Let the keys of these actions do something, and no others."""
        self._calls = {action.key: action.call for action in actions if action.enabled}
        for key in self._calls.keys() - self._shortcuts.keys() - {""}:
            self._shortcuts[key] = QShortcut(QKeySequence(key), self._window)
            self._shortcuts[key].setAutoRepeat(False)  # a held key is one
            self._shortcuts[key].activated.connect(partial(self._press, key))
        for key, shortcut in self._shortcuts.items():
            shortcut.setEnabled(key in self._calls)

    def _press(self, key: str) -> None:
        self._do(self._calls[key])


def _without_state(call: Callable[[], object], checked: bool = False) -> None:
    """Call what an action does; Qt passes whether it is checked."""
    call()
