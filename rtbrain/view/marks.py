"""Marks by hand out over LSL: what happened, and which contacts are bad."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from uuid import uuid4

import pylsl
from PySide6.QtCore import QSettings

__all__ = ["ASK", "DEFAULT_LABELS", "MarkLabels", "MarkOutlet"]

_HELD = 360  # hundreds of marks kept for a listener that stopped reading
_LONGEST = 200
ASK = "bad?"
DEFAULT_LABELS = (
    "event",
    "seizure",
    "artefact",
    "movement",
    "speech",
    "stimulation",
    "task",
    "rest",
)


class MarkOutlet:
    """The marker stream ``NAME-marks``: one string a mark, stamped when it was made.

    ``bad LABEL`` and ``good LABEL`` tell decoders that a contact is not to be believed, or is
    again; ``bad?`` asks them to tell all that are bad by hand. Any other text is a remark.

    Parameters
    ----------
    name : str
        Name of the stream, less ``-marks``.

    Attributes
    ----------
    name : str
        Name of the stream.
    """

    def __init__(self, name: str = "rtbrain-view") -> None:
        self.name = f"{name}-marks"
        # Two windows may send under one name: decoders listen to both.
        info = pylsl.StreamInfo(
            self.name, "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"{self.name}-{uuid4().hex}"
        )
        channel = info.desc().append_child("channels").append_child("channel")
        for key, value in (("label", "mark"), ("unit", "text"), ("type", "MARKER")):
            channel.append_child_value(key, value)
        ours = info.desc().append_child("rtbrain")
        ours.append_child_value("origin", "window")
        ours.append_child_value("version", version("rtbrain"))
        self._outlet = pylsl.StreamOutlet(info, max_buffered=_HELD)

    def send(self, text: str) -> str:
        """Send a mark, stamped now.

        Parameters
        ----------
        text : str
            Becomes one line of at most 200 characters.

        Returns
        -------
        str
            What was sent; empty where there was nothing to send.
        """
        line = " ".join(text.split())[:_LONGEST]
        if line:
            self._outlet.push_sample([line], pylsl.local_clock())
        return line

    def call(self, label: str, bad: bool) -> None:
        """Call a contact bad, or good again."""
        self.send(f"{'bad' if bad else 'good'} {label}")

    def repeat(self, labels: Iterable[str]) -> None:
        """Tell a decoder that has just begun to listen which contacts are bad, and ask it."""
        for label in labels:
            self.call(label, True)
        self.send(ASK)


class MarkLabels:
    """Texts of the keys F1 to F8, kept in the settings of the window.

    Parameters
    ----------
    settings : QSettings
        Where they are kept.
    """

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(DEFAULT_LABELS)))

    def __getitem__(self, number: int) -> str:
        """Text of a key, 0 for F1."""
        default = DEFAULT_LABELS[number]
        return str(self._settings.value(_key(number), default)) or default

    def __setitem__(self, number: int, text: str) -> None:
        """Give a key another text; an empty one gives the first text back."""
        self._settings.setValue(_key(number), " ".join(text.split())[:_LONGEST])


def _key(number: int) -> str:
    return f"marks/F{number + 1}"
