"""Any recording by what the user has: a path, an ``mne.io.Raw``, an array."""

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.open import read_recording, reader_of
from rtbrain.recording.recording import Event, Recording
from rtbrain.types import Floats, Montage


def read(
    source: Any,
    *,
    sfreq_hz: float | None = None,
    names: Sequence[str] | None = None,
    events: Sequence[tuple[float, str]] = (),
    stream: str | None = None,
    scale: float = 1.0,
) -> Recording:
    """Open a recording; its samples are read when they are needed.

    Parameters
    ----------
    source : str, Path, mne.io.BaseRaw, ndarray, tuple or Recording
        A file (BrainVision, EDF, BDF, FIF, XDF, NWB, .npy), a BIDS-iEEG folder, a trial of the
        Brain Treebank, a synthetic patient as ``synthetic:SEED``; a Raw of MNE-Python, whose volts
        become microvolts; an array [n_channels, n_samples] in microvolts with `sfreq_hz` and
        `names`, or the three as a tuple; or a recording that is open already.
    sfreq_hz : float, optional
        Sampling rate in Hz of what does not hold it: arrays and synthetic patients.
    names : sequence of str, optional
        Channel labels of an array.
    events : sequence of (seconds, text)
        Events besides those of the source, by seconds from the first sample.
    stream : str, optional
        Name or source id of the stream in an XDF or NWB file that has several.
    scale : float
        Factor that multiplies all samples, for files that state a wrong unit.

    Returns
    -------
    Recording
        Microvolts, channels and events.

    Raises
    ------
    RecordingError
        The source is absent, foreign, broken or empty.
    SettingsError
        An option is missing, cannot work, or is for another kind of source.
    MontageError
        Channel labels repeat.

    Examples
    --------
    >>> import rtbrain
    >>> recording = rtbrain.read("synthetic:7,duration_s=60,n_channels=8", sfreq_hz=1024)
    >>> recording.montage.n_channels, recording.n_samples
    (8, 61440)
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(0, 30, (2, 5000))
    >>> rtbrain.read((noise, 1000, ["LA1", "LA2"]), events=[(1, "go")]).events
    (Event(onset_s=1.0, duration_s=0.0, text='go'),)
    """
    if not (math.isfinite(scale) and scale != 0):
        raise SettingsError(f"scale: expected a finite number other than 0, got {scale}")
    recording = _opened(source, sfreq_hz, names, stream)
    if events:
        added = (Event(float(onset_s), 0.0, str(text)) for onset_s, text in events)
        in_order = sorted((*recording.events, *added), key=lambda event: event.onset_s)
        recording = replace(recording, events=tuple(in_order))
    if scale == 1:
        return recording
    return replace(recording, reader=partial(_scaled, recording.reader, scale))


def _opened(
    source: Any, sfreq_hz: float | None, names: Sequence[str] | None, stream: str | None
) -> Recording:
    if isinstance(source, tuple) and len(source) == 3:  # (array, sfreq_hz, names)
        if sfreq_hz is not None or names is not None:
            raise SettingsError("the tuple holds rate and labels: leave sfreq_hz and names out")
        source, sfreq_hz, names = source
    if isinstance(source, np.ndarray):
        if stream is not None:
            raise SettingsError("an array has no streams to choose from: leave stream out")
        return _of_array(source, sfreq_hz, names)
    if names is not None:
        raise SettingsError("names is for arrays: a recording holds its channel labels")
    if isinstance(source, str | Path):
        return read_recording(source, sfreq_hz=sfreq_hz, stream=stream)
    if sfreq_hz is not None or stream is not None:
        raise SettingsError(
            f"a {type(source).__name__} has its own rate and one stream: leave sfreq_hz and stream "
            "out"
        )
    if isinstance(source, Recording):
        return source
    # Whoever holds a Raw has loaded mne; for all others it stays unloaded.
    mne = sys.modules.get("mne")
    if mne is not None and isinstance(source, mne.io.BaseRaw):
        return reader_of("mne", "recording_of_raw")(source)
    raise SettingsError(
        "a recording is a path, an mne.io.Raw, or (array [channels, samples], sfreq_hz, names), "
        f"got {type(source).__name__}"
    )


def _of_array(
    array: np.ndarray[Any, Any], sfreq_hz: float | None, names: Sequence[str] | None
) -> Recording:
    if sfreq_hz is None or names is None:
        raise SettingsError("an array needs sfreq_hz and names: its sampling rate and its labels")
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise RecordingError(
            "array: expected real numbers [channels, samples] in microvolts, got "
            f"{array.dtype} of shape {list(array.shape)}"
        )
    if len(names) != len(array):
        raise RecordingError(
            f"array of shape {list(array.shape)} with {len(names)} names: expected one per "
            "channel, and the axes [channels, samples]"
        )
    montage = Montage(tuple(map(str, names)), ("seeg",) * len(array), float(sfreq_hz))
    return Recording(montage, array.shape[1], partial(_part, array))


def _part(array: np.ndarray[Any, Any], start: int, stop: int) -> Floats:
    return np.array(array[:, start:stop], np.float32, order="C")


def _scaled(reader: Any, scale: float, start: int, stop: int) -> Floats:
    scaled: Floats = np.multiply(reader(start, stop), scale, dtype=np.float64).astype(np.float32)
    return scaled
