"""What the window's keys do: one table for the menus and for the help."""

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

__all__ = ["KEYS", "Key", "KeysDialog"]


@dataclass(frozen=True, slots=True)
class Key:
    """A command of the window.

    Attributes
    ----------
    command : str
        What the window calls it.
    menu : str
        Menu that it is in.
    text : str
        What the menu says.
    keys : str
        As Qt writes key sequences.
    tip : str
        What it does, in a sentence.
    checkable : bool
        Whether it is switched on and off.
    """

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
    """List of all keys.

    Parameters
    ----------
    marks : list of str
        Texts of F1 to F8.
    more : list of (str, str)
        Keys and what they do, of the panels.
    parent : QWidget
        The window.
    """

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
