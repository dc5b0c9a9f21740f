"""Codes and pulses become events once, where MNE-Python finds them, wherever chunks end."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import SettingsError
from rtbrain.stream.triggers import CodeQueue, TriggerEdges, number_text, parse_trigger
from rtbrain.types import Chunk

SFREQ_HZ = 1000.0


def edges(text, values, *, lengths=(), labels=("TRIG",), gaps=(), sfreq_hz=SFREQ_HZ):
    """Events of whole channels [n_lines, n_samples] in chunks of these lengths, by sample."""
    values = np.atleast_2d(np.asarray(values, np.float64))
    found = TriggerEdges(parse_trigger(text, labels), sfreq_hz)
    stamps = np.arange(values.shape[1]) / sfreq_hz
    at, events = 0, []
    for length in [*lengths, values.shape[1]]:
        part = slice(at, at + length)
        empty = np.zeros((0, stamps[part].size), np.float32)
        chunk = Chunk(empty, stamps[part], at, int(at in gaps))
        events += found(values[:, part], chunk)
        at += length
    events += found.finish()
    return [(round(t * sfreq_hz), text) for t, text in events], found


def pulses(*spans, n_samples=200):
    channel = np.zeros(n_samples)
    for code, start, length in spans:
        channel[start : start + length] = code
    return channel


def by_mne(channel, **options):
    info = mne.create_info(["TRIG"], SFREQ_HZ, "stim")
    raw = mne.io.RawArray(np.atleast_2d(channel), info, verbose="ERROR")
    found = mne.find_events(raw, "TRIG", shortest_event=1, verbose="ERROR", **options)
    return [(int(sample), str(code)) for sample, _, code in found]


SPANS = st.lists(
    st.tuples(st.integers(1, 255), st.integers(2, 40), st.integers(0, 30).filter(lambda n: n != 1)),
    max_size=12,
)


@settings(deadline=None)
@given(SPANS, st.lists(st.integers(0, 60), max_size=12))
def test_codes_are_those_of_mne_wherever_chunks_end(spans, lengths):
    # (code, how long, how long 0 afterwards): a code may follow another without a 0 between.
    channel = [0.0] * 3
    for code, held, pause in spans:
        channel += [code] * held + [0] * pause
    channel += [0.0] * 3
    found, _ = edges("TRIG", channel, lengths=lengths)
    assert found == by_mne(channel, consecutive=True)


@settings(deadline=None)
@given(SPANS)
def test_a_shortest_time_is_that_of_mne(spans):
    channel = [0.0] * 20
    for code, held, _ in spans:
        channel += [code] * held + [0] * 20
    found, edge = edges("TRIG@10ms", channel)
    assert found == by_mne(channel, min_duration=0.010)
    assert len(found) + edge.n_ignored == len(spans)


def test_bits_that_do_not_switch_together_and_a_contact_that_bounces_are_one_event():
    skewed = pulses((1, 50, 1), (3, 51, 20), (2, 71, 1), (4, 120, 30), (6, 149, 1), (2, 150, 20))
    assert edges("TRIG", skewed)[0] == [(50, "3"), (120, "4"), (149, "2")]
    bouncing = pulses((1, 50, 1), (1, 52, 1), (1, 54, 40), (1, 95, 1))
    assert edges("TRIG", bouncing)[0] == [(50, "1")]
    slow = pulses((1, 50, 3), (1, 58, 40), (1, 104, 2))
    assert edges("TRIG@10ms", slow)[0] == [(58, "1")]


def test_a_pulse_of_one_sample_is_an_event_and_counted():
    found, edge = edges("TRIG", pulses((7, 10, 1), (8, 50, 20), (9, 100, 1)))
    assert found == [(10, "7"), (50, "8"), (100, "9")]
    assert edge.n_brief == 2
    found, edge = edges("TRIG@2ms", pulses((7, 10, 1), (8, 50, 20), (9, 100, 1)))
    assert (found, edge.n_ignored) == ([(50, "8")], 2)


@pytest.mark.parametrize("lengths", [(), (60,), (1,) * 200])
def test_what_began_before_the_first_sample_or_in_a_gap_is_no_event_but_counted(lengths):
    held = pulses((5, 0, 30), (6, 90, 60))
    found, edge = edges("TRIG", held, lengths=lengths)
    assert (found, edge.n_unplaced) == ([(90, "6")], 1)
    found, edge = edges("TRIG", held, lengths=[60, 60], gaps=[60, 120])  # 6 holds over the second
    assert (found, edge.n_unplaced) == ([(90, "6")], 1)
    found, edge = edges("TRIG", held, lengths=[60, 40], gaps=[60])
    late = pulses((6, 60, 60))
    found, edge = edges("TRIG", late, lengths=[60], gaps=[60])
    assert (found, edge.n_unplaced) == ([], 1)


def test_short_codes_with_one_zero_between_are_all_found_and_a_code_may_be_negative():
    channel = pulses((1, 50, 1), (2, 52, 1), (3, 54, 30), (-1, 120, 20))
    assert edges("TRIG", channel)[0] == [(50, "1"), (52, "2"), (54, "3"), (120, "-1")]


def test_events_that_nobody_takes_are_counted_as_skipped():
    skipped = []
    codes = CodeQueue(SFREQ_HZ, lambda event, **fields: skipped.append((event, fields["events"])))
    row = np.tile(pulses((1, 10, 5), n_samples=50), 60)
    for start in range(0, 20 * row.size, row.size):
        stamps = np.arange(start, start + row.size) / SFREQ_HZ
        chunk = Chunk(np.zeros((0, row.size), np.float32), stamps, start)
        codes.take(parse_trigger("TRIG", ["TRIG"]), row[np.newaxis], chunk)
    assert len(codes.pull()) == 1000
    assert {event for event, _ in skipped} == {"markers_skipped"}
    assert sum(number for _, number in skipped) == 20 * 60 - 1000


def test_bits_of_a_channel_and_the_16_of_biosemi_by_default():
    upper = 0x2A0000
    channel = upper + pulses((0x0101, 20, 30), (0x0200, 100, 30))
    assert edges("Status", channel, labels=["Status"])[0] == [(20, "257"), (100, "512")]
    assert edges("Status:0xFF", channel, labels=["Status"])[0] == [(20, "1")]
    assert edges("Status:0b1000000000", channel, labels=["Status"])[0] == [(100, "512")]
    mask = {"mask": 0xFF00, "mask_type": "and", "consecutive": True}
    expected = by_mne(pulses((0x0101, 20, 30), (0x0200, 100, 30)), **mask)
    assert edges("Status:0xFF00", channel, labels=["Status"])[0] == expected
    negative = channel - 2**23  # the highest of 24 bits is a sign
    assert edges("Status", negative, labels=["Status"])[0] == [(20, "257"), (100, "512")]


def test_channels_that_are_on_or_off_give_their_labels():
    rows = [pulses((5, 20, 30)), pulses((5, 60, 30), (5, 120, 10))]
    found, _ = edges("left,right", rows, labels=["left", "right"])
    assert found == [(20, "left"), (60, "right"), (120, "right")]
    noise = np.random.default_rng(0).normal(0, 20, 200)
    analog = noise + pulses((5000, 40, 50), (5000, 150, 20))
    assert edges("DC01:2500", analog, labels=["DC01"])[0] == [(40, "DC01"), (150, "DC01")]
    assert edges("DC01", analog, labels=["DC01"])[1].is_noise
    assert edges("DC01", np.rint(analog), labels=["DC01"])[1].is_noise


def test_a_value_that_is_missing_changes_no_code():
    channel = pulses((3, 20, 30))
    channel[[0, 5, 21, 22, 49, 50, 51]] = np.nan
    assert edges("TRIG", channel)[0] == [(20, "3")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "TRIGG",
            "no channel fits 'TRIGG': the channels are TRIG, A:0xF; write it as TRIG, Status",
        ),
        ("TRIG,TRIG", "named twice"),
        ("TRIG:1.2.3", "'1.2.3' is no number"),
        ("TRIG:high", "no channel fits 'TRIG:high'"),
        ("", "no channel fits ''"),
    ],
)
def test_what_is_no_trigger_is_one_line(text, message):
    with pytest.raises(SettingsError) as caught:
        parse_trigger(text, ["TRIG", "A:0xF"])
    assert message in str(caught.value)
    assert parse_trigger("dc1:5", ["A1", "DC01"]).names == ("DC01",)
    assert parse_trigger("DIN*", ["DIN1", "DIN2"]).names == ("DIN1", "DIN2")
    assert parse_trigger("A:0xF", ["TRIG", "A:0xF"]).names == ("A:0xF",)


def test_numbers_have_the_text_that_people_write():
    numbers = [np.int8(-3), np.int32(1), np.float32(1), np.float64(12.0), np.float32(0.1)]
    assert [number_text(one) for one in numbers] == ["-3", "1", "1", "12", "0.1"]
    assert [number_text(np.float64(one)) for one in ("nan", "inf", 1e300)] == [
        "nan",
        "inf",
        "1e+300",
    ]


def test_what_is_ignored_live_is_reported_at_first_and_as_it_doubles():
    reported = []
    codes = CodeQueue(SFREQ_HZ, lambda event, **fields: reported.append((event, fields["reason"])))
    assert [codes.missed(), codes.missed()] == [True, False]  # it began before
    trigger = parse_trigger("TRIG@10ms", ["TRIG"])
    row = np.tile(pulses((1, 10, 3), (2, 50, 20), n_samples=100), 8)
    for start in range(0, row.size, 5):
        stamps = np.arange(start, start + 5) / SFREQ_HZ
        chunk = Chunk(np.zeros((0, 5), np.float32), stamps, start)
        codes.take(trigger, row[np.newaxis, start : start + 5], chunk)
    assert [text for _, text in codes.pull()] == ["2"] * 8
    assert [reason.split()[1] for _, reason in reported] == ["1", "2", "4", "8"]
    assert {event for event, _ in reported} == {"trigger"}


def test_a_live_channel_that_changes_like_a_signal_gives_no_events():
    reported = []
    codes = CodeQueue(SFREQ_HZ, lambda event, **fields: reported.append(fields["reason"]))
    noise = np.random.default_rng(0).normal(0, 20, (1, 1000))
    for start in range(0, 1000, 100):
        stamps = np.arange(start, start + 100) / SFREQ_HZ
        chunk = Chunk(np.zeros((0, 100), np.float32), stamps, start)
        codes.take(parse_trigger("A1", ["A1"]), noise[:, start : start + 100], chunk)
        assert codes.missed()
    assert codes.pull() == []
    (reason,) = reported
    assert "'A1' holds no codes: its values vary like a signal" in reason
