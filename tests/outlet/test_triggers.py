"""The gate before everything that acts on the world: closed until armed, once, at once, in time."""

import threading
import time

import numpy as np
import pylsl
import pytest

from rtbrain.errors import OutputError
from rtbrain.outlet import Triggers
from rtbrain.outlet.trigger_worker import Sent
from rtbrain.types import Detection, Quality
from tests.conftest import wait_until

VALID = Quality(np.ones(3, np.bool_))
INVALID = Quality(np.ones(3, np.bool_), valid=False, reason="a gap")


def detection(t_stop: float, label: str = "speech", suppressed: str = "") -> Detection:
    return Detection(label, 0.9, t_stop - 0.2, t_stop, t_stop + 0.01, 1.0, 0.1, suppressed)


class Fake:
    """An output in memory, which takes its time and fails as a test says."""

    def __init__(self, name="fake", *, takes_s=0.0, labels=None):
        self.name, self.labels, self.takes_s, self.t_free = name, labels, takes_s, 0.0
        self.numbers, self.calls, self.cut_after_s = [], [], []
        self.fails = set()

    def _call(self, what):
        self.calls.append(what)
        if what in self.fails:
            raise OutputError(f"{self.name} cannot {what}")

    def arm(self):
        self._call("arm")

    def send(self, item, number, cut):
        self._call("send")
        began = time.monotonic()
        self.numbers.append(number)
        cut.wait(self.takes_s)
        self.cut_after_s.append(time.monotonic() - began)
        return Sent(float(pylsl.local_clock()), True)

    def beat(self):
        self._call("beat")

    def rest(self):
        self._call("rest")

    def close(self):
        self.calls.append("close")


class Rows(list):
    def push(self, item):
        self.append(item)

    def close(self):
        pass

    def whys(self):
        return [row.suppressed for row in self]


class Bench:
    """A gate with outputs, its log, its events and a clock that a test moves."""

    def __init__(self, *outputs, valid=True, **settings):
        self.outputs, self.rows, self.events, self.now = outputs, Rows(), [], 0.0
        self.gate = Triggers(
            outputs,
            self.rows,
            lambda event, **fields: self.events.append((event, fields)),
            clock=lambda: self.now,
            **settings,
        )
        if valid:
            self.gate.observe(VALID)


@pytest.fixture
def bench():
    made = []

    def make(*outputs, **settings):
        made.append(Bench(*(outputs or (Fake(),)), **settings))
        return made[-1]

    yield make
    for one in made:
        one.gate.close()


def test_nothing_is_sent_until_it_is_armed_and_each_moment_once(bench):
    it = bench()
    it.gate.push(detection(1.0))
    assert it.rows.whys() == ["disarmed: not armed yet"]
    it.gate.arm("a test")
    it.gate.arm("another")  # which changes nothing
    assert it.gate.turn == 1
    for t_stop in (2.0, 3.0, 3.0, 2.5, 2.8, 4.0):
        it.gate.push(detection(t_stop))
    wait_until(lambda: len(it.rows) == 7)
    assert it.outputs[0].numbers == [1, 2, 3]  # so that a receiver misses none
    assert [row.number for row in it.rows].count(None) == 4
    again = "a trigger of this moment was decided before"
    assert sorted(it.rows.whys()) == ["", "", "", again, again, again, "disarmed: not armed yet"]
    assert (it.gate.n_sent, it.gate.n_suppressed) == (3, 4)
    assert it.events == [("armed", {"by": "a test", "outputs": ["fake"]})]


def test_a_moment_that_was_decided_while_disarmed_is_not_sent_later(bench):
    it = bench()
    it.gate.push(detection(1.0))
    it.gate.arm("a test")
    it.gate.push(detection(1.0))
    it.gate.push(detection(1.0, "rest"))
    wait_until(lambda: len(it.rows) == 3)
    assert it.outputs[0].numbers == [1]
    assert [row.detection.label for row in it.rows if row.number] == ["rest"]


def test_what_the_detector_suppresses_is_logged_with_its_reason_and_not_sent(bench):
    it = bench()
    it.gate.arm("a test")
    it.gate.push(detection(1.0, suppressed="refractory"))
    assert it.rows[0].values()["suppressed"] == "refractory"
    assert it.rows[0].values()["sent"] is False
    assert not it.outputs[0].numbers


