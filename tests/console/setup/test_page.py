"""The page Set up, by hand: streams get roles, markers names, and checks one button each."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from rtbrain.check.doctor.checks import Fix, in_order, judge
from rtbrain.check.doctor.network import FoundStream
from rtbrain.check.doctor.signal import SignalReading
from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.setup import page as setup_page
from rtbrain.console.setup.markers import classes_of, target_of
from rtbrain.console.setup.page import SetupPage
from rtbrain.types import Montage
from rtbrain.view.theme import DARK, LIGHT

AMP = FoundStream(
    *("u1", "amp", "EEG", "a", "amp-pc", 4, 512.0, False, False, True, "", ("LA1", "LA2", "TRIG")),
    *("microvolts", 3, 1, ("TRIG",), "", 16572, True, 1e-5, 8e-5, 0.0, {}, "", 0),
)
TASK = replace(
    AMP,
    uid="u2",
    name="task",
    type="Markers",
    source_id="t",
    sfreq_hz=0.0,
    is_markers=True,
    n_contacts=0,
    codes={"1": 41, "2": 40, "9": 1},
    last="2",
)
MONTAGE = Montage(("LA1", "LA2", "LA3", "TRIG"), ("seeg",) * 3 + ("stim",), 512.0)
WRONG = judge("mains", "fix", "differs", value=50, hz=50, removed=60, db=31)
YELLOW = judge("contacts", "look", "bad", bad=1, all=3, listed="LA2 flat")
FINE = judge("signal", "fine", "there", name="amp", contacts=3, rate="512")


@pytest.fixture
def page(qtbot, tmp_path, doctors):
    made = SetupPage(Session(tmp_path / "s"), DARK)
    qtbot.addWidget(made)
    made.resize(1020, 640)
    made.show()
    made.said, made.went, made.asked = [], [], []
    made.says.connect(made.said.append)
    made.go.connect(made.went.append)
    made.asks.connect(lambda *asked: made.asked.append(asked))
    made.draw_now()
    (made.doctor,) = doctors.all
    made.doctor.streams = (AMP, TASK)
    made.draw_now()
    return made


def choose(page, name, role):
    box = page.streams.line(name).role
    box.setCurrentIndex(box.findData(role))
    box.activated.emit(box.currentIndex())


def log_of(session):
    return (session.folder / "log.sh").read_text()


def used(page):
    return {one.name: one.role for one in page.session.settings.streams}


def test_the_doctor_ends_with_the_program(page):
    QApplication.instance().aboutToQuit.emit()
    assert page.doctor.closed


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


def test_one_click_mends_the_mains_and_the_step_waits_for_it(page):
    page.doctor.found = in_order([FINE, YELLOW, WRONG])
    page.draw_now()
    assert page.session.settings.mains_hz == 60
    assert page.state() == ("fix", "1 to fix, 1 to look at")
    assert (page.primary.enabled, page.primary.reason) == (False, "Fix first: Mains.")
    assert page.hindrance == "Fix first: Mains."
    row = page.checks.rows[0]
    assert row.button.text() == "Set to 50 Hz"
    row.button.click()
    assert page.session.settings.mains_hz == 50
    assert page.doctor.expected.mains_hz == 50
    page.doctor.found = in_order([FINE, YELLOW])
    page.draw_now()
    assert not page.hindrance


def test_the_unit_is_set_with_the_factor_that_commands_take(page):
    choose(page, "amp", "signal")
    small = judge("unit", "fix", "small", value="volts", times="1,000,000", unit="volts")
    page.doctor.found = [small]
    page.draw_now()
    page.checks.rows[0].button.click()
    assert (page.session.settings.unit, page.session.settings.scale) == ("volts", 1e6)
    choose(page, "amp", "")
    choose(page, "amp", "signal")
    assert (page.session.settings.unit, page.session.settings.scale) == (None, 1.0)


def test_yellow_may_stay_if_a_person_says_so_and_that_is_logged(page):
    page.doctor.found = in_order([FINE, YELLOW])
    page.draw_now()
    assert page.primary.enabled
    page.primary.call()
    ((question, (go_on, stay), still),) = page.asked
    assert question == "Go on with Contacts as they are?"
    assert still()
    page.doctor.found = in_order([FINE, YELLOW, WRONG])
    page.draw_now()
    assert not still()
    page.doctor.found = in_order([FINE, YELLOW])
    page.draw_now()
    stay.call()
    assert not page.went
    go_on.call()
    assert page.went == ["calibrate"]
    assert "went on anyway: Contacts: 1 bad of 3: LA2 flat" in log_of(page.session)
    page.primary.call()
    assert page.went == ["calibrate"] * 2
    assert len(page.asked) == 1


def test_what_turns_yellow_while_it_is_asked_is_asked_about_too(page):
    page.doctor.found = in_order([FINE, YELLOW])
    page.draw_now()
    page.primary.call()
    page.doctor.found = in_order([FINE, YELLOW, judge("mains", "look", "none", found="no line")])
    page.draw_now()
    (_, (go_on, _), still) = page.asked[0]
    assert still()
    go_on.call()
    assert not page.went
    assert page.asked[1][0] == "Go on with Mains as they are?"
    page.asked[1][1][0].call()
    assert page.went == ["calibrate"]
    assert page.session.settings.accepted == ("contacts", "mains")


def test_without_anything_found_it_waits(page):
    assert not page.primary.enabled
    assert page.state()[0] == "unchecked"
    rate = judge("rate", "checking", "wait")
    page.doctor.found = [FINE, judge("mains", "checking", "wait"), rate]
    page.draw_now()
    assert (page.primary.enabled, page.primary.reason) == (False, "Measuring: Mains.")
    page.doctor.found = [FINE, rate]
    page.draw_now()
    assert page.primary.enabled


def test_what_cannot_be_mended_at_once_is_said_in_one_line(monkeypatch, page):
    monkeypatch.setattr(setup_page, "keep_awake", lambda: None)
    page.doctor.reading = SignalReading(MONTAGE, bad={"LA2": "flat"})
    for do in ("contacts", "reach", "computer"):
        page.mend(Fix("", do))
    assert ["LA2 flat" in page.said[0], "16572" in page.said[1]] == [True, True]
    assert "switch sleep off" in page.said[2]
    page.mend(Fix("", "delay"))
    assert page.session.settings.recipe == "linear"
    page.buttons[0].call()
    assert page.doctor.n_looks == 2


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


def test_a_simulated_patient_is_used_when_it_comes(monkeypatch, page, tmp_path):
    started = []
    monkeypatch.setattr(page.session, "start", lambda job, argv: started.append((job, argv)))
    page.ways.buttons["simulate"].click()
    assert started == [
        ("player", ["simulate", "--name", "rtbrain-sim", "--follow", "rtbrain-cues"])
    ]
    sim = replace(AMP, name="rtbrain-sim")
    page.doctor.streams = (AMP, sim)
    page.draw_now()
    assert used(page) == {"rtbrain-sim": "signal"}
    page.doctor.streams = (AMP, sim, replace(TASK, name="rtbrain-sim-markers"))
    page.draw_now()
    assert used(page) == {"rtbrain-sim": "signal", "rtbrain-sim-markers": "markers"}
    choose(page, "rtbrain-sim", "")
    page.draw_now()
    assert "rtbrain-sim" not in used(page)
    page.ways.buttons["fieldtrip"].click()
    page.ways.field.setText("10.0.0.9:1972")
    page.ways.connect_button.click()
    assert started[-1][1][:3] == ["bridge", "fieldtrip", "10.0.0.9:1972"]
    page.replay(tmp_path / "a b.edf")
    assert started[-1][1] == ["replay", str(tmp_path / "a b.edf"), "--name", "rtbrain-replay"]


@pytest.mark.parametrize("width", [764, 1020, 1360])
@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_the_page_needs_no_more_width_than_its_window_has(page, width, theme):
    long = "a-name-of-forty-letters-and-not-one-more"
    page.doctor.streams = (replace(AMP, name=long), TASK)
    page.doctor.found = in_order([FINE, YELLOW, WRONG])
    page.session.change(streams=(UsedStream(name="task", source_id="t", role="markers"),))
    page.restyle(theme)
    page.draw_now()
    for _ in range(2):  # as a scroll area would: what is too wide for it lays itself out anew
        page.resize(width, 560)
        QApplication.processEvents()
    assert page.minimumSizeHint().width() <= width
    assert page.streams.line(long)._name.toolTip().find(long) > 0
    edges = [page.checks.geometry().right(), page.streams.geometry().right()]
    assert max(edges) < width


def test_classes_keep_their_order_and_rest_is_no_target():
    markers = {"1": "rest", "2": "speech", "9": "ignore", "3": "speech"}
    assert classes_of(markers, ()) == ("rest", "speech")
    assert classes_of({**markers, "0": "hand"}, ("speech", "rest")) == ("speech", "rest", "hand")
    assert target_of(("Rest", "hand"), None) == "hand"
    assert target_of(("rest", "hand"), "rest") == "rest"
    assert target_of(("rest",), "gone") is None
