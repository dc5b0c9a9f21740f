"""From minima and maxima to the lines of traces, as one array that Qt draws in one call."""

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import internals
from PySide6 import QtCore, QtGui

from rtbrain.types import Floats

__all__ = ["Doubles", "Lines", "offsets", "segments"]

Doubles = npt.NDArray[np.float64]


def segments(
    top: Doubles, bottom: Doubles, x: Doubles, joined: npt.NDArray[np.bool_], *, wide: bool
) -> Doubles:
    """Lines that join the columns of each trace, and none where there is nothing to join.

    Columns narrower than a pixel are drawn as upright lines alone, each stretched until it meets
    the one before: half as many as a zigzag, and the quickest to draw. Wider ones as a zigzag.

    Parameters
    ----------
    top, bottom : ndarray, float64 [n_traces, n_columns]
        Ends of each column, pixels downwards; NaN where nothing is.
    x : ndarray, float64 [n_columns]
        Place of each column, pixels.
    joined : ndarray, bool [n_columns]
        Whether a line leads to this column from the one before.
    wide : bool
        Whether columns are wider than a pixel.

    Returns
    -------
    ndarray, float64 [n_lines, 4]
        ``x1, y1, x2, y2`` of each.
    """
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(top))
    kept: npt.NDArray[np.bool_] = np.asarray(there.any(axis=0))
    if not kept.all():  # gaps and the blank ahead of a sweep: without them nothing else is to do
        joined = joined.copy()
        joined[1:] &= kept[:-1]
        top, bottom, there, x = top[:, kept], bottom[:, kept], there[:, kept], x[kept]
        joined = joined[kept]
    upright_top, upright_bottom = top, bottom
    if not wide:
        upright_top, upright_bottom = top.copy(), bottom.copy()
        np.fmin(top[:, 1:], bottom[:, :-1], out=upright_top[:, 1:])
        np.fmax(bottom[:, 1:], top[:, :-1], out=upright_bottom[:, 1:])
        upright_top[:, ~joined], upright_bottom[:, ~joined] = top[:, ~joined], bottom[:, ~joined]
    lines = np.empty((*top.shape, 4))
    lines[..., 0] = lines[..., 2] = x
    lines[..., 1], lines[..., 3] = upright_top, upright_bottom
    flat: Doubles = lines.reshape(-1, 4) if there.all() else lines[there]
    if not wide or top.shape[1] < 2:
        return flat
    between = np.empty((top.shape[0], top.shape[1] - 1, 4))
    between[..., 0], between[..., 2] = x[:-1], x[1:]
    between[..., 1], between[..., 3] = bottom[:, :-1], top[:, 1:]
    drawn = there[:, 1:] & there[:, :-1] & joined[1:]
    return np.concatenate([flat, between[drawn]])


class Lines:
    """Lines kept in memory that Qt reads in place; drawn with one call, one pixel wide."""

    def __init__(self) -> None:
        # What pyqtgraph's own curves use: a million Python objects a redraw would take seconds.
        self._lines = internals.PrimitiveArray(QtCore.QLineF, 4)

    def draw(self, painter: QtGui.QPainter, ends: Doubles, colour: QtGui.QColor) -> None:
        """Draw these lines.

        Parameters
        ----------
        painter : QPainter
            Where.
        ends : ndarray, float64 [n_lines, 4]
            ``x1, y1, x2, y2`` of each, all finite.
        colour : QColor
            Of all of them.
        """
        if not len(ends):
            return
        pen = QtGui.QPen(colour, 1)
        pen.setCosmetic(True)
        painter.setPen(pen)
        self._lines.resize(len(ends))
        self._lines.ndarray()[:] = ends
        painter.drawLines(*self._lines.drawargs())


def offsets(low: Floats, high: Floats) -> Floats:
    """Median of each trace's middle over a page, from every eighth column: float32 [n_traces] µV.

    NaN where a trace has no sample.
    """
    middles = np.sort((low[:, ::8] + high[:, ::8]) / 2, axis=1)  # NaN last
    n_there = np.isfinite(middles).sum(axis=1)
    at = np.maximum(n_there - 1, 0) // 2
    middle: Floats = middles[np.arange(len(middles)), at]
    return middle