def test_it_cannot_be_armed_without_an_output_or_a_valid_decode(bench):
    none = Bench()
    with pytest.raises(OutputError, match="no output is set"):
        none.gate.arm("a test")
    none.gate.push(detection(1.0))
    assert none.rows.whys() == ["no output is set"]
    it = bench(valid=False)
    with pytest.raises(OutputError, match="no valid decode: no decode yet"):
        it.gate.arm("a test")
    it.gate.observe(INVALID)
    with pytest.raises(OutputError, match="no valid decode: a gap"):
        it.gate.arm("a test")
    assert not it.gate.armed
    assert "arm" not in it.outputs[0].calls


def test_while_decodes_are_invalid_nothing_is_sent_and_after_a_while_it_disarms(bench):
    it = bench(disarm_after_s=5.0)
    it.gate.arm("a test")
    it.gate.observe(INVALID)
    it.gate.push(detection(1.0))
    assert it.rows.whys() == ["no valid decode: a gap"]
    it.now = 1.9
    it.gate.alive()
    it.gate.observe(VALID)  # a short gap needs nobody
    it.gate.push(detection(2.0))
    wait_until(lambda: it.outputs[0].numbers == [1])
    for it.now in (2.0, 3.5, 5.0, 6.9):
        it.gate.alive()
        it.gate.observe(INVALID)
        assert it.gate.armed
    it.now = 7.0
    it.gate.alive()
    assert not it.gate.armed
    assert it.gate.reason == "no valid decode for 5 s: a gap"
    it.gate.observe(VALID)
    it.gate.push(detection(8.0))
    assert not it.gate.armed  # only a person arms it again
    assert it.rows.whys()[-1] == "disarmed: no valid decode for 5 s: a gap"
    assert it.events[-1][0] == "disarmed"


def test_the_silence_between_events_is_no_invalid_time(bench):
    it = bench(disarm_after_s=5.0, at_events=True)
    it.gate.arm("a test")
    it.gate.observe(INVALID)
    for it.now in np.arange(1.0, 60.0):
        it.gate.alive()
    assert it.gate.armed
    it.gate.observe(INVALID)  # a minute in which no event was decoded
    assert it.gate.reason == "no valid decode for 5 s: a gap"


def test_after_time_has_stepped_back_triggers_are_sent_again(bench):
    it = bench()
    it.gate.arm("a test")
    now = pylsl.local_clock()
    for t_stop in (now + 3600.0, now, now):
        it.gate.push(detection(t_stop))
    wait_until(lambda: len(it.rows) == 3)
    assert it.outputs[0].numbers == [1, 2]


def test_a_session_that_stands_still_is_disarmed_before_anything_else_happens(bench):
    it = bench()
    it.gate.arm("a test")
    it.now = 2.5
    it.gate.push(detection(1.0))
    assert not it.gate.armed
    assert "stood still" in it.gate.reason
    it.gate.arm("a test")
    it.now = 5.0
    wait_until(lambda: not it.gate.armed)  # its outputs look by themselves
    assert not it.outputs[0].numbers


def test_to_disarm_cuts_a_pulse_short_drops_what_waits_and_brings_the_output_to_rest(bench):
    it = bench(Fake(takes_s=10.0))
    it.gate.arm("a test")
    for t_stop in (1.0, 2.0, 3.0):
        it.gate.push(detection(t_stop))
    wait_until(lambda: it.outputs[0].numbers == [1])
    began = time.monotonic()
    it.gate.disarm("Esc")
    assert time.monotonic() - began < 0.1
    wait_until(lambda: len(it.rows) == 3)
    assert it.outputs[0].calls[-1] == "rest"
    assert it.rows.whys() == ["", *["disarmed before it left: Esc"] * 2]
    assert it.outputs[0].numbers == [1]
    assert time.monotonic() - began < 5


