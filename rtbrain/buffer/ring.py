"""The newest samples of every channel, kept in place."""

import numpy as np

from rtbrain.types import Floats

__all__ = ["Ring"]


class Ring:
    """Keeps the last samples and shows any number of them as one view, without copying.

    Each sample is written twice, one capacity apart, so that the newest samples always lie side
    by side somewhere: the whole buffer is never moved.

    Parameters
    ----------
    n_channels : int
        Rows.
    capacity_samples : int
        How many samples a channel are kept.

    Raises
    ------
    ValueError
        The capacity is below 1.
    """

    def __init__(self, n_channels: int, capacity_samples: int) -> None:
        if capacity_samples < 1:
            raise ValueError(f"ring: capacity must be 1 sample or more, got {capacity_samples}")
        self._n_channels = n_channels
        self._capacity = capacity_samples
        self.reset()

    def push(self, data: Floats) -> None:
        """Take samples in; the oldest make room.

        Parameters
        ----------
        data : ndarray, float32 [n_channels, n_samples]
            Any number of samples; of more than the capacity, the newest are kept.
        """
        if data.shape[0] != self._n_channels:
            raise ValueError(
                f"ring: expected {self._n_channels} channels, got an array of shape {data.shape}"
            )
        data = data[:, -self._capacity :]
        n_to_edge = min(self._capacity - self._at, data.shape[1])
        self._write(data[:, :n_to_edge])
        self._write(data[:, n_to_edge:])

    def last(self, n_samples: int) -> Floats:
        """Newest samples, NaN where none has arrived yet.

        Parameters
        ----------
        n_samples : int
            How many samples a channel, up to the capacity.

        Returns
        -------
        ndarray, float32 [n_channels, n_samples]
            A read-only view, contiguous a row. It stays as it is until more than
            ``capacity - n_samples`` samples have been pushed since, and after a reset for ever.

        Raises
        ------
        ValueError
            More samples than the capacity are asked for.
        """
        if not 0 <= n_samples <= self._capacity:
            raise ValueError(
                f"ring: expected 0 to {self._capacity} samples to look back, got {n_samples}"
            )
        stop = self._at + self._capacity
        view = self._buffer[:, stop - n_samples : stop]
        view.flags.writeable = False
        return view

    def reset(self) -> None:
        """Forget all samples; views given before keep theirs."""
        # New memory rather than NaN over the old: whoever still holds the newest window from
        # before a gap must not see it turn to NaN. Gaps are rare, and this is some milliseconds.
        self._buffer = np.full((self._n_channels, 2 * self._capacity), np.nan, np.float32)
        self._at = 0  # where the next sample goes, below the capacity

    def _write(self, data: Floats) -> None:
        stop = self._at + data.shape[1]
        self._buffer[:, self._at : stop] = data
        self._buffer[:, self._at + self._capacity : stop + self._capacity] = data
        self._at = stop % self._capacity
