"""Any recording by what the user has: a path, an ``mne.io.Raw``, an array."""

import importlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.channels import assign_kinds
from rtbrain.errors import MontageError, RecordingError, SettingsError, one_line
from rtbrain.recording.bids import find_recording
from rtbrain.recording.formats import FORMATS, format_of, require_content
from rtbrain.recording.recording import Event, Recording, map_array
from rtbrain.recording.triggers import add_trigger_events
from rtbrain.synthetic.patient import SYNTHETIC, Patient, parse_patient
from rtbrain.synthetic.signal import SyntheticSignal
from rtbrain.types import CONTACT_KINDS, Doubles, Floats, Montage
from rtbrain.units import amplitude_uv, find_wrong_unit, keep_codes

_LOOKED_AT_S = 10.0
_DURATION_S = 600.0


def read(
    source: Any,
    *,
    sfreq_hz: float | None = None,
    names: Sequence[str] | None = None,
    events: Sequence[tuple[float, str]] = (),
    stream: str | None = None,
    trigger: str | None = None,
    scale: float = 1.0,
) -> Recording:
    """Open a recording; its samples are read when they are needed.

    Parameters
    ----------
    source : str, Path, mne.io.BaseRaw, ndarray, tuple or Recording
        A file or folder in one of the formats of ``rtbrain/docs/formats.md``, a BIDS-iEEG folder, a
        trial of the Brain Treebank, a synthetic patient as ``synthetic:SEED``; a Raw of MNE-Python,
        whose volts become microvolts; an array [n_channels, n_samples] in microvolts with
        `sfreq_hz` and `names`, or the three as a tuple; or a recording that is open already.
    sfreq_hz : float, optional
        Sampling rate in Hz of what does not hold it: arrays and synthetic patients.
    names : sequence of str, optional
        Channel labels of an array.
    events : sequence of (seconds, text)
        Events besides those of the source, by seconds from the first sample.
    stream : str, optional
        Name or id of the stream in a file that has several, or its rate (``100 Hz``) in EDF.
    trigger : str, optional
        Trigger channels whose codes are the events, as ``TRIG``, ``Status:0xFF`` or ``DC01:2500``;
        by default those of kind stim where the recording has no other events.
    scale : float
        Factor that multiplies all samples but codes, for files that state a wrong unit.

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
    recording = _opened(source, sfreq_hz, names, stream, trigger)
    if events:
        added = (Event(float(onset_s), 0.0, str(text)) for onset_s, text in events)
        in_order = sorted((*recording.events, *added), key=lambda event: event.onset_s)
        recording = replace(recording, events=tuple(in_order))
    if scale == 1:
        return recording
    factors = keep_codes(recording.montage.kinds, scale)[:, np.newaxis]
    return replace(recording, reader=partial(_scaled, recording.reader, factors))


def _opened(
    source: Any,
    sfreq_hz: float | None,
    names: Sequence[str] | None,
    stream: str | None,
    trigger: str | None,
) -> Recording:
    if isinstance(source, tuple) and len(source) == 3:  # (array, sfreq_hz, names)
        if sfreq_hz is not None or names is not None:
            raise SettingsError("the tuple holds rate and labels: leave sfreq_hz and names out")
        source, sfreq_hz, names = source
    if isinstance(source, np.ndarray):
        if stream is not None:
            raise SettingsError("an array has no streams to choose from: leave stream out")
        return add_trigger_events(_of_array(source, sfreq_hz, names), trigger)
    if names is not None:
        raise SettingsError("names is for arrays: a recording holds its channel labels")
    if isinstance(source, str | Path):
        return read_recording(source, sfreq_hz=sfreq_hz, stream=stream, trigger=trigger)
    if sfreq_hz is not None or stream is not None:
        raise SettingsError(
            f"a {type(source).__name__} has its own rate and one stream: leave sfreq_hz and stream "
            "out"
        )
    if isinstance(source, Recording):
        return source if trigger is None else add_trigger_events(source, trigger)
    # Whoever holds a Raw has loaded mne; for all others it stays unloaded.
    mne = sys.modules.get("mne")
    if mne is not None and isinstance(source, mne.io.BaseRaw):
        return add_trigger_events(_reader_of("mne", "recording_of_raw")(source), trigger)
    raise SettingsError(
        "a recording is a path, an mne.io.Raw, or (array [channels, samples], sfreq_hz, names), "
        f"got {type(source).__name__}"
    )


def read_recording(
    source: str | Path,
    *,
    sfreq_hz: float | None = None,
    stream: str | None = None,
    trigger: str | None = None,
) -> Recording:
    """Open a file, a BIDS folder, or a synthetic patient by its name, as `read` does."""
    if str(source).startswith(SYNTHETIC):
        _check_options(str(source), "sfreq_hz", sfreq_hz, stream)
        words = str(source).removeprefix(SYNTHETIC)
        return add_trigger_events(_synthetic(words, sfreq_hz), trigger)
    path = Path(source)
    if not (path.exists() or path.is_symlink()):
        raise RecordingError(f"no file or folder {path}: check the path")
    form = format_of(path)
    if form is None:
        path = find_recording(path)
        form = format_of(path) or FORMATS[0]
    require_content(path)
    _check_options(path.name, form.option, sfreq_hz, stream)
    options = {"sfreq_hz": (sfreq_hz,), "stream": (stream,)}.get(form.option, ())
    by_parser = (form,) if form.parser else ()
    try:
        recording = _reader_of(form.module, form.function)(path, *by_parser, *options)
    except MontageError as error:
        raise RecordingError(f"{path}: {error}") from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {one_line(error)}") from error
    if recording.n_samples == 0 or recording.montage.n_channels == 0:
        recording.close()
        raise RecordingError(
            f"{path} holds {recording.montage.n_channels} channels of {recording.n_samples} "
            "samples: there is nothing to play"
        )
    try:
        return add_trigger_events(recording, trigger)
    except (SettingsError, RecordingError):
        recording.close()
        raise


def _check_options(name: str, option: str, sfreq_hz: float | None, stream: str | None) -> None:
    if sfreq_hz is not None and option != "sfreq_hz":
        raise SettingsError(f"{name} holds its own sampling rate: leave --sfreq out")
    if stream is not None and option != "stream":
        raise SettingsError(f"{name} has no streams to choose from: leave --stream out")


def _reader_of(module: str, function: str) -> Callable[..., Recording]:
    """A reader of this package, loaded when it is needed: mne takes a second."""
    reader: Callable[..., Recording] = getattr(
        importlib.import_module(f"rtbrain.recording.{module}"), function
    )
    return reader


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
    labels = tuple(map(str, names))
    kinds, notes = assign_kinds(labels, [""] * len(labels), default="seeg")
    montage = Montage(labels, kinds, float(sfreq_hz))
    return Recording(montage, array.shape[1], partial(_part, array), notes=notes)


def _part(array: np.ndarray[Any, Any], start: int, stop: int) -> Floats:
    return np.array(array[:, start:stop], np.float32, order="C")


def _scaled(reader: Any, factors: Doubles, start: int, stop: int) -> Floats:
    scaled: Floats = np.multiply(reader(start, stop), factors, dtype=np.float64).astype(np.float32)
    return scaled


def amplitude_note(recording: Recording, *, scale: float = 1.0) -> str | None:
    """Warning if the amplitude of the first 10 s is not that of a brain, by `amplitude_uv`."""
    kinds = recording.montage.kinds
    rows = [row for row, kind in enumerate(kinds) if kind in CONTACT_KINDS]
    size_uv = abs(scale) * amplitude_uv(_beginning(recording)[rows or slice(None)])
    if size_uv == 0:
        return "the signal is flat: most channels do not change over the first seconds"
    found = find_wrong_unit(size_uv)
    if found is None:
        return None
    text, factor = found
    return f"{text}, try --scale {scale * factor:g}"


def missing_note(recording: Recording) -> str | None:
    """Warning if values are missing (NaN) in the first 10 s."""
    rows = np.flatnonzero(np.isnan(_beginning(recording)).any(axis=1))
    names = [recording.montage.names[row] for row in rows]
    if not names:
        return None
    return f"values are missing (NaN) and are played as they are in: {', '.join(names)}"


def _beginning(recording: Recording) -> Floats:
    n_samples = round(_LOOKED_AT_S * recording.montage.sfreq_hz)
    return recording.read(0, min(max(n_samples, 2), recording.n_samples))


def read_npy(path: Path, sfreq_hz: float | None) -> Recording:
    """Open an .npy array: one channel, or [n_channels, n_samples], in µV."""
    if sfreq_hz is None:
        raise SettingsError(f"{path.name} does not hold its sampling rate: pass --sfreq, in Hz")
    if not (np.isfinite(sfreq_hz) and sfreq_hz > 0):
        raise SettingsError(f"--sfreq: expected a rate above 0 Hz, got {sfreq_hz:g}")
    n_channels, n_samples = np.atleast_2d(_array(path)).shape

    def read(start: int, stop: int) -> Floats:
        # Mapped anew: a lasting mapping keeps every page that was read in memory.
        return np.array(np.atleast_2d(_array(path))[:, start:stop], np.float32, order="C")

    notes = [f"{path.name} names no channels: numbered from 1, taken as sEEG in microvolts"]
    if n_channels > n_samples:
        notes.append(
            f"{path.name} has {n_channels} channels of {n_samples} samples: the axes must be "
            "[channels, samples]"
        )
    names = tuple(str(number) for number in range(1, n_channels + 1))
    montage = Montage(names, ("seeg",) * n_channels, float(sfreq_hz))
    return Recording(montage, n_samples, read, notes=tuple(notes))


def _array(path: Path) -> npt.NDArray[Any]:
    array = map_array(path, "it is truncated, foreign or a pickle")
    if array.ndim not in {1, 2} or array.dtype.kind not in "fiu":
        raise RecordingError(
            f"{path}: expected real numbers, one channel or [channels, samples], got {array.ndim} "
            f"axes of {array.dtype}"
        )
    return array


def _synthetic(words: str, sfreq_hz: float | None) -> Recording:
    """Synthetic patient by its seed and what differs from the defaults, at a sampling rate."""
    name = f"synthetic:{words}"
    if sfreq_hz is None:
        raise SettingsError(f"{name} has no sampling rate of its own: pass --sfreq, in Hz")
    patient, more = parse_patient(words, sfreq_hz, duration_s=_DURATION_S, start_s=0.0)
    duration_s, start_s = more["duration_s"], more["start_s"]
    if not 0 < duration_s < np.inf:
        raise SettingsError(f"{name}: duration_s must be above 0, got {duration_s:g}")
    if not 0 <= start_s < np.inf:
        raise SettingsError(f"{name}: start_s must be 0 or more, got {start_s:g}")
    n_samples, first = round(duration_s * sfreq_hz), round(start_s * sfreq_hz)
    samples = SyntheticSignal(patient).samples
    return Recording(
        patient.montage,
        n_samples,
        lambda start, stop: samples(first + start, first + stop),
        events=_states(patient, first, n_samples),
        notes=(f"{name} is synthetic: no brain was recorded",),
        subject=f"synthetic-{patient.seed}",
    )


def _states(patient: Patient, first: int, n_samples: int) -> tuple[Event, ...]:
    markers = patient.markers(first, first + n_samples)
    ends = [*markers, (first + n_samples, "")]
    rate_hz = patient.sfreq_hz
    return tuple(
        Event((start - first) / rate_hz, (stop - start) / rate_hz, text)
        for (start, text), (stop, _) in pairwise(ends)
    )
