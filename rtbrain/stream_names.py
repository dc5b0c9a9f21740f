"""Names spelled only here: of LSL streams that rtbrain sends, and of regions of the brain.

And what any stream may claim.
"""

import re
from collections.abc import Mapping, Sequence

from rtbrain.errors import MontageError, list_words, plain_text, quote

# More than any amplifier has.
MAX_CHANNELS, MAX_SFREQ_HZ = 4096, 1e6
_MAX_LABEL = 200
STATUS_TYPE = "Status"
TRIGGERS_TYPE = "Triggers"

# Channels of every decode stream behind its outputs, and their units. The last is absent from older
# recordings.
DECODE_CHANNELS = {
    "valid": "bool",
    "coverage": "fraction",
    "age_s": "seconds",
    "compute_s": "seconds",
    "drift": "ratio",
}

_DECODE = "-decode"
_STATUS = "-status"
_EVENTS = "-events"
_TRIGGERS = "-triggers"
_RECORDER = "-record"
_RECORDER_ID = "recorder:"
_MARKERS = "-markers"
_MANUAL_MARKS = "-marks"
_CUES = "-cues"


def count_outputs(labels: Sequence[str]) -> int:
    """Number of outputs among the channels of a decode stream; 0 where it is none."""
    known = tuple(DECODE_CHANNELS)
    for about in (known, known[:-1]):
        if tuple(labels[-len(about) :]) == about:
            return len(labels) - len(about)
    return 0


def decode_name(name: str) -> str:
    """``NAME-decode``: the decodes of decoder NAME."""
    return f"{name}{_DECODE}"


def status_name(name: str) -> str:
    """``NAME-status``: status events, one line of JSON each."""
    return f"{name}{_STATUS}"


def events_name(name: str) -> str:
    """``NAME-events``: the events that decoder NAME detects, one text of JSON each."""
    return f"{name}{_EVENTS}"


def triggers_name(name: str) -> str:
    """``NAME-triggers``: what came of each decision of decoder NAME, one line of JSON each."""
    return f"{name}{_TRIGGERS}"


def recorder_name(name: str) -> str:
    """``NAME-record``: name of the recorder that decoder NAME starts."""
    return f"{name}{_RECORDER}"


def markers_name(name: str) -> str:
    """``NAME-markers``: the events of a replayed, simulated or bridged signal NAME."""
    return f"{name}{_MARKERS}"


def cues_name(name: str) -> str:
    """``NAME-cues``: the cue screen of the session that decodes as NAME."""
    return f"{name}{_CUES}"


def manual_marks_name(name: str) -> str:
    """``NAME-marks``: marks that a person makes in window NAME."""
    return f"{name}{_MANUAL_MARKS}"


def window_source_id(marks: str, window: str) -> str:
    """Source id under which a live window sends manual marks; `window` is 32 hexadecimal digits."""
    return f"{marks}-{window}"


def is_window(source_id: str, marks: str) -> bool:
    """Whether a source id is one that a live window gives its manual marks of this name."""
    return re.fullmatch("[0-9a-f]{32}", source_id.removeprefix(f"{marks}-")) is not None


def is_status(stream_type: str) -> bool:
    """Whether a stream carries status events, as of a decoder or a recorder, whatever its name."""
    return stream_type == STATUS_TYPE


def is_of_decoder(stream: str, stream_type: str) -> bool:
    """Whether a stream carries what a decoder or a window says of a signal, but for decodes."""
    said = is_manual_marks(stream) or stream.endswith(_EVENTS)
    return said or stream_type in {STATUS_TYPE, TRIGGERS_TYPE}


def recorder_source_id(name: str) -> str:
    """Source id of ``NAME-status`` where a recorder sends it."""
    return f"{_RECORDER_ID}{status_name(name)}"


def is_recorder_status(stream: str, source_id: str = "") -> bool:
    """Whether a stream carries the status events of a recorder, a decoder's own or another."""
    return source_id.startswith(_RECORDER_ID) or stream.endswith(_RECORDER + _STATUS)


def is_manual_marks(stream: str) -> bool:
    """Whether a stream of this name carries manual marks."""
    return stream.endswith(_MANUAL_MARKS)


def sender_of(stream: str) -> str:
    """NAME of the decoder or recorder whose decodes or status a stream carries, or NAME itself."""
    return stream.removesuffix(_STATUS).removesuffix(_DECODE)


# Largest deviation of a rate, as a share of the one that is needed, that resampling makes up for
# (`DriftCorrection`): what is further off is another rate, not an inexact one.
RATE_TOLERANCE = 0.005
# Crystals are good to 0.005 %. Up to four times that nothing moves by a hundredth of a bin, and
# the samples are better left alone.
RATE_UNCHANGED = 2e-4
_NOTED_SHARE = 1e-6


def same_rate(sfreq_hz: float, needed_hz: float) -> bool:
    """Whether a rate can be resampled to the one that is needed."""
    return abs(sfreq_hz - needed_hz) <= RATE_TOLERANCE * needed_hz


