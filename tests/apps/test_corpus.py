"""`rtbrain corpus`: what it builds, what it leaves out, and how it continues after a kill."""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import edfio
import mne
import numpy as np
import pybv
import pytest
import torch
import yaml

from rtbrain.config import (
    CorpusSettings,
    PretrainSettings,
    load_settings,
    parse_settings,
    read_settings,
)
from rtbrain.encoder import BRAINBERT_SIZES, BrainBERTSizes, random_encoder, save_encoder
from rtbrain.learn.corpus import embed
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.learn.corpus.sources import corpus_sources
from rtbrain.learn.training.pretrain import require_pretrain_corpus
from tests.apps.pretraining import ENCODER, corpus_of, settings_of
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like
from tests.learn.corpus.small import RECIPE, SFREQ_HZ, contents

NAMES = [f"A{number}" for number in range(1, 9)]
SYNTHETIC = "synthetic:{},duration_s={},n_channels=8"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_file(folder: Path, sources: list, **changes: object) -> Path:
    path = folder / "corpus.yaml"
    values = {"recipe": RECIPE, "sfreq_hz": SFREQ_HZ, "sources": sources}
    path.write_text(yaml.safe_dump(values | changes))
    return path


def write_vhdr(folder: Path, data: np.ndarray) -> Path:
    pybv.write_brainvision(
        data=data * 1e-6, sfreq=SFREQ_HZ, ch_names=NAMES, fname_base="cut", folder_out=folder
    )
    return folder / "cut.vhdr"


def write_edf(path: Path, data: np.ndarray, unit: str = "uV") -> Path:
    signals = [
        edfio.EdfSignal(row.astype(float), SFREQ_HZ, label=name, physical_dimension=unit)
        for row, name in zip(data, NAMES, strict=True)
    ]
    edfio.Edf(signals).write(path)
    return path


def write_fif(path: Path, data: np.ndarray) -> Path:
    info = mne.create_info(NAMES, SFREQ_HZ, "seeg", verbose="ERROR")
    mne.io.RawArray(data * 1e-6, info, verbose="ERROR").save(path, verbose="ERROR")
    return path


