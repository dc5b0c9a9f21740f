"""Trigger channels of files: their numbers are codes, and their codes are events."""

import mne
import numpy as np
import pytest

from rtbrain.errors import SettingsError
from rtbrain.recording.open import read, read_recording
from rtbrain.recording.replay import ReplaySource
from rtbrain.recording.triggers import state_units
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ = 500.0


def codes(n_samples=2000, pulse=25):
    """Pulses of 1, 2, 3, a second apart, the first after 0.2 s."""
    channel = np.zeros(n_samples)
    for number, start in enumerate(range(100, n_samples - pulse, 500)):
        channel[start : start + pulse] = 1 + number % 3
    return channel


def fif(path, trigger, *, name="STI 014", unit=None, annotations=None):
    n_samples = trigger.size
    info = mne.create_info(["A1", "A2", name], SFREQ_HZ, ["seeg", "seeg", "stim"])
    data = np.vstack([1e-6 * brain_like(2, n_samples, SFREQ_HZ), trigger])
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    if annotations is not None:
        raw.set_annotations(annotations)
    raw.save(path, verbose="ERROR")
    return raw


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_codes_keep_their_numbers_whatever_the_unit_and_the_scale(tmp_path, scale):
    trigger = codes()
    fif(tmp_path / "stim_raw.fif", trigger)
    data = np.vstack([brain_like(2, trigger.size, SFREQ_HZ), trigger]).T
    desc = described(("A1", "A2", "TRIG"), unit="volts")
    desc = desc[::-1].replace("SEEG"[::-1], "stim"[::-1], 1)[::-1]
    stamps = 100 + np.arange(trigger.size) / SFREQ_HZ
    write_xdf(tmp_path / "stim.xdf", XdfStream("amp", stamps, data, SFREQ_HZ, desc=desc))
    for name in ("stim_raw.fif", "stim.xdf"):
        recording = read(tmp_path / name, scale=scale)
        assert recording.montage.kinds[-1] == "stim"
        np.testing.assert_array_equal(recording.read(0, trigger.size)[-1], trigger)
        source = ReplaySource(
            read_recording(tmp_path / name), chunk_samples=trigger.size, scale=scale
        )
        np.testing.assert_array_equal(source.pull(0.0).data[-1], trigger)
        recording.close()
    raw = mne.io.read_raw(tmp_path / "stim_raw.fif", verbose="ERROR")
    np.testing.assert_array_equal(read(raw).read(0, trigger.size)[-1], trigger)


def test_codes_are_the_events_of_a_file_without_others_and_a_note_says_so(tmp_path):
    raw = fif(tmp_path / "stim_raw.fif", codes())
    recording = read_recording(tmp_path / "stim_raw.fif")
    found = mne.find_events(raw, verbose="ERROR")
    assert [(round(e.onset_s * SFREQ_HZ), int(e.text)) for e in recording.events] == [
        (int(sample), int(code)) for sample, _, code in found
    ]
    assert {event.duration_s for event in recording.events} == {0.0}
    (note,) = recording.notes
    assert note == (
        "the events are the codes of trigger channel 'STI 014': '1' (2), '2' (1), '3' (1)"
    )
    assert read(raw).events == recording.events
    recording.close()


def test_events_of_a_file_stay_unless_a_trigger_is_named(tmp_path):
    annotations = mne.Annotations([0.5], [0], ["go"])
    fif(tmp_path / "both_raw.fif", codes(), annotations=annotations)
    recording = read_recording(tmp_path / "both_raw.fif")
    assert [event.text for event in recording.events] == ["go"]
    assert any("--trigger CHANNEL takes codes instead, of 'STI 014'" in n for n in recording.notes)
    recording.close()
    recording = read_recording(tmp_path / "both_raw.fif", trigger="STI 014:0x2")
    assert [event.text for event in recording.events] == ["2", "2"]
    assert any("1 other events are not used" in note for note in recording.notes)
    recording.close()
    with pytest.raises(
        SettingsError, match=r"no channel fits 'STI': the channels are A1, A2, STI 014"
    ):
        read_recording(tmp_path / "both_raw.fif", trigger="STI")


def test_what_is_noted_about_the_recording_itself_does_not_hide_its_codes(tmp_path):
    annotations = mne.Annotations([0.1, 0.5], [0.2, 0], ["BAD_motion", "New Segment/"])
    fif(tmp_path / "bad_raw.fif", codes(), annotations=annotations)
    recording = read_recording(tmp_path / "bad_raw.fif")
    texts = [event.text for event in recording.events]
    assert sorted(set(texts)) == ["1", "2", "3", "BAD_motion"]
    assert any("the events are the codes of" in note for note in recording.notes)
    recording.close()


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_codes_of_a_channel_that_is_named_have_the_numbers_of_its_header(tmp_path, scale):
    trigger = codes()
    data = np.vstack([brain_like(2, trigger.size, SFREQ_HZ), trigger]).T
    stamps = 100 + np.arange(trigger.size) / SFREQ_HZ
    desc = described(("A1", "A2", "PORT"), unit="mV")
    write_xdf(tmp_path / "port.xdf", XdfStream("amp", stamps, data, SFREQ_HZ, desc=desc))
    info = mne.create_info(["A1", "A2", "PORT"], SFREQ_HZ, "eeg")
    raw = mne.io.RawArray(data.T, info, verbose="ERROR")
    for source in (tmp_path / "port.xdf", raw):
        for text, expected in (("PORT", ["1", "2", "3", "1"]), ("PORT:2.5", ["PORT"])):
            recording = read(source, trigger=text, scale=scale)
            assert [event.text for event in recording.events] == expected
            np.testing.assert_allclose(recording.read(0, trigger.size)[-1], trigger, atol=1e-3)


