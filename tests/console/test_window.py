"""The frame of the console: steps, actions, questions and errors, with pages made for the test."""

import json

import pytest
from PySide6.QtCore import QEvent, QSettings, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QDialog, QScrollArea, QWidget

from rtbrain.check.doctor.checks import judge
from rtbrain.console.fitting.page import FitPage
from rtbrain.console.folder import Session, UsedStream
from rtbrain.console.page import STEPS, Action, BrokenPage
from rtbrain.console.window import SessionWindow
from rtbrain.errors import SettingsError
from rtbrain.view.traces.small import SmallSignal
from tests.console.fitting.reports import add_decoder
from tests.console.stub import Runs, Streams

KEY = Qt.Key
CTRL = Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def window(qtbot, tmp_path):
    Streams.made.clear()
    settings = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    made = SessionWindow(Session(tmp_path / "s"), settings, connect=Streams)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.leave()


def test_alt_and_a_number_show_each_step(qtbot, window):
    for number, step in enumerate(STEPS, 1):
        qtbot.keyClick(window, str(number), modifier=ALT)
        assert window.page.step == step
        assert window.page.isVisible()
        assert sum(page.isVisible() for page in window.pages.values()) == 1


def test_the_keyboard_is_in_the_page_after_each_step(qtbot, window):
    with qtbot.waitActive(window):
        window.activateWindow()
    for number, step in enumerate(STEPS, 1):
        window.rail.setFocus()
        window.rail.findChildren(QAbstractButton)[0].setFocus()
        qtbot.keyClick(window, str(number), modifier=ALT)
        focus = window.focusWidget()
        in_page = window.page.isAncestorOf(focus)
        has_none = not any(
            b.isEnabled() and b.isVisible() and b.focusPolicy() & Qt.FocusPolicy.TabFocus
            for b in window.page.findChildren(QWidget)
        )
        assert in_page or has_none, step
    assert not has_none


def test_streams_are_opened_when_a_signal_is_chosen_and_again_for_another(qtbot, window):
    window.poll()
    assert not Streams.made
    window.session.change(streams=(UsedStream(name="amp", source_id="x", role="signal"),))
    window.poll()
    window.poll()
    assert [made.named["stream"] for made in Streams.made] == ["amp"]
    assert window.pages["run"].live is Streams.made[0]
    window.session.change(
        streams=(
            UsedStream(name="amp-2", role="signal"),
            UsedStream(name="task", role="markers"),
        )
    )
    window.poll()
    assert Streams.made[0].closed
    assert (Streams.made[1].named["stream"], Streams.made[1].named["markers"]) == ("amp-2", "task")
    qtbot.waitUntil(lambda: window.findChildren(SmallSignal) == [window.small])  # and not both


def test_an_action_has_a_button_and_a_key_and_says_in_one_line_why_it_failed(qtbot, window):
    page, done = window.page, []

    def fails():
        raise SettingsError("no room")

    page.primary = Action("Go", lambda: done.append("go"), "Ctrl+End", reason="in a moment")
    page.buttons = [Action("Fail", fails, "Ctrl+F"), Action("Not now", done.clear, enabled=False)]
    page.changed.emit()
    qtbot.keyClick(window, KEY.Key_End, modifier=CTRL)
    assert done == ["go"]
    qtbot.keyClick(window, KEY.Key_F, modifier=CTRL)
    assert window.bar.message == "no room"
    assert [button.label() for button in window.bar.buttons] == ["Fail", "Not now", "Go"]
    assert [button.isEnabled() for button in window.bar.buttons] == [True, False, True]
    window.bar.buttons[-1].click()
    assert done == ["go", "go"]
    assert not window.bar.message


def test_a_question_takes_the_place_of_the_actions_until_it_is_answered(window):
    page, done = window.page, []
    page.primary = Action("Go", lambda: None)
    page.changed.emit()
    answers = [Action("End", lambda: done.append("end")), Action("Go on", list)]
    page.asks.emit("End it?", answers, lambda: True)
    page.changed.emit()
    assert window.bar.question == "End it?"
    assert [button.label() for button in window.bar.buttons] == ["End", "Go on"]
    assert window.focusWidget() is window.bar.buttons[1]
    window.bar.buttons[0].click()
    assert done == ["end"]
    assert not window.bar.question
    assert window.bar.buttons[-1].label() == "Go"


