"""Montage of an ``mne.Info``, of a recording or of a live FieldTrip buffer."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from mne.channels import compute_native_head_t, make_dig_montage
from mne.io.constants import FIFF
from mne.transforms import apply_trans

from rtbrain.channels import assign_kinds
from rtbrain.types import Montage
from rtbrain.units import MILLIMETRES_PER, place_channels

_SAME_M = 1e-5  # no two heads have their three points so near each other


def montage_from_info(info: Any) -> tuple[Montage, tuple[str, ...]]:
    """Montage of an ``mne.Info``, with positions in mm where it has them, and notes."""
    names = tuple(info["ch_names"])
    placed, space = positions_from_info(info, names)
    kinds, notes = assign_kinds(names, info.get_channel_types())
    positions = place_channels(names, placed)
    return Montage(names, kinds, float(info["sfreq"]), positions, space), notes


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
    to_mni = _head_to_mni(info) if frame == FIFF.FIFFV_COORD_HEAD else None
    if to_mni is not None:
        placed = {
            name: apply_trans(to_mni, channel["loc"][:3]) * MILLIMETRES_PER["m"]
            for name, channel in located
            if channel["coord_frame"] == frame
        }
        return placed, "MNI mm"
    placed = {
        name: channel["loc"][:3] * MILLIMETRES_PER["m"]
        for name, channel in located
        if channel["coord_frame"] == frame
    }
    return placed, spaces.get(frame, "unnamed mm")


@cache
def mni_to_head() -> tuple[Any, dict[str, Any]]:
    """Transform [4, 4] from MNI to the head of the template, and its three points there, m."""
    native = make_dig_montage({"any": [0.0] * 3}, coord_frame="mni_tal")
    native.add_mni_fiducials(verbose="ERROR")
    to_head = compute_native_head_t(native)["trans"]
    points = native.get_positions()
    return to_head, {key: apply_trans(to_head, points[key]) for key in ("nasion", "lpa", "rpa")}


def _head_to_mni(info: Any) -> Any:
    """Transform [4, 4] to MNI of a head whose three points are the template's; None of others.

    So MNE-Python keeps positions in MNI, after ``add_mni_fiducials``.
    """
    to_head, points = mni_to_head()
    numbers = {"lpa": FIFF.FIFFV_POINT_LPA, "rpa": FIFF.FIFFV_POINT_RPA}
    numbers["nasion"] = FIFF.FIFFV_POINT_NASION
    of_head = {
        int(point["ident"]): point["r"]
        for point in info["dig"] or ()
        if point["kind"] == FIFF.FIFFV_POINT_CARDINAL
        and point["coord_frame"] == FIFF.FIFFV_COORD_HEAD
    }
    near = all(
        int(number) in of_head and np.abs(of_head[int(number)] - points[key]).max() < _SAME_M
        for key, number in numbers.items()
    )
    return np.linalg.inv(to_head) if near else None
