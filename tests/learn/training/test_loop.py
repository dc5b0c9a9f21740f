"""The loop: accumulation, resuming to the bit, what is written, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rtbrain.config.training import TrainingSettings
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.objectives.objective import Batch
from rtbrain.learn.training.loop import Ranks, TrainingProgress, train, validate
from rtbrain.learn.training.optimiser import learning_rate
from rtbrain.learn.training.records import read_log
from tests.learn.training.tiny import Bottleneck, Rows, settings_of

ALONE = Ranks(0, 1, torch.device("cpu"))
HELD_OUT = Rows(20, seed=9)


def trained(
    folder: Path,
    settings: TrainingSettings,
    stop_at: int | None = None,
    objective: Bottleneck | None = None,
) -> TrainingProgress:
    folder.mkdir(exist_ok=True)
    done: list[int] = []
    return train(
        objective or Bottleneck(),
        Rows(),
        HELD_OUT,
        settings,
        folder=folder,
        identity={"lr": settings.optimiser.lr, "corpus": "abc"},
        ranks=ALONE,
        stop=lambda: stop_at is not None and len(done) + 1 >= stop_at,
        on_step=lambda record: done.append(record.step),
    )


@pytest.mark.parametrize("optimiser", ["lamb", "adamw"])
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_a_stopped_training_resumes_to_the_bit(
    tmp_path: Path, optimiser: str, stop_at: int
) -> None:
    settings = settings_of(optimiser={"name": optimiser, "lr": 0.01})
    whole, cut = Bottleneck(), Bottleneck(seed=5)
    trained(tmp_path / "whole", settings, objective=whole)
    assert trained(tmp_path / "cut", settings, stop_at=stop_at).step == stop_at
    torch.manual_seed(1234)  # what the process drew before must not matter
    assert trained(tmp_path / "cut", settings, objective=cut).step == settings.steps
    assert read_log(tmp_path / "cut") == read_log(tmp_path / "whole")
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, cut.state_dict()[name]), name


def test_steps_behind_the_last_checkpoint_are_done_again_the_same(tmp_path: Path) -> None:
    settings = settings_of()
    trained(tmp_path, settings)
    log = tmp_path / "log.jsonl"
    whole = log.read_text()
    last = tmp_path / "checkpoints" / "step-000000012"
    last.rename(tmp_path / "gone")  # as after a kill: the checkpoint of step 8 is the last
    log.write_text(whole[:-40])  # and a line cut off
    trained(tmp_path, settings, objective=Bottleneck(seed=7))
    assert log.read_text() == whole


def test_a_step_is_the_mean_over_its_micro_batches(tmp_path: Path) -> None:
    first = {}
    for micro_batch in (8, 2):
        objective = Bottleneck()
        objective.encoder[2].p = 0.0

        class Whole(Rows):
            def draw(self, items: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
                return super().draw(items, np.random.default_rng(0)) | {
                    "input": torch.from_numpy(self._rows[items])
                }

        settings = settings_of(micro_batch=micro_batch, steps=6)
        folder = tmp_path / str(micro_batch)
        folder.mkdir()
        train(objective, Whole(), None, settings, folder=folder, identity={}, ranks=ALONE)
        first[micro_batch] = [row["loss"] for row in read_log(folder)]
    assert first[8] == pytest.approx(first[2], abs=1e-6)


def test_a_training_learns_and_its_log_has_every_step(tmp_path: Path) -> None:
    settings = settings_of(
        steps=90, optimiser={"lr": 0.03}, validate_every=30, checkpoint_every=40, micro_batch=4
    )
    trained(tmp_path, settings)
    rows = read_log(tmp_path)
    steps = [row for row in rows if "loss" in row]
    looks = {row["step"]: row["validation"]["error"] for row in rows if "validation" in row}
    assert [row["step"] for row in steps] == list(range(1, 91))
    assert list(looks) == [0, 30, 60, 90]
    assert looks[90] < 0.9 * looks[0]
    assert set(steps[0]) == {"step", "loss", "measures", "lr", "grad_norm"}
    assert steps[4]["lr"] == learning_rate(settings, 4)
    assert set(steps[0]["measures"]) == {"squared"}
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-000000080", "step-000000090"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_checkpoint_of_other_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    trained(tmp_path, settings_of(), stop_at=2)
    with pytest.raises(CheckpointError, match=r"trained with lr 0\.01, now it is 0\.5") as caught:
        trained(tmp_path, settings_of(optimiser={"lr": 0.5}))
    assert "\n" not in str(caught.value)


def test_a_broken_checkpoint_is_named_and_says_what_to_do(tmp_path: Path) -> None:
    trained(tmp_path, settings_of(), stop_at=6)
    newest = tmp_path / "checkpoints" / "step-000000006"
    weights = newest / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"step-000000006.*delete it to resume"):
        trained(tmp_path, settings_of())
    (newest / "checkpoint.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not of format"):
        trained(tmp_path, settings_of())


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("step", [None, "six", 5, [6]]),
        ("time_s", [None, "long", float("nan"), {}]),
        ("sha256", [None, "ab", {}, [1]]),
        ("identity", [None, 3, "ab", []]),
    ],
)
def test_a_note_that_was_altered_is_refused_in_one_line(
    tmp_path: Path, key: str, values: list[object]
) -> None:
    trained(tmp_path, settings_of(), stop_at=6)
    path = tmp_path / "checkpoints" / "step-000000006" / "checkpoint.json"
    note = json.loads(path.read_text())
    alone = {other: value for other, value in note.items() if other != key}
    for altered in (alone, *(note | {key: value} for value in values)):
        path.write_text(json.dumps(altered))
        with pytest.raises(CheckpointError, match=f"altered in {key}") as caught:
            trained(tmp_path, settings_of())
        assert "\n" not in str(caught.value)


def test_a_half_written_checkpoint_of_a_killed_process_does_not_count(tmp_path: Path) -> None:
    part = tmp_path / "checkpoints" / ".step-000000001-0f0f0f0f.part"
    part.mkdir(parents=True)
    (part / "weights.safetensors").write_bytes(b"half")
    trained(tmp_path, settings_of(), stop_at=1)
    assert not part.exists()
    note = json.loads((tmp_path / "checkpoints" / "step-000000001" / "checkpoint.json").read_text())
    assert note["step"] == 1


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    objective = Bottleneck()
    with torch.no_grad():
        objective.head.bias[0] = float("nan")
    with pytest.raises(SettingsError, match="the loss of step 1 is nan"):
        trained(tmp_path, settings_of(), objective=objective)


def test_a_gradient_that_is_not_finite_leaves_no_checkpoint(tmp_path: Path) -> None:
    class Cliff(Bottleneck):
        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            loss, measures = super().forward(batch)
            # A root at 0 is a number, its slope is none.
            return loss + 0 * (0 * self.head.weight).sum().sqrt(), measures

    with pytest.raises(SettingsError, match="the gradient of step 1 is nan"):
        trained(tmp_path, settings_of(steps=1), objective=Cliff())
    assert not (tmp_path / "checkpoints").exists()


def test_validation_is_the_same_whatever_was_drawn_before() -> None:
    objective = Bottleneck()
    first = validate(objective, HELD_OUT, settings_of(), ALONE.device)
    torch.rand(10)
    assert validate(objective, HELD_OUT, settings_of(), ALONE.device) == first
    assert objective.training


def test_products_in_bfloat16_leave_weights_in_float32(tmp_path: Path) -> None:
    objective = Bottleneck()
    trained(tmp_path, settings_of(precision="bfloat16", steps=2), objective=objective)
    assert {weight.dtype for weight in objective.parameters()} == {torch.float32}
    exact, rough = tmp_path / "exact", tmp_path
    trained(exact, settings_of(steps=2))
    assert read_log(rough)[1]["loss"] != read_log(exact)[1]["loss"]
    assert read_log(rough)[1]["loss"] == pytest.approx(read_log(exact)[1]["loss"], rel=0.02)
