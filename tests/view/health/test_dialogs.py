"""The log and the details are read and copied while they change."""

import pytest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from rtbrain.view.health.dialogs import TextDialog

LONG = "\n".join(f"line {n}" for n in range(200))


@pytest.fixture
def parent(qtbot: QtBot) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    made.resize(1280, 800)
    return made


@pytest.mark.parametrize("grows", [False, True])
def test_a_text_is_shown_from_its_top_and_one_that_grows_from_its_end(
    parent: QWidget, grows: bool
) -> None:
    dialog = TextDialog("a", parent, grows=grows)
    dialog.toggle()
    dialog.show_text(LONG)
    bar = dialog.body.verticalScrollBar()
    assert bar.maximum() > 0
    assert bar.value() == (bar.maximum() if grows else 0)
    dialog.show_text(f"{LONG}\nmore")
    assert bar.value() == (bar.maximum() if grows else 0)
    bar.setValue(7)
    dialog.show_text(f"{LONG}\nmore\nand more")
    assert bar.value() == 7  # where a person reads


def test_a_selection_stays_until_it_is_copied(parent: QWidget) -> None:
    dialog = TextDialog("a", parent)
    dialog.toggle()
    dialog.show_text("age 0.22 s")
    dialog.body.selectAll()
    dialog.show_text("age 0.23 s")
    assert dialog.body.textCursor().selectedText() == "age 0.22 s"
    cursor = dialog.body.textCursor()
    cursor.clearSelection()
    dialog.body.setTextCursor(cursor)
    dialog.show_text("age 0.24 s")
    assert dialog.body.toPlainText() == "age 0.24 s"
