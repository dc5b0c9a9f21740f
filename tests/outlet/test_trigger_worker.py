"""The thread of one output: what it logs, its signs of life, and what it drops as late."""

import time

import pytest

from rtbrain.errors import OutputError
from rtbrain.outlet import trigger_worker
from rtbrain.outlet.trigger_worker import Sent
from tests.conftest import wait_until
from tests.outlet.test_triggers import Bench, Fake, detection


@pytest.fixture
def it():
    it = Bench(Fake(takes_s=0.02))
    it.gate.arm("a test")
    yield it
    it.gate.close()


def test_a_trigger_that_left_is_logged_as_sent_though_the_output_failed_after_it(it, monkeypatch):
    monkeypatch.setattr(trigger_worker, "_AGAIN_S", 0.02)
    (output,) = it.outputs
    output.send = lambda *_: Sent(5.0, None, OutputError("it cannot go low"))
    output.fails = {"rest"}
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    (row,) = it.rows
    assert (row.suppressed, row.t_sent, row.acknowledged) == ("", 5.0, None)
    assert it.gate.reason == "it cannot go low"
    assert it.gate.n_sent == 1
    wait_until(lambda: output.calls.count("rest") >= 3)  # it goes on trying
    output.fails = set()
    wait_until(lambda: output.calls[-1] == "rest" and output.calls.count("rest") >= 4)
    assert [event for event, _ in it.events].count("output_failed") == 1


def test_an_output_hears_a_sign_of_life_though_triggers_come_faster(it):
    it.outputs[0].calls.clear()
    for number in range(30):
        it.gate.push(detection(number + 1.0))
        wait_until(lambda number=number: len(it.rows) > number)
    assert it.outputs[0].calls.count("beat") >= 3


def test_signs_of_life_between_triggers_are_those_that_are_due(it):
    (output,) = it.outputs
    send = output.send

    def busy_for_a_pulse(*job):
        sent = send(*job)
        output.t_free = time.monotonic() + 0.005
        return sent

    output.send = busy_for_a_pulse
    output.calls.clear()
    began = time.monotonic()
    for number in range(20):
        it.gate.push(detection(number + 1.0))
    wait_until(lambda: len(it.rows) == 20)
    due = (time.monotonic() - began) / trigger_worker._BEAT_S
    assert len(output.numbers) > 5
    assert output.calls.count("beat") <= due + 2  # and not one before each trigger


def test_a_trigger_whose_turn_comes_too_late_is_dropped_and_signs_of_life_go_on(it):
    (output,) = it.outputs
    output.t_free = time.monotonic() + 0.2
    output.calls.clear()
    it.gate.push(detection(1.0))
    wait_until(lambda: it.rows)
    assert "beat" in output.calls[: output.calls.index("send")]
    output.t_free = time.monotonic() + 20.0
    it.gate.push(detection(2.0))
    wait_until(lambda: len(it.rows) == 2)
    assert it.rows.whys()[0] == ""
    assert it.rows.whys()[1].startswith("late: it would leave 20.0")
    assert output.numbers == [1]
    assert it.gate.armed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_output_whose_thread_ends_by_an_unforeseen_error_is_brought_to_rest(it):
    it.outputs[0].send = None
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    assert it.outputs[0].calls[-1] == "rest"
    assert it.gate.reason == "fake: its thread has ended"
