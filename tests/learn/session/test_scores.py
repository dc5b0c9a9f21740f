"""Decodes that were recorded are scored as those of the same decoder on the same signals."""

from pathlib import Path

import mne
import numpy as np
import pytest

import rtbrain
from rtbrain.config import LabelSettings
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.learn.recorded import _from_sample, begin_as_live, recorded_decodes
from rtbrain.learn.session.report import session_report
from tests.learn.session.run_by_hand import markers
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ, DURATION_S = 512.0, 60.0
LABELS = LabelSettings(classes=("rest", "speech"))
BEGAN = 777  # sample at which the live decoder began


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and a run that holds its signals, cues and decodes."""
    folder = tmp_path_factory.mktemp("run")
    source = f"synthetic:5,duration_s={DURATION_S:g},n_channels=6"
    recording = rtbrain.read(source, sfreq_hz=SFREQ_HZ)
    fitted = rtbrain.fit(recording, classes=["rest", "speech"], front_end="recipe")
    fitted.save(folder / "bundle")
    found = fitted.decode(_from_sample(recording, BEGAN))
    t_stop = found.t_stop_s + BEGAN / SFREQ_HZ
    data = recording.read(0, recording.n_samples)
    stamps = np.arange(recording.n_samples) / SFREQ_HZ
    names = recording.montage.names
    signal = XdfStream("amp", stamps, data.T, SFREQ_HZ, desc=described(names), source_id="amp")
    values = np.column_stack([found.values, found.valid, np.ones((found.valid.size, 3))])
    labels = ("rest", "speech", "valid", "coverage", "age_s", "compute_s")
    nodes = "".join(f"<channel><label>{label}</label></channel>" for label in labels)
    bundle_id = rtbrain.load(folder / "bundle").bundle.id
    about = f"<rtbrain><bundle_id>{bundle_id}</bundle_id><stream>amp</stream></rtbrain>"
    desc = f"<channels>{nodes}</channels>{about}"
    hop_s = float(np.median(np.diff(found.t_stop_s)))
    decodes = XdfStream("ward-decode", t_stop, values, 1 / hop_s, content="Decode", desc=desc)
    cues = markers("task", [(event.onset_s, event.text) for event in recording.events])
    cues.stamps = cues.stamps - cues.stamps[0] + recording.events[0].onset_s
    write_xdf(folder / "run.xdf", signal, decodes, cues)
    running = int(found.valid.argmax()) + 5
    for name, stamps, rows in (
        ("later", t_stop[running:], values[running:]),
        ("jittered", t_stop + np.random.default_rng(0).uniform(0, hop_s, t_stop.size), values),
    ):
        more = XdfStream("ward-decode", stamps, rows, 1 / hop_s, content="Decode", desc=desc)
        write_xdf(folder / f"{name}.xdf", signal, more, cues)
    return folder


def test_recorded_decodes_score_as_those_of_the_recording_from_where_they_began(
    folder: Path,
) -> None:
    path, bundle = folder / "run.xdf", folder / "bundle"
    notes: list[str] = []
    scores = rtbrain.evaluate(
        bundle, path, stream="amp", decodes="ward-decode", on_note=notes.append
    )
    assert f"decoded from sample {BEGAN}, where ward-decode began" in notes
    live, again = scores["as decoded live"], scores["decoder"]
    assert live["decodes"] == again["decodes"]
    assert live["valid"] == again["valid"]
    assert live["auc"] == pytest.approx(again["auc"], abs=1e-6)
    assert live["balanced_accuracy"] == pytest.approx(again["balanced_accuracy"], abs=1e-6)
    report = session_report(path, bundle=bundle)
    assert report.figures["scores"]["auc"] == pytest.approx(live["auc"], abs=1e-6)
    assert live["verdict"]["text"] in report.words


@pytest.mark.parametrize(
    ("run", "note", "first"),
    [
        ("later", "decoded from sample 9: windows end where those of ward-decode did", 9),
        ("jittered", "where the decoder of ward-decode began cannot be known", 0),
    ],
)
def test_a_decoder_that_began_before_the_recording_or_nobody_knows_where_is_compared_so_too(
    folder: Path, run: str, note: str, first: int
) -> None:
    path, notes = folder / f"{run}.xdf", list[str]()
    whole, bundle = rtbrain.read(path, stream="amp"), rtbrain.load(folder / "bundle").bundle
    live = recorded_decodes(path, "ward-decode", bundle, LABELS)
    begun = begin_as_live(whole, path, "ward-decode", live, bundle, notes.append)
    assert note in notes[0]
    assert begun.n_samples == whole.n_samples - first
    np.testing.assert_array_equal(begun.read(0, 8), whole.read(first, first + 8))
    late_s = [a.onset_s - b.onset_s for a, b in zip(whole.events, begun.events, strict=True)]
    np.testing.assert_allclose(late_s, first / SFREQ_HZ)


@pytest.mark.parametrize(
    ("file", "decodes", "why"),
    [
        (
            "run_raw.fif",
            "ward-decode",
            "--decodes ward-decode: expected the XDF file of a run, got",
        ),
        ("run.xdf", "absent", "has no stream 'absent'"),
        ("run.xdf", "amp", "name a decode stream of this bundle"),
    ],
)
def test_decodes_that_are_not_there_are_refused_before_anything_is_decoded(
    folder: Path, file: str, decodes: str, why: str
) -> None:
    path, progress = folder / file, list[object]()
    stream = "amp" if file.endswith("xdf") else None
    if stream is None:
        whole = rtbrain.read(folder / "run.xdf", stream="amp")
        info = mne.create_info(list(whole.montage.names), SFREQ_HZ, "seeg")
        raw = mne.io.RawArray(1e-6 * whole.read(0, whole.n_samples), info, verbose="ERROR")
        raw.set_annotations(mne.Annotations([5.0, 20.0], 10.0, ["rest", "speech"]))
        raw.save(path, verbose="ERROR")
    with pytest.raises(RtbrainError, match=why):
        rtbrain.evaluate(
            folder / "bundle",
            path,
            stream=stream,
            decodes=decodes,
            on_progress=lambda *of: progress.append(of),
        )
    assert not progress


def test_a_run_without_cues_is_not_scored(folder: Path) -> None:
    other = folder / "quiet.xdf"
    other.write_bytes((folder / "run.xdf").read_bytes().replace(b"speech", b"sPeech"))
    words = session_report(other, bundle=folder / "bundle").words
    assert "No cues of speech in this run: nothing to score." in words


def test_the_decodes_of_another_bundle_are_not_scored(folder: Path) -> None:
    text = (folder / "run.xdf").read_bytes()
    other = folder / "other.xdf"
    bundle_id = rtbrain.load(folder / "bundle").bundle.id
    other.write_bytes(text.replace(bundle_id.encode(), b"0" * len(bundle_id)))
    with pytest.raises(SettingsError, match="name the decoder that was used"):
        session_report(other, bundle=folder / "bundle")
