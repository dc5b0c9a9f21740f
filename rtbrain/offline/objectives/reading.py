"""Items of a corpus that are good, and must be finite."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.offline.corpus.corpus import CorpusSession
from rtbrain.types import Floats

__all__ = ["GoodItems", "read_good"]


class GoodItems:
    """Windows of single channels that are good, numbered.

    They are numbered over the sessions, and within one by window and channel.

    Parameters
    ----------
    sessions : sequence of CorpusSession
        Of one form.

    Attributes
    ----------
    shape : tuple of int
        Of an item.

    Raises
    ------
    SettingsError
        No item is good.
    """

    def __init__(self, sessions: Sequence[CorpusSession]) -> None:
        self._sessions = tuple(sessions)
        self._good = [np.flatnonzero(session.good) for session in self._sessions]
        self._starts = np.cumsum([0, *(good.size for good in self._good)])
        if not len(self):
            raise SettingsError(
                f"expected windows with a good channel, got none in {len(self._sessions)} "
                f"sessions: see what the corpus left out and why with rtbrain corpus show"
            )
        self.shape = self._sessions[0].shards[0].shape[2:]

    def __len__(self) -> int:
        """How many items there are."""
        return int(self._starts[-1])

    def read(self, items: npt.NDArray[np.int64]) -> Floats:
        """Items of these numbers, float32 [B, ...].

        Raises
        ------
        RecordingError
            A window that the corpus calls good is not finite.
        """
        of = np.searchsorted(self._starts, items, side="right") - 1
        out = np.empty((len(items), *self.shape), np.float32)
        for number in np.unique(of).tolist():
            session, rows = self._sessions[number], np.flatnonzero(of == number)
            good = self._good[number][items[rows] - self._starts[number]]
            out[rows] = read_good(session, *np.divmod(good, session.montage.n_channels))
        return out


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
