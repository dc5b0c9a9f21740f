"""The window's menus and dialogs, built from one table of keys."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pylsl
import pyqtgraph
import PySide6
from PySide6.QtCore import QEvent, QObject, QSize, QStandardPaths, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QMessageBox,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.view.grid import MENU_PX, PANELS
from rtbrain.view.marks import OperatorMarks
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label, set_tip

_KEY_GAP_PX = 16
_PRESSES = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
_TURNS = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
# Their keys work in the log and the details too.
_EVERYWHERE = ("seen", "log", "details")


@dataclass(frozen=True, slots=True)
class Key:
    """One command of the window, with its menu; its words are among the texts."""

    command: str
    menu: str
    keys: str
    checkable: bool = False

    @property
    def text(self) -> str:
        """What stands in the menu."""
        if self.command in PANELS:
            return say(f"frame.panels.{self.command}")
        return say(f"keys.{self.command}.text")

    @property
    def tip(self) -> str:
        """What it does."""
        if self.command in PANELS:
            return say("frame.panel", panel=self.text)
        return say(f"keys.{self.command}.tip")


KEYS = (
    Key("screenshot", "file", "Ctrl+S"),
    Key("quit", "file", "Ctrl+Q"),
    Key("pause", "view", "Space", True),
    Key("theme", "view", "Ctrl+T", True),
    Key("large", "view", "Ctrl+L", True),
    Key("next", "view", "."),
    Key("previous", "view", ","),
    *(Key(name, "view", f"Ctrl+{number}", True) for number, name in enumerate(PANELS, 1)),
    Key("seen", "view", "Ctrl+K"),
    Key("log", "view", "Ctrl+J"),
    Key("details", "view", "Ctrl+D"),
    Key("layout", "view", "Ctrl+0"),
    Key("free", "marks", "Ctrl+M"),
    Key("bad", "marks", "Ctrl+B", True),
    Key("labels", "marks", "Ctrl+E"),
    Key("keys", "help", "Ctrl+H"),
    Key("about", "help", "Ctrl+I"),
)


class KeysDialog(QDialog):
    """Dialog that lists all keys."""

    def __init__(
        self, labels: list[str], more: list[tuple[str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(say("keys.title"))
        rows = [(key.keys, key.tip) for key in KEYS]
        rows += [
            (f"F{number}", say("keys.mark", text=text)) for number, text in enumerate(labels, 1)
        ]
        rows += more
        table, body = QGridLayout(), QWidget()
        body.setLayout(table)
        # Two columns; what does not fit the window is scrolled to.
        half = -(-len(rows) // 2)
        for place, texts in enumerate(rows):
            for column, text in enumerate(texts):
                label = plain_label(text)
                label.setMinimumWidth(label.sizeHint().width() + _KEY_GAP_PX * (1 - column))
                table.addWidget(label, place % half, column + 3 * (place // half))
        table.setColumnMinimumWidth(2, 2 * _KEY_GAP_PX)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(body)
        fill(QVBoxLayout(self), area, buttons, stretched=area, margins=(12, 12, 12, 12))
        wanted = body.sizeHint() + QSize(48, 24 + 12 + buttons.sizeHint().height())
        if parent is not None:
            wanted = wanted.boundedTo(parent.size() - QSize(16, 48))
        self.resize(wanted)


class ResearchOnly(QWidget):
    """Says always that this is for research alone."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = plain_label(say("frame.research")), plain_label(say("frame.not_for"))
        fill(QHBoxLayout(self), *self.labels, spacing=4)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        for label, weight in zip(self.labels, (700, 400), strict=True):
            label.setFont(theme.font(12, weight))


class ControlKeys(QObject):
    """Lets Space and Enter press the control that has the focus, and the arrows turn its menu.

    Elsewhere in the window these keys are commands.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window = window
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._follow)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Keep a key of the control from being a command, and press it with Enter."""
        kinds = QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress
        if not (isinstance(event, QKeyEvent) and event.type() in kinds):
            return super().eventFilter(watched, event)
        key = Qt.Key(event.key())
        if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            return False
        if event.type() == QEvent.Type.ShortcutOverride:
            own = key in _PRESSES or (isinstance(watched, QComboBox) and key in _TURNS)
            event.setAccepted(own)
            return own
        if key in _PRESSES[1:] and isinstance(watched, QAbstractButton):
            watched.click()
        elif key in _PRESSES[1:] and isinstance(watched, QComboBox):
            watched.showPopup()
        else:
            return False
        return True

    def _follow(self, old: QWidget | None, new: QWidget | None) -> None:
        if old is not None:
            old.removeEventFilter(self)
        if isinstance(new, QAbstractButton | QComboBox) and new.window() is self._window:
            new.installEventFilter(self)


