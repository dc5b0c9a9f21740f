"""Contacts marked bad by the operator are masked and reported until the mark is withdrawn."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.config import SignalStep
from rtbrain.marks import Mark
from rtbrain.signal import ManualMask, build_signal
from rtbrain.types import Chunk, Times
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(8, SFREQ_HZ)
SIGNAL = brain_like(8, 2048, SFREQ_HZ)


OPERATOR = {"source_id": "", "host": ""}
STRANGER = {"source_id": "evil", "host": "ward-9"}


def by_stranger(text: str) -> Mark:
    return Mark(text, **STRANGER, by_operator=False)


class Heard:
    """Marks that were sent, and the events that followed."""

    def __init__(self, *texts: str | Mark) -> None:
        self.texts = deque(texts)
        self.events: list[tuple[str, dict[str, str]]] = []

    def __call__(self) -> list[Mark]:
        marks = [self.texts.popleft() for _ in range(len(self.texts))]
        return [Mark(mark) if isinstance(mark, str) else mark for mark in marks]

    def add_event(self, event: str, **fields: str) -> None:
        self.events.append((event, fields))


def stage_of(*texts: str | Mark) -> tuple[ManualMask, Heard]:
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
    assert heard.events == [
        ("channel_bad", {"channel": "A3", "reason": "marked by the operator"} | OPERATOR)
    ]


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


def test_a_mark_by_the_label_of_the_stream_finds_the_contact() -> None:
    stage, heard = stage_of("bad EEG A3-Ref")
    stage(whole())
    assert stage.bad == ("A3",)
    assert [fields["channel"] for _, fields in heard.events] == ["A3"]


def test_other_texts_are_no_marks_and_an_unknown_contact_is_reported() -> None:
    stage, heard = stage_of("seizure", "bad", "badly A3", "bad  A3", "", "bad Z9")
    chunk = whole()
    assert stage(chunk) is chunk
    unknown = [fields["channel"] for event, fields in heard.events if event == "channel_unknown"]
    assert unknown == ["", " A3", "Z9"]


def test_a_mark_names_its_author_who_alone_may_withdraw_it_but_for_the_operator() -> None:
    other = Mark("good A3", "view-2", "ward-9", by_operator=False)
    stage, heard = stage_of(by_stranger("bad A3"), other, other)
    stage(whole())
    assert stage.bad == ("A3",)
    bad = {"channel": "A3", "reason": "marked by evil on ward-9"} | STRANGER
    refused = {"channel": "A3", "source_id": "view-2", "host": "ward-9"}
    assert heard.events == [
        ("channel_bad", bad),
        ("mark_refused", refused | {"reason": "marked by view-2 on ward-9"}),  # told once
    ]
    heard.texts += [by_stranger("good A3")]
    stage(whole())
    assert stage.bad == ()
    heard.texts += [by_stranger("bad A3"), "good A3"]
    stage(whole())
    assert stage.bad == ()
    assert [event for event, _ in heard.events[2:]] == [
        "channel_good",
        "channel_bad",
        "channel_good",
    ]


def test_a_stranger_cannot_withdraw_what_the_operator_marked_too() -> None:
    stage, heard = stage_of(by_stranger("bad A3"), "bad A3", by_stranger("good A3"))
    stage(whole())
    assert stage.bad == ("A3",)
    assert [fields["reason"] for _, fields in heard.events] == [
        "marked by evil on ward-9",
        "marked by the operator",
        "marked by the operator",
    ]
    heard.texts += [by_stranger("good A3")]
    stage(whole())
    assert stage.bad == ("A3",)
    assert heard.events[-1][0] == "mark_refused"


def test_a_flood_of_unknown_labels_is_reported_once_each_and_remembered_in_bounds() -> None:
    stage, heard = stage_of(*(by_stranger(f"bad Z{n % 50}") for n in range(5000)))
    stage(whole())
    assert len(heard.events) == 50


@given(sizes=st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=10)
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
    assert heard.events == [
        ("channel_bad", {"channel": "A3", "reason": "marked by the operator"} | OPERATOR)
    ]
