"""What a header or a file may claim at most: checked before memory is taken for it."""

from collections.abc import Sequence

from rtbrain.errors import MontageError

# More than any amplifier has.
MAX_CHANNELS, MAX_SFREQ_HZ = 4096, 1e6
_MAX_LABEL = 200


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
