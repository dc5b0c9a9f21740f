"""Announced pulses are blanked, periodic ones subtracted, and nothing else passes unnoticed."""

from dataclasses import replace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.config import SignalStep, StimulationSettings
from rtbrain.errors import SettingsError
from rtbrain.marks import ARTIFACT, BLANKED, LATE, UNSETTLED
from rtbrain.signal import ArtifactGuard, Blanking, PeriodicTemplate, build_signal, find_rate
from rtbrain.types import Chunk, Montage
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


def periodic(rate_hz=129.16, height_uv=200.0, n=8000):
    clean = brain_like(6, n, SFREQ_HZ, seed=5)
    phases = np.arange(n) * rate_hz / SFREQ_HZ % 1
    artifact = height_uv * np.exp(-(((phases - 0.3) / 0.05) ** 2))
    return clean, (clean + artifact * np.linspace(0.2, 1, 6)[:, None]).astype(np.float32)


def test_the_rate_of_periodic_stimulation_is_measured_to_a_millionth_or_not_found():
    clean, data = periodic()
    assert find_rate(data[:, :4000], SFREQ_HZ, 130.0) == pytest.approx(129.16, rel=3e-6)
    assert find_rate(data[:, :1000], SFREQ_HZ, 130.0) == pytest.approx(129.16, rel=1e-4)
    assert find_rate(clean[:, :4000], SFREQ_HZ, 130.0) is None
    assert find_rate(data[:, :4000], SFREQ_HZ, 140.0) is None
    assert find_rate(np.zeros((3, 4000), np.float32), SFREQ_HZ, 130.0) is None


def test_the_template_of_periodic_stimulation_leaves_the_brain_behind():
    clean, data = periodic()
    stage = PeriodicTemplate(MONTAGE, 130.0)
    made = stage(whole(data))
    flags = flags_of(made)
    assert (flags[1000:1980] == UNSETTLED).all()
    assert not flags[2000:].any()
    left = (made.data - clean)[:, 2000:]
    left -= left.mean(axis=1, keepdims=True)  # an offset is no rhythm
    assert left.std() < 0.04 * (data - clean)[:, 2000:].std()


def test_stimulation_that_stops_is_subtracted_no_more():
    clean, data = periodic()
    data[:, 4000:] = clean[:, 4000:]
    events = []
    stage = PeriodicTemplate(
        MONTAGE, 130.0, on_event=lambda event, **f: events.append(f["rate_hz"])
    )
    made = stage(whole(data))
    np.testing.assert_array_equal(made.data[:, 5000:], clean[:, 5000:])
    assert events == [pytest.approx(129.16, rel=1e-4), 0.0]


@pytest.mark.parametrize("begins", [1300, 1500, 1900])
def test_what_is_subtracted_from_a_valid_sample_was_there_whenever_it_begins_and_ends(begins):
    clean, data = periodic(n=9000)
    ends = begins + 5000
    data[:, :begins], data[:, ends:] = clean[:, :begins], clean[:, ends:]
    data[:, begins + 2500 : ends] += 0.5 * (data - clean)[:, begins + 2500 : ends]
    made = PeriodicTemplate(MONTAGE, 130.0)(whole(data))
    flags = flags_of(made)
    left = (made.data - clean) * (flags != UNSETTLED)
    assert (flags[begins + 2624 : begins + 3000] == UNSETTLED).all()
    for change in (begins + 2500, ends):  # it is judged every 1/16 s
        left[:, change : change + 124] = 0
    left[:, begins : 2000 + (begins > 1500) * 1000] = 0
    assert (flags[-700:] == 0).all()
    high = np.diff(left, axis=1)
    assert np.abs(high).max() < 0.1 * np.abs(np.diff(data - clean, axis=1)).max()


def guarded(data, events=None, montage=MONTAGE):
    def on_event(event, **fields):
        if events is not None:
            events.append((event, fields))

    return ArtifactGuard(montage, on_event=on_event)(whole(data))


def test_a_normal_signal_passes_the_guard_as_it_is():
    chunk = whole(SIGNAL * 3)
    assert ArtifactGuard(MONTAGE)(chunk) is chunk


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_unannounced_pulse_spoils_its_window_whatever_the_unit(scale):
    # Below a thousandth of a millivolt, only contacts that jump together show it.
    events = []
    made = guarded((pulsed() * scale).astype(np.float32), events)
    flags = flags_of(made)
    for at in PULSES:
        assert (flags[at : at + 50] == ARTIFACT).all()
    assert not flags[:300].any()
    assert events[0][0] == "artifact"


def test_one_contact_alone_is_left_out_and_the_others_are_not_spoilt():
    data = SIGNAL.copy()
    data[2, 2000] += 5000
    made = guarded(data)
    assert not flags_of(made).any()
    assert np.isnan(made.data[2, 2000:2050]).all()
    assert np.isfinite(np.delete(made.data, 2, 0)).all()


def test_a_rail_is_an_artifact_even_where_it_is_reached_slowly():
    data = SIGNAL.copy()
    ramp = np.clip(np.arange(200) * 20, 0, 900)
    data[:3, 2000:2200] += ramp
    data[:3, 2045:2200] = data[:3, 2045:2046]
    flags = flags_of(guarded(data))
    assert (flags[2060:2200] == ARTIFACT).all()


def test_what_a_blank_is_too_short_for_is_an_artifact():
    data = SIGNAL.copy()
    data[:, 1000:1030] += 2000  # longer than what is blanked
    chain = build_signal(
        [
            SignalStep(
                stimulation=StimulationSettings(texts=("stim",), before_s=0.002, after_s=0.006)
            )
        ],
        MONTAGE,
    )
    chain.mark(T_0 + 1.0, "stim")
    flags = flags_of(chain(whole(data)))
    assert flags[999] == BLANKED
    assert (flags[1006:1030] == ARTIFACT).all()


@given(sizes=cut_sizes())
@few
def test_the_guard_finds_the_same_whole_or_in_pieces(sizes):
    one, other = ArtifactGuard(MONTAGE), ArtifactGuard(MONTAGE)
    got = [other(piece) for piece in pieces(whole(pulsed()), sizes)]
    want = one(whole(pulsed()))
    np.testing.assert_array_equal(np.concatenate([c.data for c in got], axis=1), want.data)
    np.testing.assert_array_equal(np.concatenate([flags_of(c) for c in got]), flags_of(want))


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


def test_a_template_is_forgotten_by_a_reset_and_leaves_its_input_as_it_was():
    data = periodic()[1]
    kept = data.copy()
    used = PeriodicTemplate(MONTAGE, 130.0)
    used(whole(data))
    np.testing.assert_array_equal(data, kept)
    used.reset()
    again, new = used(whole(data)), PeriodicTemplate(MONTAGE, 130.0)(whole(data))
    np.testing.assert_array_equal(again.data, new.data)
    empty = Chunk(np.empty((6, 0), np.float32), np.empty(0), 8000)
    assert used(empty).n_samples == 0
