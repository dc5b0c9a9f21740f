"""The schedule follows its plan from the frames that were shown, and what an operator does."""

import json
import math

import numpy as np
import pytest

from rtbrain.console.cues.schedule import CueSchedule
from rtbrain.errors import SettingsError
from rtbrain.learn.cue_plan import ScreenPlan
from rtbrain.marks import BREAK, DROPPED, PAUSED, RESUMED, SCREEN_MARKER, cue_blocks

PLAN = ScreenPlan(classes=("rest", "speech"), n_per_class=4, seed=7)
LATE_S = 0.02  # from when a scene is due to its frame


class Played:
    """A schedule on a clock of its own, and the markers of its frames."""

    def __init__(self) -> None:
        self.schedule, self.now = CueSchedule(PLAN), 100.0
        self.markers: list[tuple[float, str]] = []
        self.show(self.schedule.begin())

    def show(self, scene) -> None:
        self.now += LATE_S
        self.markers += [(self.now, text) for text in scene.markers]
        self.schedule.show(scene, self.now)

    def step(self) -> str:
        self.now = self.schedule.t_due
        self.show(self.schedule.due(self.now))
        return self.schedule.scene.state

    def until(self, state: str) -> None:
        while self.step() != state:
            pass

    def obey(self, command: str) -> None:
        scene, markers = self.schedule.obey(command)
        self.markers += [(self.now, text) for text in markers]
        if scene is not None:
            self.show(scene)


def test_cues_come_in_the_order_and_of_the_lengths_of_the_plan_however_late_frames_are() -> None:
    played = Played()
    played.until("ended")
    planned = PLAN.draw(np.random.default_rng(PLAN.seed))
    blocks = cue_blocks(played.markers, PLAN.classes)
    assert [block.text for block in blocks] == [cue.text for cue in planned]
    lasts = [block.stop_s - block.start_s for block in blocks]
    np.testing.assert_allclose(lasts, [cue.duration_s + LATE_S for cue in planned])
    assert played.markers[0][1] == PLAN.marker()
    assert blocks[0].start_s - played.markers[0][0] >= 5.0
    assert math.isinf(played.schedule.t_due)
    assert played.schedule.status(played.now)["done"] == 8


def test_a_pause_leaves_out_the_block_that_it_cuts_and_the_plan_goes_on_after_it() -> None:
    played = Played()
    played.until("cue")
    played.now += 1.0
    played.obey("pause")
    assert played.schedule.due(played.now + 1000.0) is None
    with pytest.raises(SettingsError, match="no block to drop"):
        played.obey("drop")
    played.now += 60.0
    played.obey("resume")
    assert [text for _, text in played.markers[-2:]] == [RESUMED, PLAN.marker()]
    assert played.schedule.t_due - played.now >= 3.0
    played.until("ended")
    blocks = cue_blocks(played.markers, PLAN.classes)
    assert [block.text for block in blocks] == played.schedule.order
    assert [block.left_out for block in blocks] == [PAUSED, *[""] * 7]


def test_a_block_is_dropped_while_it_is_on_or_after_it_and_once() -> None:
    played = Played()
    played.until("cue")
    played.obey("drop")
    assert played.markers[-1][1] == DROPPED
    assert played.schedule.scene.state == "break"
    with pytest.raises(SettingsError, match="left out already"):
        played.obey("drop")
    played.until("cue")
    played.step()
    t_due = played.schedule.t_due
    played.obey("drop")
    assert [text for _, text in played.markers[-2:]] == [BREAK, DROPPED]
    assert played.schedule.t_due == t_due, "a block that is over changes the screen no more"
    played.until("ended")
    blocks = cue_blocks(played.markers, PLAN.classes)
    assert [block.left_out for block in blocks] == [DROPPED, DROPPED, *[""] * 6]


def test_the_end_leaves_out_the_block_that_it_cuts_and_says_how_it_went() -> None:
    played = Played()
    played.until("cue")
    played.obey("stop")
    played.markers.append((played.now, played.schedule.end_marker({"frame_ms": 16.7})))
    (block,) = cue_blocks(played.markers, PLAN.classes)
    assert block.left_out == PAUSED
    about = json.loads(played.markers[-1][1].removeprefix(SCREEN_MARKER))
    assert about == {"cues": 1, "dropped": 0, "paused": 0, "frame_ms": 16.7}
    for command in ("pause", "drop"):
        with pytest.raises(SettingsError, match="the cues are over"):
            played.obey(command)


def test_a_status_says_what_is_on_for_how_long_and_what_is_next() -> None:
    played = Played()
    assert played.schedule.status(played.now)["next"] == played.schedule.order[0]
    played.until("cue")
    status = played.schedule.status(played.now + 1.0)
    assert (status["state"], status["text"]) == ("cue", played.schedule.order[0])
    assert (status["done"], status["total"], status["droppable"]) == (0, 8, True)
    assert status["t_due"] - status["t_shown"] >= 4.8
    assert status["left_s"] > 7 * (4.8 + 2.0)
    json.dumps(status, allow_nan=False)