def test_a_slow_receiver_delays_no_decode_and_no_other_output_and_gets_nothing_late(bench):
    slow, quick = Fake("slow", takes_s=0.4), Fake("quick")
    it = bench(slow, quick)
    it.gate.arm("a test")
    began = time.monotonic()
    for number in range(200):
        it.gate.push(detection(float(number + 1)))
        if not number % 40:
            wait_until(lambda number=number: len(quick.numbers) > number)
    assert time.monotonic() - began < 5
    wait_until(lambda: len(it.rows) == 400)
    of_slow = [row for row in it.rows if row.output == "slow"]
    assert len(quick.numbers) + sum("dropped" in w for w in it.rows.whys()) >= 200
    assert len(slow.numbers) < 5
    assert {row.suppressed.split(":")[0] for row in of_slow} == {"", "late", "dropped"}
    assert it.gate.armed


def test_an_output_that_fails_disarms_all_of_them(bench):
    good, bad = Fake("good"), Fake("bad")
    it = bench(good, bad)
    bad.fails = {"arm"}
    with pytest.raises(OutputError, match="not armed: bad cannot arm"):
        it.gate.arm("a test")
    wait_until(lambda: good.calls[-1] == "rest")
    assert not it.gate.armed
    for what in ("send", "beat"):
        bad.fails = set()
        it.gate.arm("a test")
        bad.fails = {what}
        it.gate.push(detection(1.0 + it.gate.turn))
        wait_until(lambda: not it.gate.armed)
        assert it.gate.reason == f"bad cannot {what}"
        wait_until(lambda: good.calls[-1] == "rest")


def test_labels_without_a_code_are_logged_and_not_sent(bench):
    it = bench(Fake(labels={"speech"}))
    it.gate.arm("a test")
    it.gate.push(detection(1.0, "rest"))
    assert it.rows.whys() == ["no code for rest"]


def test_it_arms_at_the_first_valid_decode_where_that_was_asked_unless_it_is_disarmed(bench):
    it = bench(valid=False)
    it.gate.arm_when_valid("--arm")
    it.gate.observe(INVALID)
    assert not it.gate.armed
    it.gate.observe(VALID)
    wait_until(lambda: it.gate.armed)
    other = bench(valid=False)
    other.gate.arm_when_valid("--arm")
    other.gate.disarm("Esc")
    asked = []
    other.gate.arm_soon = asked.append
    other.gate.observe(VALID)
    assert not other.gate.armed
    assert not asked
    assert threading.active_count() < 50
    assert other.events == [("disarmed", {"reason": "Esc"})]


def test_to_disarm_wins_over_an_arming_that_is_under_way_or_was_asked_for_before(bench):
    slow = Fake()
    begun, go_on = threading.Event(), threading.Event()
    slow.arm = lambda: begun.set() or go_on.wait(10.0)
    it = bench(slow)
    it.gate.arm_soon("a key")
    assert begun.wait(10.0)
    it.gate.disarm("Esc")
    go_on.set()
    wait_until(lambda: it.events)
    assert it.events == [("disarmed", {"reason": "not armed: it was disarmed meanwhile"})]
    assert not it.gate.armed
    before = it.gate._n_disarmed
    it.gate.disarm("Esc")
    with pytest.raises(OutputError, match="disarmed meanwhile"):
        it.gate.arm("asked for before", before)


def test_two_that_arm_at_once_and_one_that_disarms_leave_it_in_one_state(bench):
    it = bench()
    for number in range(20):
        threads = [threading.Thread(target=it.gate.arm, args=(f"{i}",)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert it.gate.armed
        it.gate.push(detection(float(number + 1)))
        wait_until(lambda number=number: len(it.outputs[0].numbers) == number + 1)
        it.gate.disarm("Esc")
        wait_until(lambda: it.outputs[0].calls[-1] == "rest")


def test_what_changes_is_reported_in_that_order_and_to_disarm_waits_for_no_report():
    events, begun, go_on = [], threading.Event(), threading.Event()

    def report(event, **_):
        if event == "armed":
            begun.set()
            assert go_on.wait(10.0)
        events.append(event)

    gate = Triggers([Fake()], Rows(), report)
    gate.observe(VALID)
    gate.arm_soon("a test")
    assert begun.wait(10.0)
    gate.disarm("Esc")
    assert not events
    go_on.set()
    wait_until(lambda: len(events) == 2)
    assert events == ["armed", "disarmed"]
    gate.close()


def test_the_end_of_a_session_disarms_and_releases_every_output(bench):
    it = bench()
    it.gate.arm("a test")
    it.gate.close()
    assert it.outputs[0].calls[-2:] == ["rest", "close"]
    assert not it.gate.armed
