"""The status line is one line, and becomes the alarm line without moving anything."""

import itertools
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QImage, QPainter

from rtbrain.view.alarms.conditions import Situation, conditions
from rtbrain.view.health.cells import Cell
from rtbrain.view.health.line import LineText, StatusLine
from rtbrain.view.health.pill import paint_pill, pill_words
from rtbrain.view.health.recorder import Recording
from rtbrain.view.health.sentence import fit_sentence
from rtbrain.view.theme import DARK, LIGHT, contrast, large

NAME = "a-stream-of-the-ward-with-a-name-of-forty"
CELLS = (
    Cell("recording", "Recording  ·  this signal, 4 streams", "00:12:31", "run-03.xdf", elides=4,
         elides_note=True),
    Cell("signal", "Signal", "patient", "2048 Hz, 0 lost", "fine", tip="of the signal", elides=3),
    Cell("decoder", "Decoder", "ward", "live", "fine", elides=2, may_go=True),
    Cell("age", "Decode age", "0.22 s", "", "fine"),
    Cell("contacts", "Contacts", "30", "of 32 good", "look"),
    Cell("skipped", "Skipped decodes", "0", "", "fine", wide_only=True, may_go=True),
    Cell("load", "Load", "31 %", "", "fine", wide_only=True, may_go=True),
    Cell("disk", "Disk", "58 GB", "61 h", "fine", may_go=True),
)  # fmt: skip
LOST = Situation(100.0, signal="ward-amp", silent_s=4.2, detects=True)
STATES = ("none", "rec", "no_signal", "other", "failed")


@pytest.fixture
def line(qtbot):
    def make(width=1280, theme=DARK, **text):
        made = StatusLine(theme)
        qtbot.addWidget(made)
        made.resize(width, theme.px(44))
        made.show()
        made.show_text(LineText(**{"cells": CELLS, **text}))
        made.picture = made.grab().toImage()
        return made

    return make


def boxes(made):
    return {cell.key: box for cell, box in made._placed}


def test_all_cells_of_the_design_have_room_at_1280(line):
    assert line(recording="rec").names == [c.key for c in CELLS if not c.wide_only]
    assert line(1920, recording="rec").names == [cell.key for cell in CELLS]


@pytest.mark.parametrize("width", [1024, 1280, 1920])
@pytest.mark.parametrize("state", STATES)
def test_with_names_of_40_letters_it_is_one_line_in_which_nothing_overlaps(line, width, state):
    cells = tuple(replace(c, value=NAME) if c.elides and not c.elides_note else c for c in CELLS)
    made = line(width, recording=state, cells=cells)
    placed = list(boxes(made).values())
    assert all(not one.intersects(other) for one, other in itertools.combinations(placed, 2))
    assert placed[-1].right() <= made._right
    assert made.height() == 44
    assert "signal" in made.names


def test_where_there_is_no_room_the_last_cells_go_but_none_that_is_not_fine(line):
    wide = tuple(replace(cell, note=cell.note * 3) for cell in CELLS)
    made = line(1024, cells=wide)
    assert "disk" not in made.names
    assert {"recording", "signal", "age", "contacts"} <= set(made.names)


@pytest.mark.parametrize("key", ["disk", "contacts", "decoder"])
def test_a_cell_with_an_alarm_stays_at_every_width(line, key):
    cells = tuple(replace(c, level="look", may_go=False) if c.key == key else c for c in CELLS)
    assert key in line(1024, cells=cells).names


def test_a_cell_that_says_less_keeps_its_width_so_that_the_others_stay(line):
    made = line()
    before = boxes(made)
    shorter = tuple(replace(c, note="0") if c.key == "signal" else c for c in CELLS)
    made.show_text(LineText(cells=shorter))
    made.grab()
    assert boxes(made) == before


@pytest.mark.parametrize("theme", [DARK, LIGHT, large(DARK)], ids=["dark", "light", "large"])
def test_an_alarm_takes_the_place_of_the_cells_at_the_same_height(line, theme):
    made = line(1280, theme, recording="no_signal")
    size, calm = made.size(), made.picture
    alarm, waiting = conditions(LOST)
    made.show_text(LineText("no_signal", CELLS, alarm, (waiting,)))
    picture = made.grab().toImage()
    assert made.size() == size
    assert picture.pixelColor(2, 2) == QColor(theme.alarm)
    assert calm.pixelColor(2, 2) == QColor(theme.bg2)
    assert made.see.isVisible()
    assert made.next.text() == ("+1" if theme.large else "+1   Detections off")
    assert made.see.geometry().right() < made._right
    assert not made.see.geometry().intersects(made.next.geometry())
    made.show_text(LineText("rec", CELLS))
    assert not made.see.isVisible()
    assert not made.next.isVisible()


