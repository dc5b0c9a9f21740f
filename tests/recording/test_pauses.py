"""Pauses inside files are gaps of their exact length, and events keep their samples."""

import edfio
import mne
import numpy as np
import pybv
import pytest

from rtbrain.recording.export.run import export_recording
from rtbrain.recording.open import read, read_recording
from rtbrain.recording.pauses import EdfRecords, _between_records
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.replay import ReplaySource
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 200.0
NAMES = ("A1", "A2")
N_SAMPLES = 2000
DATA = np.round(brain_like(2, N_SAMPLES, SFREQ_HZ))


def edf_bytes(starts, annotations=(), *, plus="EDF+D", bdf=False, decimals=6):
    """An EDF+ or BDF+ file of records of 1 s, from the specification alone."""
    width, per_record, tal_bytes = 3 if bdf else 2, 200, 240
    labels = [*NAMES, "BDF Annotations" if bdf else "EDF Annotations"]
    fixed = [("\0" if bdf else "0", 8), ("X X X X", 80), ("Startdate X X X X", 80)]
    fixed += [("01.01.20", 8), ("00.00.00", 8), (256 * 4, 8), (plus, 44), (len(starts), 8)]
    fixed += [("1", 8), ("3", 4)]
    columns = [(labels, 16), ([""] * 3, 80), (["uV", "uV", ""], 8), ([-32768] * 3, 8)]
    columns += [([32767] * 3, 8), ([-32768] * 3, 8), ([32767] * 3, 8), ([""] * 3, 80)]
    columns += [([per_record, per_record, tal_bytes // width], 8), ([""] * 3, 32)]
    cells = [*fixed, *((cell, size) for column, size in columns for cell in column)]
    out = "".join(str(cell).ljust(size) for cell, size in cells).encode("latin-1")
    out = (b"\xffBIOSEMI" + out[8:]) if bdf else out
    for number, start in enumerate(starts):
        for row in DATA[:, number * per_record : (number + 1) * per_record].astype("<i4"):
            out += row.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        tal = f"{start:+.{decimals}f}\x14\x14\0".encode()
        for onset, duration, text in annotations:
            if int(onset) == int(start):
                lasting = f"\x15{duration}" if duration else ""
                tal += f"+{onset}{lasting}\x14".encode() + text + b"\x14\0"
        out += tal.ljust(tal_bytes, b"\0")
    return out


def gaps_of(recording):
    """Where samples are missing, how many, and how many samples there are."""
    source = ReplaySource(recording, chunk_samples=N_SAMPLES)
    chunks = []
    while (chunk := source.pull(0.0)) is not None:
        chunks.append(chunk)
    ends = np.cumsum([chunk.n_samples for chunk in chunks])
    return {
        int(end) - chunk.n_samples: chunk.gap
        for end, chunk in zip(ends, chunks, strict=True)
        if chunk.gap
    }, int(ends[-1])


def samples_of(recording):
    """The sample that each event is played with, by its text."""
    source = ReplaySource(recording, chunk_samples=100)
    return {event.text: number for number, event in source.events()}


@pytest.mark.parametrize("suffix", ["edf", "bdf"])
def test_a_pause_between_records_is_a_gap_and_events_are_by_the_files_clock(suffix, tmp_path):
    path = tmp_path / f"paused.{suffix}"
    starts = [100, 101, 102, 133.25, 134.25, 135.25, 136.25, 200, 201, 202]
    told = [(101.5, 0, b"before"), (133.5, 2.5, b"after"), (202.75, 0, b"last")]
    path.write_bytes(edf_bytes(starts, told, plus=f"{suffix.upper()}+D", bdf=suffix == "bdf"))
    recording = read_recording(path)
    assert gaps_of(recording) == ({600: 30.25 * 200, 1400: 62.75 * 200}, 2000)
    # From the first sample on, as edfio has it for EDF.
    events = [(event.onset_s, event.duration_s, event.text) for event in recording.events]
    assert events == [(1.5, 0, "before"), (33.5, 2.5, "after"), (102.75, 0, "last")]
    if suffix == "edf":
        annotations = edfio.read_edf(path).annotations
        assert [(one.onset, one.text) for one in annotations] == [(e[0], e[2]) for e in events]
    assert recording.stamps[[600, 650]].tolist() == [33.25, 33.5]
    np.testing.assert_array_equal(recording.read(0, 2000), DATA)
    (note,) = recording.notes
    assert "holds pauses: 2, 93 s in all, the longest 62.75 s" in note


@pytest.mark.parametrize(
    ("starts", "decimals"),
    [
        (np.arange(10.0), 0),
        (7 + np.arange(10.0), 3),
        (np.arange(10) * 1.0005, 2),  # rounded, to more than half a sample
        ([0.0] * 10, 0),
    ],
)
def test_records_that_follow_one_another_hold_no_pause(starts, decimals, tmp_path):
    path = tmp_path / "whole.edf"
    path.write_bytes(edf_bytes(starts, plus="EDF+C", decimals=decimals))
    recording = read_recording(path)
    assert recording.stamps is None
    assert recording.n_samples == N_SAMPLES
    assert any("began before" in note for note in recording.notes) == (not np.any(starts))


def test_short_annotations_of_any_encoding_stay_apart(tmp_path):
    path = tmp_path / "short.edf"
    told = [(0.1 * k, 0, text.encode()) for k, text in enumerate("123")]
    told += [(1.5, 0, "Début".encode()), (2.5, 0, "über".encode("latin-1"))]
    path.write_bytes(edf_bytes(range(10), told, plus="EDF+C"))
    recording = read_recording(path)
    assert [event.text for event in recording.events] == ["1", "2", "3", "Début", "über"]
    assert any(
        "1 annotations of short.edf are not UTF-8 and were read" in note for note in recording.notes
    )


def test_a_header_whose_numbers_end_by_zeros_keeps_its_pause(tmp_path):
    path = tmp_path / "zeros.edf"
    whole = edf_bytes([*range(5), *range(36, 41)])
    path.write_bytes(whole[:252] + b"3\0\0\0" + whole[256:])
    assert gaps_of(read_recording(path)) == ({1000: 31 * 200}, 2000)


def test_a_clock_that_drifts_is_no_pause_and_events_keep_their_samples(tmp_path):
    path = tmp_path / "drift.edf"
    starts = np.arange(10) * 1.006  # by more than a sample a record
    starts[6:] += 31
    path.write_bytes(edf_bytes(starts, [(round(starts[8] + 0.5, 6), 0, b"go")]))
    recording = read_recording(path)
    assert gaps_of(recording) == ({1200: 6200}, 2000)
    assert recording.events[0].onset_s == pytest.approx(8.5 + 31, abs=1e-5)


@pytest.mark.parametrize("speed", [1.003, 0.997])
def test_a_drifting_clock_of_rounded_times_is_no_pause_and_is_noted(speed, tmp_path):
    path = tmp_path / "rounded.edf"
    starts = np.arange(10) * speed
    starts[6:] += 31
    path.write_bytes(edf_bytes(starts, decimals=2))
    recording = read_recording(path)
    ((at, n_lost),) = gaps_of(recording)[0].items()
    assert (at, n_lost) == (1200, pytest.approx(6200, abs=2))  # the digit is two samples
    drift = [note for note in recording.notes if "drift" in note]
    assert len(drift) == 1
    assert f"% {'faster' if speed > 1 else 'slower'} than its samples" in drift[0]


@pytest.mark.parametrize("decimals", [0, 1, 3, 6])
@pytest.mark.parametrize("speed", [1 + 3e-4, 1 - 3e-4, 1 + 6e-4, 1 - 6e-4, 1.0])
@pytest.mark.parametrize("rounded", [np.round, np.floor])
def test_no_rounding_of_the_times_of_records_is_a_pause(rounded, speed, decimals):
    times_s = np.arange(20_000) * speed
    times_s[7000:] += 40.0
    starts_s = rounded(times_s * 10**decimals) / 10**decimals
    notes = []
    records = EdfRecords(starts_s, 1.0, 10.0**-decimals, ())
    pauses, _ = _between_records("x", records, 2048.0, notes)
    assert pauses == {7000 * 2048: pytest.approx(40, abs=2 * 10.0**-decimals)}
    assert len([note for note in notes if "drift" in note]) == len(notes) == (speed != 1)


def test_one_pause_in_three_records_is_a_pause(tmp_path):
    path = tmp_path / "three.edf"
    path.write_bytes(edf_bytes([0.0, 1.0, 33.0], decimals=3))
    assert gaps_of(read_recording(path)) == ({400: 31 * 200}, 600)


@pytest.mark.parametrize(("decimals", "pause_s"), [(0, 1.0), (1, 0.1), (3, 0.005), (3, 0.7)])
def test_a_pause_of_times_that_are_exact_keeps_its_length(decimals, pause_s, tmp_path):
    path = tmp_path / "short.edf"
    starts = np.arange(10.0)
    for at in (4, 6, 8):
        starts[at:] += pause_s
    path.write_bytes(edf_bytes(starts, decimals=decimals))
    n_lost = round(pause_s * 200)
    assert gaps_of(read_recording(path)) == ({800: n_lost, 1200: n_lost, 1600: n_lost}, 2000)


def brainvision(folder, segments):
    """A file whose marker file has these segments: position from 1, and a date or nothing."""
    pybv.write_brainvision(
        data=DATA * 1e-6,
        sfreq=SFREQ_HZ,
        ch_names=list(NAMES),
        fname_base="one",
        folder_out=folder,
        events=[{"onset": 1000, "duration": 1, "description": 7, "type": "Stimulus"}],
        unit="µV",
        resolution=0.1,
    )
    markers = folder / "one.vmrk"
    text = markers.read_text("utf-8")
    text = "".join(line for line in text.splitlines(True) if "New Segment" not in line)
    for number, (position, date) in enumerate(segments):
        text += f"Mk{number + 50}=New Segment,,{position},1,0,{date}\n".replace(",\n", "\n")
    markers.write_text(text, "utf-8")
    return read_recording(folder / "one.vhdr")


def test_the_dates_of_brainvision_segments_say_how_long_it_paused(tmp_path):
    segments = [(1, "20200101120000000000"), (401, "20200101120004500000")]
    segments += [(801, "20200101120006500000")]  # follows on, to the sample
    recording = brainvision(tmp_path, segments)
    assert gaps_of(recording) == ({400: 2.5 * 200}, 2000)
    assert samples_of(recording)["Stimulus/S  7"] == 1000 + 500
    assert recording.events[-1].onset_s == 7.5


@pytest.mark.parametrize("date", ["", "0", "20191231235959000000"])
def test_a_segment_without_a_date_that_can_be_is_a_gap_of_one_sample(date, tmp_path):
    recording = brainvision(tmp_path, [(1, "20200101120000000000"), (401, date)])
    assert gaps_of(recording) == ({400: 1}, 2000)
    assert "does not state the length of the pauses before 2 s" in recording.notes[-1]


def raw_with(*spans):
    info = mne.create_info(list(NAMES), SFREQ_HZ, "seeg", verbose="ERROR")
    raw = mne.io.RawArray(DATA * 1e-6, info, verbose="ERROR")
    onsets, durations, texts = zip(*spans, strict=True)
    return raw.set_annotations(mne.Annotations(onsets, durations, texts), verbose="ERROR")


@pytest.mark.parametrize("as_file", [True, False])
def test_skipped_samples_of_a_fif_file_are_no_samples(as_file, tmp_path):
    raw = raw_with((2.0, 3.0, "BAD_ACQ_SKIP"), (1.0, 0, "before"), (6.0, 0.5, "after"))
    raw.save(tmp_path / "skips_raw.fif", buffer_size_sec=1.0, verbose="ERROR")
    source = tmp_path / "skips_raw.fif" if as_file else raw
    recording = read(source)
    assert gaps_of(recording) == ({400: 600}, 1400)
    assert samples_of(recording) == {"before": 200, "after": 1200}
    expected = raw.get_data(reject_by_annotation="omit", verbose="ERROR") * 1e6
    np.testing.assert_allclose(recording.read(0, 1400), expected, rtol=1e-5)
    np.testing.assert_array_equal(recording.read(390, 410), recording.read(0, 1400)[:, 390:410])


def test_seams_and_cut_out_stretches_of_other_tools_are_gaps():
    seam = raw_with((4.0, 0, "BAD boundary"), (4.0, 0, "EDGE boundary"), (5.0, 0, "go"))
    assert gaps_of(read(seam)) == ({800: 1}, 2000)
    assert samples_of(read(seam)) == {"go": 1001}
    # EEGLAB: half a sample before the first one after it, with the length of what was cut out.
    cut = raw_with((3.9975, 2.5, "boundary"), (5.0, 0, "go"))
    assert gaps_of(read(cut)) == ({800: 500}, 2000)
    assert samples_of(read(cut)) == {"go": 1500}


@pytest.mark.parametrize("to", ["fif", "edf", "bids"])
def test_gaps_of_an_export_are_read_back(to, tmp_path):
    stamps = np.arange(N_SAMPLES) / SFREQ_HZ
    stamps[600:] += 31
    stamps[1500:] += 0.05
    events = (Event(1.0, 0.0, "before"), Event(2.0, 33.0, "across"), Event(40.0, 0.5, "after"))
    montage = montage_of(2, SFREQ_HZ)
    recording = Recording(montage, N_SAMPLES, lambda a, b: DATA[:, a:b].copy(), stamps, events)
    out = tmp_path / {"fif": "one_raw.fif", "edf": "one.edf", "bids": "one"}[to]
    path, _ = export_recording(recording, out, to)
    back = read_recording(path)
    assert gaps_of(back) == ({600: 6200, 1500: 10}, N_SAMPLES)
    np.testing.assert_allclose(back.stamps, stamps, atol=1e-9)
    assert [event.text for event in back.events] == ["before", "across", "after"]
    for event, original in zip(back.events, events, strict=True):
        assert event.onset_s == pytest.approx(original.onset_s, abs=1e-6)
        assert event.duration_s == pytest.approx(original.duration_s, abs=1e-6)
