"""Recordings and checkpoints that fuzzing found to hang or crash are refused in one line."""

import contextlib
import io
import struct
import zipfile

import pytest
from rich.console import Console

from rtbrain.check.fuzz.recordings import (
    brainvision_files,
    checkpoint_files,
    edf_files,
    fif_files,
    read_first,
    use_checkpoint,
)
from rtbrain.check.fuzz.run import read_sound, run_fuzz
from rtbrain.errors import CheckpointError, RecordingError, RtbrainError
from rtbrain.recording.headers import require_bounded


@pytest.mark.parametrize("name", ["edf", "brainvision", "fif", "npy", "bids", "checkpoint"])
def test_what_is_damaged_is_read_while_it_is_sound(name, tmp_path):
    from rtbrain.check.fuzz.targets import TARGETS

    read_sound(name, TARGETS[name].make(tmp_path), tmp_path / "input")


def test_an_edf_header_of_more_channels_than_the_file_has_bytes_is_refused(tmp_path):
    whole = edf_files(tmp_path)[0]["one.edf"]
    (tmp_path / "one.edf").write_bytes(whole[:252] + b"9999" + whole[256:])
    with pytest.raises(RecordingError, match="less than the header of 9999 channels"):
        read_first(tmp_path, {"one.edf": b""})


def test_fif_tags_that_lead_in_a_circle_are_refused(tmp_path):
    ((name, whole),) = fif_files(tmp_path)[0].items()
    looped = bytearray(whole)
    struct.pack_into(">i", looped, 36 + 12, 36)  # of the second tag: where the next one is
    (tmp_path / name).write_bytes(looped)
    with pytest.raises(RecordingError, match="its tag at byte 36 points to a tag before it"):
        read_first(tmp_path, {name: b""})


def test_fif_tags_may_lie_in_any_order(tmp_path):
    ((name, whole),) = fif_files(tmp_path)[0].items()
    moved = bytearray(whole)
    size = struct.unpack_from(">i", whole, 36 + 8)[0]
    after = struct.unpack_from(">i", whole, 36 + 12)[0] or 36 + 16 + size
    struct.pack_into(">i", moved, 12, len(whole))  # the second tag is at the end, and leads back
    moved += whole[36:48] + struct.pack(">i", after) + whole[52 : 52 + size]
    (tmp_path / name).write_bytes(moved)
    require_bounded(tmp_path / name)
    read_first(tmp_path, {name: b""})


def test_a_brainvision_header_that_counts_other_channels_than_it_lists_is_refused(tmp_path):
    files = dict(brainvision_files(tmp_path)[0])
    files["one.vhdr"] = files["one.vhdr"].replace(b"Ch3=B'1,,0.1,\xc2\xb5V\n", b"")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_first(tmp_path, files)


def test_a_fif_tag_longer_than_its_file_is_refused_before_memory_is_taken(tmp_path):
    ((name, whole),) = fif_files(tmp_path)[0].items()
    bomb = bytearray(whole)
    struct.pack_into(">i", bomb, 36 + 8, 2**31 - 1)  # the second tag's size
    (tmp_path / name).write_bytes(bomb)
    with pytest.raises(RecordingError, match="a tag at byte 36 is longer than the file"):
        read_first(tmp_path, {name: b""})


def test_a_brainvision_header_of_a_billion_channels_is_refused(tmp_path):
    files = dict(brainvision_files(tmp_path)[0])
    header = files["one.vhdr"].replace(b"NumberOfChannels=3", b"NumberOfChannels=2147483647")
    (tmp_path / "one.vhdr").write_bytes(header)
    with pytest.raises(RecordingError, match="has 2147483647 channels: expected at most"):
        read_first(tmp_path, {"one.vhdr": b""})


@pytest.mark.parametrize("name", [b"\xaf" * 12, None])
def test_a_checkpoint_whose_archive_is_damaged_is_refused(name, tmp_path):
    whole = bytearray(checkpoint_files(tmp_path)[0]["one.pth"])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        directory = archive.start_dir
    if name:  # no text
        whole[directory + 8 : directory + 10] = (0x800).to_bytes(2, "little")
        whole[directory + 46 : directory + 46 + len(name)] = name
    else:  # a member begins elsewhere
        whole[directory + 42 : directory + 46] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "one.pth").write_bytes(whole)
    with pytest.raises(CheckpointError):
        use_checkpoint(tmp_path, {})


def test_a_checkpoint_whose_pickle_ends_in_a_number_is_refused(tmp_path):
    pickled = checkpoint_files(tmp_path)[1]["data.pkl"]
    cut = pickled[: pickled.index(b"X") + 3]  # within the length of a text
    with pytest.raises(CheckpointError, match="its pickle is broken"):
        use_checkpoint(tmp_path, {"data.pkl": cut})


def test_the_child_that_tries_inputs_may_write_where_they_say(tmp_path):
    (result,) = run_fuzz(Console(quiet=True), ["checkpoint"], 3)
    assert (result.n_inputs, result.failures) == (3, [])


def test_a_fieldtrip_buffer_that_announces_the_largest_count_ends_nothing(tmp_path):
    from rtbrain.check.fuzz.targets import TARGETS

    target = TARGETS["fieldtrip"]
    files = dict(target.make(tmp_path)[0])
    files["wait"] = files["wait"][:8] + struct.pack("<II", 2**32 - 1, 2**32 - 1)
    with contextlib.suppress(RtbrainError):
        target.use(tmp_path, files)
