"""What others wrote is shown as it is: labels and tool tips know no markup."""

import ast
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

import rtbrain.view
from rtbrain.view.theme import plain_label, plain_tip, set_tip

HOSTILE = "<img src=/dev/zero> <b>x</b> &amp; \n<h1>A</h1>"


def test_a_label_shows_tags_as_they_are(qtbot: QtBot) -> None:
    label = plain_label(HOSTILE)
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.text() == HOSTILE


@pytest.mark.parametrize("text", [HOSTILE, "a &lt; b", "x", "1 < 2 & 3 > 2", "<qt>", "&"])
def test_a_tool_tip_shows_tags_as_they_are(qtbot: QtBot, text: str) -> None:
    widget = QWidget()
    qtbot.addWidget(widget)
    set_tip(widget, text)
    # As it begins with a tag, Qt takes it for a document, and for the same one always.
    assert widget.toolTip().startswith("<span ")
    document = QTextDocument()
    document.setHtml(widget.toolTip())
    assert document.toPlainText() == text
    assert plain_tip("") == ""
    assert len(plain_tip("<" * 10**6)) < 20_000


def test_no_label_or_tool_tip_is_made_in_another_way() -> None:
    found = []
    for path in Path(next(iter(rtbrain.view.__path__))).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).split(".")[-1]
                if called in {"QLabel", "setToolTip", "setHtml", "setWhatsThis"}:
                    found.append(f"{path.name}: {called}")
    assert sorted(found) == ["theme.py: QLabel", "theme.py: setToolTip"]
