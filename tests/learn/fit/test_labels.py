"""Windows get the label that held while their signal was recorded, or none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtbrain
from rtbrain.config import LabelSettings, WindowSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.inputs import events_that_label, label_windows, virtual_session
from rtbrain.learn.fit.labels import (
    Cues,
    cue_times,
    labels_at_events,
    states_from_markers,
    targets_from_channels,
)
from rtbrain.marks import PLAN_MARKER
from rtbrain.recording.open import read
from rtbrain.recording.recording import Event

EVERY_S = 0.25


def ends(duration_s: float) -> np.ndarray:
    return np.arange(1, round(duration_s / EVERY_S) + 1) * EVERY_S


def moments(*marks: tuple[float, str]) -> list[Event]:
    return [Event(onset_s, 0.0, text) for onset_s, text in marks]


def test_a_state_lasts_from_its_marker_to_the_next() -> None:
    events = moments((2.0, "speech"), (3.0, "cough"), (5.0, "rest"))
    labelled = states_from_markers(ends(8.0), events, ["rest", "speech"])
    of = dict(zip(labelled.t_s.tolist(), labelled.targets.tolist(), strict=True))
    assert [t for t, target in of.items() if target == 1] == ends(8.0)[7:19].tolist()  # 2 to 4.75
    assert [t for t, target in of.items() if target == 0] == ends(8.0)[19:].tolist()  # 5 to 8
    np.testing.assert_array_equal(ends(8.0)[labelled.rows], labelled.t_s)
    assert labelled.counts == {"rest": 13, "speech": 12}
    assert labelled.task == "classification"


def test_an_event_with_a_duration_ends_its_state() -> None:
    events = [Event(1.0, 1.5, "a"), *moments((5.0, "b"), (6.0, "b"))]
    labelled = states_from_markers(ends(8.0), events, ["a", "b"])
    assert labelled.t_s[labelled.targets == 0].tolist() == [1.0, 1.25, 1.5, 1.75, 2.0, 2.25]
    np.testing.assert_array_equal(labelled.t_s[labelled.targets == 1], ends(8.0)[19:])


def test_an_event_of_one_sample_is_a_moment_whose_state_lasts_until_the_next() -> None:
    # BrainVision's markers have size 1: MNE-Python and BIDS give them the duration of a sample.
    events = [Event(2.0 * number, 0.001, "ab"[number % 2]) for number in range(4)]
    notes: list[str] = []
    labelled = states_from_markers(ends(8.0), events, ["a", "b"], on_note=notes.append)
    plain = moments(*((event.onset_s, event.text) for event in events))
    expected = states_from_markers(ends(8.0), plain, ["a", "b"])
    np.testing.assert_array_equal(labelled.targets, expected.targets)
    np.testing.assert_array_equal(labelled.rows, expected.rows)
    assert notes == [
        "'a', 'b': events of 0.001 s or less are moments; the state lasts until the next"
    ]
    with pytest.raises(SettingsError, match="a class has no window"):
        states_from_markers(ends(8.0), events, ["a", "b"], moment_s=0.0, lag_s=0.1)


def test_events_that_begin_no_state_are_counted_with_the_reason() -> None:
    events = moments(
        (-1, "a"), (1, "a"), (3, "b"), (3, "a"), (5, "b"), (6.05, "b"), (6.1, "a"), (11, "b")
    )
    notes: list[str] = []
    states_from_markers(ends(8.0), events, ["a", "b"], extent_s=(0.0, 8.0), on_note=notes.append)
    assert notes == [
        "3 of 8 events are not used: 1 outside the recording, 1 at the moment of another, "
        "1 too short, or without valid signal"
    ]


def test_events_without_a_window_are_counted_with_the_reason() -> None:
    events = moments((-0.5, "a"), (1, "a"), (1, "a"), (2, "b"), (3, "b"), (7.5, "a"))
    cues = cue_times(events, ["a", "b"], window_s=(0, 1))
    t_stop = ends(8.0)[3:]
    t_stop = t_stop[t_stop != 4.0]  # the window of 3 s was not valid
    notes: list[str] = []
    labelled = labels_at_events(
        t_stop, cues, tolerance_s=0.01, length_s=1.0, extent_s=(0.0, 8.0), on_note=notes.append
    )
    assert labelled.t_s.tolist() == [2.0, 3.0]
    assert notes == [
        "4 of 6 events are not used: 2 with a window that reaches beyond the recording, "
        "1 with a gap or no valid signal in the window, 1 twice at one moment"
    ]


def test_frames_pooled_in_the_middle_of_the_window_are_labelled_by_their_own_time() -> None:
    events = moments((0.0, "a"), (4.0, "b"))
    last = states_from_markers(ends(10.0), events, ["a", "b"])
    middle = states_from_markers(ends(10.0), events, ["a", "b"], lag_s=1.0)
    np.testing.assert_allclose(
        middle.t_s[middle.targets == 1], last.t_s[last.targets == 1][:-4] + 1.0, rtol=0, atol=1e-9
    )


@given(st.lists(st.tuples(st.integers(0, 80), st.sampled_from("ab")), min_size=2, max_size=12))
def test_states_agree_with_looking_up_every_moment(marks: list[tuple[int, str]]) -> None:
    marks = sorted(dict(marks).items())
    events = moments(*((at * EVERY_S, text) for at, text in marks))
    expected = {
        end: "ab".index(next(text for onset, text in reversed(marks) if onset <= end))
        for end in range(max(1, marks[0][0]), 100)
    }
    if {"a", "b"} != {text for _, text in marks} or set(expected.values()) != {0, 1}:
        with pytest.raises(SettingsError):
            states_from_markers(ends(24.75), events, ["a", "b"])
        return
    labelled = states_from_markers(ends(24.75), events, ["a", "b"])
    found = zip((labelled.rows + 1).tolist(), labelled.targets.tolist(), strict=True)
    assert dict(found) == expected


def test_a_window_ends_a_second_after_its_event_and_rest_is_tiled_between_events() -> None:
    events = moments((3.2, "word"), (3.7, "word"), (9.0, "word"))
    cues = cue_times(events, ["word"], window_s=(0, 1), rest=True, duration_s=12.0)
    assert cues.names == ("word", "rest")
    np.testing.assert_allclose(cues.t_stop[cues.targets == 0], [4.2, 4.7, 10.0])
    np.testing.assert_allclose(
        cues.t_stop[cues.targets == 1], [1, 2, 3, 5.7, 6.7, 7.7, 8.7, 11.0, 12.0]
    )
    assert np.all(np.diff(cues.t_stop) > 0)


@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=10),
    st.floats(-1, 0),
    st.floats(0.1, 2),
)
def test_no_window_of_rest_reaches_into_an_event_or_another(
    onsets: list[float], start_s: float, stop_s: float
) -> None:
    events = moments(*((onset, "w") for onset in sorted(onsets)))
    cues = cue_times(events, ["w"], window_s=(start_s, stop_s), rest=True, duration_s=60.0)
    rest = cues.t_stop[cues.targets == 1]
    length_s = stop_s - start_s
    assert np.all(np.diff(rest) >= length_s - 1e-6)
    assert np.all((rest - length_s >= -1e-6) & (rest <= 60.0 + 1e-5))
    for onset in onsets:
        apart = (rest <= onset + start_s + 1e-5) | (rest - length_s >= onset + stop_s - 1e-5)
        assert apart.all()


def test_the_window_nearest_to_a_cue_is_taken_and_none_where_it_is_far() -> None:
    cues = Cues(np.array([1.1, 1.9, 30.0, 2.05]), np.array([0, 1, 0, 1]), ("a", "b"))
    labelled = labels_at_events(ends(3.0), cues, tolerance_s=EVERY_S / 2)
    assert labelled.t_s.tolist() == [1.0, 2.0, 2.0]
    assert labelled.targets.tolist() == [0, 1, 1]


def test_a_channel_is_read_at_the_windows_end_and_never_after() -> None:
    stamps = np.arange(1000) / 100
    force = np.where(np.arange(1000) < 500, 1.0, 3.0).astype(np.float32)
    labelled = targets_from_channels(
        np.array([4.99, 4.995, 5.0, 5.005]),
        force[np.newaxis],
        stamps,
        names=["force"],
        threshold="half",
    )
    assert labelled.targets.tolist() == [0, 0, 1, 1]
    assert labelled.names == ("off", "on")


def test_a_channel_without_threshold_is_the_target_and_windows_on_nan_are_left_out() -> None:
    stamps = np.arange(400) / 100
    force = np.linspace(0, 1, 400, dtype=np.float32)
    force[100] = np.nan
    labelled = targets_from_channels(
        np.array([0.5, 1.0, 2.0]), force[np.newaxis], stamps, names=["force"]
    )
    assert labelled.rows.tolist() == [0, 2]
    assert labelled.task == "regression"
    np.testing.assert_array_equal(labelled.targets, force[[50, 200], np.newaxis])
    both = np.stack([np.ones(400, np.float32), force])
    labelled = targets_from_channels(
        np.array([0.5, 1.0, 2.0]), both, stamps, names=["grip", "force"]
    )
    assert (labelled.names, labelled.rows.tolist()) == (("grip", "force"), [0, 2])
    np.testing.assert_array_equal(labelled.targets, both[:, [50, 200]].T)


def test_an_unknown_event_is_refused_with_those_that_exist_the_nearest_first() -> None:
    events = moments((1, "rest"), (2, "speech"), (3, "speech"))
    with pytest.raises(SettingsError, match=r"^no event 'spech': there are 'speech' \(2\), 'rest'"):
        states_from_markers(ends(5.0), events, ["spech", "rest"])
    with pytest.raises(SettingsError, match="holds no events"):
        cue_times([], ["word"])
    many = moments(*((float(i), f"m{i}") for i in range(20)))
    with pytest.raises(SettingsError, match="and 12 more"):
        cue_times(many, ["word"])


@pytest.mark.parametrize(
    ("events", "classes", "told"),
    [
        ([(0, "a"), (1.1, "b"), (1.2, "a")], ["a", "b"], r"a class has no window \(a 40, b 0\)"),
        ([(0, "a")], ["a"], "one class only, a: name two"),
    ],
)
def test_labels_that_leave_nothing_to_tell_apart_are_refused(
    events: list[tuple[float, str]], classes: list[str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        states_from_markers(ends(10.0), moments(*events), classes)


def test_a_channel_on_one_side_of_the_threshold_and_a_window_without_length_are_refused() -> None:
    stamps = np.arange(400) / 100
    with pytest.raises(SettingsError, match="force is at or below 9 at the end of every window"):
        targets_from_channels(
            ends(3.0), np.ones((1, 400), np.float32), stamps, names=["force"], threshold=9.0
        )
    with pytest.raises(SettingsError, match="no value"):
        targets_from_channels(
            ends(3.0), np.full((1, 400), np.nan, np.float32), stamps, names=["force"]
        )
    with pytest.raises(SettingsError, match="expected its end after its start"):
        cue_times(moments((1, "w")), ["w"], window_s=(1, 1))
    with pytest.raises(SettingsError, match="'rest' is an event"):
        cue_times(moments((1, "rest")), ["rest"], rest=True)


def test_how_long_a_moment_lasts_depends_on_rate_and_window() -> None:
    marks = [Event(2.0 * number, 0.04, "ab"[number % 2]) for number in range(4)]
    labels = LabelSettings(classes=("a", "b"))
    for sfreq_hz, length_s, is_moment in ((100, 1.0, True), (100, 0.1, False), (20, 0.1, True)):
        noise = np.zeros((1, 8 * sfreq_hz), np.float32)
        recording = replace(read((noise, sfreq_hz, ["A1"])), events=tuple(marks))
        window = WindowSettings(length_s=length_s, hop_s=0.1)
        notes: list[str] = []
        given = (recording, virtual_session(recording), labels, window, ends(8.0), 0.1)
        if not is_moment:
            with pytest.raises(SettingsError, match="a class has no window"):
                label_windows(*given, on_note=notes.append)
            continue
        assert label_windows(*given, on_note=notes.append).rows.size == ends(8.0).size
        assert len(notes) == 1


def test_markers_of_the_named_stream_label_and_those_of_a_screen_of_cues() -> None:
    events = [
        Event(1.0, 0.0, "1", stream="task"),
        Event(2.0, 0.0, "speech", stream="marks by hand"),
        Event(3.0, 0.0, PLAN_MARKER + "{}", stream="cues"),
        Event(4.0, 0.0, "rest", stream="cues"),
    ]
    names, classes = {"1": "speech"}, ("rest", "speech")
    labels = LabelSettings(classes=classes, names=names, marker_stream="task")
    assert [one.text for one in events_that_label(events, labels)] == [
        "speech",
        PLAN_MARKER + "{}",
        "rest",
    ]
    other = LabelSettings(classes=classes, names=names, marker_stream="another day")
    assert len(events_that_label(events, other)) == 4
    assert len(events_that_label(events, LabelSettings(classes=classes))) == 4


def test_several_channels_are_predicted_by_one_decoder(tmp_path: Path) -> None:
    # Two rhythms of four contacts, each as strong as a slow value of its own.
    rng, hz, n = np.random.default_rng(0), 512.0, 512 * 60
    t_s = np.arange(n) / hz
    slow = [0.5 + 0.5 * np.sin(2 * np.pi * t_s / period + 1) for period in (3.7, 6.1)]
    phases = rng.uniform(0, 6, (4, 2, 1)) + np.cumsum(rng.normal(0, 0.05, (4, 2, n)), axis=2)
    waves = np.sin(2 * np.pi * np.array([[40.0], [90.0]]) * t_s + phases)
    signal = rng.normal(0, 10, (4, n)) + 20 * (waves * slow).sum(axis=1)
    names = ["A1", "A2", "A3", "A4", "x", "y"]
    data = np.concatenate([signal, slow]).astype(np.float32)
    recording = rtbrain.read(data, sfreq_hz=hz, names=names)
    options = {"front_end": "recipe", "n_folds": 2, "n_permutations": 0, "hop_s": 0.25}
    decoder = rtbrain.fit(recording, channel=["x", "y"], mains_hz=50, **options)
    assert decoder.labels == ("x", "y")
    assert decoder.bundle.montage.names == ("A1", "A2", "A3", "A4")
    again = rtbrain.load(decoder.save(tmp_path / "bundle"))
    decodes = again.decode(recording)
    kept = decodes.valid & (decodes.t_stop_s > 30)
    truth = np.array(slow)[:, np.rint(decodes.t_stop_s[kept] * hz).astype(int) - 1]
    r = np.corrcoef(decodes.values[kept].T, truth)[:2, 2:]
    assert np.diag(r).min() > 0.6
    assert np.abs(r[[0, 1], [1, 0]]).max() < 0.4
    scores = rtbrain.evaluate(again, recording)["decoder"]
    assert scores["r2"] == pytest.approx(again.report["scores"]["decoder"]["pooled"]["r2"], abs=0.2)
    with pytest.raises(SettingsError, match="threshold is for one channel"):
        rtbrain.fit(recording, channel=["x", "y"], threshold=0.5)
