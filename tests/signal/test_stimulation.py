"""Announced pulses are blanked, periodic ones subtracted, and nothing else passes unnoticed."""

from dataclasses import replace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.config import SignalStep, StimulationSettings
from rtbrain.errors import SettingsError
from rtbrain.marks import AWAY, BLANKED, LATE, UNKNOWN
from rtbrain.signal import Blanking, PeriodicTemplate, build_signal
from rtbrain.types import Montage
from tests.conftest import brain_like, cut, montage_of
from tests.signal.recording import cut_sizes, joined, pieces, same, segments

SFREQ_HZ = 1000.0
MONTAGE = montage_of(6, SFREQ_HZ)
SIGNAL = brain_like(6, 4000, SFREQ_HZ, seed=2)
T_0 = 100.0  # stamp of the first sample, as `cut` gives it
PULSES = np.arange(300, 4000, 170)
few = settings(max_examples=15)


def blanking(**options):
    times = {"before_s": 0.002, "after_s": 0.006, "wait_s": 0.01} | options
    return Blanking(MONTAGE, texts=("stim",), **times)


def marked(stage, at=PULSES, text="stim"):
    for sample in at:
        stage.mark(T_0 + sample / SFREQ_HZ, text)
    return stage


def pulsed(height_uv=4000.0):
    data = SIGNAL.copy()
    data[:, PULSES] += height_uv
    data[:, PULSES + 1] -= height_uv / 2
    return data


def whole(data=SIGNAL):
    (chunk,) = cut(data, [], SFREQ_HZ)
    return chunk


def test_a_pulse_becomes_a_line_between_the_clean_samples_beside_it_as_in_mne():
    made = marked(blanking())(whole(pulsed()))
    info = mne.create_info(6, SFREQ_HZ, "seeg")
    events = np.stack([PULSES, np.zeros_like(PULSES), np.ones_like(PULSES)], axis=1)
    raw = mne.io.RawArray(pulsed(), info, verbose="error")
    times = {"tmin": -0.003, "tmax": 0.006}
    with mne.utils.use_log_level("error"):
        mne.preprocessing.fix_stim_artifact(raw, events, 1, **times, mode="linear", picks="all")
    n = made.n_samples
    np.testing.assert_allclose(made.data, raw.get_data()[:, :n], atol=1e-2)
    assert n == 4000 - 20
    is_blanked = np.zeros(n, bool)
    for at in PULSES[n > PULSES]:
        is_blanked[at - 2 : at + 6] = True
    np.testing.assert_array_equal(made.flags == BLANKED, is_blanked)
    np.testing.assert_array_equal(made.data[:, ~is_blanked], SIGNAL[:, :n][:, ~is_blanked])


@given(sizes=cut_sizes(), periodic=st.booleans())
@few
def test_blanked_whole_or_in_pieces_is_the_same(sizes, periodic):
    def stage():
        step = StimulationSettings(
            texts=("stim",),
            before_s=0.002,
            after_s=0.006,
            periodic_hz=1000 / 17 if periodic else None,
        )
        return marked(build_signal([SignalStep(stimulation=step)], MONTAGE))

    data = pulsed()
    data[:, ::17] += 300
    one, other = stage(), stage()
    got = [other(piece) for piece in pieces(whole(data), sizes)]
    (want,) = joined([one(whole(data))])
    (made,) = joined(got)
    np.testing.assert_array_equal(made.data, want.data)
    flags = np.concatenate([flags_of(chunk) for chunk in got])
    np.testing.assert_array_equal(flags, flags_of(stage()(whole(data))))


def flags_of(chunk):
    return np.zeros(chunk.n_samples, np.uint8) if chunk.flags is None else chunk.flags


def test_a_marker_may_come_after_its_samples_by_what_it_is_waited_for():
    early, late = marked(blanking()), blanking()
    made = [early(whole(pulsed()))]
    got = []
    for piece in pieces(whole(pulsed()), [5]):
        newest = piece.first_sample + piece.n_samples - 1
        marked(late, PULSES[(newest - 10 - 5 < PULSES) & (newest - 5 >= PULSES)])
        got.append(late(piece))
    same(joined(got), joined(made))


def test_a_marker_that_is_too_late_is_reported_and_spoils_the_samples_that_follow():
    events = []
    stage = blanking(on_event=lambda event, **fields: events.append((event, fields)))
    parts = pieces(whole(pulsed()), [500])
    stage(parts[0])
    marked(stage, PULSES[:1])
    flags = flags_of(stage(parts[1]))
    assert flags[0] == LATE
    assert not flags[1:].any()
    ((event, fields),) = events
    assert event == "stimulation_late"
    assert fields["late_s"] == pytest.approx((480 - 298) / SFREQ_HZ)


def test_a_train_holds_the_last_clean_value_and_ends_in_a_line():
    stage = blanking(stop_texts=("off",))
    marked(stage, [1000], "stim")
    marked(stage, [2000], "off")
    data = SIGNAL.copy()
    data[:, 1000:2003] = 1e4
    made = stage(whole(data))
    np.testing.assert_array_equal(
        made.data[:, 998:1997], np.repeat(SIGNAL[:, 997:998], 999, 1)[:, :999]
    )
    assert np.abs(np.diff(made.data[:, 1990:2010])).max() < 60
    assert (made.flags[998:2006] == BLANKED).all()
    assert not made.flags[2006:].any()


