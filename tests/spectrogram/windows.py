"""Windows cut from a recording, for the tests of the spectrograms."""

import numpy as np

from rtbrain.types import Floats, Mask, Quality, Window


def window_at(
    recording: Floats,
    first_sample: int,
    length_samples: int,
    good: Mask | None = None,
    lost_samples: int = 0,
) -> Window:
    """Window of a recording whose first sample is number 0, as a read-only view."""
    data = recording[:, first_sample : first_sample + length_samples]
    data.flags.writeable = False
    mask = np.ones(len(recording), bool) if good is None else good
    stop = first_sample + length_samples
    return Window(data, stop / 1000, first_sample, Quality(mask, lost_samples))
