"""Items of a corpus that are good, and must be finite."""

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.offline.corpus.corpus import CorpusSession
from rtbrain.types import Floats

__all__ = ["read_good"]


def read_good(
    session: CorpusSession, windows: npt.NDArray[np.int64], channels: npt.NDArray[np.int64]
) -> Floats:
    """Items of these (window, channel) pairs, float32 [n, ...].

    Raises
    ------
    RecordingError
        An item is not finite, although the corpus calls it good.
    """
    items = session.read(windows, channels)
    broken = np.flatnonzero(~np.isfinite(items).reshape(len(items), -1).all(axis=1))
    if broken.size:
        window, channel = windows[broken[0]], channels[broken[0]]
        raise RecordingError(
            f"session {session.session} of {session.subject}: window {window} of channel "
            f"{session.montage.names[channel]} is called good but is not finite: build the corpus "
            f"again"
        )
    return items
