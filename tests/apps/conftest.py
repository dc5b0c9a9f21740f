"""Commands draw some hundred pictures of few kinds: each kind is drawn once."""

from collections.abc import Iterator
from unittest import mock

import pytest
from matplotlib.figure import Figure

from rtbrain.learn.report import figures

_DRAWN: dict[tuple[tuple[str, str], ...], bytes] = {}


@pytest.fixture(autouse=True, scope="module")
def _one_picture_of_each_kind() -> Iterator[None]:
    """Pictures themselves are the subject of tests/learn; here a quarter of a second each."""
    draw = figures.png

    def once(figure: Figure, *, dpi: int = 150) -> bytes:
        kind = tuple((axes.get_title(), axes.get_ylabel()) for axes in figure.axes)
        if kind not in _DRAWN:
            _DRAWN[kind] = draw(figure, dpi=dpi)
        return _DRAWN[kind]

    with mock.patch.object(figures, "png", once):
        yield