def test_samples_whose_markers_may_be_missing_are_flagged_and_others_are_not():
    stage = blanking()
    parts = pieces(whole(), [500])
    flags = [flags_of(stage(parts[0]))]
    stage.miss()
    flags += [flags_of(stage(part)) for part in parts[1:3]]
    # Those too that had not come out when their sender was lost.
    assert (np.flatnonzero(np.concatenate(flags) == AWAY) == np.arange(480, 1000)).all()


@pytest.mark.parametrize(("text", "known_from"), [("stim", 1710 - 2), ("off", 1710 + 6)])
def test_whether_a_train_is_on_is_unknown_from_a_loss_to_the_next_marker(text, known_from):
    stage, calm = blanking(stop_texts=("off",)), blanking(stop_texts=("off",))
    marked(stage, [1710], text)
    parts = pieces(whole(), [100])
    flags = []
    for number, part in enumerate(parts):
        if number == 5:
            stage.miss()
        flags.append(flags_of(stage(part)))
    flags = np.concatenate(flags)
    assert (flags[480:500] == AWAY).all()
    assert (np.flatnonzero(flags == UNKNOWN) == np.arange(500, known_from)).all()
    assert ((flags[known_from:] == BLANKED) == (text == "stim")).all()
    assert not flags_of(calm(whole())).any()  # in a file nothing is missing


def test_a_train_without_an_end_is_over_after_the_longest_and_reported():
    events = []
    stage = blanking(
        stop_texts=("off",), max_train_s=1.0, on_event=lambda event, **_: events.append(event)
    )
    stage.miss()
    marked(stage, [2500])
    flags = np.concatenate([flags_of(stage(part)) for part in pieces(whole(), [100])])
    assert (np.flatnonzero(flags == UNKNOWN) == np.arange(1100)).all()
    assert (np.flatnonzero(flags == BLANKED) == np.arange(2498, 3500)).all()
    assert events == ["stimulation_endless"]


def test_the_end_of_a_train_that_comes_too_late_is_reported_and_flagged():
    events = []
    stage = blanking(stop_texts=("off",), on_event=lambda event, **_: events.append(event))
    parts = pieces(whole(), [500])
    marked(stage, [200])
    stage(parts[0])
    marked(stage, [300], "off")
    assert flags_of(stage(parts[1]))[0] == LATE
    assert events == ["stimulation_late"]


@pytest.mark.parametrize("t", [T_0 - 61.0, T_0 + 70.0])
def test_a_marker_of_another_clock_is_reported_not_dropped(t):
    events = []
    stage = blanking(on_event=lambda event, **f: events.append((event, round(f["late_s"]))))
    stage.mark(t, "stim")
    assert not flags_of(stage(whole())).any()
    assert events == [
        ("stimulation_late", round(abs(t - (T_0 + 4 * (t > T_0)))) * (1, -1)[t > T_0])
    ]


def test_the_future_changes_no_blanked_sample_that_came_out():
    for at in (302, 303, 310, 900):
        calm, wild = marked(blanking()), marked(blanking())
        data = pulsed()
        other = data.copy()
        other[:, at:] = 1e4
        first = calm(replace(whole(data[:, :at]))), wild(whole(other[:, :at]))
        same([first[0]], [first[1]])


def test_reset_forgets_markers_and_samples_and_the_input_stays_as_it_was():
    used = marked(blanking())
    data = pulsed()
    kept = data.copy()
    used(whole(data))
    np.testing.assert_array_equal(data, kept)
    used.reset()
    same([used(whole())], [blanking()(whole())])


def test_a_gap_counts_what_had_not_come_out():
    stage = Blanking(montage_of(11, SFREQ_HZ), texts=(), before_s=0.002, after_s=0.006, wait_s=0.01)
    made = joined([stage(chunk) for chunk in segments()])
    assert [chunk.gap for chunk in made] == [0, 37 + 20, 150 + 20]


def test_channels_that_are_no_contacts_pass_as_they_are():
    montage = Montage(MONTAGE.names, ("seeg",) * 5 + ("stim",), SFREQ_HZ)
    stage = marked(Blanking(montage, texts=("stim",), before_s=0.002, after_s=0.006))
    made = stage(whole(pulsed()))
    np.testing.assert_array_equal(made.data[5], pulsed()[5, : made.n_samples])


def test_settings_that_leave_nothing_or_announce_nothing_are_refused():
    for values in (
        {},
        {"texts": ("a",), "stop_texts": ("a",)},
        {"stop_texts": ("b",), "channel": "x"},
    ):
        with pytest.raises(ValueError, match=r"give texts|cannot both"):
            StimulationSettings(**values)
    with pytest.raises(SettingsError, match="blank slower pulses"):
        PeriodicTemplate(MONTAGE, 2.0)
    step = SignalStep(stimulation=StimulationSettings(texts=("stim",)))
    with pytest.raises(SettingsError, match="before_s and after_s are not known"):
        build_signal([step], MONTAGE)
