"""What a decoder reports becomes the target, thresholds, detections, cues and outputs shown."""

import math

import numpy as np
import pytest

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDetection
from rtbrain.view.decodes.decoding import Decoding, Threshold
from rtbrain.view.streams.session import SessionUpdate
from tests.conftest import montage_of
from tests.view.stub import StubSession, row, status_event

HOP_S = 0.25
SPEECH = {"up": 0.7, "down": 0.55, "refractory_s": 2.0, "calibrated": True}


def decoding_of(labels=("rest", "speech"), unit="probability", hop_s=HOP_S, delay_s=0.5):
    info = DecodeHeader("ward-decode", labels, unit, hop_s, delay_s)
    return Decoding(StubSession(montage_of(2, 2000.0), info))


def summary(sent=0, sending=True, triggers=None, **thresholds):
    detections = {"thresholds": thresholds, "sent": sent, "sending": sending}
    return status_event("summary", detections=detections, triggers=triggers or {})


def take(decoding, now=0.0, **update):
    decoding.take(SessionUpdate(now, **update))


def rows(values, start_s=100.0):
    return tuple(row(start_s + i * HOP_S, value) for i, value in enumerate(values))


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        (("rest", "speech"), "speech"),
        (("grasp", "Rest"), "grasp"),
        (("idle", "a", "b"), "a"),
        (("rest",), "rest"),
    ],
)
def test_the_target_is_what_is_detected_else_what_is_no_rest(labels, target):
    decoding = decoding_of(labels)
    take(decoding)
    assert decoding.target_label == target
    take(decoding, events=(summary(**{labels[-1]: SPEECH}),))
    assert decoding.target_label == labels[-1]
    assert decoding.threshold == Threshold(0.7, 0.55, 2.0, True)


def test_a_threshold_is_unknown_until_it_is_reported_and_follows_what_a_person_sets():
    decoding = decoding_of()
    take(decoding, events=(status_event("live"),))
    assert decoding.thresholds is None
    take(decoding, events=(summary(),))
    assert decoding.thresholds == {}
    moved = status_event("threshold", label="speech", up=0.8, down=0.6, refractory_s=1.0)
    take(decoding, events=(summary(speech=SPEECH), moved))
    assert decoding.threshold == Threshold(0.8, 0.6, 1.0, calibrated=False)


@pytest.mark.parametrize(
    "wrong", [None, 3, "x", ["speech"], {"speech": 7}, {"speech": {"up": "a"}}]
)
def test_what_is_no_threshold_is_left_out(wrong):
    decoding = decoding_of()
    for field in ("thresholds", "sent"):
        take(decoding, events=(status_event("summary", detections={field: wrong}),))
    take(decoding, events=(status_event("summary", detections=wrong, triggers=wrong),))
    take(decoding, events=(status_event("threshold", label=wrong, up=wrong),))
    take(decoding, events=(status_event("detected", label=wrong, t_stop=wrong, t_ready=1.0),))
    assert decoding.threshold is None
    assert not decoding.detections


def test_both_widgets_may_pass_on_one_update_and_it_counts_once():
    decoding = decoding_of()
    update = SessionUpdate(0.0, detections=(ReceivedDetection(100.0, "speech"),))
    for _ in range(2):
        decoding.take(update)
    assert (decoding.n_detected, len(decoding.detections)) == (1, 1)


def test_detections_of_a_run_are_counted_by_their_number_also_by_one_who_came_later():
    decoding = decoding_of()
    take(decoding, events=(summary(sent=30, speech=SPEECH),))
    take(decoding, detections=(ReceivedDetection(100.0, "speech", number=31),))
    take(decoding, events=(summary(sent=30, speech=SPEECH),))  # sent before it, read after it
    assert decoding.n_detected == 31
    take(decoding, events=(status_event("detecting", calibrated={}, sending=True),))
    assert decoding.n_detected == 0  # another run


def test_a_detection_stands_at_the_end_of_its_window_and_once_if_two_streams_have_it():
    decoding = decoding_of(delay_s=0.5)
    # The sender's clock is 1000 s behind this one's.
    about = {"label": "speech", "t_stop": -900.0, "t_ready": -899.8, "value": 0.9}
    take(decoding, events=(status_event("detected", 100.2, **about),))
    (pin,) = decoding.detections
    assert (pin.t, pin.sent) == (pytest.approx(100.0), False)
    take(decoding, detections=(ReceivedDetection(99.5, "speech", 0.9, True, 1),))
    (pin,) = decoding.detections
    assert (pin.t, pin.sent, pin.calibrated) == (100.0, True, True)
    take(decoding, events=(status_event("detected", 100.2, **about),))
    assert [pin.sent for pin in decoding.detections] == [True]


def test_the_next_detection_waits_for_the_refractory_time_and_then_for_a_fall():
    decoding = decoding_of(delay_s=0.0)
    found = (ReceivedDetection(100.0, "speech"),)
    take(decoding, events=(summary(speech=SPEECH),), decodes=rows([[0.1, 0.9]]), detections=found)
    assert decoding.ready_in_s(101.4) == pytest.approx(0.6)
    assert math.isnan(decoding.ready_in_s(102.5))  # it has not fallen below 0.55
    take(decoding, decodes=rows([[0.4, 0.6]], 102.0))
    assert math.isnan(decoding.ready_in_s(102.5))
    take(decoding, decodes=rows([[0.5, 0.5]], 102.25))
    assert decoding.ready_in_s(102.5) == 0.0


