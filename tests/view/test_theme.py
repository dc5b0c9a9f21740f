"""What others wrote is shown as it is: labels and tool tips know no markup."""

import ast
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QFontMetricsF, QTextDocument
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

import rtbrain.view
from rtbrain.view.theme import (
    DARK,
    LIGHT,
    Theme,
    contrast,
    large,
    plain_label,
    plain_tip,
    set_tip,
    ui_family,
)

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


TEXT = ["text", "text2", "faint", "accent", "ok", "warn", "bad", "origin"]


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_every_text_and_state_can_be_read_on_every_ground(theme: Theme) -> None:
    weakest = {
        (ink, ground): contrast(getattr(theme, ink), getattr(theme, ground))
        for ink in TEXT
        for ground in ("bg0", "bg1", "bg2")
    }
    assert min(weakest.values()) >= 4.5, min(weakest.items(), key=lambda one: one[1])
    for ink, ground in (
        ("on_accent", "accent"),
        ("on_origin", "origin"),
        ("on_alarm", "alarm"),
        ("on_medium", "medium"),
        ("bg0", "text"),
    ):
        assert contrast(getattr(theme, ink), getattr(theme, ground)) >= 4.5, (ink, ground)
    for ground in ("bg0", "bg1"):
        assert contrast(theme.ctl, getattr(theme, ground)) >= 3, ground
    assert contrast(theme.trace_bad, theme.bg0) >= 3


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # as WCAG's tools say


def test_the_type_has_figures_of_one_width_and_grows_with_the_scale(qtbot: QtBot) -> None:
    font = DARK.font(20, 700)
    metrics = QFontMetricsF(font)
    assert metrics.horizontalAdvance("1111") == pytest.approx(metrics.horizontalAdvance("0000"))
    assert large(DARK).font(20).pixelSize() == 30
    widths = [
        QFontMetricsF(DARK.font(20, weight)).horizontalAdvance("m" * 20)
        for weight in (400, 600, 800)
    ]
    assert widths == sorted(set(widths))
    assert ui_family().startswith("Inter")


def test_without_its_package_the_type_is_the_systems(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtbrain.view.theme.inter_path", lambda: None)
    assert (
        ui_family.__wrapped__()
        == QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont).family()
    )
