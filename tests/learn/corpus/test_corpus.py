"""Corpora on disk: what is written is read, and what was altered is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.corpus import writer
from rtbrain.learn.corpus.corpus import CorpusManifest, CorpusSession, open_corpus, read_manifest
from rtbrain.learn.corpus.writer import CorpusWriter
from rtbrain.recording.recording import Event
from tests.conftest import montage_of
from tests.learn.corpus.tiny import write_corpus


def session_of(n_windows: int, n_channels: int = 3, seed: int = 0) -> CorpusSession:
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_windows, n_channels, 7, 4)).astype(np.float32)
    montage = montage_of(n_channels, 2048.0)
    return CorpusSession(
        subject=f"s{seed}",
        session="1",
        montage=replace(
            montage, positions=np.where(np.eye(n_channels, 3), np.nan, 1.5).astype("f4")
        ),
        events=(Event(0.5, 0.25, "speech"),),
        t_stop=5 + 0.5 * np.arange(n_windows),
        good=rng.random((n_windows, n_channels)) > 0.2,
        shards=[items],
    )


def assert_same(read: CorpusSession, written: CorpusSession) -> None:
    assert (read.subject, read.session, read.events) == ("s0", "1", written.events)
    assert read.montage.names == written.montage.names
    np.testing.assert_array_equal(read.montage.positions[0], np.full(3, np.nan))
    np.testing.assert_array_equal(read.t_stop, written.t_stop)
    np.testing.assert_array_equal(read.good, written.good)
    for row in range(written.n_windows):
        np.testing.assert_array_equal(read.window(row), written.window(row))


@pytest.mark.parametrize("rows_a_shard", [1, 2, 5, 100])
def test_a_session_is_read_as_it_was_written_whatever_its_shards(
    rows_a_shard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = session_of(11)
    bytes_a_row = written.shards[0][0].nbytes
    monkeypatch.setattr(writer, "_MAX_SHARD_BYTES", rows_a_shard * bytes_a_row)
    corpus = write_corpus(tmp_path / "c", [written])
    (read,) = corpus.sessions
    assert [len(shard) for shard in read.shards] == [
        min(rows_a_shard, 11 - first) for first in range(0, 11, rows_a_shard)
    ]
    assert isinstance(read.shards[0], np.memmap)
    assert corpus.item_shape == (7, 4)
    assert_same(read, written)


def test_a_session_of_more_than_a_thousand_shards_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MAX_SHARD_BYTES", 1)
    n_windows = 1002
    written = replace(
        session_of(1),
        t_stop=0.5 * np.arange(n_windows),
        good=np.ones((n_windows, 3), np.bool_),
        shards=[np.repeat(np.arange(n_windows, dtype=np.float32), 3).reshape(-1, 3, 1)],
    )
    (read,) = write_corpus(tmp_path / "c", [written], form="embedding").sessions
    windows = np.arange(n_windows)
    np.testing.assert_array_equal(read.read(windows, 0 * windows)[:, 0], windows)


def test_items_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    written = session_of(9)
    (read,) = write_corpus(tmp_path / "c", [written]).sessions
    windows, channels = np.array([8, 0, 3, 3]), np.array([2, 1, 0, 2])
    np.testing.assert_array_equal(
        read.read(windows, channels), written.shards[0][windows, channels]
    )


def test_float16_is_read_as_float32_within_its_precision(tmp_path: Path) -> None:
    written = session_of(3)
    (read,) = write_corpus(tmp_path / "c", [written], dtype="float16").sessions
    assert read.shards[0].dtype == np.float16
    assert read.window(1).dtype == np.float32
    np.testing.assert_allclose(read.window(1), written.window(1), rtol=2**-11)


def test_float16_refuses_what_it_cannot_hold_unless_it_is_not_believed(tmp_path: Path) -> None:
    session = session_of(2)
    session.shards[0][1, 2, 0, 0] = 70_000
    session.good[1, 2] = False
    write_corpus(tmp_path / "not believed", [session], dtype="float16")
    session.good[1, 2] = True
    with pytest.raises(RecordingError, match=r"70000 at 5.5.* float16 ends at 65504"):
        write_corpus(tmp_path / "believed", [session], dtype="float16")
    write_corpus(tmp_path / "float32", [session])
    session.shards[0][1, 2, 0, 0] = np.nan
    with pytest.raises(RecordingError, match="not finite"):
        write_corpus(tmp_path / "nan", [session])


def test_subjects_are_picked_by_label(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [session_of(2, seed=n) for n in (3, 1, 2)])
    assert corpus.subjects == ("s3", "s1", "s2")
    assert [session.subject for session in corpus.of(["s2", "s3"])] == ["s3", "s2"]
    with pytest.raises(RecordingError, match="no subject s9: there are s3, s1, s2"):
        corpus.of(["s9"])


@pytest.mark.parametrize("damage", ["cut", "gone", "shape", "manifest", "outside", "unfinished"])
def test_a_corpus_that_was_altered_is_refused(damage: str, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", [session_of(4)]).folder
    shard = folder / "sessions/0000/shard-000.npy"
    manifest = folder / "manifest.json"
    values = json.loads(manifest.read_text())
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "gone":
        shard.unlink()
    elif damage == "shape":
        values["sessions"][0]["n_windows"] = 5
    elif damage == "outside":
        values["sessions"][0]["good"]["file"] = "../good.npy"
    elif damage == "unfinished":
        values["complete"] = False
    manifest.write_text("{" if damage == "manifest" else json.dumps(values))
    with pytest.raises(RecordingError) as caught:
        open_corpus(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="expected a folder that"):
        open_corpus(tmp_path)


def header_of(sha256: str = "a") -> CorpusManifest:
    return CorpusManifest(
        form="spectrogram",
        dtype="float32",
        hop_s=0.5,
        recipe={},
        settings={},
        settings_sha256=sha256,
    )


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    write_corpus(tmp_path / "done", [session_of(2)])
    with pytest.raises(SettingsError, match="complete already"):
        CorpusWriter(tmp_path / "done", header_of())
    values = json.loads((tmp_path / "done/manifest.json").read_text())
    (tmp_path / "done").rename(tmp_path / "begun")
    values |= {"complete": False, "settings_sha256": "a"}
    (tmp_path / "begun/manifest.json").write_text(json.dumps(values))
    assert len(CorpusWriter(tmp_path / "begun", header_of()).manifest.sessions) == 1
    with pytest.raises(SettingsError, match="started with other settings"):
        CorpusWriter(tmp_path / "begun", header_of("b"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(SettingsError, match="something other than a corpus"):
        CorpusWriter(tmp_path / "other", header_of())


def test_a_session_left_by_an_exception_leaves_nothing(tmp_path: Path) -> None:
    writer = CorpusWriter(tmp_path, header_of())

    def interrupted() -> None:
        with writer.session(0) as part:
            part.add(np.zeros((2, 3), np.float32), np.ones(2, bool), 5.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.rglob("*")] == ["manifest.json", "sessions"]
    assert read_manifest(tmp_path).sessions == ()
