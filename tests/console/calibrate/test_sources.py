"""Cues of another program are counted by their names, and the plan of the screen can be changed."""

from pathlib import Path

import numpy as np
import pytest

from rtbrain.console.calibrate.counting import CountedBlock
from rtbrain.errors import SettingsError
from rtbrain.types import Chunk
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT
from tests.conftest import montage_of
from tests.console.calibrate.conftest import AMP, TASK, action, record_blocks, recorder_events, run
from tests.view.stub import StubSession


def test_markers_of_another_program_are_counted_and_unknown_codes_get_a_name(page, session) -> None:
    session.change(
        streams=(AMP, TASK), markers={"1": "rest", "2": "speech"}, classes=("rest", "speech"),
        target="speech",
    )  # fmt: skip
    page.draw(1.0)
    assert page.model.source == "markers"
    action(page, "Start recording").call()
    assert "cue" not in session.jobs
    run(page, 100.0, signal=(95, 140))
    run(page, 141.0, [(101, "1"), (110, "7"), (120, "2"), (130, "7"), (131, "1"), (135, "7")])
    assert [block.text for block in page.model.blocks] == ["rest", "speech"]
    now = page.model.shown(137.0).state
    assert (now.word, now.number, now.below) == ("7", "2.0 s", "3 markers '7' have no name")
    asked = []
    page.asks.connect(lambda question, answers, still: asked.append((question, answers)))
    page.ask_name()
    question, answers = asked[0]
    assert question == "What does marker '7' stand for?"
    assert [one.text for one in answers] == ["rest", "speech", "ignore", "Cancel"]
    answers[1].call()
    page.draw(142.0)
    assert session.settings.markers["7"] == "speech"
    assert [block.text for block in page.model.blocks] == [
        "rest", "speech", "speech", "speech", "rest",
    ]  # fmt: skip


def test_codes_of_a_trigger_channel_are_counted(page, session) -> None:
    montage = montage_of(3, 100.0)
    names = (*montage.names, "TRIG")
    page.live = StubSession(type(montage)(names, (*montage.kinds, "trigger"), 100.0))
    session.change(
        trigger="TRIG", markers={"1": "rest", "2": "speech"}, classes=("rest", "speech"),
        target="speech",
    )  # fmt: skip
    page.draw(1.0)
    assert page.model.source == "trigger"
    action(page, "Start recording").call()
    data = np.zeros((4, 6000), np.float32)
    for at, code in ((500, 1), (1500, 2), (2500, 1), (3500, 2)):
        data[3, at : at + 10] = code
    for first in range(0, 6000, 500):
        stamps = 1.0 + (first + np.arange(500)) / 100
        chunk = Chunk(data[:, first : first + 500], stamps, first)
        page.take(SessionUpdate(1.0, [chunk], recorder_events=recorder_events(page, 1.0)))
    page.draw(70.0)
    assert [block.text for block in page.model.blocks] == ["rest", "speech", "rest"]


def test_fields_of_the_plan_change_it_and_what_could_harm_is_said(page, session) -> None:
    said = []
    page.says.connect(said.append)
    fields = page.plan_panel.fields
    page.draw(1.0)
    fields["n_per_class"].setText("30")
    fields["classes"].setText("rest, speech, hum")
    fields["classes"].editingFinished.emit()
    assert session.settings.plan["n_per_class"] == 30
    assert session.settings.classes == ("rest", "speech", "hum")
    page.draw(2.0)
    fields["duration_s"].setText("8 to 8")
    fields["duration_s"].editingFinished.emit()
    assert "strict pace" in said[-1]
    fields["duration_s"].setText("often")
    fields["duration_s"].editingFinished.emit()
    assert said[-1] == "Block, s: expected two numbers, as 4.8 to 11.2"
    assert session.settings.plan["duration_s"] == [4.8, 11.2]


def test_a_source_that_is_not_chosen_leads_to_set_up(page, session) -> None:
    gone = []
    page.go.connect(gone.append)
    for source, why in (("markers", "marker stream"), ("trigger", "trigger channel")):
        with pytest.raises(SettingsError, match=f"Choose a {why} in Set up"):
            page.use_source(source)
    assert gone == ["setup", "setup"]
    page.use_source("screen")
    assert session.settings.plan is not None


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
def test_every_state_is_drawn_at_every_width(page, session, theme) -> None:
    action(page, "Start").call()
    page.restyle(theme)
    record_blocks(page, 3)
    states = [
        {}, {"state": "ready", "total": 40}, {"state": "paused", "total": 40},
        {"state": "ended", "total": 40, "done": 40},
        {"state": "cue", "text": "speech", "t_shown": 10.0, "t_due": 18.0, "next": "", "done": 39,
         "total": 40, "next_s": None, "left_s": 8},
    ]  # fmt: skip
    for width in (764, 1020, 1400):
        page.resize(width, 560)
        for status in states:
            session.jobs["cue"].progress = status
            page.draw(12.0)
            assert not page.grab().isNull()
        assert page.minimumSizeHint().width() <= width
    page.model.earlier = [CountedBlock(1.8e9 + n, n, n + 8, "rest", "dropped") for n in range(200)]
    page.draw(13.0)
    assert not page.grab().isNull()
    assert Path(session.folder / "session.json").exists()
