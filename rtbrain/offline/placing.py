"""Contacts without a position: the Population Transformer cannot read them, the rest it can."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rtbrain.encoder import lip_positions
from rtbrain.offline.corpus.corpus import CorpusSession
from rtbrain.types import Mask, Montage

__all__ = ["placed_positions", "where_placed"]


def placed_positions(montage: Montage) -> tuple[npt.NDArray[np.int64], Mask]:
    """Positions of the contacts that have one, and which these are.

    Parameters
    ----------
    montage : Montage
        As in `rtbrain.encoder.lip_positions`; rows of NaN are contacts without a position.

    Returns
    -------
    positions : ndarray, int64 [n_channels, 3]
        L, I, P voxels; zeros where there is none, not to be read.
    placed : ndarray, bool [n_channels]
        Whether there is one.

    Raises
    ------
    MontageError
        No contact has one, their space is unknown, or one falls outside the table.
    """
    placed = np.zeros(montage.n_channels, np.bool_)
    if montage.positions is not None:
        placed[:] = np.isfinite(montage.positions).all(axis=1)
    if not placed.any():
        return lip_positions(montage), placed  # tells what is missing
    names = [name for name, there in zip(montage.names, placed, strict=True) if there]
    positions = np.zeros((montage.n_channels, 3), np.int64)
    positions[placed] = lip_positions(montage.pick(names))
    return positions, placed


def where_placed(session: CorpusSession, placed: Mask) -> CorpusSession:
    """The session with contacts that have no position called not good.

    Parameters
    ----------
    session : CorpusSession
        Of any form.
    placed : ndarray, bool [n_channels]
        As of `placed_positions`.
    """
    return session if placed.all() else replace(session, good=session.good & placed)
