"""The page Calibrate starts, steers and ends a calibration, and shows what it has collected."""

import numpy as np
import pytest
import yaml

from rtbrain.console.calibrate import calibration
from rtbrain.console.calibrate.page import CalibratePage
from rtbrain.console.cues.schedule import CueSchedule
from rtbrain.console.folder import Session
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.learn.cue_plan import ScreenPlan
from rtbrain.marks import BREAK
from rtbrain.types import Chunk
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT
from tests.conftest import wait_until
from tests.console.calibrate.conftest import action, record_blocks, recorder_events, run


def test_cues_and_recording_start_and_the_plan_is_kept_with_its_own_seed(page, session) -> None:
    start = action(page, "Start recording and cues")
    start.call()
    cue, recorder = session.jobs["cue"].argv, session.jobs["recorder"].argv
    assert recorder[:2] == ("record", "calibration/calib-01.xdf")
    assert cue[:5] == ("cue", "--plan", "calibration/calib-01.cues.yaml", "--name", "rtbrain-cues")
    plan = ScreenPlan.model_validate(yaml.safe_load((session.folder / cue[2]).read_text()))
    assert plan.classes == ("rest", "speech")
    assert session.settings.classes == ("rest", "speech")
    assert session.settings.target == "speech"
    assert "seed" not in session.settings.plan
    page.model.end()
    page.draw(1.0)
    (session.folder / "calibration/calib-01.xdf").touch()
    action(page, "Start recording and cues").call()
    again = session.jobs["cue"].argv[2]
    assert again == "calibration/calib-02.cues.yaml"
    assert yaml.safe_load((session.folder / again).read_text())["seed"] != plan.seed


def test_without_a_signal_nothing_starts_and_the_reason_is_said(page, session) -> None:
    session.change(streams=())
    page.draw(1.0)
    start = action(page, "Start")
    assert (start.enabled, start.reason) == (False, "Choose a signal in Set up.")


def test_blocks_are_counted_and_eight_are_not_enough_data(page) -> None:
    action(page, "Start").call()
    record_blocks(page, 8)
    assert {name: one.usable for name, one in page.model.counts.items()} == {
        "speech": 8,
        "rest": 8,
    }
    shown = page.model.shown(300.0)
    assert shown.advice == (
        "unchecked", "Not enough data", "8 speech blocks; 20 are needed. Record 12 more.",
    )  # fmt: skip
    fit = action(page, "Fit with what is there")
    assert (fit.enabled, fit.reason) == (True, "8 speech blocks; 20 are needed.")
    assert page.state() == ("checking", "16 of 48 blocks")
    record_blocks(page, 12, t=400.0)
    assert page.model.shown(900.0).advice[:2] == ("fine", "Enough for a first fit")
    assert action(page, "Fit with").reason == "Recording goes on until you end it."
    assert page.state() == ("fine", "40 of 48 blocks")


def test_no_block_counts_before_the_recorder_says_that_it_has_signal_and_markers(page) -> None:
    action(page, "Start").call()
    assert page.model.shown(100.0).state.below == "for the recorder to have signal and markers"
    name = page.model.marker_stream

    def pass_on(now, markers, names):
        stamps = now - 8 + np.arange(800) / 100
        chunk = Chunk(np.zeros((4, 800), np.float32), stamps, round(100 * (now - 8)))
        events = recorder_events(page, now - 7.9, names) if names else ()
        streams = [name] * len(markers)
        page.take(
            SessionUpdate(
                now, [chunk], markers=markers, marker_streams=streams, recorder_events=events
            )
        )

    pass_on(108.0, [(101.0, "rest"), (107.0, BREAK)], None)
    pass_on(116.0, [(109.0, "rest"), (115.0, BREAK)], {"amp"})
    pass_on(124.0, [(117.0, "rest"), (123.0, BREAK)], {"amp", name})
    pass_on(132.0, [(125.0, "rest"), (131.0, BREAK)], None)  # it said so, and nothing else since
    pass_on(140.0, [(133.0, "rest"), (139.0, BREAK)], {name})
    page.draw(200.0)
    assert [block.reason for block in page.model.blocks] == [
        *("unrecorded", "unrecorded", "", "", "unrecorded")
    ]


def test_cues_go_on_only_into_a_recording_that_holds_them(page, session, commands) -> None:
    action(page, "Start").call()
    session.jobs["cue"].progress = {"state": "paused", "text": "", "done": 3, "total": 40}
    with pytest.raises(SettingsError, match="what comes now does not count"):
        page.model.toggle_pause()
    run(page, 100.0)
    page.model.toggle_pause()
    wait_until(lambda: all(one.done() for one in page.model._sent))
    assert commands == ["resume"]


def test_a_block_with_a_gap_is_left_out_and_its_reason_is_shown(page) -> None:
    action(page, "Start").call()
    run(page, 101.0, signal=(100, 105))
    run(page, 120.0, [(101, "rest"), (110, BREAK)], (105.4, 120), gap=40)
    run(page, 125.0)
    (block,) = page.model.blocks
    assert (block.reason, round(block.lost_s, 1)) == ("gap", 0.4)
    assert page.model.counts["rest"].left_out == 1
    assert not action(page, "Fit with").enabled