def test_a_level_is_kept_with_its_unit_for_recordings_and_streams_of_others(tmp_path):
    data = np.vstack([brain_like(2, 2000, SFREQ_HZ), codes()]).T
    recordings = {}
    for unit, per_mv in (("mV", 1), ("µV", 1000)):
        path, stamps = tmp_path / f"{unit}.xdf", 100 + np.arange(2000) / SFREQ_HZ
        desc = described(("A1", "A2", "PORT"), unit=unit)
        write_xdf(path, XdfStream("amp", stamps, per_mv * data, SFREQ_HZ, desc=desc))
        for text in ("PORT:2.5mV", "PORT:2500uV@5ms", "PORT:2.5"):
            recordings[unit, text] = read(path, trigger=text)
    onsets = [event.onset_s for event in recordings["mV", "PORT:2.5"].events]
    assert len(onsets) == 1
    for unit in ("mV", "µV"):
        for text in ("PORT:2.5mV", "PORT:2500uV@5ms"):
            assert [event.onset_s for event in recordings[unit, text].events] == onsets
            assert state_units(text, [recordings[unit, text]]) == text
    plain = [recordings[unit, "PORT:2.5"] for unit in ("mV", "µV")]
    assert state_units("PORT:2.5", plain[:1]) == "PORT:2500uV"
    assert state_units("PORT:2.5@5ms", plain[1:]) == "PORT:2.5uV@5ms"
    with pytest.raises(SettingsError, match=r"'PORT:2.5': its channels have different units"):
        state_units("PORT:2.5", plain)
    with pytest.raises(
        SettingsError, match="expected a unit of voltage such as microvolts, got 'mA'"
    ):
        read(tmp_path / "mV.xdf", trigger="PORT:2mA")
    unknown = array(*data.T, names=["A1", "A2", "PORT"], trigger="PORT:2.5")
    assert state_units("PORT:2.5", [unknown]) == "PORT:2.5"


def test_an_idle_level_of_high_bits_is_pointed_out():
    noise = brain_like(1, 2000, SFREQ_HZ)[0]
    status = 65280 + codes()
    recording = array(noise, status, names=["A1", "Status"], trigger="Status")
    assert "65280 may be the channel's idle level: --trigger Status:0xFF" in recording.notes[-1]
    recording = array(noise, status, names=["A1", "Status"], trigger="Status:0xFF")
    assert [event.text for event in recording.events] == ["1", "2", "3", "1"]


def array(*channels, names, trigger=None):
    return read((np.stack(channels), SFREQ_HZ, names), trigger=trigger)


def test_pulses_above_a_level_and_channels_of_one_bit_each_have_their_labels():
    noise = brain_like(1, 2000, SFREQ_HZ)[0]
    analog = noise + 3000 * (codes() > 0)
    recording = array(noise, analog, names=["A1", "DC01"], trigger="DC01:1500")
    assert [event.text for event in recording.events] == ["DC01"] * 4
    assert recording.montage.kinds == ("seeg", "stim")
    rows = [np.where(codes() == code, 5.0, 0.0) for code in (1, 2)]
    recording = array(noise, *rows, names=["A1", "left", "right"], trigger="left,right")
    assert [event.text for event in recording.events] == ["left", "right", "left"]


def test_a_signal_is_no_trigger_channel(tmp_path):
    noise = brain_like(1, 2000, SFREQ_HZ)[0]
    with pytest.raises(SettingsError, match="trigger 'A1' holds no codes: its values vary like"):
        array(noise, names=["A1"], trigger="A1")
    fif(tmp_path / "noise_raw.fif", np.rint(noise))
    recording = read_recording(tmp_path / "noise_raw.fif")
    assert recording.events == ()
    assert "'STI 014' holds no codes: its values vary like" in recording.notes[0]
    recording.close()


def test_a_code_after_a_gap_is_placed_after_it(tmp_path):
    trigger = codes()
    data = np.vstack([brain_like(2, trigger.size, SFREQ_HZ), trigger]).T
    stamps = 100 + np.arange(trigger.size) / SFREQ_HZ
    stamps[1000:] += 3.0
    path = tmp_path / "gap.xdf"
    write_xdf(path, XdfStream("amp", stamps, data, SFREQ_HZ, desc=described(("A1", "A2", "TRIG"))))
    recording = read_recording(path, trigger="TRIG")
    np.testing.assert_allclose([e.onset_s for e in recording.events], [0.2, 1.2, 5.2, 6.2])
