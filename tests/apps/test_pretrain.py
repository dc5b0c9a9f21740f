"""`rtbrain pretrain`: what it leaves, what it costs, what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rtbrain.config import PretrainSettings, load_settings
from rtbrain.encoder import load_encoder
from rtbrain.files import write_atomically
from rtbrain.learn.corpus.corpus import open_corpus
from rtbrain.learn.training import cost, records
from rtbrain.learn.training.batches import draw_ahead
from rtbrain.learn.training.pretrain import pretraining_examples, pretraining_objective
from rtbrain.learn.training.records import read_log
from tests.apps.pretraining import FORMS, OBJECTIVES, POPULATION, corpus_of, settings_of
from tests.apps.program import refused, rtbrain


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("corpora")
    return {form: corpus_of(folder / form, form) for form in sorted(set(FORMS.values()))}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_every_objective_leaves_an_encoder_a_report_and_a_curve(
    tmp_path: Path, corpora: dict[str, Path], name: str
) -> None:
    mine, out = settings_of(tmp_path / "mine.yaml", name), tmp_path / "out"
    done = rtbrain("pretrain", "--config", mine, "--corpus", corpora[FORMS[name]], "--out", out)
    assert done.returncode == 0, done.stderr
    assert "held out: s3" in done.stderr
    assert ("whether the corpus's encoder was trained on them" in done.stderr) == (name == "popt")
    assert not load_encoder(out).training
    assert (out / "curve.png").stat().st_size > 1000
    report = json.loads((out / "report.json").read_text())
    assert report["steps"] == 6
    assert report["settings"]["objective"][name]["sizes"] == OBJECTIVES[name]["sizes"]
    assert report["corpus"]["learned"] == ["s1", "s2"]
    assert report["corpus"]["held_out"] == ["s3"]
    assert len(report["corpus"]["manifest_sha256"]) == 64
    manifest = open_corpus(corpora[FORMS[name]]).manifest
    assert report["corpus"]["recipe"] == manifest.recipe
    assert report["corpus"]["encoder_sha256"] == manifest.settings.get("encoder_sha256")
    assert report["validation"]["last"].keys() == report["validation"]["first"].keys()
    by_subject = report["validation"]["by_subject"]
    assert list(by_subject) == report["corpus"]["held_out"]
    assert by_subject.popitem()[1] == report["validation"]["last"]  # one alone is held out
    assert {"torch", "python", "rtbrain", "numpy"} <= report["versions"].keys()
    for figure in report["validation"]["last"]:
        assert figure in done.stdout
    again = rtbrain(
        *("pretrain", "--config", mine, "--corpus", corpora[FORMS[name]], "--out", out, "--resume")
    )
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_every_weight_that_requires_a_gradient_gets_one(
    tmp_path: Path, corpora: dict[str, Path], name: str
) -> None:
    """Processes that share a batch wait for the gradient of each."""
    settings = load_settings(str(settings_of(tmp_path / "mine.yaml", name)), PretrainSettings)
    corpus = open_corpus(corpora[FORMS[name]])
    objective = pretraining_objective(settings)
    examples = pretraining_examples(settings, corpus.sessions, corpus.hop_s)
    drawn = next(draw_ahead(examples, settings, range(1), 0, torch.device("cpu")))
    objective(drawn.batch)[0].backward()
    without = [
        name
        for name, weight in objective.named_parameters()
        if weight.requires_grad and weight.grad is None
    ]
    assert without == []


def test_weights_follow_from_the_seed_and_the_global_generator_is_left_alone(
    tmp_path: Path,
) -> None:
    def weights(seed: int, **more: object) -> dict[str, torch.Tensor]:
        mine = settings_of(tmp_path / "mine.yaml", seed=seed, **more)
        return pretraining_objective(load_settings(str(mine), PretrainSettings)).state_dict()

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, same, other = weights(1), weights(1), weights(2)
    assert torch.equal(torch.rand(1), expected)
    key = "encoder.input_encoding.in_proj.weight"
    assert torch.equal(one[key], same[key])
    assert not torch.equal(one[key], other[key])
    slip = weights(1, upstream_layer_norm_bias=True)
    norms = [name for name in one if "norm" in name and name.endswith("bias")]
    assert len(norms) == 4
    assert all((one[name] == 0).all() and (slip[name] == 1).all() for name in norms)
    assert all(torch.equal(one[name], slip[name]) for name in one if name not in norms)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_dropout_of_none_makes_training_as_sure_as_use(
    tmp_path: Path, corpora: dict[str, Path], name: str
) -> None:
    corpus, losses = open_corpus(corpora[FORMS[name]]), {}
    for share in (None, 0.0, 0.5):
        mine = settings_of(tmp_path / "mine.yaml", name, dropout=share)
        settings = load_settings(str(mine), PretrainSettings)
        objective = pretraining_objective(settings)
        examples = pretraining_examples(settings, corpus.sessions, corpus.hop_s)
        drawn = next(draw_ahead(examples, settings, range(1), 0, torch.device("cpu")))
        used = objective.eval()(drawn.batch)[0].item()
        torch.manual_seed(0)
        losses[share] = objective.train()(drawn.batch)[0].item()
        assert (losses[share] == pytest.approx(used, rel=1e-5)) == (share == 0.0)
    assert losses[None] != losses[0.5]


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_dry_run_prices_without_a_corpus_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(cost, "_MEASURE_S", 0.02)
    mine = settings_of(tmp_path / "mine.yaml", name)
    done = rtbrain("pretrain", "--config", mine, "--dry-run", "--steps", 1000)
    assert done.returncode == 0, done.stderr
    for word in ("weights", "forward", "training", "memory", "this machine", "NVIDIA H100"):
        assert word in done.stdout
    assert "1000 steps x 8 items" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_population_is_priced_at_its_widest_whatever_the_seed_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_MEASURE_S", 0.02)
    objective = {"popt": {"sizes": POPULATION, "subset_sizes": [2, 20, 40]}}
    lines = set()
    for seed in range(4):
        mine = settings_of(tmp_path / "mine.yaml", "popt", objective=objective, seed=seed)
        done = rtbrain("pretrain", "--config", mine, "--dry-run")
        lines.add(next(line for line in done.stdout.splitlines() if line.startswith("training")))
    assert len(lines) == 1


def test_a_dry_run_looks_at_the_corpus_that_is_given(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    mine = settings_of(tmp_path / "mine.yaml", "popt")
    arguments = ("pretrain", "--config", mine, "--corpus", corpora["patches"], "--dry-run")
    assert "form embedding, this is of form patches" in refused(*arguments)


def refusal(tmp_path: Path, corpus: Path, *flags: object, **changed: object) -> str:
    name = str(changed.pop("name", "brainbert"))
    mine = settings_of(tmp_path / "mine.yaml", name, **changed)
    out = ("--out", tmp_path / "out")
    message = refused("pretrain", "--config", mine, "--corpus", corpus, *out, *flags)
    assert not (tmp_path / "out").exists()
    return message


def test_a_corpus_that_the_objective_cannot_learn_from_is_refused(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    message = refusal(tmp_path, corpora["spectrogram"], name="popt")
    assert "form embedding, this is of form spectrogram" in message
    assert "rtbrain corpus embed" in message
    wide = {"brainbert": {"sizes": "compact"}}
    message = refusal(tmp_path, corpora["spectrogram"], objective=wide)
    assert "items have 8 features, objective.brainbert is for 40" in message
    assert "huge" in refusal(
        tmp_path, corpora["spectrogram"], objective={"brainbert": {"sizes": "huge"}}
    )


def test_held_out_subjects_must_be_there_and_leave_some(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    corpus = corpora["spectrogram"]
    message = refusal(tmp_path, corpus, "--held-out", "s2,s9")
    assert "no subject s9: there are s1, s2, s3" in message
    assert "none is left to train on" in refusal(tmp_path, corpus, held_out=3)
    assert "none is left" in refusal(tmp_path, corpus, "--held-out", "s3,s1,s2")


def test_z_scores_to_begin_with_are_those_of_the_subjects_that_are_learned_from(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    popt = OBJECTIVES["popt"] | {"standardise": True}
    still: dict[str, object] = {"steps": 1, "optimiser": {"lr": 1e-12}, "held_out": ["s1"]}
    mine = settings_of(tmp_path / "mine.yaml", "popt", objective={"popt": popt}, **still)
    out = tmp_path / "out"
    done = rtbrain("pretrain", "--config", mine, "--corpus", corpora["embedding"], "--out", out)
    assert done.returncode == 0, done.stderr
    plain = pretraining_objective(load_settings(str(mine), PretrainSettings)).encoder.state_dict()
    learned = open_corpus(corpora["embedding"]).of(["s2", "s3"])
    rows = np.concatenate([session.shards[0].reshape(-1, 8) for session in learned])
    name = "input_encoding.in_proj.weight"
    expected = plain[name] / torch.from_numpy(rows.std(axis=0))
    torch.testing.assert_close(load_encoder(out).state_dict()[name], expected, rtol=1e-4, atol=1e-5)


def test_contacts_without_a_position_are_left_out_of_a_population_and_counted(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    folder, mine = tmp_path / "c", settings_of(tmp_path / "mine.yaml", "popt")
    shutil.copytree(corpora["embedding"], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for number, channel in ((0, 1), (0, 4), (2, 5)):
        manifest["sessions"][number]["positions"][channel] = None
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = rtbrain("pretrain", "--config", mine, "--corpus", folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "contacts without a position, left out: 3" in done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["corpus"]["contacts_without_position"] == 3


def test_without_held_out_subjects_nothing_is_validated(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    mine, out = settings_of(tmp_path / "mine.yaml", held_out=0, steps=2), tmp_path / "out"
    done = rtbrain("pretrain", "--config", mine, "--corpus", corpora["spectrogram"], "--out", out)
    assert "no subject is held out" in done.stderr
    assert json.loads((out / "report.json").read_text())["validation"] is None


def test_what_was_trained_before_is_not_overwritten(
    tmp_path: Path, corpora: dict[str, Path]
) -> None:
    mine, out = settings_of(tmp_path / "mine.yaml"), tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    arguments = ("pretrain", "--config", mine, "--corpus", corpora["spectrogram"], "--out", out)
    assert "has content" in refused(*arguments)
    assert rtbrain(*arguments, "--resume", "--steps", 5).returncode == 0
    message = refused(*arguments, "--resume")
    assert "was trained with steps 5, now it is 6" in message
    undropped = settings_of(tmp_path / "mine.yaml", steps=5, dropout=0.0)
    message = refused(*arguments[:2], undropped, *arguments[3:], "--resume")
    assert "was trained with dropout null, now it is 0.0" in message
    other = settings_of(tmp_path / "mine.yaml", steps=5, optimiser={"lr": 0.5})
    message = refused(*arguments[:2], other, *arguments[3:], "--resume")
    assert "was trained with optimiser.lr 0.01, now it is 0.5" in message


def test_a_full_disk_ends_a_training_that_resume_continues(
    tmp_path: Path, corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--config", settings_of(tmp_path / "mine.yaml"), "--corpus", corpora["spectrogram"])

    def full(path: Path, data: bytes) -> None:
        if fails.pop(0):
            raise OSError(28, "No space left on device")
        write_atomically(path, data)

    # Of the three files of each checkpoint, the second of the second one.
    fails = [False] * 3 + [False, True]
    with monkeypatch.context() as patched:
        patched.setattr(records, "write_atomically", full)
        message = refused("pretrain", *given, "--out", tmp_path / "cut")
    assert "No space left on device: make room, and continue with --resume" in message
    assert rtbrain("pretrain", *given, "--out", tmp_path / "cut", "--resume").returncode == 0
    assert rtbrain("pretrain", *given, "--out", tmp_path / "whole").returncode == 0
    assert read_log(tmp_path / "cut") == read_log(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"objective": {"brainbert": {}, "popt": {}}}, "exactly one of brainbert, popt"),
        ({"objective": {"popt": {"subset_szes": [3]}}}, "did you mean subset_sizes?"),
        ({"dropout": 1.0}, "dropout"),
        ({"batch": 9}, "no multiple of micro_batch"),
        ({"optimiser": {"name": "sgd", "lr": 1}}, "optimiser.name"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_key(
    tmp_path: Path, changed: dict[str, object], part: str
) -> None:
    mine = settings_of(tmp_path / "mine.yaml", **changed)
    assert part in refused("pretrain", "--config", mine, "--corpus", tmp_path, "--out", "x")
    assert "pretrain" in rtbrain("config", "schema", "pretrain").stdout.lower()


def test_the_ready_made_settings_are_valid_and_explain_every_line() -> None:
    from rtbrain.config import find_settings, read_settings, settings_kind

    folder = find_settings("fit").parent
    names = sorted(path.stem for path in folder.glob("pretrain-*.yaml"))
    assert {"pretrain-brainbert-large", "pretrain-popt-published"} <= set(names)
    for name in names:
        assert settings_kind(read_settings(name)[0]) == "pretrain"
        settings = load_settings(name, PretrainSettings)
        pretraining_objective(
            settings.model_copy(update={"seed": 1})
        ) if "compact" in name else None
        for line in find_settings(name).read_text().splitlines():
            assert "#" in line or line.endswith(":") or not line.strip() or "optimiser" in line