def rate_note(sfreq_hz: float, needed_hz: float) -> str:
    """What to report of a rate that is taken for the one that is needed; empty if they agree."""
    if abs(sfreq_hz - needed_hz) <= _NOTED_SHARE * needed_hz:
        return ""
    resampled = abs(sfreq_hz - needed_hz) > RATE_UNCHANGED * needed_hz
    how = "is resampled to" if resampled else "counts as"
    return f"{sfreq_hz:.10g} Hz, which {how} {needed_hz:.10g} Hz"


def require_plausible(n_channels: int, sfreq_hz: float) -> None:
    """Refuse a number of channels, or a rate in Hz, that no amplifier has: a MontageError."""
    if n_channels > MAX_CHANNELS:
        raise MontageError(
            f"{n_channels} channels: expected at most {MAX_CHANNELS}; correct what announces them"
        )
    if not 0 < sfreq_hz <= MAX_SFREQ_HZ:  # NaN neither
        raise MontageError(
            f"a rate of {sfreq_hz:g} Hz: expected more than 0 and at most {MAX_SFREQ_HZ:g} Hz; "
            "correct what announces it"
        )


def require_labels(labels: Sequence[object]) -> None:
    """Refuse labels or kinds of channels that are no texts, or endless: a MontageError."""
    if not all(isinstance(label, str) for label in labels):
        raise MontageError("a channel has no label, or no kind")
    longest = max((len(str(label)) for label in labels), default=0)
    if longest > _MAX_LABEL:
        raise MontageError(
            f"a channel label or kind has {longest} characters: expected at most {_MAX_LABEL}"
        )


# Regions of the cortex in FreeSurfer's DKT atlas (Klein & Tourville 2012,
# doi:10.3389/fnins.2012.00171), and of those below it in its aseg.
_CORTICAL = (
    "caudalanteriorcingulate caudalmiddlefrontal cuneus entorhinal fusiform inferiorparietal "
    "inferiortemporal insula isthmuscingulate lateraloccipital lateralorbitofrontal lingual "
    "medialorbitofrontal middletemporal paracentral parahippocampal parsopercularis parsorbitalis "
    "parstriangularis pericalcarine postcentral posteriorcingulate precentral precuneus "
    "rostralanteriorcingulate rostralmiddlefrontal superiorfrontal superiorparietal "
    "superiortemporal supramarginal transversetemporal"
)
_SUBCORTICAL = "Hippocampus Amygdala Caudate Putamen Pallidum Thalamus-Proper"
REGIONS = (
    *(f"ctx-{side}-{name}" for side in ("lh", "rh") for name in _CORTICAL.split()),
    *(f"{side}-{name}" for side in ("Left", "Right") for name in _SUBCORTICAL.split()),
)
# As aparc+aseg, labels of MNE-Python and FreeSurfer's stats tables write them; FreeSurfer 7 has the
# thalamus without Proper.
_KNOWN = (
    {name.casefold(): name for name in REGIONS}
    | {
        form.format(side, name): f"ctx-{side}-{name}"
        for form in ("ctx_{}_{}", "{}-{}", "{}_{}", "{}.{}", "{1}-{0}")
        for side in ("lh", "rh")
        for name in _CORTICAL.split()
    }
    | {
        f"{side}-thalamus{end}".casefold(): f"{side}-Thalamus-Proper"
        for side in ("Left", "Right")
        for end in ("", "-proper*")
    }
    | dict.fromkeys(("", "n/a", "none", "unknown", "ctx-lh-unknown", "ctx-rh-unknown"), "")
)


def region_of(text: str) -> str | None:
    """Name of a region in `REGIONS`, empty where none is stated; None for an unknown name."""
    return _KNOWN.get(text.strip().casefold())


def require_regions(texts: Sequence[str], n_channels: int) -> tuple[str, ...]:
    """Names in `REGIONS` of these, one per channel; a MontageError that lists the unknown ones."""
    if len(texts) != n_channels:
        raise MontageError(f"{n_channels} channel labels but {len(texts)} regions")
    require_labels(texts)
    found = [region_of(text) for text in texts]
    unknown = [quote(text) for text, name in zip(texts, found, strict=True) if name is None]
    if unknown:
        raise MontageError(
            f"regions: {list_words(list(dict.fromkeys(unknown)), 16)} are not in the DKT atlas, "
            "whose names are like ctx-lh-superiortemporal and Left-Hippocampus: rename them, or "
            "leave them empty"
        )
    return tuple(name or "" for name in found)


def find_regions(
    names: Sequence[str], stated: Mapping[str, str], where: str, notes: list[str]
) -> tuple[str, ...] | None:
    """Regions of these channels by what a file states; what it calls otherwise is noted, and empty.

    None where no channel has one.
    """
    found = {name: region_of(stated[name]) for name in names if name in stated}
    unknown = dict.fromkeys(plain_text(stated[name]) for name in found if found[name] is None)
    if unknown:
        notes.append(
            f"regions in {where} that are not in the DKT atlas, left empty: "
            f"{list_words(list(unknown), 8)}"
        )
    regions = tuple(found.get(name) or "" for name in names)
    return regions if any(regions) else None
