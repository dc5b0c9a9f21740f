"""Pictures beside reports: made without a display, written whole, the same bytes each time."""

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rtbrain.files import write_atomically


def new_figure(width_in: float, height_in: float) -> Figure:
    """Empty figure that needs no display."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, *, dpi: int = 150) -> bytes:
    """PNG of a figure, without date and version: the same figures give the same bytes."""
    out = io.BytesIO()
    figure.savefig(out, dpi=dpi, format="png", metadata={"Software": None})
    return out.getvalue()


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a PNG, whole or not at all."""
    write_atomically(path, png(figure, dpi=dpi))
