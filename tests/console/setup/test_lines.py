"""The lines of Set up, by hand: streams get roles, and markers names."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from rtbrain.check.doctor.signal import SignalReading
from rtbrain.console.setup.markers import classes_of, target_of
from tests.console.setup.conftest import (
    AMP,
    MONTAGE,
    TASK,
    choose,
    used,
)


def test_one_stream_is_the_signal_and_one_sends_the_markers(page):
    choose(page, "amp", "signal")
    choose(page, "task", "markers")
    assert used(page) == {"amp": "signal", "task": "markers"}
    assert (page.doctor.expected.stream, page.doctor.expected.source_id) == ("amp", "a")
    assert page.doctor.expected.markers_id == "t"
    page.doctor.streams = (AMP, TASK, replace(AMP, name="amp-2"), replace(TASK, name="other"))
    page.draw_now()
    choose(page, "amp-2", "signal")
    choose(page, "other", "markers")
    assert used(page) == {"task": "record", "amp-2": "signal", "other": "markers"}
    choose(page, "other", "")
    assert "other" not in used(page)


def test_roles_are_those_that_a_stream_can_have(page):
    roles = {
        name: [page.streams.line(name).role.itemText(at) for at in range(3)]
        for name in ("amp", "task")
    }
    assert roles == {
        "amp": ["Signal", "Record too", "Not used"],
        "task": ["Markers", "Record too", "Not used"],
    }


def test_a_stream_that_is_used_and_gone_stays_in_the_list(page):
    choose(page, "task", "markers")
    page.doctor.streams = (AMP,)
    page.draw_now()
    line = page.streams.line("task")
    assert line.role.currentText() == "Markers"
    assert line.row.sends == "not there now"
    choose(page, "task", "")
    page.draw_now()
    assert not used(page)


def test_a_line_keeps_its_stream_and_its_focus_where_others_come_and_the_order_changes(qtbot, page):
    role = page.streams.line("task").role
    role.setFocus()
    other = replace(AMP, uid="u3", name="abc", source_id="b", triggers=())
    page.doctor.streams = (other, AMP, TASK)
    page.draw_now()
    assert [line.row.key[0] for line in page.streams.rows] == ["abc", "amp", "task"]
    choose(page, "amp", "signal")
    page.draw_now()
    assert [line.row.key[0] for line in page.streams.rows][:2] == ["amp", "amp"]  # and its triggers
    assert role.hasFocus()
    for _ in range(2):
        qtbot.keyClick(role, Qt.Key.Key_Up)
    page.draw_now()
    assert used(page) == {"amp": "signal", "task": "markers"}
    names = []
    page.streams.rows[0].role.setFocus()
    for _ in range(4):  # Tab follows the order on the screen
        names.append(QApplication.focusWidget().accessibleName().split(":")[0])
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert names == ["amp", "amp", "", "task"]
    page.doctor.streams = (AMP,)
    choose(page, "task", "")
    page.draw_now()
    assert {line.row.key[0] for line in page.streams.rows} == {"amp"}


def test_tab_reaches_the_names_of_markers_between_the_streams_and_what_is_below(qtbot, page):
    choose(page, "amp", "signal")
    choose(page, "task", "markers")
    page.draw_now()
    names, seen = list(page.markers.rows.values()), []
    qtbot.waitUntil(names[-1].isVisible)
    page.streams.rows[0].role.setFocus()
    for _ in range(30):
        seen.append(QApplication.focusWidget())
        qtbot.keyClick(seen[-1], Qt.Key.Key_Tab)
    places = [seen.index(one.name) for one in names]
    assert places == list(range(places[0], places[0] + 3))
    assert max(seen.index(line.role) for line in page.streams.rows) < places[0]
    below = [at for at, one in enumerate(seen) if page.about.isAncestorOf(one)]
    assert places[-1] < min(below)


def test_codes_of_an_integer_stream_get_names_by_the_keyboard(qtbot, page):
    choose(page, "task", "markers")
    assert list(page.markers.rows) == ["1", "2", "9"]
    for code, name in (("1", "rest"), ("2", "speech")):
        edit = page.markers.rows[code].edit
        edit.setFocus()
        qtbot.keyClicks(edit, name)
        page.draw_now()  # what is typed is left alone
        qtbot.keyClick(edit, Qt.Key.Key_Return)
    box = page.markers.rows["9"].name
    box.setCurrentIndex(box.findText("ignore"))
    box.activated.emit(box.currentIndex())
    settings = page.session.settings
    assert settings.markers == {"1": "rest", "2": "speech", "9": "ignore"}
    assert (settings.classes, settings.target) == (("rest", "speech"), "speech")
    page.markers.rows["1"].target.click()
    assert page.session.settings.target == "rest"
    edit = page.markers.rows["2"].edit
    edit.selectAll()
    qtbot.keyClick(edit, Qt.Key.Key_Delete)
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert page.session.settings.markers == {"1": "rest", "9": "ignore"}
    assert page.session.settings.classes == ("rest",)


def test_a_marker_that_is_a_word_stands_for_itself_until_a_person_names_it(page):
    codes = {"go": 1, "rest": 2, "7": 4, "pause": 3}  # the last is a word of the cue screen
    page.doctor.streams = (AMP, replace(TASK, is_text=True, codes=codes))
    choose(page, "task", "markers")
    page.draw_now()
    assert page.session.settings.markers == {"go": "go", "rest": "rest"}
    assert page.session.settings.target == "go"
    page.name_it("go", "")
    page.draw_now()
    assert page.session.settings.markers == {"rest": "rest"}


@pytest.mark.parametrize("plan", [None, {"classes": ["rest", "speech"]}])
def test_words_are_no_names_beside_a_plan_of_cues_nor_where_there_are_many(page, plan):
    n = 3 if plan else 7
    codes = {f"word {number}": 1 for number in range(n)}
    page.session.change(plan=plan)
    page.doctor.streams = (AMP, replace(TASK, is_text=True, codes=codes))
    choose(page, "task", "markers")
    page.draw_now()
    assert page.session.settings.markers == {}


def test_a_name_for_a_marker_leaves_the_classes_of_the_plan_of_cues_alone(page):
    page.session.change(
        plan={"classes": ["rest", "speech"]}, classes=("rest", "speech"), target="speech"
    )
    page.name_it("7", "artifact")
    settings = page.session.settings
    assert (settings.classes, settings.target) == (("rest", "speech"), "speech")
    assert settings.markers == {"7": "artifact"}


def test_a_trigger_channel_is_chosen_and_named_in_the_same_list(qtbot, page):
    choose(page, "task", "markers")
    choose(page, "amp", "signal")
    page.doctor.reading = SignalReading(MONTAGE, codes={"TRIG": {"4": 3}})
    page.draw_now()
    line = page.streams.line("TRIG")
    assert line.channel.currentText() == "TRIG"
    choose(page, "TRIG", "markers")
    assert page.session.settings.trigger == "TRIG"
    assert used(page) == {"task": "record", "amp": "signal"}
    assert list(page.markers.rows) == ["4"]
    line.edit.setFocus()
    line.edit.setText("TRIG:0xFF")
    qtbot.keyClick(line.edit, Qt.Key.Key_Return)
    assert page.session.settings.trigger == "TRIG:0xFF"
    choose(page, "task", "markers")
    assert page.session.settings.trigger is None


def test_a_wrong_code_is_refused_in_one_line_and_the_field_shows_what_holds(qtbot, page):
    field = page.about.fields["code"]
    field.setText("Jane Doe")
    field.editingFinished.emit()
    (line,) = page.said
    assert "code" in line
    assert "\n" not in line
    assert page.session.settings.code == "sub-01"
    field.setText("sub-07")
    field.editingFinished.emit()
    assert page.session.settings.code == "sub-07"


def test_classes_keep_their_order_and_rest_is_no_target():
    markers = {"1": "rest", "2": "speech", "9": "ignore", "3": "speech"}
    assert classes_of(markers, ()) == ("rest", "speech")
    assert classes_of({**markers, "0": "hand"}, ("speech", "rest")) == ("speech", "rest", "hand")
    assert target_of(("Rest", "hand"), None) == "hand"
    assert target_of(("rest", "hand"), "rest") == "rest"
    assert target_of(("rest",), "gone") is None
