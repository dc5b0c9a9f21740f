"""Whether a stream is one that a bundle's decoder can read."""

from rtbrain.decoder.bundle import Bundle
from rtbrain.errors import StreamError
from rtbrain.types import Montage

__all__ = ["refuse_unlike"]


def refuse_unlike(bundle: Bundle, montage: Montage) -> None:
    """Refuse a stream that lacks what the decoder was fitted on.

    Parameters
    ----------
    bundle : Bundle
        The decoder.
    montage : Montage
        Channels and rate of the stream; more channels than the decoder's are no harm.

    Raises
    ------
    StreamError
        The stream lacks a channel of the bundle, or has another rate.
    """
    fitted = bundle.montage
    missing = [name for name in fitted.names if name not in montage.names]
    if missing:
        some = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        raise StreamError(
            f"stream has {montage.n_channels} channels but not {some}: the decoder was fitted on "
            f"{fitted.n_channels}, and finds them by label; rename them at the amplifier, or refit"
        )
    if abs(montage.sfreq_hz - fitted.sfreq_hz) > 1e-6 * fitted.sfreq_hz:
        raise StreamError(
            f"stream has {montage.sfreq_hz:g} Hz, the decoder was fitted on {fitted.sfreq_hz:g}: "
            "set the amplifier to that rate, or refit"
        )
