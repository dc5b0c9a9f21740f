import itertools
import threading
import time

import pytest

from rtbrain.stream.supervise.states import TRANSITIONS, StreamState, StreamStateMachine
from tests.stream.supervise.bedside import DEADLINE_S, Bedside


@pytest.fixture
def bedside():
    made = Bedside()
    yield made
    made.world.go.set()
    made.source.close()


@pytest.mark.parametrize(("before", "after"), list(itertools.product(StreamState, StreamState)))
def test_a_state_follows_another_only_where_the_table_says(before, after):
    told = []
    machine = StreamStateMachine(lambda event, **fields: told.append((event, fields)))
    machine.state = before
    if after in TRANSITIONS[before]:
        machine.to(after, reason="x")
        assert machine.state is after
        assert told == [(after.value, {"reason": "x"})]
    elif before is StreamState.STOPPING:
        machine.to(after)
        assert machine.state is StreamState.STOPPING
        assert not told
    else:
        with pytest.raises(ValueError, match=f"{before.value} cannot become {after.value}"):
            machine.to(after)
        assert machine.state is before


def test_every_state_leads_to_the_end_and_can_be_reached():
    reached = set().union(*TRANSITIONS.values())
    assert set(TRANSITIONS) == set(StreamState) == reached
    assert all(StreamState.STOPPING in after for state, after in TRANSITIONS.items() if after)


@pytest.mark.parametrize("state", ["new", "waiting", "connecting", "live", "lost"])
def test_close_is_quick_in_every_state_even_where_the_search_hangs(bedside, state):
    if state in {"live", "lost"}:
        bedside.live()
    if state == "lost":
        bedside.lose()
    bedside.world.hang.set()
    if state in {"waiting", "connecting"}:
        if state == "connecting":
            bedside.world.put("a")
        bedside.source.pull(0.0)
        bedside.until_state(StreamState(state))
    started = time.monotonic()
    bedside.source.close()
    bedside.source.close()
    assert time.monotonic() - started < DEADLINE_S / 2  # the search hangs for DEADLINE_S
    assert bedside.source.pull(1.0) is None
    assert bedside.events.count("stopping") == 1
    bedside.world.go.set()
    while "rtbrain-connection" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() - started < 2 * DEADLINE_S
        time.sleep(0.01)
    assert all(inlet.closed for inlet in bedside.world.inlets)


def test_a_pull_takes_its_time_and_no_more_while_the_search_hangs(bedside):
    bedside.world.put("a")
    bedside.world.hang.set()
    for timeout_s in (0.0, 0.2, 0.2):
        started = time.monotonic()
        assert bedside.source.pull(timeout_s).n_samples == 0
        assert timeout_s <= time.monotonic() - started < DEADLINE_S / 2


def test_closing_while_another_thread_pulls_ends_that_pull(bedside):
    given = []
    puller = threading.Thread(target=lambda: given.append(bedside.source.pull(0.3)))
    puller.start()
    bedside.source.close()
    puller.join(DEADLINE_S)
    assert given[0] is None or given[0].n_samples == 0
    assert bedside.source.pull(0.0) is None
