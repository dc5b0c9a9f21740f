import signal
import subprocess
import sys
import threading
import time
import uuid

import numpy as np
import pylsl
import pytest

from rtbrain.errors import StreamError
from rtbrain.stream.supervise.query import LslStreamQuery
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.stream.supervise.states import StreamState
from tests.conftest import montage_of
from tests.stream.sender import fraction_of, wave_of

pytestmark = pytest.mark.lsl

SFREQ_HZ = 512.0
DEADLINE_S = 25.0
AT_ONCE_S = 5.0  # liblsl alone: 15 s and more; on an idle machine 1.5 s
MONTAGE = montage_of(4, SFREQ_HZ)


class Ward:
    """Senders in processes of their own, and the supervised source that listens."""

    def __init__(self):
        self.name = f"ward-{uuid.uuid4().hex}"
        self.start = pylsl.local_clock()
        self.senders, self.told, self.chunks, self.waits = [], [], [], []
        self.source = SupervisedSource(
            query=LslStreamQuery(name=self.name),
            requirements=StreamRequirements(SFREQ_HZ, MONTAGE.names),
            montage=MONTAGE,
            on_event=lambda event, **fields: self.told.append(
                (event, fields | {"at": pylsl.local_clock()})
            ),
        )

    def send(self, labels=MONTAGE.names, rate=SFREQ_HZ, source_id="one"):
        said = (self.name, f"{self.name}-{source_id}", str(self.start), str(rate), ",".join(labels))
        sender = subprocess.Popen(
            [sys.executable, "-m", "tests.stream.sender", *said], stdout=subprocess.PIPE, text=True
        )
        self.senders.append(sender)
        assert sender.stdout.readline() == "ready\n"

    def kill(self):
        sender = self.senders.pop(0)
        sender.kill()
        sender.communicate()

    def until(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, self.told
            asked = time.monotonic()
            chunk = self.source.pull(0.05)
            self.waits.append(time.monotonic() - asked)
            if chunk.n_samples:
                self.chunks.append(chunk)

    def connect_until_refused(self, slow_to_answer):
        """Connect, and pull until a second stream is seen, if it was not at once."""
        with pytest.MonkeyPatch.context() as patch:
            if slow_to_answer:  # the first is taken before the other answers: a busy machine
                patch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
            self.source.connect(10.0)
        self.until_told("refused")

    def until_told(self, event, times=1):
        self.until(lambda: self.events.count(event) >= times)

    def until_live(self, n_more=200):
        self.until(lambda: self.source.state is StreamState.LIVE)
        n_before = self.n_samples
        self.until(lambda: self.n_samples >= n_before + n_more)

    @property
    def n_samples(self):
        return sum(chunk.n_samples for chunk in self.chunks)

    @property
    def events(self):
        return [event for event, _ in self.told]

    def fields(self, event):
        return next(fields for name, fields in reversed(self.told) if name == event)

    def assert_true(self, missing=()):
        """Every sample in its place: channel by label, number by the counter."""
        first = self.chunks[0]
        began = round((first.timestamps[0] - self.start) * SFREQ_HZ)
        for chunk in self.chunks:
            numbers = began + chunk.first_sample + np.arange(chunk.n_samples)
            for row, name in enumerate(MONTAGE.names):
                if np.isnan(chunk.data[row]).all():
                    assert name in missing
                else:
                    np.testing.assert_array_equal(
                        chunk.data[row], wave_of(numbers) + fraction_of(name)
                    )
        lost = sum(chunk.gap for chunk in self.chunks)
        last = self.chunks[-1]
        assert self.n_samples + lost == last.first_sample + last.n_samples - first.first_sample


@pytest.fixture
def hasty(monkeypatch):
    """Do not wait for a second stream to show itself: there is none."""
    monkeypatch.setattr("rtbrain.stream.lsl.resolve._SETTLE_S", 0.0)
    monkeypatch.setattr("rtbrain.stream.supervise.connection._SETTLE_S", 0.0)


@pytest.fixture
def ward():
    made = Ward()
    yield made
    made.source.close()
    while made.senders:
        made.kill()


def test_a_stream_that_returns_is_lost_at_once_and_its_gap_is_exact(ward):
    ward.send()
    assert ward.source.connect(10.0)
    ward.until_live()
    ward.kill()
    killed = pylsl.local_clock()
    ward.until_told("lost")
    assert ward.fields("lost")["at"] - killed < AT_ONCE_S
    ward.send()
    ward.until_told("recovered")
    ward.until_live()
    gaps = [chunk.gap for chunk in ward.chunks if chunk.gap]
    assert gaps == [ward.fields("recovered")["gap"]]
    ward.assert_true()
    assert max(ward.waits) < AT_ONCE_S


def test_a_sender_that_hangs_is_stalled_then_lost_within_time_and_found_again(ward, hasty):
    ward.send()
    ward.source.connect(10.0)
    ward.until_live()
    ward.senders[0].send_signal(signal.SIGSTOP)
    ward.until_told("lost")
    last = ward.chunks[-1].timestamps[-1]
    assert ward.fields("stalled")["at"] - last > 0.9
    assert ward.fields("lost")["at"] - last < AT_ONCE_S
    ward.senders[0].send_signal(signal.SIGCONT)
    ward.until_told("recovered")
    ward.until_live()
    ward.assert_true()
    assert max(ward.waits) < AT_ONCE_S


def test_a_stream_of_another_rate_is_never_decoded_and_the_right_one_found(ward, hasty):
    ward.send()
    ward.source.connect(10.0)
    ward.until_live()
    ward.kill()
    ward.send(rate=1000.0)
    ward.until_told("refused")
    assert "has 1000 Hz, the decoder needs 512 Hz" in ward.fields("refused")["reason"]
    n_before = ward.n_samples
    ward.kill()
    ward.send()
    ward.until(lambda: ward.n_samples > n_before)
    ward.until_live()
    assert ward.events.count("refused") == 1
    ward.assert_true()


def test_permuted_more_and_fewer_channels_are_bound_by_label(ward, hasty):
    ward.send()
    ward.source.connect(10.0)
    ward.until_live()
    ward.kill()
    ward.send(labels=("X9", "A3", "A1", "X7", "A2", "A4"))
    ward.until_told("recovered")
    ward.until_live()
    ward.assert_true()
    ward.kill()
    ward.send(labels=("A4", "A1"))
    ward.until_told("recovered", 2)
    ward.until_live()
    assert ward.fields("connected")["missing"] == ["A2", "A3"]
    assert np.isnan(ward.chunks[-1].data[[1, 2]]).all()
    ward.assert_true(missing=("A2", "A3"))
    ward.kill()
    ward.send(labels=("A4",))
    ward.until_told("refused")
    assert "1 of the decoder's 4 channels" in ward.fields("refused")["reason"]


@pytest.mark.parametrize("slow_to_answer", [False, True])
def test_two_at_once_are_an_error_at_first_and_refused_at_reconnect(ward, slow_to_answer):
    ward.send()
    ward.send(source_id="two")
    with pytest.raises(StreamError, match=f"{ward.name}-(one.*-two|two.*-one)"):
        ward.connect_until_refused(slow_to_answer)
    ward.kill()
    assert ward.source.pull(0.0).n_samples == 0
    ward.until_live(20)
    ward.kill()
    ward.until_told("lost")
    n_refused = ward.events.count("refused")
    ward.send(source_id="two")
    ward.send(source_id="two")
    ward.until(lambda: ward.events.count("refused") > n_refused)
    assert ward.fields("refused")["reason"].count(f"{ward.name}-two") == 2
    ward.kill()
    ward.until_live()


def test_another_sender_is_refused_after_a_loss_and_the_first_one_found_beside_it(ward, hasty):
    ward.send()
    ward.source.connect(10.0)
    ward.until_live()
    ward.kill()
    ward.send(source_id="two")
    ward.until_told("refused")
    why = ward.fields("refused")["reason"]
    assert all(words in why for words in (f"{ward.name}-one", f"{ward.name}-two", "accept_other"))
    ward.send()
    ward.until_told("recovered")
    ward.until_live()
    ward.assert_true()


def test_a_name_that_is_not_there_is_told_with_what_is(ward):
    ward.send(source_id="other")
    unwanted = SupervisedSource(
        query=LslStreamQuery(name="no such stream"),
        requirements=StreamRequirements(SFREQ_HZ, MONTAGE.names),
        montage=MONTAGE,
        on_event=lambda event, **fields: None,
    )
    with pytest.raises(StreamError, match=f"no LSL stream with name 'no such.*{ward.name}-other"):
        unwanted.connect(1.2)
    unwanted.close()


def test_close_is_quick_while_waiting_connecting_live_and_lost(ward, hasty):
    ward.send()
    ward.source.connect(10.0)
    ward.until_live(1)
    ward.kill()
    ward.until_told("lost")
    started = time.monotonic()
    ward.source.close()
    assert time.monotonic() - started < AT_ONCE_S
    assert "rtbrain-connection" not in {thread.name for thread in threading.enumerate()}
