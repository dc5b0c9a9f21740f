"""The page Set up, by hand: checks have one button each, and what holds a session up is said."""

from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication

from rtbrain.check.doctor.checks import Fix, in_order, judge
from rtbrain.check.doctor.signal import SignalReading
from rtbrain.console.folder import UsedStream
from rtbrain.console.setup import page as setup_page
from rtbrain.view.theme import DARK, LIGHT
from tests.console.setup.conftest import (
    AMP,
    FINE,
    MONTAGE,
    TASK,
    WRONG,
    YELLOW,
    choose,
    log_of,
    used,
)


def test_the_doctor_ends_with_the_program(page):
    QApplication.instance().aboutToQuit.emit()
    assert page.doctor.closed


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
    page.doctor.reading = SignalReading(MONTAGE, bad={"LA2": "not finite"})
    for do in ("contacts", "reach", "computer"):
        page.mend(Fix("", do))
    assert ["LA2 no values" in page.said[0], "16572" in page.said[1]] == [True, True]
    assert "switch sleep off" in page.said[2]
    page.mend(Fix("", "delay"))
    assert page.session.settings.recipe == "linear"
    page.buttons[0].call()
    assert page.doctor.n_looks == 2


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
