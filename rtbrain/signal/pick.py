"""Choice of channels within the signal chain, by label or by kind."""

from collections.abc import Sequence

import numpy as np

from rtbrain.errors import MontageError
from rtbrain.types import Chunk, Floats, Montage

__all__ = ["Pick"]


class Pick:
    """Lets some channels through.

    Parameters
    ----------
    montage : Montage
        Channels of the chunks that come in.
    names : sequence of str, optional
        Labels to keep, in the order wished for; without it all, in the montage's order.
    kinds : sequence of str, optional
        Kinds to keep, among the labels to keep.

    Raises
    ------
    MontageError
        A label is not in the montage, or no channel is left.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        names: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> None:
        rows = montage.rows(montage.names if names is None else names)
        if kinds is not None:
            rows = [row for row in rows if montage.kinds[row] in kinds]
        if not rows:
            there = ", ".join(sorted(set(montage.kinds))) or "none"
            raise MontageError(
                f"pick: no channel is left of {montage.n_channels} after names {names} and kinds "
                f"{kinds}; the kinds there are: {there}"
            )
        self.montage = montage.pick([montage.names[row] for row in rows])
        self._rows = np.asarray(rows)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the channels kept."""
        data: Floats = chunk.data[self._rows]
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Do nothing: no state is carried."""
