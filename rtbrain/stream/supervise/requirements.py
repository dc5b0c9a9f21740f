"""What a decoder needs of a live stream, checked at connect and again at every reconnect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.channels import match_labels
from rtbrain.errors import SettingsError, StreamError, list_words
from rtbrain.stream.triggers import Trigger, parse_trigger
from rtbrain.stream_names import RATE_TOLERANCE, rate_note, same_rate
from rtbrain.types import Chunk, Ints, Montage

_LISTED = 8
_ABSENT = -1
_WINDOWS = (
    "the windows are cut at its codes: name its channel with --trigger, or a marker stream with "
    "--markers"
)
_PULSES = "the decoder blanks the pulses that it announces: send it, or refit without that step"


@dataclass(frozen=True, slots=True, eq=False)
class ChannelBinding:
    """Where a stream's channels go: from its rows to the decoder's, by label."""

    rows: Ints  # int64 [n_names]: row of the stream; -1 where it has none
    missing: tuple[str, ...]  # names that the stream does not have: NaN
    n_channels: int  # of the stream
    notes: tuple[str, ...] = ()  # accepted differences, one sentence each
    trigger: Trigger | None = None
    trigger_rows: tuple[int, ...] = ()  # of the stream
    stimulation: Trigger | None = None
    stimulation_rows: tuple[int, ...] = ()

    def apply(self, chunk: Chunk) -> Chunk:
        """Chunk with the required channels in their order, and NaN in those that the stream lacks.

        The chunk itself where the stream has exactly those channels in that order.
        """
        if chunk.data.shape[0] != self.n_channels:
            raise ValueError(
                f"chunk has {chunk.data.shape[0]} channels, the stream has {self.n_channels}"
            )
        if self.n_channels == self.rows.size and np.array_equal(
            self.rows, np.arange(self.rows.size)
        ):
            return chunk
        data = chunk.data[self.rows]  # [C, T], always a copy
        data[self.rows == _ABSENT] = np.nan
        return replace(chunk, data=data)


@dataclass(frozen=True, slots=True)
class StreamRequirements:
    """Fingerprint of the stream that a decoder was made for.

    ============  =================================================================================
    field         where the stream differs
    ============  =================================================================================
    labels        bound by label, as `match_labels` finds them (``EEG A01-Ref`` is ``A1``):
                  another order and more channels make no difference; missing
                  ones are NaN as long as `min_coverage` of the names is there, else refused
    nominal rate  refused where it differs by more than 0.5 %; what differs less is resampled to
                  it as a rate that drifts is (`DriftCorrection`), and reported
    source_id     refused, unless `accept_other_source`: another amplifier may be another patient;
                  a sender without one has nothing to compare, and is accepted and reported
    format        any format of numbers is accepted and becomes float32; a change is reported
    units         converted to µV from the header, channel by channel, by the inlet; where the
                  header is silent, µV is assumed and reported, and the amplitude is checked
                  (`rtbrain.units`)
    ============  =================================================================================
    """

    sfreq_hz: float
    names: tuple[str, ...]  # in the order that the decoder needs
    source_id: str | None = None  # None accepts any without a word
    sample_format: str | None = None  # liblsl's name; None accepts any without a word
    min_coverage: float = 0.5  # share of `names` that must be there
    accept_other_source: bool = False
    trigger: str | None = None  # channels whose codes are events, as `parse_trigger` reads them
    stimulation: str | None = None  # likewise of pulses

    def check(
        self,
        montage: Montage,
        *,
        stream: str,
        source_id: str | None = None,
        sample_format: str | None = None,
    ) -> ChannelBinding:
        """Bind a stream, which a message calls `stream`, by the montage of its header.

        Raises a StreamError where it has another rate or source_id, or too few of the channels.
        """
        self.check_source(stream, source_id)
        if not same_rate(montage.sfreq_hz, self.sfreq_hz):
            raise StreamError(
                f"stream {stream} has {montage.sfreq_hz:.10g} Hz, the decoder needs "
                f"{self.sfreq_hz:.10g} Hz to within {RATE_TOLERANCE:.1%}: send at that rate, or "
                f"refit the decoder on recordings of {montage.sfreq_hz:.10g} Hz"
            )
        row_of = {name: row for row, name in enumerate(montage.names)}
        label_of = match_labels(montage.names, self.names, stream).rows
        rows = np.array([row_of.get(label_of.get(name, ""), _ABSENT) for name in self.names])
        missing = tuple(name for name in self.names if name not in label_of)
        n_there = len(self.names) - len(missing)
        if not n_there or n_there < self.min_coverage * len(self.names):
            raise StreamError(
                f"stream {stream} has {n_there} of the decoder's {len(self.names)} channels, "
                f"{self.min_coverage:.0%} must be there; missing {list_words(missing, _LISTED)}: "
                "correct the labels at its sender, or refit the decoder"
            )
        trigger, stimulation = (
            _trigger(text, why, stream, montage)
            for text, why in ((self.trigger, _WINDOWS), (self.stimulation, _PULSES))
        )
        return ChannelBinding(
            rows,
            missing,
            montage.n_channels,
            self._notes(montage.sfreq_hz, label_of, missing, source_id, sample_format),
            trigger,
            () if trigger is None else tuple(map(row_of.__getitem__, trigger.names)),
            stimulation,
            () if stimulation is None else tuple(map(row_of.__getitem__, stimulation.names)),
        )

    def check_source(self, stream: str, source_id: str | None) -> None:
        """Refuse a sender with another source_id by a StreamError, before it is connected to."""
        differ = self.source_id and source_id and source_id != self.source_id
        if differ and not self.accept_other_source:
            raise StreamError(
                f"stream {stream} comes from source_id {source_id!r}, decoding began with "
                f"{self.source_id!r}: start that sender again, or set accept_other_source: true "
                "under stream"
            )

    def _notes(
        self,
        sfreq_hz: float,
        label_of: Mapping[str, str],
        missing: Sequence[str],
        source_id: str | None,
        sample_format: str | None,
    ) -> tuple[str, ...]:
        rate = rate_note(sfreq_hz, self.sfreq_hz)
        notes = [f"it has {rate}"] if rate else []
        differ = [f"{label} is {name}" for name, label in label_of.items() if label != name]
        if differ:
            notes.append(f"labels differ and were matched: {list_words(differ, _LISTED)}")
        if missing:
            notes.append(
                f"{len(missing)} of {len(self.names)} channels are missing and left out: "
                f"{list_words(missing, _LISTED)}"
            )
        for what, expected, got in (
            ("source_id", self.source_id, source_id),
            ("sample format", self.sample_format, sample_format),
        ):
            if expected is not None and got is not None and got != expected:
                notes.append(f"the {what} is {got!r}, it was {expected!r}")
        return tuple(notes)


def _trigger(text: str | None, why: str, stream: str, montage: Montage) -> Trigger | None:
    try:
        return None if text is None else parse_trigger(text, montage.names)
    except SettingsError as error:
        raise StreamError(f"stream {stream}: {error}; {why}") from error
