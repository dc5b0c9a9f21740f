"""What a corpus is made of: recordings, and which of their channels can be used."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rtbrain.errors import RecordingError
from rtbrain.stream.amplitude import SIGNAL_KINDS, amplitude_uv, wrong_unit
from rtbrain.stream.recording import Recording

__all__ = ["CorpusSource", "reading", "refuse_unit", "source_channels"]

_LOOKED_AT_S = 10.0


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """A recording that is to be part of a corpus.

    Attributes
    ----------
    name : str
        What the manifest calls it: no folders.
    opened : callable
        Opens it.
    hidden : tuple of str
        Folders, taken out of all that is told of it.
    subject, session : str
        Labels; empty takes the recording's own.
    start_s, stop_s : float or None
        Stretch to take, s.
    channels : tuple of str or None
        Which to take.
    scale : float or None
        Factor to microvolts, for who knows it.
    first_of_file : int or None
        Number of the first source of the same file, of which this is another stretch: where no
        subject is known, both are of one.
    """

    name: str
    opened: Callable[[], Recording]
    hidden: tuple[str, ...] = ()
    subject: str = ""
    session: str = ""
    start_s: float | None = None
    stop_s: float | None = None
    channels: tuple[str, ...] | None = None
    scale: float | None = None
    first_of_file: int | None = None

    def offset_s(self, recording: Recording) -> float:
        """Seconds of the recording before the stretch's first sample."""
        if self.start_s is None:
            return 0.0
        if recording.stamps is not None:
            later = recording.stamps[recording.stamps >= self.start_s]
            return float(later[0]) if later.size else self.start_s
        sfreq_hz = recording.montage.sfreq_hz
        return math.ceil(self.start_s * sfreq_hz - 1e-3) / sfreq_hz

    def plainly(self, text: object) -> str:
        """A message in one line, without folders."""
        line = " ".join(str(text).split())
        for folder in self.hidden:
            line = line.replace(folder, "")
        return line


@contextmanager
def reading() -> Iterator[None]:
    """A disk or a file that fails in reading is the source's fault; in writing it is ours."""
    try:
        yield
    except OSError as error:
        raise RecordingError(f"cannot be read: {error}") from error


def source_channels(
    recording: Recording, source: CorpusSource
) -> tuple[list[str], list[tuple[str, str]]]:
    """Channels to take, and those that cannot be, with why.

    Raises
    ------
    RecordingError
        No contact is left.
    MontageError
        A channel that is asked for does not exist.
    """
    wanted = source.channels or recording.montage.names
    rows = recording.montage.rows(wanted)
    kept, unusable = [], []
    n_contacts = 0
    for name, row in zip(wanted, rows, strict=True):
        contact = recording.montage.kinds[row] in SIGNAL_KINDS
        if name in recording.bad:
            unusable.append((name, "marked bad in the recording"))
        elif contact and name in recording.unitless and source.scale is None:
            why = "the file tells no unit of voltage: set scale, the factor to microvolts"
            unusable.append((name, why))
        else:
            kept.append(name)
            n_contacts += contact
    if not n_contacts:
        why = f": {unusable[0][1]}" if unusable else f", one of {', '.join(sorted(SIGNAL_KINDS))}"
        raise RecordingError(f"none of {len(wanted)} channels is a contact to use{why}")
    return kept, unusable


def refuse_unit(recording: Recording, names: list[str]) -> None:
    """Refuse a signal of a size that no brain makes.

    Raises
    ------
    RecordingError
        Its first 10 s are too small or too large.
    """
    montage = recording.montage
    rows = [row for row in montage.rows(names) if montage.kinds[row] in SIGNAL_KINDS]
    n_samples = min(round(_LOOKED_AT_S * montage.sfreq_hz), recording.n_samples)
    with reading():
        beginning = recording.read(0, n_samples)[rows]
    found = wrong_unit(amplitude_uv(beginning))
    if found is not None:
        text, factor = found
        raise RecordingError(f"{text}: set scale, to {factor:g} or to what is right")
