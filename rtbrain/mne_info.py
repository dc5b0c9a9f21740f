"""Montage of an ``mne.Info``, of a recording or of a live FieldTrip buffer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mne.io.constants import FIFF

from rtbrain.types import Montage
from rtbrain.units import MILLIMETRES_PER, place_channels


def montage_from_info(info: Any) -> Montage:
    """Montage of an ``mne.Info``: labels, kinds, rate, and positions in mm where it has them."""
    names = tuple(info["ch_names"])
    placed, space = positions_from_info(info, names)
    kinds = tuple(info.get_channel_types())
    return Montage(names, kinds, float(info["sfreq"]), place_channels(names, placed), space)


def positions_from_info(info: Any, names: Sequence[str]) -> tuple[dict[str, Any], str | None]:
    """Positions in mm of the channels that have one, and the space of the first one's frame."""
    spaces = {
        FIFF.FIFFV_MNE_COORD_MNI_TAL: "MNI mm",
        FIFF.FIFFV_COORD_HEAD: "head mm",
        FIFF.FIFFV_COORD_MRI: "MRI mm",
    }
    # The format writes three zeros for an unknown position.
    located = [
        (name, channel)
        for name, channel in zip(names, info["chs"], strict=True)
        if np.isfinite(channel["loc"][:3]).all() and np.any(channel["loc"][:3])
    ]
    if not located:
        return {}, None
    frame = located[0][1]["coord_frame"]
    placed = {
        name: channel["loc"][:3] * MILLIMETRES_PER["m"]
        for name, channel in located
        if channel["coord_frame"] == frame
    }
    return placed, spaces.get(frame, "unnamed mm")