def test_outputs_are_armed_and_off_as_the_decoder_reports_at_once():
    decoding = decoding_of()
    take(decoding, events=(summary(triggers={"armed": True, "outputs": ["OSC"]}),))
    assert (decoding.armed, decoding.outputs) == (True, ("OSC",))
    take(decoding, events=(status_event("disarmed", reason="by you"),))
    assert not decoding.armed
    take(
        decoding, events=(status_event("disarmed", stream="x-record-status"), status_event("armed"))
    )
    assert decoding.armed


def test_cues_last_until_the_next_class_or_a_pause_and_codes_have_names():
    decoding = decoding_of(("rest", "speech", "grasp"))
    decoding.names = {"7": "grasp"}
    markers = [(100.0, "speech"), (101.0, "note"), (104.0, "rest"), (106.0, "7"), (110.0, "pause")]
    take(decoding, markers=(*markers, (120.0, "speech")))
    cues = decoding.cue_spans(125.0)
    assert [(cue.start, cue.stop, cue.label) for cue in cues] == [
        (100.0, 104.0, "speech"),
        (106.0, 110.0, "grasp"),
        (120.0, 125.0, "speech"),
    ]
    assert decoding.cue_spans(165.0)[-1].stop == 150.0  # none is on for ever
    assert not decoding.cue_spans(300.0)


def test_of_many_classes_the_strongest_are_shown_and_keep_their_place():
    labels = ("rest", "speech", "c", "d", "e", "f", "g")
    decoding = decoding_of(labels)
    base = np.array([0.3, 0.1, 0.2, 0.15, 0.1, 0.1, 0.05])
    take(decoding, decodes=rows([base] * 20))
    assert decoding.shown(105.0) == [1, 0, 2, 3]
    nearly = base + np.eye(7)[4] * 0.08  # stronger than "d", but not by much
    take(decoding, decodes=rows([nearly] * 100, 110.0))
    assert decoding.shown(135.0) == [1, 0, 2, 3]
    much = base + np.eye(7)[4] * 0.5
    take(decoding, decodes=rows([much] * 40, 140.0))
    assert decoding.shown(150.0) == [1, 0, 2, 4]
    few = decoding_of(labels[:3])
    take(few, decodes=rows([base[:3]]))
    assert few.shown(101.0) == [1, 0, 2]


def test_a_gap_in_the_signal_is_known_by_its_length():
    decoding = decoding_of()
    take(decoding, events=(status_event("gap", 100.0, lost=160), status_event("gap", 90.0, lost=2)))
    assert decoding.gap_s(100.1, 105.0) == pytest.approx(0.08)
    assert decoding.gap_s(120.0, 125.0) == 0.0


def test_another_process_of_the_same_decoder_begins_anew_and_keeps_what_it_said_early():
    decoding = decoding_of()
    armed = {"armed": True, "outputs": ["OSC"]}
    found = (ReceivedDetection(100.0, "speech"),)
    events = (summary(sent=1, triggers=armed, speech=SPEECH),)
    take(decoding, events=events, decodes=rows([[0.1, 0.9]]), detections=found)
    take(decoding, new_senders={"status"})
    assert (decoding.n_detected, decoding.armed, decoding.thresholds) == (0, False, None)
    take(decoding, events=(summary(triggers=armed, speech=SPEECH),))
    take(decoding, new_senders={"decode"})
    assert decoding.history.last is None
    assert (decoding.armed, decoding.threshold) == (True, Threshold(0.7, 0.55, 2.0, True))
    take(decoding, decodes=rows([[0.1, 0.9]], 200.0), new_senders={"decode"})
    assert (decoding.history.t_first, decoding.thresholds) == (200.0, None)


@pytest.mark.parametrize("end", ["stopped", "failed", "lost"])
def test_a_decoder_that_waits_or_connects_after_its_end_begins_another_run(end):
    decoding = decoding_of()
    take(decoding, events=(summary(sent=3, speech=SPEECH),), decodes=rows([[0.1, 0.9]]))
    take(decoding, events=(status_event("connecting"),))
    assert decoding.history.last is not None  # to its signal again, in the same run
    take(decoding, events=() if end == "lost" else (status_event(end),))
    decoding.session.set("decode", state="lost")
    take(decoding)
    assert decoding.gone
    take(decoding, events=(status_event("connecting"),))
    assert decoding.history.last is None
    assert (decoding.gone, decoding.n_detected) == (False, 0)


def test_another_decoder_begins_anew_and_one_of_other_channels_is_forgotten():
    decoding = decoding_of()
    found = (ReceivedDetection(100.0, "speech"),)
    take(decoding, events=(summary(speech=SPEECH),), decodes=rows([[0.1, 0.9]]), detections=found)
    # Decodes of the one before may come with the new header.
    decoding.session.decode = DecodeHeader("ward-decode", ("a", "b", "c"), "probability", HOP_S)
    take(decoding, decodes=(row(102.0, [0.5, 0.5]), row(103.0, [0.1, 0.2, 0.7])))
    assert decoding.history.last.values.size == 3
    assert (decoding.n_detected, decoding.thresholds) == (0, None)
    decoding.session.decode = None
    take(decoding, other_decoder=True)
    assert decoding.info is decoding.history is None
