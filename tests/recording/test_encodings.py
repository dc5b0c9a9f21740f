"""Texts as they are in the field: other encodings, doubled labels, renamed and unfetched files."""

import os

import edfio
import numpy as np
import pybv
import pytest

from rtbrain.errors import RecordingError
from rtbrain.files import decode_text
from rtbrain.recording.open import read_recording
from tests.conftest import brain_like

SFREQ_HZ = 256.0
DATA = brain_like(3, 512, SFREQ_HZ)


def write_vhdr(folder, labels=("A1", "A2", "B1"), marker="début"):
    """A recording whose header and markers are changed byte by byte below."""
    pybv.write_brainvision(
        data=DATA * 1e-6,
        sfreq=SFREQ_HZ,
        ch_names=["A1", "A2", "B1"],
        fname_base="brain",
        folder_out=folder,
        events=[{"onset": 100, "duration": 1, "description": "MARK", "type": "Comment"}],
    )
    header, markers = folder / "brain.vhdr", folder / "brain.vmrk"
    text = header.read_text("utf-8")
    for number, label in enumerate(labels, 1):
        text = text.replace(f"Ch{number}={('A1', 'A2', 'B1')[number - 1]},", f"Ch{number}={label},")
    header.write_text(text, "utf-8")
    markers.write_text(markers.read_text("utf-8").replace("MARK", marker), "utf-8")
    return header


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("début à l'hôpital", "utf-8"),
        ("début", "cp1252"),
        ("癫痫发作开始", "gbk"),
        ("début", "utf-16"),
    ],
)
def test_a_text_is_decoded_whatever_its_encoding(text, encoding):
    assert decode_text(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_a_brainvision_header_and_its_markers_are_read_in_other_encodings(encoding, tmp_path):
    path = write_vhdr(tmp_path, labels=("Amygdale é1", "A2", "B1"))
    for file in (path, path.with_suffix(".vmrk")):
        text = file.read_text("utf-8").replace("Codepage=UTF-8", "Codepage=ANSI")
        file.write_bytes(text.encode(encoding))
    recording = read_recording(path)
    assert recording.montage.names == ("Amygdale é1", "A2", "B1")
    assert [event.text.rpartition("/")[2] for event in recording.events] == ["début"]
    np.testing.assert_allclose(recording.read(0, 512), DATA, atol=0.1)
    recording.close()


def test_doubled_and_missing_labels_of_a_brainvision_header_are_numbered(tmp_path):
    recording = read_recording(write_vhdr(tmp_path, labels=("A2", "A2", "")))
    assert recording.montage.names == ("A2-0", "A2-1", "3")
    assert any("labels repeat" in note and "A2" in note for note in recording.notes)
    np.testing.assert_allclose(recording.read(0, 512), DATA, atol=0.1)


def test_a_renamed_brainvision_recording_is_read_with_a_note(tmp_path):
    path = write_vhdr(tmp_path)
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        path.with_suffix(suffix).rename(tmp_path / f"renamed{suffix}")
    recording = read_recording(tmp_path / "renamed.vhdr")
    np.testing.assert_allclose(recording.read(0, 512), DATA, atol=0.1)
    assert len(recording.events) == 1
    assert any("renamed.eeg is read instead" in note for note in recording.notes)
    (tmp_path / "renamed.vmrk").unlink()
    recording = read_recording(tmp_path / "renamed.vhdr")
    assert any("no events are read" in note for note in recording.notes)
    (tmp_path / "renamed.eeg").unlink()
    with pytest.raises(RecordingError, match=r"names brain.eeg as its data, which is not there"):
        read_recording(tmp_path / "renamed.vhdr")


def test_a_data_file_of_another_path_or_case_is_found(tmp_path):
    path = write_vhdr(tmp_path)
    text = path.read_text("utf-8")
    path.write_text(text.replace("DataFile=brain.eeg", "DataFile=C:\\EEG\\Brain.EEG"), "utf-8")
    recording = read_recording(path)
    np.testing.assert_allclose(recording.read(0, 512), DATA, atol=0.1)
    assert any("brain.eeg is read instead" in note for note in recording.notes)


def test_numbers_of_an_edf_header_may_end_by_zeros(tmp_path):
    path = tmp_path / "brain.edf"
    values = np.resize(DATA[0], 1024).astype(float)
    edfio.Edf([edfio.EdfSignal(values, 512, label="A1", physical_dimension="uV")]).write(path)
    content = bytearray(path.read_bytes())
    content[244:252] = b"0.5\0\0\0\0\0"
    content[236:244] = b"4       "
    content[256 + 216 : 256 + 224] = b"256\0\0\0\0\0"
    path.write_bytes(content)
    recording = read_recording(path)
    assert recording.montage.sfreq_hz == 512
    np.testing.assert_allclose(recording.read(0, 1024)[0], values, atol=0.1)


@pytest.mark.parametrize(
    ("text", "encoding"), [("début", "latin-1"), ("癫痫发作", "gbk"), ("début 癫痫", "utf-8")]
)
def test_annotations_of_edf_are_read_in_their_encoding(text, encoding, tmp_path):
    path = tmp_path / "brain.edf"
    signal = edfio.EdfSignal(
        np.resize(DATA[0], 768).astype(float), 256, label="A1", physical_dimension="uV"
    )
    room = "x" * len(text.encode(encoding))
    edfio.Edf([signal], annotations=[edfio.EdfAnnotation(0.5, None, room)]).write(path)
    path.write_bytes(path.read_bytes().replace(room.encode(), text.encode(encoding)))
    recording = read_recording(path)
    assert [event.text for event in recording.events] == [text]
    told = [note for note in recording.notes if encoding in note or "cp1252" in note]
    assert bool(told) == (encoding != "utf-8")


@pytest.mark.parametrize("part", [".vhdr", ".eeg"])
def test_a_file_that_was_not_fetched_is_named_with_the_command(part, tmp_path):
    path = write_vhdr(tmp_path)
    os.remove(path.with_suffix(part))
    path.with_suffix(part).symlink_to(".git/annex/objects/Xx/Yy/SHA256E-s1--0.eeg")
    with pytest.raises(RecordingError, match=rf"link of git-annex.*datalad get .*brain{part}"):
        read_recording(path)
    os.remove(path.with_suffix(part))
    path.with_suffix(part).write_bytes(b"/annex/objects/SHA256E-s1--0.eeg\n")
    with pytest.raises(RecordingError, match="content is not here"):
        read_recording(path)
    path.with_suffix(part).write_bytes(b"../../../../.git/annex/objects/a/b/SHA256E-s1--0.eeg")
    with pytest.raises(RecordingError, match="content is not here"):
        read_recording(path)
    os.remove(path.with_suffix(part))
    path.with_suffix(part).symlink_to("elsewhere")
    with pytest.raises(RecordingError, match="is a link to elsewhere, which is not there"):
        read_recording(path)


def test_an_unfetched_table_of_a_bids_folder_is_named(tmp_path):
    folder = tmp_path / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    write_vhdr(folder)
    for suffix in (".vhdr", ".eeg", ".vmrk"):
        (folder / f"brain{suffix}").rename(folder / f"sub-01_task-x_ieeg{suffix}")
    (folder / "sub-01_task-x_channels.tsv").symlink_to(
        "../../.git/annex/objects/a/b/MD5E-s1--0.tsv"
    )
    with pytest.raises(RecordingError, match=r"datalad get .*channels.tsv"):
        read_recording(tmp_path)
