"""A decoder fitted, saved, loaded and scored from Python, as in a notebook."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from rich.console import Console

import rtbrain
from rtbrain.errors import BundleError, MontageError, RecordingError, RtbrainError, SettingsError
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.report.page import fit_page
from rtbrain.learn.report.score_table import ScoreTable, describe_lags
from tests.conftest import brain_like

PATIENT = "synthetic:3,duration_s=60,n_channels=12"
HELD_OUT = "synthetic:3,duration_s=25,n_channels=12"
QUICK = {
    "classes": ["rest", "speech"],
    "n_folds": 2,
    "n_permutations": 0,
    "front_end": "recipe",
}


@pytest.fixture(scope="module")
def decoder() -> FittedDecoder:
    return rtbrain.fit(rtbrain.read(PATIENT, sfreq_hz=2048), space="RAS mm", **QUICK)


@pytest.mark.shared
def test_grip_force_is_decoded_from_a_raw_of_mne_as_by_the_first_version(shared: Path) -> None:
    # Ten lines of a notebook.
    raw = mne.io.read_raw(next((shared / "data").glob("ecog-gripforce/**/*.vhdr")), verbose="ERROR")
    recipe = {
        "mode": "linear", "signal": [{"reference": "bipolar"}], "encoder": {"n_pooled": 4},
        "window": {"length_s": 1, "hop_s": 0.1},
        "spectrogram": {"form": "running", "frame_s": 0.2, "frame_hop_s": 0.05},
    }  # fmt: skip
    decoder = rtbrain.fit(
        raw, channel="MOV_RIGHT", threshold="half", scale=1e-6, recipe=recipe, n_folds=3,
        embargo_s=1, exclude=["LFP_RIGHT_0", "LFP_RIGHT_1", "LFP_RIGHT_2"], n_permutations=0,
    )  # fmt: skip
    scores, decodes = decoder.scores["decoder"], decoder.decode(raw, scale=1e-6)
    assert scores["auc_by_fold"]["mean"] == pytest.approx(0.961, abs=5e-4)
    assert scores["auc_by_fold"]["std"] == pytest.approx(0.053, abs=5e-4)
    assert scores["auc"] == pytest.approx(0.878, abs=5e-4)
    assert np.isnan(scores["auc_interval_95"]).all(), "three grips: too few to say"
    assert scores["balanced_accuracy"] == pytest.approx(0.669, abs=5e-4)
    assert decoder.verdict.startswith("Not enough data: 3 pairs of stretches, 10 are needed.")
    assert "of 3 stretches of on found" in decoder.verdict
    assert decodes.labels == ("off", "on")
    assert decodes.valid.sum() == 181
    np.testing.assert_allclose(np.diff(decodes.t_stop_s), 0.1, atol=1e-6)


def test_scores_by_the_time_of_the_label_pass_through_that_of_the_fit(
    decoder: FittedDecoder,
) -> None:
    lag = decoder.report["lag"]
    assert lag["lags_s"] == pytest.approx(np.arange(13) / 20)
    near = int(np.abs(np.array(lag["lags_s"]) - lag["fitted_s"]).argmin())
    assert 0.1 < lag["fitted_s"] < 0.3
    assert lag["scores"][near] == pytest.approx(decoder.scores["decoder"]["auc"], abs=0.01)
    assert np.isfinite(lag["now"])
    line = describe_lags(decoder.report)
    best = f"{lag['best_s']:.2f} s before the newest sample: {max(lag['scores']):.3f}"
    for part in (f"describe {lag['described_s']:.2f} s before", f"next): {lag['now']:.3f};", best):
        assert part in line
    assert " ".join(line.split()) in " ".join(decoder.scores.caption.split())


def test_positions_are_in_the_space_that_is_named(decoder: FittedDecoder) -> None:
    positions = rtbrain.read(PATIENT, sfreq_hz=2048).montage.positions
    assert decoder.bundle.montage.space == "RAS mm"
    np.testing.assert_array_equal(decoder.bundle.montage.positions, positions)


def test_scores_are_a_table_for_terminals_and_notebooks_and_numbers_for_python(
    decoder: FittedDecoder,
) -> None:
    scores = decoder.scores
    assert list(scores) == ["decoder", "linear of v0.1.0", "STFT", "clock only", "random init"]
    low, high = scores["decoder"]["balanced_accuracy_interval_95"]
    assert low < scores["decoder"]["balanced_accuracy"] < high
    assert scores.report["scores"]["decoder"]["interval_95"]["auc"]["brief"] in str(scores)
    shown = scores._repr_mimebundle_([], [])
    assert "balanced accuracy" in shown["text/html"]
    assert repr(decoder).startswith("FittedDecoder(classification of rest, speech")


def test_a_loaded_decoder_decodes_and_scores_as_the_one_that_was_saved(
    decoder: FittedDecoder, tmp_path: Path
) -> None:
    again = rtbrain.load(decoder.save(tmp_path / "new" / "bundle"))
    assert str(again.scores) == str(decoder.scores)
    recording = rtbrain.read(HELD_OUT, sfreq_hz=2048)
    before, after = decoder.decode(recording), again.decode(recording)
    np.testing.assert_array_equal(before.values, after.values)
    assert before.valid.sum() > 50
    np.testing.assert_allclose(before.latency_s, before.t_stop_s - before.times_s)
    assert before.coverage[before.valid].min() > 0.9
    copied = rtbrain.load(again.save(tmp_path / "copy"))
    assert sorted(copied.draw()) == sorted(decoder.draw()) != []
    with pytest.raises(SettingsError, match="already exists"):
        decoder.save(tmp_path / "copy")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        rtbrain.load(tmp_path)


def test_features_are_what_the_readout_reads(decoder: FittedDecoder) -> None:
    recording = rtbrain.read(HELD_OUT, sfreq_hz=2048)
    features, decodes = decoder.features(recording), decoder.decode(recording)
    np.testing.assert_array_equal(features.t_stop_s, decodes.t_stop_s[decodes.valid])
    weight, bias = (decoder.bundle.tensors[f"readout.{name}"] for name in ("weight", "bias"))
    logits = features.values @ weight.T.astype(np.float64) + bias
    found = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(found, decodes.values[decodes.valid, 1], atol=1e-5)
    assert features.channels.shape[:2] == (len(features.values), len(features.names))


def test_progress_is_called_back_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, list[float]] = {}

    def watch(done: float, total: float, what: str) -> None:
        seen.setdefault(what, []).append(done / total)

    rtbrain.fit(PATIENT, sfreq_hz=2048, on_progress=watch, **QUICK)
    assert list(seen) == ["recording 1 of 1", "scoring", "chance"]
    for shares in seen.values():
        assert shares == sorted(shares)
        assert shares[-1] == 1
    assert capsys.readouterr() == ("", "")


def test_an_array_is_fitted_on_with_its_events_also_where_codes_stand_for_classes(
    decoder: FittedDecoder,
) -> None:
    known = rtbrain.read(PATIENT, sfreq_hz=2048)
    array = known.read(0, known.n_samples)
    codes = {"rest": "1", "speech": "2"}
    events = [(event.onset_s, codes.get(event.text, event.text)) for event in known.events]
    recording = rtbrain.read((array, 2048, known.montage.names), events=events)
    names = {code: text for text, code in codes.items()}
    fitted = rtbrain.fit([recording], **QUICK, names=names)
    assert fitted.report["labels"]["names"] == names
    assert fitted.scores["decoder"]["auc"] == decoder.scores["decoder"]["auc"]
    scores = rtbrain.evaluate(fitted, HELD_OUT, sfreq_hz=2048)
    assert list(scores) == [
        "decoder", "linear of v0.1.0", "random init", "clock only", "labels shifted",
    ]  # fmt: skip
    assert scores.cells["random init"][0] == "no encoder"
    assert scores["decoder"]["auc"] > scores["linear of v0.1.0"]["auc"] - 0.1 > 0.6
    assert scores["decoder"]["auc"] > scores["labels shifted"]["auc_band_95"][1]


def test_decodes_become_a_data_frame_where_pandas_is_there(
    decoder: FittedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes = decoder.decode(HELD_OUT, sfreq_hz=2048)
    frame = decodes.to_frame()
    assert list(frame.columns) == ["rest", "speech", "valid", "coverage", "latency_s"]
    np.testing.assert_array_equal(frame["speech"].to_numpy(), decodes.values[:, 1])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SettingsError, match="pip install pandas"):
        decodes.to_frame()


@pytest.mark.parametrize(
    ("values", "error", "part"),
    [
        ({}, SettingsError, "exactly one of"),
        ({"classes": ["rest", "speech"], "channel": "RA1"}, SettingsError, "exactly one of"),
        ({"classes": ["rest", "music"]}, SettingsError, "no event 'music'"),
        ({"classes": ["rest", "speech"], "window": (0, 1)}, SettingsError, "window is for events"),
        ({"classes": ["rest", "speech"], "nonsense": 1}, SettingsError, "unknown key nonsense"),
        ({"classes": ["rest", "speech"], "n_folds": 1}, SettingsError, "splits.n_folds"),
        ({"classes": ["rest", "speech"], "embargo_s": 0.2}, SettingsError, "share samples"),
        ({"classes": ["rest", "speech"], "recipe": "linaer"}, SettingsError, "did you mean linear"),
        ({"classes": ["rest", "speech"], "channels": ["ZZ9"]}, SettingsError, "ZZ9"),
        ({"channel": "GRIP"}, MontageError, "GRIP"),
        ({"task": "onset"}, SettingsError, "Brain Treebank"),
    ],
)
def test_what_cannot_be_fitted_is_refused_as_by_the_command(
    values: dict, error: type[RtbrainError], part: str
) -> None:
    with pytest.raises(error, match=part):
        rtbrain.fit("synthetic:3,duration_s=30,n_channels=12", sfreq_hz=2048, **values)


def test_without_the_named_events_a_fit_says_so_before_it_reads_the_signal() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (2, 20_000))
    recording = rtbrain.read((noise, 1000, ["A1", "A2"]))
    begun = 10_000  # looked at for its amplitude

    def read(start: int, stop: int) -> np.ndarray:
        assert stop <= begun
        return noise[:, start:stop].astype(np.float32)

    recording = replace(recording, reader=read)
    for words in ({"events": ["1", "2"], "window": (0, 1)}, {"classes": ["1", "2"]}):
        with pytest.raises(SettingsError, match=r"no event '1': .* holds no events; .*--trigger"):
            rtbrain.fit(recording, **words)


def test_a_decoder_keeps_the_unit_of_the_level_that_cuts_its_windows() -> None:
    pulses = 5000.0 * (np.arange(20_000) % 1000 > 950)
    array = np.vstack([brain_like(3, 20_000, 500.0), pulses])
    recording = rtbrain.read((array, 500, ["A1", "A2", "A3", "DC01"]))
    in_mv = replace(recording, microvolts={"DC01": 1000.0})
    options = {"trigger": "DC01:2.5", "events": ["DC01"], "rest": True, "window": (0, 0.5)}
    fitted = rtbrain.fit(in_mv, n_folds=2, n_permutations=0, **options)
    assert fitted.bundle.trigger == "DC01:2500uV"
    in_uv = rtbrain.evaluate(fitted, recording)["decoder"]
    assert in_uv == rtbrain.evaluate(fitted, in_mv)["decoder"]
    with pytest.raises(SettingsError, match="its channels have different units"):
        rtbrain.fit([in_mv, replace(recording, microvolts={"DC01": 1.0})], **options)


def test_recordings_that_do_not_belong_together_are_refused() -> None:
    one = rtbrain.read(HELD_OUT, sfreq_hz=2048)
    with pytest.raises(SettingsError, match="recording 2 is named twice"):
        rtbrain.fit([one, one], **QUICK)
    other = rtbrain.read("synthetic:4,duration_s=25,n_channels=12", sfreq_hz=1024)
    with pytest.raises(SettingsError, match="recording 2 has 1024 Hz, recording 1 2048 Hz"):
        rtbrain.fit([one, other], **QUICK)
    with pytest.raises(SettingsError, match="no recording"):
        rtbrain.fit([], **QUICK)
    with pytest.raises(RecordingError, match=r"absent\.edf"):
        rtbrain.fit("absent.edf", **QUICK)


def test_a_decoder_that_reads_a_microphone_says_so_and_by_default_none_does() -> None:
    rate_hz, seconds = 250, 48
    rng = np.random.default_rng(0)
    state = np.arange(rate_hz * seconds) // (2 * rate_hz) % 2
    mic = 60 * (0.3 + state) * rng.standard_normal(state.size)
    names = [*(f"A{number}" for number in range(1, 7)), "B9", "MIC"]
    data = np.vstack([brain_like(7, state.size, rate_hz), mic])
    events = [(2.0 * number, ("rest", "go")[number % 2]) for number in range(seconds // 2)]
    recording = rtbrain.read((data, rate_hz, names), events=events)
    assert recording.notes[0].startswith("MIC is not a contact")
    recipe = {
        "mode": "linear",
        "signal": [{"reference": "laplacian"}, {"resample_hz": 1024}],
        "window": {"length_s": 1.0, "hop_s": 0.48828125},
        "spectrogram": {"form": "running", "time_constant_s": 20.0},
        "encoder": {"pool": "last", "n_pooled": 5},
    }
    options = {"classes": ["rest", "go"], "n_folds": 2, "n_permutations": 0}
    plain = rtbrain.fit(recording, recipe=recipe, **options)
    assert plain.bundle.montage.names == tuple(names[:7])
    assert "without a neighbour on a shaft, and left out by the reference: B9" in plain.notes
    assert "warnings" not in plain.report
    recipe["signal"][0] = {"reference": "car"}
    told = rtbrain.fit(recording, recipe=recipe, channels=["A*", "MIC"], **options)
    assert told.bundle.montage.names == (*names[:6], "MIC")
    assert "used as contacts, as the settings say: MIC" in told.notes
    assert "reads channels that are not contacts: MIC" in told.report["warnings"][0]
    assert "WARNING" in repr(told.scores)


def test_another_order_of_classes_is_refused(decoder: FittedDecoder) -> None:
    with pytest.raises(SettingsError, match="same classes in the same order"):
        rtbrain.evaluate(decoder, HELD_OUT, sfreq_hz=2048, classes=["speech", "rest"])


def test_of_many_columns_two_tables_are_made_that_80_columns_hold() -> None:
    headings = ("AUC", "balanced accuracy", "events", "false alarms\nan hour", "valid decodes")
    cells = {
        "decoder": ("0.976", "0.926", "100 % of 23", "0.00", "366 of 386"),
        "linear of v0.1.0": ("0.9", "0.8", "90 % of 23", "0.10", "366 of 386"),
        "clock only": ("0.501", "0.502", "", "", ""),
    }
    out = io.StringIO()
    Console(file=out, width=80).print(ScoreTable("held out", headings, cells, {}, {}))
    _, scores, rates = out.getvalue().split("┏")
    assert "…" not in scores + rates
    assert all(cell in scores for row in cells.values() for cell in row[:2])
    assert all(cell in rates for row in cells.values() for cell in row[2:])
    assert all(word in scores for word in (*headings[:2], *cells))
    assert all(word in rates for word in ("events", "false alarms", "an hour", "v0.1.0"))
    assert "clock only" not in rates  # it detects nothing


def test_clips_of_one_class_each_are_held_out_whole_and_sessions_are_blocks_of_their_own() -> None:
    rng = np.random.default_rng(0)
    clips = []
    for number in range(10):
        data = brain_like(3, 900, 100.0, seed=number)
        if number % 2:
            data += 40 * np.sin(2 * np.pi * 20 * np.arange(900) / 100).astype(np.float32)
        text = ("rest", "go")[number % 2]
        signals = data + rng.normal(0, 1, data.shape).astype(np.float32)
        source = signals, 100.0, ("A1", "A2", "A3")
        clips.append(rtbrain.read(source, events=[(0.0, text)]))
    recipe = {
        "mode": "linear", "signal": [], "window": {"length_s": 1, "hop_s": 0.5},
        "encoder": {"n_pooled": 4},
        "spectrogram": {"form": "running", "frame_s": 0.4, "frame_hop_s": 0.1, "n_freqs": 20},
    }  # fmt: skip
    options = {"classes": ["rest", "go"], "recipe": recipe, "front_end": "recipe"}
    fitted = rtbrain.fit(clips, n_permutations=60, **options)
    report = fitted.report
    assert report["split"]["folds"] == [f"clips {k}" for k in range(1, 6)]
    assert "held out by clips: 5 folds, each whole, 170 windows" in fitted.scores.title
    assert "clips: 5 folds, each held out whole" in fit_page(fitted.bundle, {})
    assert report["blocks"] == {"n": 10, "unit": "clips"}
    assert report["null_distribution"]["how"] == "classes permuted over clips"
    assert report["verdict"]["answer"] != "not enough data"
    with pytest.raises(SettingsError, match="no event 'go'"):
        rtbrain.fit(clips[::2], **options)
    # Clips of one day do not stand on both sides where days are held out.
    of_days = [replace(clip, session=f"day {number // 5}") for number, clip in enumerate(clips)]
    by_day = rtbrain.fit(of_days, split="sessions", n_permutations=0, **options).report
    assert [name.strip() for name in by_day["split"]["folds"]] == ["day 0", "day 1"]
    assert (by_day["split"]["kind"], by_day["blocks"]["n"]) == ("sessions", 2)


def test_sessions_that_are_held_out_whole_are_the_blocks_of_the_interval() -> None:
    events = [(float(s), ("rest", "go")[s // 3 % 2]) for s in range(0, 40, 3)]
    sessions = [
        rtbrain.read((brain_like(3, 4000, 100.0, seed=k), 100.0, ("A1", "A2", "A3")), events=events)
        for k in range(2)
    ]
    recipe = {
        "mode": "linear", "signal": [], "window": {"length_s": 1, "hop_s": 0.5},
        "encoder": {"n_pooled": 4},
        "spectrogram": {"form": "running", "frame_s": 0.4, "frame_hop_s": 0.1, "n_freqs": 20},
    }  # fmt: skip
    fitted = rtbrain.fit(
        sessions, classes=["rest", "go"], recipe=recipe, front_end="recipe", split="sessions",
        n_permutations=10,
    )  # fmt: skip
    assert fitted.report["blocks"] == {"n": 2, "unit": "sessions"}
    assert np.isnan(fitted.scores["decoder"]["auc_interval_95"]).all()
    assert "2 sessions, 10 are needed" in fitted.verdict
