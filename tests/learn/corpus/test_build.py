"""Recordings to corpora: the same windows as live, and the truth about what is not there."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtbrain.errors import RecordingError
from rtbrain.learn.corpus import build as building
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.learn.fit.features import gather
from rtbrain.recording.recording import Recording
from rtbrain.recording.replay import ReplaySource
from tests.learn.corpus.small import (
    SFREQ_HZ,
    brain,
    build,
    contents,
    dead,
    front_end,
    header_of,
    recipe_of,
    recording_of,
    source_of,
    why_of,
)


def test_windows_are_those_of_the_live_stages(tmp_path: Path) -> None:
    recording = recording_of(brain())
    build(tmp_path / "c", [source_of(recording)])
    (session,) = open_corpus(tmp_path / "c").sessions
    stages = front_end(recording.montage, None)
    played = ReplaySource(recording, chunk_samples=37)
    chunks = iter(lambda: played.pull(0.0), None)
    live = gather(chunks, stages, {"": stages.encoder}, keep_spectrograms=True)
    np.testing.assert_array_equal(session.shards[0], live.spectrograms)
    np.testing.assert_array_equal(session.t_stop, live.t_stop)
    assert session.n_windows == 13
    assert session.good.all()
    assert session.events == recording.events


@pytest.mark.parametrize("chunk_s", [1 / SFREQ_HZ, 0.0837, 0.5, 60.0])
def test_the_corpus_does_not_depend_on_chunking(
    chunk_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(recording_of(brain(4.0)))
    build(tmp_path / "whole", [source])
    monkeypatch.setattr(building, "_CHUNK_S", chunk_s)
    build(tmp_path / "pieces", [source])
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")


def test_waveforms_are_the_filtered_windows(tmp_path: Path) -> None:
    data = brain(4.0)
    recipe = recipe_of(signal=[{"pick": {"kinds": ["seeg"]}}])
    build(
        tmp_path / "c",
        [source_of(recording_of(data))],
        lambda montage, on_event: front_end(montage, on_event, recipe),
        form="waveform",
    )
    (session,) = open_corpus(tmp_path / "c").sessions
    for row, start in enumerate(range(0, data.shape[1] - 1024 + 1, 256)):
        np.testing.assert_array_equal(session.window(row), data[:, start : start + 1024])


def test_a_stretch_keeps_the_recordings_time(tmp_path: Path) -> None:
    recording = recording_of(brain())
    build(tmp_path / "c", [source_of(recording, start_s=1.25, stop_s=6.25)])
    (session,) = open_corpus(tmp_path / "c").sessions
    assert session.t_stop[0] == pytest.approx(1.25 + 2 - 1 / SFREQ_HZ, abs=1e-9)
    assert session.t_stop[-1] == pytest.approx(6.25 - 1 / SFREQ_HZ, abs=1e-9)


def test_a_dead_contact_is_named_and_not_good_and_the_rest_is_built(tmp_path: Path) -> None:
    manifest = build(tmp_path / "c", [source_of(recording_of(dead(brain(), 2)))])
    (session,) = open_corpus(tmp_path / "c").sessions
    assert why_of(manifest, "a.vhdr") == {"channel A3": "not good in all 13 windows: flat"}
    assert not session.good[:, 2].any()
    assert session.good[:, np.arange(8) != 2].all()


def test_channels_marked_bad_or_without_unit_are_left_out(tmp_path: Path) -> None:
    recording = recording_of(brain(), bad=("A2",), unitless=("A4",))
    manifest = build(
        tmp_path / "c", [source_of(recording), source_of(recording, "b.vhdr", scale=1.0)]
    )
    assert manifest.sessions[0].names == ("A1", "A3", "A5", "A6", "A7", "A8")
    assert manifest.sessions[1].names == ("A1", "A3", "A4", "A5", "A6", "A7", "A8")
    why = why_of(manifest, "a.vhdr")
    assert why["channel A2"] == "marked bad in the recording"
    assert "no unit of voltage: set scale" in why["channel A4"]


def test_a_signal_of_no_brains_size_is_left_out_unless_its_scale_is_given(tmp_path: Path) -> None:
    volts = recording_of(brain() * np.float32(1e-6))
    good = source_of(recording_of(brain()), "good")
    manifest = build(tmp_path / "c", [source_of(volts), good, source_of(volts, "b", scale=1e6)])
    assert "unit is probably wrong: set scale, to 1e+06" in why_of(manifest, "a.vhdr")["recording"]
    assert [session.source for session in manifest.sessions] == ["good", "b"]


def test_samples_that_are_not_finite_are_counted_and_their_contacts_not_good(
    tmp_path: Path,
) -> None:
    data = brain()
    data[3, 1000:1010] = np.nan
    data[4, 1005] = np.inf
    manifest = build(tmp_path / "c", [source_of(recording_of(data))])
    why = why_of(manifest, "a.vhdr")
    assert why["samples"] == "11 are not finite, in A4, A5: not good where they are"
    (session,) = open_corpus(tmp_path / "c").sessions
    first = np.round((session.t_stop - 2) * SFREQ_HZ) + 1
    spoilt = (first <= 1009) & (first + 1024 > 1000)
    assert not session.good[spoilt, 3].any()
    assert session.good[spoilt][:, [0, 1, 2, 5, 6, 7]].all()
    assert np.isfinite(session.read(*np.nonzero(session.good))).all()


def test_windows_across_a_gap_are_left_out_and_counted(tmp_path: Path) -> None:
    data = brain()
    stamps = np.arange(data.shape[1]) / SFREQ_HZ
    stamps[2000:] += 1.0
    manifest = build(tmp_path / "c", [source_of(recording_of(data, stamps=stamps))])
    (session,) = open_corpus(tmp_path / "c").sessions
    gap_s = (stamps[1999], stamps[2000])
    assert not ((session.t_stop >= gap_s[1]) & (session.t_stop - 2 < gap_s[0])).any()
    n_invalid, _, n_all, *reason = why_of(manifest, "a.vhdr")["windows"].split(" ")
    assert int(n_all[:-1]) == session.n_windows + int(n_invalid)
    assert " ".join(reason[1:]) == "not full again after a gap"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_waveform_too_large_for_float16_is_left_out_of_it(dtype: str, tmp_path: Path) -> None:
    data = brain()
    data[5, 2000] = 80_000
    recipe = recipe_of(signal=[])
    manifest = build(
        tmp_path / "c",
        [source_of(recording_of(data)), source_of(recording_of(brain()), "good")],
        lambda montage, on_event: front_end(montage, on_event, recipe),
        form="waveform",
        dtype=dtype,
    )
    assert len(manifest.sessions) == {"float16": 1, "float32": 2}[dtype]
    if dtype == "float16":
        assert "80000 at" in why_of(manifest, "a.vhdr")["recording"]
    assert sorted(path.name for path in (tmp_path / "c/sessions").iterdir()) == [
        f"{session.number:04d}" for session in manifest.sessions
    ]


def broken(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_source_that_fails_does_not_end_the_build(tmp_path: Path) -> None:
    recording = recording_of(brain())
    sources = [
        source_of(replace(recording, reader=broken), "broken disk", scale=1.0),
        source_of(recording_of(brain(1.5)), "short"),
        source_of(recording, "asks for more", channels=("A1", "Z9")),
        source_of(recording_of(brain(), 500.0), "odd rate"),
        source_of(recording, "good"),
    ]
    reported: list[tuple[float, float, str]] = []
    writer = building.CorpusWriter(tmp_path / "c", header_of())
    building.build_corpus(writer, sources, front_end, lambda *progress: reported.append(progress))
    why = {one.source: one.why for one in writer.manifest.left_out}
    assert why["broken disk"] == "cannot be read: Input/output error"
    assert why["short"] == "1.5 s are shorter than a window"
    assert "no channel Z9" in why["asks for more"]
    assert "not a whole number" in why["odd rate"]
    assert [session.source for session in writer.manifest.sessions] == ["good"]
    assert [row for row in reported if row[2] == "sources"] == [
        (n, 5, "sources") for n in range(1, 6)
    ]
    assert [row for row in reported if row[2] == "good"][-1] == (8.0, 8.0, "good")
    assert writer.manifest.complete


def test_sources_of_another_item_shape_are_left_out(tmp_path: Path) -> None:
    slow = recording_of(brain(8.0), 256.0)
    manifest = build(
        tmp_path / "c",
        [source_of(recording_of(brain())), source_of(slow, "slow")],
        form="waveform",
    )
    assert "[512], those of other sessions [1024]" in why_of(manifest, "slow")["recording"]


def test_nothing_at_all_is_refused_and_can_be_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no source gave a window: a.vhdr: 1 s are shorter"):
        build(tmp_path / "c", [source_of(recording_of(brain(1.0)))])
    build(tmp_path / "c", [source_of(recording_of(brain()))], settings_sha256="other")


def test_a_full_disk_ends_the_build_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [source_of(recording_of(brain(seed=n)), f"{n}.vhdr") for n in range(3)]
    build(tmp_path / "whole", sources)
    n_left = 18  # windows: one session and a part of the next

    def add(self: building.SessionWriter, *values: object) -> None:
        nonlocal n_left
        n_left -= 1
        if not n_left:
            raise OSError(28, "No space left on device")
        original(self, *values)

    original = building.SessionWriter.add
    with monkeypatch.context() as patched:
        patched.setattr(building.SessionWriter, "add", add)
        with pytest.raises(OSError, match="No space"):
            build(tmp_path / "c", sources)
    assert [path.name for path in (tmp_path / "c/sessions").iterdir()] == ["0000"]
    manifest = build(tmp_path / "c", sources)
    assert manifest.complete
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_a_finished_session_that_was_altered_is_made_again(tmp_path: Path) -> None:
    sources = [source_of(recording_of(dead(brain(seed=n), n)), f"{n}.vhdr") for n in range(2)]
    build(tmp_path / "whole", sources)

    def interrupted() -> Recording:
        raise KeyboardInterrupt

    cut_off = [sources[0], replace(sources[1], opened=interrupted)]
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "c", cut_off)
    shard = tmp_path / "c/sessions/0000/shard-000.npy"
    altered = bytearray(shard.read_bytes())
    altered[-1] ^= 1
    shard.write_bytes(altered)
    build(tmp_path / "c", sources)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    second = brain(1.0)

    def peak_of(duration_s: int) -> int:
        recording = recording_of(second, n_samples=duration_s * second.shape[1])
        reader = lambda a, b: second[:, np.arange(a, b) % second.shape[1]]  # noqa: E731
        source = source_of(replace(recording, reader=reader))
        tracemalloc.start()
        build(tmp_path / str(duration_s), [source])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_of(10)  # what is loaded once
    short, long = peak_of(15), peak_of(75)
    assert long < short + 120 * 500  # 120 windows more: of each its end and marks are kept
