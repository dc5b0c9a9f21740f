"""The window's menus, from the table of keys."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pylsl
import pyqtgraph
import PySide6
from PySide6.QtCore import QStandardPaths, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDockWidget,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.view.marks import OperatorMarks

RESEARCH_ONLY = (
    "Research use only. rtbrain is not a medical device; nothing that it shows may guide treatment."
)


@dataclass(frozen=True, slots=True)
class Key:
    """A command of the window."""

    command: str
    menu: str
    text: str
    keys: str
    tip: str
    checkable: bool = False


KEYS = (
    Key("screenshot", "&File", "Save a &picture", "Ctrl+S", "Save the window as a PNG."),
    Key("quit", "&File", "&Quit", "Ctrl+Q", "Close the window; nothing else ends."),
    Key(
        "pause",
        "&View",
        "&Pause the picture",
        "Space",
        "Let traces, spectra and map stand still; data, decodes and health go on.",
        True,
    ),
    Key("theme", "&View", "&Light theme", "Ctrl+T", "Change between dark and light.", True),
    Key("large", "&View", "Lar&ge type", "Ctrl+L", "Half as large again.", True),
    Key("next", "&View", "&Next contact", ".", "Spectra of the next contact."),
    Key("previous", "&View", "Pre&vious contact", ",", "Spectra of the contact before."),
    Key("layout", "&View", "&Reset the layout", "Ctrl+0", "Every panel back to its place."),
    Key("free", "&Marks", "&Write a mark...", "Ctrl+M", "Send a text of your own as a mark."),
    Key("bad", "&Marks", "Contact &bad by hand", "Ctrl+B", "Tell decoders to leave the chosen"
        " contact out, or to take it in again.", True),
    Key("labels", "&Marks", "&Texts of F1 to F8...", "Ctrl+E", "Say what the keys F1 to F8 send."),
    Key("keys", "&Help", "&Keys", "Ctrl+H", "This list."),
    Key("about", "&Help", "&About", "Ctrl+I", "Versions and conditions of use."),
)  # fmt: skip


class KeysDialog(QDialog):
    """List of all keys."""

    def __init__(
        self, marks: list[str], more: list[tuple[str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        rows = [(key.keys, key.tip) for key in KEYS]
        rows += [(f"F{number}", f"Mark: {text}") for number, text in enumerate(marks, 1)]
        rows += more
        cells = "".join(
            f"<tr><td><b>{_plain(keys)}</b>&nbsp;&nbsp;</td><td>{_plain(tip)}</td></tr>"
            for keys, tip in rows
        )
        text = QLabel(f"<table cellpadding='2'>{cells}</table>")
        text.setTextFormat(Qt.TextFormat.RichText)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(text)
        layout.addWidget(buttons)


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


class Menus:
    """Actions of the window: each in a menu, with a key and a tip."""

    def __init__(
        self,
        window: QMainWindow,
        docks: dict[str, QDockWidget],
        commands: dict[str, Callable[[], object]],
        hands: OperatorMarks,
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
            "about": lambda: about_dialog(window).open(),
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
        hands.on_change = self._marks_changed
        self._marks_changed()

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

    def _marks_changed(self) -> None:
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


def versions() -> dict[str, str]:
    """Version of each part that the window is made of."""
    lsl = pylsl.library_version()
    return {
        "rtbrain": rtbrain.__version__,
        "Python": platform.python_version(),
        "PySide6": PySide6.__version__,
        "pyqtgraph": pyqtgraph.__version__,
        "pylsl": pylsl.__version__,
        "liblsl": f"{lsl // 100}.{lsl % 100}",
    }


def about_dialog(parent: QWidget | None = None) -> QMessageBox:
    """Box with the versions and the conditions of use, not yet shown."""
    listed = "\n".join(f"{name} {version}" for name, version in versions().items())
    box = QMessageBox(parent)
    box.setWindowTitle("About rtbrain")
    box.setText(f"{RESEARCH_ONLY}\n\n{listed}")
    return box


def save_screenshot(widget: QWidget, path: Path) -> None:
    """Save what a widget shows as a PNG."""
    if not widget.grab().save(str(path), "PNG"):
        raise SettingsError(
            f"expected to write a picture, could not write {path}: is the folder there, writable "
            "and the disk not full?"
        )


def new_screenshot_path(folder: str) -> Path:
    """Path for a picture of now, in a folder or, where that is empty, among the user's pictures.

    Two pictures of one second are told apart by a number.
    """
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    home = Path(folder or pictures or Path.home())
    home.mkdir(parents=True, exist_ok=True)
    stem = f"rtbrain-view-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = home / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = home / f"{stem}-{number}.png"
    return path
