"""Pictures beside reports: made without a display, written whole, the same bytes each time."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rtbrain.files import atomic_file


def new_figure(width_in: float, height_in: float) -> Figure:
    """Empty figure that needs no display."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a PNG, whole or not at all.

    Neither date nor version is in it, so that the same figures give the same bytes.
    """
    with atomic_file(path) as part:
        figure.savefig(part, dpi=dpi, format="png", metadata={"Software": None})