def test_a_question_is_withdrawn_once_what_it_asks_about_is_over(window, running):
    calibrate, run = window.pages["calibrate"], window.pages["run"]
    for page, name in ((calibrate, "calibration/calib-01"), (run, "runs/run-01")):
        running["recorder"].argv = ("record", f"{name}.xdf")
        running["recorder"].stopping, running["recorder"].running = False, True
        page.ask_end(list)
        window.poll()
        assert window.bar.question.startswith(f"End the recording of {name[-6:].strip('-')}"[:21])
        running["recorder"].running = False
        window.poll()
        assert not window.bar.question
    window.close()
    assert window.bar.question == "A decoder runs."
    running["decoder"].running = False
    window.poll()
    assert not window.bar.question
    window.bar.ask_text("Mark:", "was", list)
    window.poll()
    assert (window.bar.question, window.bar.field.text()) == ("Mark:", "was")


def test_what_is_to_be_fixed_first_keeps_every_page_from_starting(window, doctors):
    window.session.change(
        streams=(UsedStream(name="amp", role="signal"),), classes=("rest", "go"), plan={}
    )
    window.poll()
    (doctor,) = doctors.all
    doctor.found = [judge("mains", "fix", "differs", value=50, hz=50, removed=60, db=31)]
    window.pages["setup"].draw_now()
    window.poll()
    why = "Fix first: Mains."
    for step in ("calibrate", "run"):
        assert window.pages[step].hindrance == why
    assert (
        window.pages["calibrate"].primary.enabled,
        window.pages["calibrate"].primary.reason,
    ) == (
        False,
        why,
    )
    with pytest.raises(SettingsError, match=why):
        window.pages["calibrate"].start()
    window.session.change(decoder=add_decoder(window.session))
    with pytest.raises(SettingsError, match=why):
        window.pages["run"].start()
    assert not window.session.jobs


def test_yellow_is_asked_about_however_set_up_is_left_and_once(qtbot, window, doctors):
    window.poll()
    (doctor,) = doctors.all
    doctor.found = [judge("contacts", "look", "bad", bad=1, all=3, listed="LA2 flat")]
    window.pages["setup"].draw_now()
    ways = [lambda n=n: qtbot.keyClick(window, str(n), modifier=ALT) for n in (2, 3, 4, 5)]
    ways += [window.rail.steps["run"].click, window.tour.next.click]
    for leave in ways:
        leave()
        assert window.page.step == "setup"
        assert window.bar.question == "Go on with Contacts as they are?"
        window.bar.buttons[-1].click()  # stay
    qtbot.keyClick(window, "4", modifier=ALT)
    window.bar.buttons[0].click()
    assert window.page.step == "run"
    window.show_step("setup")
    qtbot.keyClick(window, "5", modifier=ALT)
    assert window.page.step == "review"


@pytest.fixture
def running(window):
    jobs = {name: Runs(name) for name in ("decoder", "recorder")}
    window.session._jobs.update(jobs)
    window.poll()
    return jobs


def test_closing_asks_in_the_window_while_something_runs_and_closes_when_told_to(window, running):
    window.close()
    assert window.isVisible()
    assert window.bar.question == "A recording and a decoder run."
    _, _, cancel = window.bar.buttons
    cancel.click()
    assert window.isVisible()
    assert not window.bar.question
    window.close()
    window.bar.buttons[0].click()
    assert not window.isVisible()
    assert all(job.running for job in running.values())


def test_end_and_close_ends_the_recorder_last(qtbot, window, running):
    order = []
    for name, job in running.items():
        job.stop = lambda stop=job.stop, name=name: (order.append(name), stop())
    window.close()
    window.bar.buttons[1].click()
    qtbot.waitUntil(lambda: not window.isVisible())
    assert order == ["decoder", "recorder"]


def test_a_signal_to_end_closes_without_a_question(window, running):
    window.leave()
    assert not window.isVisible()
    assert running["recorder"].running


def test_escape_stops_outputs_before_an_open_menu_or_dialog_sees_it(qtbot, window, running):
    dialog = QDialog(window)
    dialog.setModal(True)
    dialog.show()
    qtbot.keyClick(dialog, KEY.Key_Escape)
    assert running["decoder"].stopping
    assert running["recorder"].running
    assert dialog.isVisible()
    assert window.bar.message.startswith("Outputs stopped by you at ")
    assert window.bar.message.endswith("Recording goes on.")
    qtbot.keyClick(dialog, KEY.Key_Escape)  # nothing is on: it closes what it closes elsewhere
    assert not dialog.isVisible()


