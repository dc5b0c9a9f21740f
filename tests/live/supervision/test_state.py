"""What a normaliser has seen, saved and restored: decodes go on as if nothing had happened."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder
from rtbrain.config import DecodeSettings, DetectSettings, OutletSettings, StreamSettings
from rtbrain.detect import Detector
from rtbrain.live.detections import DetectionSink
from rtbrain.live.supervision import state
from rtbrain.live.supervision.state import SavedState, keep_thresholds
from rtbrain.live.supervision.turn import Turn
from rtbrain.types import Chunk
from tests.conftest import brain_like, montage_of, wait_until
from tests.test_live_equals_offline import bundle_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(8, SFREQ_HZ)
SETTINGS = DecodeSettings(stream=StreamSettings(name="amp"), outlet=OutletSettings(name="a b/ä"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_of("linear", MONTAGE, tmp_path_factory.mktemp("bundle") / "linear")


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def saved_state(bundle, supervised=True):
    events = []

    def report(event, **fields):
        events.append((event, fields))

    saved = SavedState(SETTINGS, bundle, report, Turn(supervised=supervised))
    return saved, events


def decodes(decoder, chunk, sinks=()):
    features, readout = decoder
    found = {}
    for window in features.cut(chunk):
        decode = readout(features.encode(window))
        for sink in sinks:
            sink.push(decode)
        if decode.quality.valid:
            found[round(decode.t_stop * SFREQ_HZ)] = decode.values
    return found


def chunk_of(data, first):
    return Chunk(data[:, first:], np.arange(first, data.shape[1]) / SFREQ_HZ, first)


def test_a_restarted_decoder_decodes_as_the_one_before_it_would_have(bundle, monkeypatch):
    monkeypatch.setattr(state, "_SAVE_EVERY_S", 0.0)
    data = brain_like(8, int(24 * SFREQ_HZ), SFREQ_HZ)
    crash = int(16 * SFREQ_HZ)
    saved, events = saved_state(bundle)
    before = build_decoder(bundle, MONTAGE)

    def decode_until_the_crash():
        with saved.keeper(before[0]) as keeper:
            decodes(before, chunk_of(data[:, :crash], 0), [keeper])
            wait_until(lambda: saved.read()[0] is not None)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        decode_until_the_crash()
    saved.write(before[0].spectrogram.statistics)  # the thread may have the last but one
    after = build_decoder(bundle, MONTAGE, statistics=saved.restore())
    restored = decodes(after, chunk_of(data, crash))
    anew = decodes(build_decoder(bundle, MONTAGE), chunk_of(data, crash))
    uninterrupted = decodes(before, chunk_of(data, crash))
    assert events[0][0] == "statistics"
    assert events[0][1]["restored"] is True
    common = sorted(restored.keys() & uninterrupted.keys() & anew.keys())
    assert len(common) > 100

    def off(decodes_of):
        return np.median([abs(decodes_of[at] - uninterrupted[at]).max() for at in common])

    assert off(restored) < 0.02
    assert off(anew) > 5 * off(restored)


def test_only_whole_recent_statistics_of_the_same_bundle_are_used(bundle, monkeypatch, tmp_path):
    saved, events = saved_state(bundle)
    assert saved.restore() is None
    assert not events
    statistics = build_feature_pipeline(bundle.recipe, MONTAGE).spectrogram.statistics
    statistics.count[:] = 7
    saved.path.parent.mkdir(parents=True)
    saved.write(statistics)
    back, age = saved.read()
    assert age.endswith(" s old")
    np.testing.assert_array_equal(back.count, statistics.count)
    np.testing.assert_array_equal(back.mean, statistics.mean)

    whole = saved.path.read_bytes()
    for at in (0, 70, len(whole) // 2, len(whole) - 1):
        saved.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert saved.read() == (None, "they are damaged")
    saved.path.write_bytes(whole[:100])
    assert saved.read() == (None, "they are damaged")
    saved.path.write_bytes(whole)
    other = bundle_of("linear", montage_of(9, SFREQ_HZ), tmp_path / "other")
    assert saved_state(other)[0].read() == (None, "they are of another decoder")
    statistics.mean[0, 0] = np.nan
    saved.write(statistics)
    assert "not finite" in saved.read()[1]
    statistics.mean[0, 0] = 0.0
    saved.write(statistics)
    assert saved_state(bundle, supervised=False)[0].restore() is None
    later = time.time() + 700
    monkeypatch.setattr(time, "time", lambda: later)
    saved.path.write_bytes(whole)
    assert saved.restore() is None
    ((event, told),) = events
    assert (event, told["restored"]) == ("statistics", False)
    assert re.fullmatch(r"they are 7\d\d s old", told["note"])


def test_an_end_in_order_leaves_no_state_and_a_full_disk_is_reported_once(bundle, monkeypatch):
    monkeypatch.setattr(state, "_SAVE_EVERY_S", 0.0)
    data = brain_like(8, int(4 * SFREQ_HZ), SFREQ_HZ)
    saved, events = saved_state(bundle)
    decoder = build_decoder(bundle, MONTAGE)
    part = saved.path.parent / f".{saved.path.name}-0a1b2c3d.part"
    part.parent.mkdir(parents=True)
    part.touch()  # of a decoder that was killed while it wrote
    with saved.keeper(decoder[0]) as keeper:
        decodes(decoder, chunk_of(data, 0), [keeper])
        wait_until(saved.path.exists)
        assert not part.exists()

        def full(path, content):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(state, "write_atomically", full)
        decoder[0].reset()
        for _ in range(3):
            decodes(decoder, chunk_of(data, 0), [keeper])
            decoder[0].reset()
            wait_until(lambda: events)
    assert events == [("state_not_saved", {"reason": "No space left on device"})]
    assert not saved.path.exists()
    with saved.keeper(decoder[0]):
        saved.path.touch()
        monkeypatch.setattr(state.os, "getppid", lambda: 1)
    assert saved.path.exists()  # the supervisor has gone: another may begin where it was


def moved_threshold(bundle, turn, move=None):
    """Threshold of a decoder at its turn, after it was moved by the words of a command, if any."""
    events = []
    detector = Detector({"speech": DetectSettings(up=0.7)}, ("rest", "speech"), 0.125)
    save = keep_thresholds(
        detector, SETTINGS, bundle, lambda event, **f: events.append(event), turn
    )
    if move is not None:
        DetectionSink(detector, None, lambda *_, **__: save()).move(move, "test")
    assert not events
    return detector.settings["speech"].up


def test_a_threshold_that_was_moved_is_kept_through_a_restart_and_no_further(bundle):
    first, later = Turn(supervised=True), Turn(restarts=1, supervised=True)
    assert moved_threshold(bundle, first, ["0.9", "speech"]) == 0.9
    assert moved_threshold(bundle, later) == 0.9
    assert moved_threshold(bundle, later, ["0.8", "speech"]) == 0.8
    assert moved_threshold(bundle, replace(later, restarts=2)) == 0.8
    assert moved_threshold(bundle, Turn()) == 0.7
    assert moved_threshold(replace(bundle, id="another"), later) == 0.7
    assert moved_threshold(bundle, first) == 0.7, "a new session begins as its settings say"
    assert moved_threshold(bundle, later) == 0.7


UNREADABLE = ("", "{", "[]", '{"bundle": 1}', '{"bundle": "ID", "detect": {"x": {}}}')


@pytest.mark.parametrize("content", UNREADABLE)
def test_thresholds_that_cannot_be_read_are_those_of_the_start(bundle, content):
    path = state.state_path(SETTINGS).with_suffix(".thresholds")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content.replace("ID", bundle.id))
    assert moved_threshold(bundle, Turn(restarts=1, supervised=True)) == 0.7


def test_thresholds_that_cannot_be_saved_are_said_and_stay_moved(bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    events = []
    detector = Detector({"speech": DetectSettings(up=0.7)}, ("rest", "speech"), 0.125)
    turn = Turn(supervised=True)
    keep_thresholds(detector, SETTINGS, bundle, lambda event, **f: events.append(event), turn)()
    assert events == ["thresholds_not_saved"]