def cut_short(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.filterwarnings("ignore:.*unit:RuntimeWarning")
def test_what_cannot_be_used_is_named_and_the_rest_is_built(tmp_path: Path) -> None:
    private = tmp_path / "Jane Doe"
    private.mkdir()
    data = brain_like(8, 8 * 512, SFREQ_HZ)
    flat = data.copy()
    flat[2] = 0
    cut_short(write_vhdr(private, data).with_suffix(".eeg"), 0.5001)
    sources: list = [
        SYNTHETIC.format(1, 10),
        str(cut_short(write_edf(private / "no-header.edf", data), 0.001)),
        str(private / "cut.vhdr"),
        str(cut_short(write_fif(private / "cut_raw.fif", data), 0.5)),
        str(write_fif(private / "dead_raw.fif", flat)),
        str(write_fif(private / "short_raw.fif", data[:, :768])),
        str(write_edf(private / "unit.edf", data, "furlong")),
        {"recording": str(write_edf(private / "scaled.edf", data, "furlong")), "scale": 1},
        str(private / "absent.vhdr"),
    ]
    out = tmp_path / "c"
    done = rtbrain("corpus", "build", "--config", settings_file(tmp_path, sources), "--out", out)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert "Jane" not in (out / "manifest.json").read_text()
    built = [session["source"] for session in manifest["sessions"]]
    assert built == [sources[0], "cut.vhdr", "dead_raw.fif", "scaled.edf"]
    why = {(one["source"], one["what"]): one["why"] for one in manifest["left_out"]}
    assert "truncated" in why["no-header.edf", "recording"]
    assert "truncated" in why["cut_raw.fif", "recording"]
    assert why["dead_raw.fif", "channel A3"].endswith("windows: flat")
    assert why["short_raw.fif", "recording"] == "1.5 s are shorter than a window"
    assert "no unit of voltage" in why["unit.edf", "recording"]
    assert "no file or folder absent.vhdr" in why["absent.vhdr", "recording"]
    (notes,) = (one["notes"] for one in manifest["sessions"] if one["source"] == "cut.vhdr")
    assert "cut off" in notes[0]
    assert [session.n_windows for session in open_corpus(out).sessions] == [17, 5, 13, 13]
    shown = rtbrain("corpus", "inspect", out, "--verify", "--picture", tmp_path / "look.png")
    assert "verified" in shown.stdout
    assert "no unit of voltage" in " ".join(shown.stdout.split())
    assert (tmp_path / "look.png").stat().st_size > 10_000


@pytest.mark.parametrize("spelled", ["Jane Doe/a.vhdr", "./Jane Doe/a.vhdr", "link/a.vhdr"])
def test_folders_are_not_named_however_a_path_is_spelled(spelled: str, tmp_path: Path) -> None:
    (tmp_path / "Jane Doe").mkdir()
    (tmp_path / "link").symlink_to("Jane Doe")
    (source,) = corpus_sources(parse_settings({"sources": [spelled]}, CorpusSettings, where="test"))
    for path in (Path(spelled), Path(spelled).absolute(), Path(spelled).resolve()):
        assert source.plainly(f"no interval in {path}") == "no interval in a.vhdr"


def test_stretches_of_a_file_without_a_subject_are_of_one_subject(tmp_path: Path) -> None:
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, brain_like(8, 12 * 512, SFREQ_HZ))
    sources: list = [
        {"recording": "a.npy", "stop_s": 6},
        "b.npy",
        {"recording": str(tmp_path / "a.npy"), "start_s": 6},
        {"recording": "b.npy", "start_s": 6, "subject": "s07"},
    ]
    out = tmp_path / "c"
    done = rtbrain("corpus", "build", "--config", settings_file(tmp_path, sources), "--out", out)
    assert done.returncode == 0, done.stderr
    sessions = open_corpus(out).manifest.sessions
    subjects = [session.subject for session in sessions]
    assert subjects == ["source-0000", "source-0001", "source-0000", "s07"]
    assert [any("names no subject" in note for note in one.notes) for one in sessions] == [
        True,
        True,
        True,
        False,
    ]


