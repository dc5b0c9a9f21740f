"""A recording on disk as microvolts, channels and events: what a replay plays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.stream.amplitude import SIGNAL_KINDS, amplitude_uv, wrong_unit
from rtbrain.types import Floats, Montage, Times

__all__ = ["Event", "Recording", "amplitude_note", "missing_note", "read_recording"]

MNE_SUFFIXES = (".vhdr", ".edf", ".bdf", ".fif")

_FORMATS = ".vhdr .edf .bdf .fif .xdf .npy, or a BIDS folder"
_LOOKED_AT_S = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a recording.

    Attributes
    ----------
    onset_s : float
        Seconds since the first sample.
    duration_s : float
        Seconds; 0 for a moment.
    text : str
        What happened, in the file's words.
    """

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Channels of samples that can be read from any sample to any other.

    Attributes
    ----------
    montage : Montage
        Labels, kinds, positions and nominal rate.
    n_samples : int
        Samples a channel.
    reader : callable
        ``reader(start, stop)`` gives float32 [n_channels, stop - start] in µV.
    stamps : ndarray, float64 [n_samples], or None
        Seconds since the first sample where the file stamps its samples one by one; None where
        they are regular.
    events : tuple of Event
        In the order of their onsets.
    notes : tuple of str
        What the user should know about the file, one line each.
    closer : callable or None
        Lets go of the file.
    bad : tuple of str
        Channels that the file's makers mark as bad; they are read like all others.
    subject, session : str
        Labels in the file's name, by which recordings are told apart; empty where it has none.
    unitless : tuple of str
        Channels of which the file tells no unit of voltage: their numbers are taken as microvolts.
    """

    montage: Montage
    n_samples: int
    reader: Callable[[int, int], Floats]
    stamps: Times | None = None
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    closer: Callable[[], None] | None = None
    bad: tuple[str, ...] = ()
    subject: str = ""
    session: str = ""
    unitless: tuple[str, ...] = ()

    def read(self, start: int, stop: int) -> Floats:
        """Samples `start` up to, not including, `stop`.

        Returns
        -------
        ndarray, float32 [n_channels, stop - start]
            Microvolts; the caller's own.

        Raises
        ------
        ValueError
            The samples are not within the recording.
        """
        self._check(start, stop)
        if start == stop:
            return np.empty((self.montage.n_channels, 0), np.float32)
        return self.reader(start, stop)

    def timestamps(self, start: int, stop: int) -> Times | None:
        """Stamps of these samples, s since the first sample; None where they are regular.

        Raises
        ------
        ValueError
            The samples are not within the recording.
        """
        self._check(start, stop)
        return None if self.stamps is None else self.stamps[start:stop].copy()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        if self.closer is not None:
            self.closer()

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.n_samples:
            raise ValueError(f"samples {start} to {stop} of a recording of {self.n_samples}")


def read_recording(
    path: str | Path, *, sfreq_hz: float | None = None, stream: str | None = None
) -> Recording:
    """Open a file, or the one recording in a BIDS folder.

    Parameters
    ----------
    path : str or Path
        BrainVision (.vhdr), EDF or BDF, FIF, XDF, an .npy array in µV, or a BIDS-iEEG folder.
    sfreq_hz : float, optional
        Sampling rate in Hz of an .npy array, which does not hold it.
    stream : str, optional
        Name or source id of the stream to take from an XDF file that has several.

    Raises
    ------
    RecordingError
        The file is absent, foreign, broken, empty, or one of several that could be meant.
    SettingsError
        `sfreq_hz` is absent where it is needed, or given where the file holds it; `stream` is
        given for a file that has no streams.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"no file or folder {path}: check the path")
    if path.is_dir():
        from rtbrain.stream.bids import find_recording

        path = find_recording(path)
    try:
        recording = _read(path, sfreq_hz, stream)
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error
    if recording.n_samples == 0 or recording.montage.n_channels == 0:
        recording.close()
        raise RecordingError(
            f"{path} holds {recording.montage.n_channels} channels of {recording.n_samples} "
            "samples: there is nothing to play"
        )
    return recording


def _read(path: Path, sfreq_hz: float | None, stream: str | None) -> Recording:
    suffix = path.suffix.lower()
    if sfreq_hz is not None and suffix != ".npy":
        raise SettingsError(f"{path.name} holds its own sampling rate: leave --sfreq out")
    if stream is not None and suffix != ".xdf":
        raise SettingsError(f"{path.name} has no streams to choose from: leave --stream out")
    # The readers build a Recording, so they import this module; it imports them here.
    if suffix in MNE_SUFFIXES:
        from rtbrain.stream.read_mne import read_mne

        return read_mne(path)
    if suffix == ".xdf":
        from rtbrain.stream.read_xdf import read_xdf

        return read_xdf(path, stream)
    if suffix == ".npy":
        from rtbrain.stream.read_npy import read_npy

        return read_npy(path, sfreq_hz)
    header = path.with_suffix(".vhdr")
    if suffix in {".eeg", ".vmrk"} and header.exists():
        raise RecordingError(f"{path.name} is one part of a BrainVision recording: name {header}")
    raise RecordingError(
        f"{path}: a recording is one of {_FORMATS}, got {suffix or 'a file without suffix'}"
    )


def amplitude_note(recording: Recording, *, scale: float = 1.0) -> str | None:
    """Warning where the signal is not of a size that a brain makes.

    The measure is the median over brain channels of 1.4826 median absolute deviations over the
    first 10 s: neither offsets, nor artefacts, nor a dead channel move it.

    Parameters
    ----------
    recording : Recording
        What is measured.
    scale : float
        What the signal is multiplied by before it is used.

    Returns
    -------
    str or None
        One line with the measured size and the ``--scale`` to try, or None.
    """
    kinds = recording.montage.kinds
    rows = [row for row, kind in enumerate(kinds) if kind in SIGNAL_KINDS]
    size_uv = abs(scale) * amplitude_uv(_beginning(recording)[rows or slice(None)])
    if size_uv == 0:
        return "the signal is flat: most channels do not change over the first seconds"
    found = wrong_unit(size_uv)
    if found is None:
        return None
    text, factor = found
    return f"{text}, try --scale {scale * factor:g}"


def missing_note(recording: Recording) -> str | None:
    """Warning where values are missing (NaN) in the first 10 s; None where none are.

    Returns
    -------
    str or None
        One line that names the channels.
    """
    rows = np.flatnonzero(np.isnan(_beginning(recording)).any(axis=1))
    names = [recording.montage.names[row] for row in rows]
    if not names:
        return None
    return f"values are missing (NaN) and are played as they are in: {', '.join(names)}"


def _beginning(recording: Recording) -> Floats:
    n_samples = round(_LOOKED_AT_S * recording.montage.sfreq_hz)
    return recording.read(0, min(max(n_samples, 2), recording.n_samples))
