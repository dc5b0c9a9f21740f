"""The window's menus, from the table of keys."""

from collections.abc import Callable, Iterable
from functools import partial

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDockWidget, QMainWindow, QMenu, QWidget

from rtbrain.view.about import about_box
from rtbrain.view.hands import Hands
from rtbrain.view.keys import KEYS, KeysDialog

__all__ = ["Menus"]


class Menus:
    """Actions of the window: each in a menu, with a key and a tip.

    Parameters
    ----------
    window : QMainWindow
        Whose menu bar it is.
    docks : dict of str to QDockWidget
        Shown and hidden by Ctrl+1 and on.
    commands : dict of str to callable
        What the window does itself, by command.
    hands : Hands
        What the operator's hands do.
    panels : iterable of QWidget
        Whose own actions are listed among the keys.

    Attributes
    ----------
    actions : dict of str to QAction
        By command; ``F1`` to ``F8`` are the marks.
    """

    def __init__(
        self,
        window: QMainWindow,
        docks: dict[str, QDockWidget],
        commands: dict[str, Callable[[], object]],
        hands: Hands,
        panels: Iterable[QWidget],
    ) -> None:
        self._window = window
        self._panels = tuple(panels)
        self._hands = hands
        self.actions: dict[str, QAction] = {}
        self._menus: dict[str, QMenu] = {}
        commands = commands | {
            "free": hands.ask,
            "bad": hands.toggle_bad,
            "labels": self._edit_labels,
            "keys": self._show_keys,
            "about": lambda: about_box(window).open(),
        }
        for key in KEYS:
            action = self._add(key.menu, key.text, key.keys, key.tip, commands[key.command])
            action.setCheckable(key.checkable)
            self.actions[key.command] = action
        for number, text in enumerate(hands.labels):
            name = f"F{number + 1}"
            action = self._add(
                "&Marks", text, name, "Send this mark.", partial(hands.press, number)
            )
            self.actions[name] = action
        shown = self._menu("&View").addMenu("P&anels")
        for number, (name, dock) in enumerate(docks.items(), 1):
            action = dock.toggleViewAction()
            action.setShortcut(f"Ctrl+{number}")
            action.setEnabled(name != "banner")
            shown.addAction(action)
        hands.on_change = self._hands_changed
        self._hands_changed()

    def checked(self, command: str, on: bool) -> None:
        """Show a command as on or off."""
        self.actions[command].setChecked(on)

    def keys_dialog(self) -> KeysDialog:
        """List of all keys, not yet shown."""
        more = [("Ctrl+1 to Ctrl+5", "Show or hide a panel."), ("Tab", "To the next control.")]
        theirs = [action for panel in self._panels for action in panel.actions()]
        more += [(action.shortcut().toString(), action.text()) for action in theirs]
        return KeysDialog(list(self._hands.labels), more, self._window)

    def _add(self, menu: str, text: str, keys: str, tip: str, do: Callable[[], object]) -> QAction:
        action = QAction(text, self._window)
        action.setShortcut(keys)
        action.setToolTip(tip)
        action.setStatusTip(tip)
        # Qt hands over whether the action is checked, which is ours to say.
        action.triggered.connect(lambda checked=False: do())
        self._menu(menu).addAction(action)
        return action

    def _menu(self, title: str) -> QMenu:
        if title not in self._menus:
            self._menus[title] = self._window.menuBar().addMenu(title)
            self._menus[title].setToolTipsVisible(True)
        return self._menus[title]

    def _hands_changed(self) -> None:
        """Say what the keys send now, and whether the chosen contact is bad by hand."""
        for number, text in enumerate(self._hands.labels):
            self.actions[f"F{number + 1}"].setText(text.replace("&", "&&"))
        bad = self.actions["bad"]
        bad.setEnabled(bool(self._hands.contact))
        bad.setText(f"Contact {self._hands.contact} &bad by hand")
        bad.setChecked(self._hands.chosen_is_bad)

    def _edit_labels(self) -> None:
        self._hands.edit_labels()

    def _show_keys(self) -> None:
        self.keys_dialog().open()