def test_brackets_in_labels_are_shown_as_they_are(tmp_path: Path) -> None:
    sources: list = [
        {"recording": SYNTHETIC.format(1, 10), "subject": "[/b]x", "session": "[red]"},
        "[bold].vhdr",
    ]
    config = settings_file(tmp_path, sources)
    done = rtbrain("corpus", "build", "--config", config, "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    for word in ("[/b]x", "[red]", "[bold].vhdr"):
        assert word in done.stdout


def test_a_killed_build_continues_to_the_same_corpus(tmp_path: Path) -> None:
    config = settings_file(tmp_path, [SYNTHETIC.format(seed, 30) for seed in range(3)])
    command = [sys.executable, "-m", "rtbrain.apps", "corpus", "build", "--config"]
    with subprocess.Popen([*command, config, "--out", "c"], stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "c/sessions/0001.part/shard-000.npy").exists():
            with contextlib.suppress(subprocess.TimeoutExpired):  # leaves it the processor
                process.wait(0.01)
                pytest.fail("the build ended before it could be killed")
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "c/sessions/0001.part").is_dir()
    assert "incomplete" in rtbrain("corpus", "inspect", "c").stdout
    other = settings_file(tmp_path, [SYNTHETIC.format(seed, 31) for seed in range(3)])
    line = refused("corpus", "build", "--config", other, "--out", "c")
    assert "started with other settings" in line
    settings_file(tmp_path, [SYNTHETIC.format(seed, 30) for seed in range(3)])
    done = rtbrain("corpus", "build", "--config", config, "--out", "c")
    assert "continuing: 1 of 3 sources are done" in done.stdout
    assert rtbrain("corpus", "build", "--config", config, "--out", "whole").returncode == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")
    assert "complete already" in refused("corpus", "build", "--config", config, "--out", "c")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [{"recrding": "x"}]}, "did you mean recording?"),
        ({"sources": ["synthetic:1,colour=red"]}, "no property 'colour'"),
        ({"sources": [SYNTHETIC.format(1, 4)] * 2}, "is there twice"),
        ({"sources": ["synthetic:9..3,n_channels=8"]}, "the first seed, two dots and the last"),
        ({"sfreq_hz": None}, "no sampling rate"),
        ({"store": "patches"}, "set store to spectrogram"),
        ({"recipe": "edgy"}, "did you mean edge?"),
        ({"recipe": "edge", "hop_s": 0.1}, "hop_s"),
        ({"recipe": RECIPE | {"window": {"mode": "event", "length_s": 2}}}, "sliding windows"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(
    changes: dict, part: str, tmp_path: Path
) -> None:
    config = settings_file(tmp_path, **{"sources": [SYNTHETIC.format(1, 4)]} | changes)
    assert part in refused("corpus", "build", "--config", config, "--out", "c")
    assert not (tmp_path / "c").exists()


def test_a_range_of_seeds_is_a_patient_of_each(tmp_path: Path) -> None:
    path = settings_file(tmp_path, sources=["synthetic:3..5,n_channels=8", "synthetic:7"])
    sources = load_settings(path, CorpusSettings).sources
    assert [one.recording for one in sources] == [
        "synthetic:3,n_channels=8",
        "synthetic:4,n_channels=8",
        "synthetic:5,n_channels=8",
        "synthetic:7",
    ]


@pytest.mark.parametrize(
    ("corpus", "training"),
    [
        ("corpus-compact", "pretrain-brainbert-compact"),
        ("corpus-compact", "pretrain-popt-compact"),
        ("corpus-patches-compact", "pretrain-neurobert-compact"),
        ("corpus-patches-compact", "pretrain-biofame-compact"),
    ],
)
def test_the_compact_trainings_hold_out_the_patients_from_200_on(
    corpus: str, training: str
) -> None:
    sources = load_settings(corpus, CorpusSettings).sources
    seeds = [int(one.recording.split(":")[1].split(",")[0]) for one in sources]
    assert len(set(seeds)) == len(seeds)
    n_held_out = load_settings(training, PretrainSettings).held_out
    assert n_held_out == sum(seed >= 200 for seed in seeds)
    assert min(seeds[-n_held_out:]) >= 200


@pytest.mark.parametrize(
    ("corpus", "objectives"),
    [
        ("corpus-compact", ["brainbert"]),
        ("corpus-patches-compact", ["neurobert", "biofame"]),
    ],
)
def test_the_compact_encoders_read_what_the_compact_corpora_hold(
    tmp_path: Path, corpus: str, objectives: list[str]
) -> None:
    values, _ = read_settings(corpus)
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(values | {"sources": ["synthetic:1,duration_s=8,n_channels=6"]}))
    assert rtbrain("corpus", "build", "--config", mine, "--out", tmp_path / "c").returncode == 0
    for name in objectives:
        settings = load_settings(f"pretrain-{name}-compact", PretrainSettings)
        require_pretrain_corpus(settings, open_corpus(tmp_path / "c"))