class Menus:
    """Actions of the window: each in a menu, with a key and a tip."""

    def __init__(
        self,
        window: QMainWindow,
        commands: dict[str, Callable[[], object]],
        marks: OperatorMarks,
        panels: Iterable[QWidget],
    ) -> None:
        self._window = window
        self._control_keys = ControlKeys(window)
        self._panels = tuple(panels)
        self._marks = marks
        self.actions: dict[str, QAction] = {}
        self._menus: dict[str, QMenu] = {}
        commands = commands | {
            "free": marks.ask,
            "bad": marks.toggle_bad,
            "labels": marks.edit_labels,
            "keys": lambda: self.keys_dialog().open(),
            "about": lambda: about_dialog(window).open(),
        }
        for key in KEYS:
            action = self._add(key.menu, key.text, key.keys, key.tip, commands[key.command])
            action.setCheckable(key.checkable)
            if key.command in _EVERYWHERE:
                action.setShortcutContext(Qt.ShortcutContext.ApplicationShortcut)
            self.actions[key.command] = action
        for number, text in enumerate(marks.labels):
            name = f"F{number + 1}"
            tip = say("keys.send_mark")
            action = self._add("marks", text, name, tip, partial(marks.press, number))
            self.actions[name] = action
        self.message, self.research = plain_label(), ResearchOnly()
        self._corner = QWidget(window)
        fill(
            QHBoxLayout(self._corner),
            self.message,
            self.research,
            margins=(0, 0, 12, 0),
            spacing=24,
        )
        window.menuBar().setCornerWidget(self._corner)
        marks.on_change = self._marks_changed
        self._marks_changed()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._corner.setFixedHeight(theme.px(MENU_PX))
        self.message.setFont(theme.font(12))
        self.message.setStyleSheet(f"color: {theme.text2};")
        self.research.restyle(theme)

    def checked(self, command: str, on: bool) -> None:
        """Show a command as on or off."""
        self.actions[command].setChecked(on)

    def keys_dialog(self) -> KeysDialog:
        """List of all keys, not yet shown."""
        more = [("Tab", say("keys.next_control"))]
        more += [
            (action.shortcut().toString(), action.text())
            for panel in self._panels
            for action in panel.actions()
        ]
        return KeysDialog(list(self._marks.labels), more, self._window)

    def _add(self, menu: str, text: str, keys: str, tip: str, do: Callable[[], object]) -> QAction:
        action = QAction(text, self._window)
        action.setShortcut(keys)
        set_tip(action, tip)
        action.setStatusTip(tip)
        # Qt passes whether the action is checked; the window decides that itself.
        action.triggered.connect(lambda checked=False: do())
        self._menu(menu).addAction(action)
        return action

    def _menu(self, name: str) -> QMenu:
        if name not in self._menus:
            self._menus[name] = self._window.menuBar().addMenu(say(f"keys.menus.{name}"))
            self._menus[name].setToolTipsVisible(True)
        return self._menus[name]

    def _marks_changed(self) -> None:
        """Show the texts of the keys, and whether the chosen contact is marked as bad."""
        for number, text in enumerate(self._marks.labels):
            self.actions[f"F{number + 1}"].setText(text.replace("&", "&&"))
        bad = self.actions["bad"]
        bad.setEnabled(bool(self._marks.contact))
        contact = self._marks.contact.replace("&", "&&")
        bad.setText(say("keys.bad.of", contact=contact))
        bad.setChecked(self._marks.chosen_is_bad)


def versions() -> dict[str, str]:
    """Version of each component of the window."""
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
    """Message box with versions and conditions of use, not yet shown."""
    listed = "\n".join(f"{name} {version}" for name, version in versions().items())
    box = QMessageBox(parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setWindowTitle("About rtbrain")
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(f"{say('frame.research')} {say('frame.not_for')}\n\n{listed}")
    return box


def save_screenshot(widget: QWidget, path: Path) -> None:
    """Save what a widget shows as a PNG file."""
    if not widget.grab().save(str(path), "PNG"):
        raise SettingsError(
            f"could not write {path}: check that the folder exists and is writable, and that "
            "the disk is not full"
        )


def new_screenshot_path(folder: str) -> Path:
    """Unused path named by the time, in a folder or else in the user's folder of pictures."""
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    home = Path(folder or pictures or Path.home())
    home.mkdir(parents=True, exist_ok=True)
    stem = f"rtbrain-view-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = home / f"{stem}.png", 1
    while path.exists():
        number += 1
        path = home / f"{stem}-{number}.png"
    return path
