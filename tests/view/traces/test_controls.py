"""The toolbar of the traces: what has no room is left out, and nothing lies over anything else."""

import itertools

import pytest
from PySide6.QtWidgets import QComboBox, QLabel, QWidget
from pytestqt.qtbot import QtBot

from rtbrain.view.theme import DARK, Theme, large
from rtbrain.view.traces.controls import TraceControls


def shown_parts(controls: TraceControls) -> list[QWidget]:
    parts = controls.findChildren(QWidget)
    own = [part for part in parts if part.parent() is controls and part.isVisible()]
    return sorted(own, key=lambda part: part.x())


@pytest.mark.parametrize(
    ("width", "theme"),
    [(522, large(DARK)), (560, DARK), (686, DARK), (950, DARK), (950, large(DARK)), (1470, DARK)],
)
def test_no_part_lies_over_another_and_what_is_shown_is_said_in_full(
    qtbot: QtBot, width: int, theme: Theme
) -> None:
    controls = TraceControls()
    qtbot.addWidget(controls)
    controls.restyle(theme)
    controls.resize(2000, theme.px(30))
    controls.show()
    controls.resize(width, theme.px(30))  # as a window is made smaller
    controls.describe(f"{'' if controls.is_narrow else 'contacts '}101 to 136 of 256", "1000 µV")
    qtbot.waitUntil(lambda: controls.note.width() >= controls.note.sizeHint().width())
    parts = shown_parts(controls)
    for left, right in itertools.pairwise(parts):
        assert left.geometry().right() < right.x(), (left, right)
    assert parts[0].x() >= 0
    assert parts[-1].geometry().right() < width
    assert [part for part in parts if isinstance(part, QLabel)][-1] is controls.note
    assert {controls.page, controls.reference, controls.notch} <= set(parts)
    if width > 900 and not theme.large:
        menus = (part for part in parts if isinstance(part, QComboBox))
        assert all(menu.width() >= menu.sizeHint().width() for menu in menus)