def test_embeddings_are_those_of_the_encoder_at_every_good_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "_READ_ITEMS", 40)  # 5 windows of 13
    monkeypatch.setattr(embed, "_BATCH_ITEMS", 7)
    sizes = BRAINBERT_SIZES["compact"]
    recipe = RECIPE | {
        "spectrogram": RECIPE["spectrogram"] | {"n_freqs": sizes.input_dim},
        "encoder": {"pool": "last", "n_pooled": 5},
    }
    data = brain_like(8, 8 * 512, SFREQ_HZ)
    data[1] = 0
    sources = [SYNTHETIC.format(2, 6), str(write_fif(tmp_path / "dead_raw.fif", data))]
    config = settings_file(tmp_path, sources, recipe=recipe)
    rtbrain("corpus", "build", "--config", config, "--out", "c")
    encoder = random_encoder(sizes, seed=0)
    save_encoder(encoder, tmp_path / "encoder")
    done = rtbrain("corpus", "embed", "c", "encoder", "--out", "e", "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    whole, embedded = open_corpus(tmp_path / "c"), open_corpus(tmp_path / "e")
    assert (embedded.form, embedded.item_shape) == ("embedding", (sizes.hidden_dim,))
    assert embedded.recipe == whole.recipe
    for pictures, vectors in zip(whole.sessions, embedded.sessions, strict=True):
        np.testing.assert_array_equal(vectors.t_stop, pictures.t_stop)
        np.testing.assert_array_equal(vectors.good, pictures.good)
        assert (vectors.subject, vectors.events) == (pictures.subject, pictures.events)
        rows = np.nonzero(pictures.good)
        with torch.inference_mode():
            expected = encoder.embed(torch.from_numpy(pictures.read(*rows)), "last", 5).numpy()
        np.testing.assert_allclose(vectors.read(*rows), expected, atol=2e-5)
        assert not vectors.read(*np.nonzero(~pictures.good)).any()
    assert not embedded.sessions[1].good[:, 1].any()
    note = json.loads((tmp_path / "encoder/encoder.json").read_text())
    assert embedded.manifest.settings["encoder_sha256"] == note["weights_sha256"]
    assert embedded.manifest.settings["learned"] is None
    assert "reads spectrograms or patches" in refused(
        "corpus", "embed", "e", "encoder", "--out", "f"
    )


def test_an_encoder_of_other_frequencies_is_refused(tmp_path: Path) -> None:
    config = settings_file(tmp_path, [SYNTHETIC.format(2, 4)])
    rtbrain("corpus", "build", "--config", config, "--out", "c")
    encoder = random_encoder(BRAINBERT_SIZES["compact"], seed=0)
    save_encoder(encoder, tmp_path / "encoder")
    line = refused("corpus", "embed", "c", "encoder", "--out", "e")
    assert "the encoder does not take items of [29, 20]" in line


def test_no_population_is_validated_on_subjects_its_encoder_was_trained_on(tmp_path: Path) -> None:
    mine = settings_of(tmp_path / "mine.yaml", "popt")
    built = corpus_of(tmp_path / "c", "spectrogram", RECIPE)
    sizes = BrainBERTSizes(**ENCODER)
    save_encoder(random_encoder(sizes, seed=0), tmp_path / "encoder")
    report = tmp_path / "encoder" / "report.json"
    report.write_text(json.dumps({"corpus": {"learned": ["s1", "s3"]}}))
    assert rtbrain("corpus", "embed", built, "encoder", "--out", "e").returncode == 0
    assert open_corpus(tmp_path / "e").manifest.settings["learned"] == ["s1", "s3"]
    train = ("pretrain", "--config", mine, "--corpus", "e", "--out", "popt")
    assert "held_out s3: the encoder that made e was trained on them" in refused(*train)
    assert not (tmp_path / "popt").exists()
    done = rtbrain(*train, "--held-out", "s2")
    assert done.returncode == 0, done.stderr
    assert "not known" not in done.stderr
    corpus = json.loads((tmp_path / "popt" / "report.json").read_text())["corpus"]
    assert (corpus["encoder_learned"], corpus["learned"]) == (["s1", "s3"], ["s1", "s3"])
    report.write_text('{"corpus": {"learned": 3}}')
    assert "does not say" in refused("corpus", "embed", built, "encoder", "--out", "f")