def test_medium_alarms_are_yellow_and_differ_in_shape_from_high_ones(line):
    (medium,) = conditions(Situation(1.0, signal="a", recording=Recording("other")))
    made = line(alarm=medium, recording="other")
    assert made.picture.pixelColor(2, 2) == QColor(DARK.medium)
    (high,) = conditions(replace(LOST, detects=False))
    grey = made.picture.convertToFormat(made.picture.Format.Format_Grayscale8)
    red = line(alarm=high).picture.convertToFormat(grey.format())
    assert grey != red


def test_the_buttons_see_the_alarm_and_show_the_next(qtbot, line):
    alarm, waiting = conditions(LOST)
    made = line(alarm=alarm, waiting=(waiting,))
    with qtbot.waitSignal(made.seen):
        qtbot.mouseClick(made.see, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(made.turned):
        qtbot.mouseClick(made.next, Qt.MouseButton.LeftButton)


def test_the_states_of_the_recording_differ_in_words_and_in_a_grey_picture(line):
    assert len({pill_words(state) for state in STATES}) == len(STATES)
    greys = []
    for state in STATES:
        made = line(recording=state, cells=())
        picture = made.picture.convertToFormat(made.picture.Format.Format_Grayscale8)
        greys.append(picture.copy(0, 0, 130, 44))
    assert all(one != other for one, other in itertools.combinations(greys, 2))


def test_each_cell_has_its_tip(line):
    made = line()
    middle = boxes(made)["signal"].center()
    assert made._tip_at(middle) == "of the signal"
    assert made._tip_at(QPoint(made.width() - 1, 5)) == ""


def test_what_is_over_is_plain_text_on_the_plain_ground(line):
    made = line(over="Signal back after 4.2 s, 8602 samples lost")
    assert made.names == []
    assert made.picture.pixelColor(2, 2) == QColor(DARK.bg2)


def test_names_of_strangers_are_shown_as_they_are(line):
    (alarm,) = conditions(replace(LOST, detects=False, signal="<img src=x> **b** {0}"))
    made = line(alarm=alarm)
    assert made.shown.alarm == alarm
    document = fit_sentence(alarm.sentence, 600.0, 2, "#ffffff", DARK)
    assert "<img src=x>" in document.toPlainText()


@pytest.mark.parametrize("width", [1024, 1280])
@pytest.mark.parametrize("theme", [DARK, large(DARK)], ids=["small", "large"])
@pytest.mark.parametrize("name", ["ward-amp", NAME])
def test_an_alarm_is_whole_in_its_tip_and_its_sentence_stays_in_the_line(
    line, monkeypatch, width, theme, name
):
    alarm, waiting = conditions(replace(LOST, signal=name))
    made = line(width, theme, alarm=alarm, waiting=(waiting,), recording="no_signal")
    drawn = []

    def note(*args):
        drawn.append(fit_sentence(*args))
        return drawn[-1]

    monkeypatch.setattr("rtbrain.view.health.line.fit_sentence", note)
    made.grab()
    (sentence,) = drawn
    assert sentence.size().height() <= made.height()
    assert sentence.textWidth() >= theme.px(200)
    assert sentence.toPlainText().startswith(f"Nothing comes from {name[:20]}")
    assert made.see.geometry().right() < made.width()
    tip = made._tip_at(QPoint(width // 2, 20))
    assert name in tip
    assert tip.startswith(f"{alarm.title}. ")
    assert "**" not in tip


@pytest.mark.parametrize("recording", STATES)
def test_in_large_type_no_cell_is_painted_over_the_clock(line, recording):
    wrong = tuple(replace(cell, level="look", may_go=False) for cell in CELLS if not cell.wide_only)
    made = line(1024, large(DARK), recording=recording, cells=wrong)
    placed = boxes(made)
    assert set(placed) == {cell.key for cell in wrong}
    assert max(box.right() for box in placed.values()) <= made._right
    assert all(box.width() >= made._theme.px(40) for box in placed.values())
    ends = []
    keep = made._write

    def note(painter, x, *rest):
        ends.append((x, x + keep(painter, x, *rest)))
        return ends[-1][1] - x

    made._write = note
    made.grab()
    boxed = list(placed.values())
    assert all(any(b.left() <= x and end <= b.right() for b in boxed) for x, end in ends)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
@pytest.mark.parametrize("state", STATES)
def test_each_pill_has_an_edge_on_the_line(qtbot, state, theme):
    picture = QImage(260, 44, QImage.Format.Format_RGB32)
    picture.fill(QColor(theme.bg2))
    with QPainter(picture) as painter:
        right = paint_pill(painter, 8, 22, state, theme)
    column = [picture.pixelColor(round(right / 2), y).name() for y in range(22)]
    edge = next(y for y, colour in enumerate(column) if colour != theme.bg2)
    strongest = max(contrast(colour, theme.bg2) for colour in column[edge : edge + 3])
    assert strongest >= 3


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_a_yellow_line_has_edges_on_the_window(line, theme):
    alarm = conditions(Situation(100.0, signal="amp", decode_age_s=1.9))[0]
    picture = line(theme=theme, alarm=alarm).picture
    for y in (0, 43):
        assert contrast(picture.pixelColor(1270, y).name(), theme.bg1) >= 3