def test_an_escape_that_has_stopped_outputs_closes_no_dialog_by_its_second_event(window, running):
    dialog = QDialog(window)
    dialog.show()
    for kind in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
        QApplication.sendEvent(
            dialog, QKeyEvent(kind, KEY.Key_Escape, Qt.KeyboardModifier.NoModifier)
        )
        running["decoder"].stopping = True
        window.poll()
    assert dialog.isVisible()
    dialog.close()


def test_space_starts_nothing_and_enter_does(qtbot, window):
    done = []
    window.page.primary = Action("Go", lambda: done.append(1))
    window.page.changed.emit()
    *_, button = window.bar.buttons
    button.setFocus()
    qtbot.keyClick(button, KEY.Key_Space)
    assert not done
    qtbot.keyClick(button, KEY.Key_Return)
    assert done == [1]


def test_what_goes_wrong_in_the_window_is_one_line_in_it(window):
    reported = []
    hook = window.guard.note_unexpected(lambda *error: reported.append(error))
    hook(ValueError, ValueError("a\nb"), None)
    assert (
        window.bar.message == "Something unexpected went wrong: ValueError, a b. What runs goes on."
    )
    assert len(reported) == 1


def test_a_page_that_fails_at_each_poll_is_named_once_and_hides_no_alarm_and_no_other_page(
    window, monkeypatch
):
    drawn, fails = [], window.pages["setup"]
    monkeypatch.setattr(fails, "draw", lambda now: 1 / 0)
    for name, part in (("transport", window.transport), ("review", window.pages["review"])):
        monkeypatch.setattr(part, "draw", lambda *_, it=name: drawn.append(it))
    window.poll()
    window.poll()
    assert drawn == ["transport", "review"] * 2
    lines = [one.text for one in window.watch.alarms.log if "ZeroDivisionError" in one.text]
    assert len(lines) == 1
    assert fails.title in window.bar.message


BROKEN = {
    "session.json": {"version": 1, "plan": {"nonsense": 1, "duration_s": "x"}},
    "calibration/calib-01.blocks.json": {"blocks": [dict.fromkeys(("t_wall", "start_s"))]},
    "reports/run-01.json": {"duration_s": 1, "signal": {}},
    "decoders/decoder-01/report.json": {"verdict": {"answer": "yes"}, "task": "classification"},
    "decoders/decoder-01/manifest.json": {"mode": "linear"},
}


def test_a_session_of_other_hands_opens_and_all_that_cannot_be_read_is_said(qtbot, tmp_path):
    for name in ("calibration/calib-01.xdf", "runs/run-01.xdf"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"XDF:")
    for name, values in BROKEN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(values))
    (tmp_path / "calibration/calib-01.blocks.json").write_text('{"blocks": [{"text": null}]}')
    session = Session(tmp_path)
    session.start = lambda job, argv: None
    window = SessionWindow(session, QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat))
    qtbot.addWidget(window)
    said = window.pages["calibrate"].model.poll(0.0)
    assert [("nonsense" in line, "calib-01.blocks.json" in line) for line in said] in (
        [(True, False), (False, True)],
        [(False, True), (True, False)],
    )
    window.poll()
    assert not any(isinstance(page, BrokenPage) for page in window.pages.values())
    assert any("decoder-01" in line for line in window.pages["fit"].verdict()[2])
    window.leave()


def test_a_page_that_cannot_be_made_leaves_the_others(qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(FitPage, "_look", lambda self: [][0])
    settings = QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat)
    window = SessionWindow(Session(tmp_path / "s"), settings)
    qtbot.addWidget(window)
    window.poll()
    icon, why = window.pages["fit"].state()
    assert (icon, "IndexError" in why) == ("fix", True)
    window.leave()


def test_no_step_scrolls_sideways_in_large_type_in_the_smallest_window(window):
    window._commands()["large"]()
    window.resize(1024, 700)
    for step in STEPS:
        window.show_step(step)
        QApplication.processEvents()
        scroll = window.findChild(QScrollArea)
        assert scroll.horizontalScrollBar().maximum() == 0, step
        page = window.page
        parts = page.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        for part in [one for one in parts if one.isVisible()]:
            least = max(part.minimumSizeHint().width(), part.minimumWidth())
            assert part.width() >= least, (step, part)
            assert part.geometry().right() < page.width(), (step, part)
    assert window.size().toTuple() == (1024, 700)
    assert window.live_button.height() >= window.live_button.sizeHint().height()