def test_keys_pause_the_cues_and_drop_a_block_and_the_log_has_the_commands(
    page, session, commands
) -> None:
    action(page, "Start").call()
    assert not action(page, "Pause cues").enabled
    session.jobs["cue"].progress = {
        "state": "cue", "text": "rest", "t_shown": 10.0, "t_due": 18.0, "next": "speech",
        "next_s": 7.4, "done": 3, "total": 40, "left_s": 300, "droppable": True,
    }  # fmt: skip
    page.draw(12.0)
    now = page.model.shown(12.0).state
    assert (now.word, now.number) == ("rest", "6.0 s")
    assert (now.below, now.below_right) == ("then pause, then speech 7 s", "block 4 of 40")
    assert (action(page, "Pause cues").key, action(page, "Drop").key) == ("P", "Del")
    action(page, "Drop").call()
    action(page, "Pause cues").call()
    session.jobs["cue"].progress |= {"state": "paused", "t_due": None, "droppable": False}
    page.draw(13.0)
    assert not action(page, "Drop").enabled
    run(page, 13.5)
    action(page, "Go on").call()
    wait_until(lambda: len(commands) == 3)
    assert commands == ["drop", "pause", "resume"]
    log = (session.folder / "log.sh").read_text()
    for word in commands:
        assert f"rtbrain control --wait 120 rtbrain-cues {word}" in log


def test_a_cue_screen_that_failed_says_why_and_the_recording_goes_on(page, session) -> None:
    action(page, "Start").call()
    cue = session.jobs["cue"]
    cue.running, cue.exit_code, cue.output = False, 2, ("rtbrain: no display: set DISPLAY",)
    page.draw(5.0)
    now = page.model.shown(5.0).state
    assert (now.word, now.below) == ("No cue screen", "no display: set DISPLAY")
    assert page.model.recording


def test_a_command_that_fails_is_said_in_one_line(page, session, monkeypatch, qtbot) -> None:
    def refuse(name, line, what):
        raise RtbrainError("no cue screen 'x' is running")

    monkeypatch.setattr(calibration, "send_command", refuse)
    page.model.command("pause")
    said = []
    page.says.connect(said.append)
    wait_until(lambda: all(one.done() for one in page.model._sent))
    page.draw(1.0)
    assert said == ["no cue screen 'x' is running"]


def test_the_end_asks_first_and_counts_are_there_in_the_next_console(
    page, session, qtbot, tmp_path
) -> None:
    action(page, "Start").call()
    record_blocks(page, 3)
    asked = []
    page.asks.connect(lambda question, answers, still: asked.append((question, answers)))
    end = action(page, "End calibration")
    assert end.key == "Ctrl+End"
    end.call()
    assert asked[0][0].startswith("End the recording of calib-01?")
    asked[0][1][0].call()
    assert not any(job.running for job in session.jobs.values())
    page.draw(500.0)
    assert action(page, "Record more").enabled
    (session.folder / "calibration/calib-01.xdf").touch()
    again = CalibratePage(Session(session.folder), LIGHT)
    qtbot.addWidget(again)
    assert {name: one.usable for name, one in again.model.counts.items()} == {
        "speech": 3, "rest": 3,
    }  # fmt: skip
    assert again.state() == ("unchecked", "6 blocks, 20 of each are advised")


def test_a_console_that_is_started_again_goes_on_counting(page, session, qtbot) -> None:
    action(page, "Start").call()
    record_blocks(page, 3)
    (session.folder / "calibration/calib-01.xdf").touch()
    again = CalibratePage(session, DARK)
    qtbot.addWidget(again)
    again.live = page.live
    assert again.model.recording
    record_blocks(again, 2, t=400.0)
    assert again.model.counts["speech"].usable == 5
    assert again.model._schedule is not None


def test_coming_blocks_are_those_of_the_plan(page, session) -> None:
    action(page, "Start").call()
    schedule = page.model._schedule
    assert isinstance(schedule, CueSchedule)
    session.jobs["cue"].progress = {
        "state": "break", "text": "", "t_due": 50.0, "done": 2, "total": 40, "next": "x",
        "next_s": 5.0, "left_s": 100,
    }  # fmt: skip
    coming = page.model.shown(49.0).coming
    assert [text for _, _, text in coming] == schedule.order[2 : 2 + len(coming)]
    assert coming[0][0] == 50.0
    assert coming[0][1] == pytest.approx(50.0 + schedule.lasts_s[2])
    assert coming[1][0] == pytest.approx(coming[0][1] + schedule.pauses_s[3])


def test_cues_wait_while_nothing_records_and_a_new_recording_takes_them_up(
    page, session, commands
) -> None:
    action(page, "Start").call()
    session.jobs["cue"].progress = {"state": "cue", "text": "rest", "t_due": 18.0, "done": 3}
    page.draw(12.0)
    session.jobs["recorder"].running = False
    page.draw(13.0)
    wait_until(lambda: all(one.done() for one in page.model._sent))
    assert commands == ["pause"]
    session.jobs["cue"].progress |= {"state": "paused", "t_due": None}
    page.draw(14.0)
    page.draw(15.0)
    assert commands == ["pause"]
    cue = session.jobs["cue"]
    (session.folder / "calibration/calib-01.xdf").touch()
    action(page, "Record again").call()
    assert session.jobs["cue"] is cue
    assert session.jobs["recorder"].argv[1] == "calibration/calib-02.xdf"
    page.draw(15.5)
    assert page.model.recording
    session.jobs["recorder"].running = False
    page.draw(16.0)
    action(page, "End calibration").call()
    assert not cue.running
