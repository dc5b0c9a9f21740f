"""Contacts marked bad by the operator are masked and reported until the mark is withdrawn."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.build import build_signal
from rtbrain.config import SignalStep
from rtbrain.signal import ManualMask
from rtbrain.types import Chunk, Times
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(8, SFREQ_HZ)
SIGNAL = brain_like(8, 2048, SFREQ_HZ)


class Heard:
    """Marks that were sent, and the events that followed."""

    def __init__(self, *texts: str) -> None:
        self.texts = deque(texts)
        self.events: list[tuple[str, dict[str, str]]] = []

    def __call__(self) -> list[str]:
        return [self.texts.popleft() for _ in range(len(self.texts))]

    def add_event(self, event: str, **fields: str) -> None:
        self.events.append((event, fields))


def stage_of(*texts: str) -> tuple[ManualMask, Heard]:
    heard = Heard(*texts)
    return ManualMask(MONTAGE, read_marks=heard, on_event=heard.add_event), heard


def whole() -> Chunk:
    stamps: Times = np.arange(SIGNAL.shape[1]) / SFREQ_HZ
    return Chunk(SIGNAL, stamps)


def test_a_marked_contact_is_nan_and_the_others_are_as_they_were() -> None:
    stage, heard = stage_of("bad A3")
    before = SIGNAL.copy()
    out = stage(whole()).data
    assert np.isnan(out[2]).all()
    np.testing.assert_array_equal(np.delete(out, 2, 0), np.delete(SIGNAL, 2, 0))
    np.testing.assert_array_equal(SIGNAL, before)
    assert heard.events == [("channel_bad", {"channel": "A3", "reason": "marked by the operator"})]


def test_withdrawing_a_mark_restores_the_contact_and_nothing_is_reported_twice() -> None:
    stage, heard = stage_of("bad A3", "bad A3")
    stage(whole())
    assert stage.bad == ("A3",)
    heard.texts += ["good A3", "good A3", "good A4"]
    chunk = whole()
    assert stage(chunk) is chunk
    assert [event for event, _ in heard.events] == ["channel_bad", "channel_good"]


def test_marks_are_repeated_on_request() -> None:
    stage, heard = stage_of("bad A1", "bad A3", "bad?")
    stage(whole())
    assert [fields["channel"] for _, fields in heard.events] == ["A1", "A3", "A1", "A3"]


def test_other_texts_are_no_marks_and_an_unknown_contact_is_reported() -> None:
    stage, heard = stage_of("seizure", "bad", "badly A3", "bad  A3", "", "bad Z9")
    chunk = whole()
    assert stage(chunk) is chunk
    unknown = [fields["channel"] for event, fields in heard.events if event == "channel_unknown"]
    assert unknown == ["", " A3", "Z9"]


@given(sizes=st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=10, deadline=None)
def test_whole_or_in_pieces_the_output_is_the_same(sizes: list[int]) -> None:
    stage, _ = stage_of("bad A3", "bad A8")
    pieces = [stage(piece).data for piece in cut(SIGNAL, sizes, SFREQ_HZ)]
    np.testing.assert_array_equal(np.hstack(pieces), stage_of("bad A3", "bad A8")[0](whole()).data)


def test_reset_equals_new_and_a_gap_keeps_the_marks() -> None:
    stage, _ = stage_of("bad A3")
    stage(whole())
    after_gap = stage(Chunk(SIGNAL, np.arange(SIGNAL.shape[1]) / SFREQ_HZ, 9999, gap=500))
    assert np.isnan(after_gap.data[2]).all()
    stage.reset()
    chunk = whole()
    assert stage(chunk) is chunk


@pytest.mark.parametrize("with_quality", [False, True])
def test_the_chain_masks_a_marked_contact_before_any_reference(with_quality: bool) -> None:
    steps = [SignalStep.model_validate({"quality": {}})] if with_quality else []
    steps.append(SignalStep.model_validate({"reference": "car"}))
    heard = Heard("bad A3")
    chain = build_signal(steps, MONTAGE, heard.add_event, heard)
    spoilt = SIGNAL.copy()
    spoilt[2] *= 3
    wild = chain(Chunk(spoilt, whole().timestamps)).data
    others = np.delete(SIGNAL, 2, 0)
    assert np.isnan(wild[2]).all()
    np.testing.assert_allclose(np.delete(wild, 2, 0), others - others.mean(axis=0), atol=1e-3)
    assert heard.events == [("channel_bad", {"channel": "A3", "reason": "marked by the operator"})]
