"""Decodes that were recorded: with labels, and where in the signal their decoder began."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.buffer import Windows
from rtbrain.bundling import build_decoder
from rtbrain.config import LabelSettings
from rtbrain.decoder import Bundle
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.fit.inputs import events_that_label
from rtbrain.learn.fit.labels import Labelled, states_from_markers
from rtbrain.live.play import decoder_for
from rtbrain.recording.formats import suffix_of
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Recording
from rtbrain.recording.xdf.streams import open_streams
from rtbrain.stream_names import DECODE_CHANNELS, count_outputs
from rtbrain.types import Decode, Quality, Times

_LOOKED_AT, _AGREE = 1000, 0.9  # decodes, and how well the ends of their windows lie on one grid
_MOST_HOPS, _WHOLE = 1000, 0.2  # of a hop that is no whole number of samples; what counts as whole


@dataclass(frozen=True, slots=True, eq=False)
class LabelledDecodes:
    """Decodes of a recording, and what was true.

    `labelled` are the labels of the valid ones, `label` gives those of any times of windows' ends;
    `n_lost` counts lost samples, where that is known.
    """

    decodes: Sequence[Decode]
    labelled: Labelled
    label: Callable[[Times], Labelled]
    n_lost: int | None = None

    @property
    def valid(self) -> list[Decode]:
        """Those that may be acted on."""
        return [decode for decode in self.decodes if decode.quality.valid]


def recorded_decodes(
    recording: Any, name: str, bundle: Bundle, labels: LabelSettings
) -> LabelledDecodes:
    """A decode stream that was recorded, with labels."""
    if labels.classes is None:
        raise SettingsError("decodes are scored against states: name their markers as classes")
    if suffix_of(path := Path(str(recording))) not in (".xdf", ".xdfz"):
        raise SettingsError(
            f"--decodes {name}: expected the XDF file of a run, got {path.name}: name that file, "
            "or leave --decodes out"
        )
    read = read_recording(recording, stream=name)
    try:
        expected = (*bundle.manifest.labels, *DECODE_CHANNELS)
        n_outputs = count_outputs(read.montage.names)
        if read.montage.names[:n_outputs] != bundle.manifest.labels:
            raise SettingsError(
                f"{name}: expected channels {', '.join(expected)}, got "
                f"{', '.join(read.montage.names)}: name a decode stream of this bundle"
            )
        features, _ = build_decoder(bundle, bundle.montage)
        delay_s, n_channels = features.neural_delay_s, features.signal.montage.n_channels
        decodes = _decodes(read, n_outputs, n_channels, delay_s)
        events = events_that_label(read.events, labels)
    finally:
        read.close()
    label = partial(states_from_markers, events=events, classes=labels.classes, lag_s=delay_s)
    t_stop = np.array([decode.t_stop for decode in decodes if decode.quality.valid])
    if not t_stop.size:
        raise RecordingError(f"{name}: none of its {len(decodes)} decodes is valid")
    return LabelledDecodes(decodes, label(t_stop), label)


def _decodes(read: Recording, n_outputs: int, n_channels: int, delay_s: float) -> list[Decode]:
    values = read.read(0, read.n_samples)  # [n_channels of the stream, T]
    stamps = read.timestamps(0, read.n_samples)
    rows = dict(zip(read.montage.names, values, strict=True))
    n_good = np.rint(n_channels * rows["coverage"])
    return [
        Decode(
            values[:n_outputs, number].copy(),
            float(stamp) - delay_s,
            float(stamp),
            Quality(np.arange(n_channels) < n_good[number], valid=bool(rows["valid"][number] > 0)),
            drift=float(rows["drift"][number]) if "drift" in rows else math.nan,
        )
        for number, stamp in enumerate([] if stamps is None else stamps)
    ]


def begin_as_live(
    recording: Recording,
    source: Any,
    name: str,
    live: LabelledDecodes,
    bundle: Bundle,
    on_note: Callable[[str], None],
) -> Recording:
    """The recording from where the decoder of its stream `name`, of `live` decodes, began.

    Windows of the same samples are compared then. Where the decoder was running before the
    recording began, it is the first sample from which windows end where the decoder's did. A note
    says which it is, or that it cannot be known.
    """
    features, _ = decoder_for(bundle, recording)
    windows, sfreq_hz = features.windows, recording.montage.sfreq_hz
    if not isinstance(windows, Windows):
        return recording  # windows at events lie where those are
    hop = windows.hop_s * sfreq_hz  # in samples of the recording, maybe not whole
    lead = (windows.n_to_end - 1) * sfreq_hz / features.signal.montage.sfreq_hz
    starts = _places(recording, Path(str(source)), name) - lead
    turns = np.exp(2j * np.pi * starts[:_LOOKED_AT] / hop)
    if not starts.size or abs(turns.mean()) < _AGREE:
        on_note(
            f"where the decoder of {name} began cannot be known from its stamps: the recording is "
            f"decoded from its first sample, and windows may lie up to {windows.hop_s:g} s apart"
        )
        return recording
    began = float(starts[0] + np.angle(turns.mean() / turns[0]) / (2 * np.pi) * hop)
    if began > -0.5 and not live.decodes[0].quality.valid:  # as no decoder's first one is
        on_note(f"decoded from sample {round(began)}, where {name} began")
        return _from_sample(recording, max(0, round(began)))
    # Whole hops earlier, or later, as near to the first sample as whole samples allow.
    others = began % hop + hop * np.arange(_MOST_HOPS)
    nearest = int(np.argmax(np.abs(others - np.rint(others)) < _WHOLE))
    on_note(f"decoded from sample {round(others[nearest])}: windows end where those of {name} did")
    return _from_sample(recording, round(others[nearest]))


def _places(recording: Recording, path: Path, name: str) -> Times:
    """Where in the recording each window ends, in samples; none where the stream is not clear."""
    with open_streams(path) as (streams, _):
        sent = [one for one in streams if one.name == name]
        signals = [
            one
            for one in streams
            if one.stamps.size == recording.n_samples and one not in sent and one.sfreq_hz > 0
        ]
        if len(sent) != 1 or len(signals) != 1:
            return np.empty(0)
        stamps: Times = signals[0].stamps
        return np.interp(sent[0].stamps, stamps, np.arange(stamps.size))


def _from_sample(recording: Recording, first: int) -> Recording:
    """A recording from one of its samples on; events before it keep their place."""
    whole, stamps = recording.reader, recording.stamps
    start_s = first / recording.montage.sfreq_hz if stamps is None else float(stamps[first])
    return replace(
        recording,
        n_samples=recording.n_samples - first,
        reader=lambda start, stop: whole(first + start, first + stop),
        stamps=None if stamps is None else stamps[first:] - start_s,
        events=tuple(replace(one, onset_s=one.onset_s - start_s) for one in recording.events),
    )
