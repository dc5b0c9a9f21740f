"""Guided distillation: each loss against numpy, what ablations leave out, held-out figures."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rtbrain.config.training import GuidanceSettings, MatchSettings, NextPatchSettings
from rtbrain.encoder import BrainBERT, BrainBERTSizes, StreamingBERT, StreamingBERTSizes
from rtbrain.learn.objectives.distillation import (
    Distillation,
    Teacher,
    WholeSpectrograms,
    layer_pairs,
)
from rtbrain.learn.objectives.distillation_scores import debiased_cka, gram
from tests.learn.objectives.sessions import numbered, session_of, spectrograms

N_FREQS, PATCH, N_FRAMES = 8, 3, 32  # two frames are before the first patch
N_PATCHES = N_FRAMES // PATCH


def distillation(
    *,
    taught: bool = True,
    delay_patches: int = 0,
    guidance: dict[str, object] | None = None,
    match: dict[str, object] | None = None,
    next_patch: dict[str, object] | None = None,
) -> Distillation:
    """An objective with these losses, those that are not named left out."""
    off = {"weight": 0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = Teacher(BrainBERT(BrainBERTSizes(6, 12, 2, 2, N_FREQS)))
        student = StreamingBERT(StreamingBERTSizes(6, 12, 2, 3, PATCH, 20, N_FREQS))
        return Distillation(
            student,
            teacher if taught else None,
            guidance=GuidanceSettings.model_validate(guidance or off),
            match=MatchSettings.model_validate(match or off),
            next_patch=NextPatchSettings.model_validate(next_patch or off),
            delay_patches=delay_patches,
            first_patch=2,
        )


def batch_of(n_items: int = 8, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"spectrogram": torch.randn(n_items, N_FRAMES, N_FREQS, generator=generator)}


@pytest.fixture
def items() -> dict[str, Tensor]:
    made = spectrograms(5, 8, N_FRAMES, N_FREQS).reshape(-1, N_FRAMES, N_FREQS)
    return {"spectrogram": torch.from_numpy(made)}


def patch_means(hidden: Tensor) -> Tensor:
    whole = hidden[:, N_FRAMES % PATCH :]
    return torch.stack(
        [whole[:, PATCH * n : PATCH * (n + 1)].mean(dim=1) for n in range(N_PATCHES)], dim=1
    )


@pytest.mark.parametrize(
    ("n_teacher", "n_student", "expected"),
    [
        (2, 4, [(0, 0), (1, 3)]),
        (6, 4, [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]),
        (3, 1, [(0, 0), (1, 0), (2, 0)]),
        (1, 4, [(0, 3)]),
    ],
)
def test_layers_are_paired_evenly(
    n_teacher: int, n_student: int, expected: list[tuple[int, int]]
) -> None:
    assert layer_pairs(n_teacher, n_student) == expected


def test_the_teacher_gives_each_layer_as_means_over_the_patches_that_end_with_the_window() -> None:
    encoder = BrainBERT(BrainBERTSizes(6, 12, 2, 2, N_FREQS))
    spectrogram = batch_of()["spectrogram"]
    layers = Teacher(encoder).layers_of(spectrogram, PATCH)
    assert [tuple(layer.shape) for layer in layers] == 2 * [(8, N_PATCHES, 6)]
    torch.testing.assert_close(layers[-1], patch_means(encoder(spectrogram)))
    assert not any(layer.requires_grad for layer in layers)
    assert not any(weight.requires_grad for weight in encoder.parameters())
    rough = Teacher(encoder, bfloat16=True).layers_of(spectrogram, PATCH)[-1]
    assert rough.dtype == torch.float32
    assert 0 < (rough - layers[-1]).abs().max() < 0.1


@pytest.mark.parametrize("tokenwise", [False, True])
def test_guidance_is_the_sum_of_dissimilarities_over_paired_layers(tokenwise: bool) -> None:
    objective = distillation(guidance={"weight": 2.0, "tokenwise": tokenwise})
    batch = batch_of(16)
    ours = objective.encoder.layers_of(batch["spectrogram"])
    theirs = objective.teacher.layers_of(batch["spectrogram"], PATCH)
    expected = 0.0
    for g, t in ((0, 0), (1, 2)):
        if tokenwise:
            by_token = [
                debiased_cka(gram(theirs[g][:, n]), gram(ours[t][:, n])) for n in range(N_PATCHES)
            ]
            expected += float(1 - torch.stack(by_token).mean().detach())
        else:
            pair = (gram(theirs[g].reshape(16, -1)), gram(ours[t].reshape(16, -1)))
            expected += float(1 - debiased_cka(*pair).detach())
    loss, measures = objective(batch)
    assert float(measures["guidance"]) == pytest.approx(expected, abs=1e-4)
    assert float(loss.detach()) == pytest.approx(2 * expected, abs=2e-4)
    assert list(measures) == ["guidance"]


@pytest.mark.parametrize("delay", [0, 2, 5])
@pytest.mark.parametrize("loss", ["mse", "cosine"])
@pytest.mark.parametrize("projection", [False, True])
def test_a_token_is_compared_with_the_teacher_some_tokens_ago(
    delay: int, loss: str, projection: bool
) -> None:
    match = {"loss": loss, "projection": projection, "edge_share": 0.25}
    objective, batch = distillation(match=match, delay_patches=delay), batch_of()
    objective.fit_targets([batch["spectrogram"]])
    theirs = objective.teacher.layers_of(batch["spectrogram"], PATCH)[-1].double().numpy()
    flat = theirs.reshape(-1, 6)
    theirs = (theirs - flat.mean(axis=0)) / flat.std(axis=0, ddof=1)
    hidden = objective.encoder(batch["spectrogram"])
    made = objective.projection(hidden).detach().double().numpy()
    costs = np.full((8, N_PATCHES), np.nan)
    for token in range(max(2, delay), N_PATCHES):
        a, b = made[:, token], theirs[:, token - delay]
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        errors = {"cosine": 1 - (a * b).sum(axis=1) / norms, "mse": ((a - b) ** 2).mean(axis=1)}
        costs[:, token] = errors[loss]
    expected = 0.75 * np.nanmean(costs) + 0.25 * costs[:, -1].mean()
    assert float(objective(batch)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_next_patch_is_predicted_and_its_content_weighs_more() -> None:
    objective, batch = (
        distillation(next_patch={"weight": 1.0, "alpha": 3.0, "gamma": 0.5}),
        batch_of(),
    )
    patches = batch["spectrogram"][:, 2:].reshape(8, N_PATCHES, PATCH, N_FREQS)
    predicted = objective.encoder.predict(objective.encoder(batch["spectrogram"]))
    error = (predicted[:, 2:-1] - patches[:, 3:]).abs().detach()
    expected = error.mean() + 3 * error[patches[:, 3:].abs() > 0.5].mean()
    assert float(objective(batch)[0].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_guidance_ends_after_its_steps_and_an_unused_teacher_rests() -> None:
    objective = distillation(guidance={"first_steps": 3}, next_patch={"weight": 1.0})
    batch = batch_of()
    measured = {}
    for step in range(5):
        objective.begin_step(step)
        measured[step] = list(objective(batch)[1])
    assert measured == {n: ["guidance"] * (n < 3) + ["next_patch"] for n in range(5)}

    def refuse(*_: object) -> list[Tensor]:
        raise AssertionError("the teacher was read")

    objective.teacher.layers_of = refuse
    objective(batch)


@pytest.mark.parametrize(
    "losses",
    [
        {"guidance": {"weight": 1.0}},
        {"match": {"weight": 1.0}},
        {"match": {"projection": False}},
        {"next_patch": {"weight": 1.0}},
        {"guidance": {"weight": 1.0}, "match": {"weight": 1.0}, "next_patch": {"weight": 0.5}},
    ],
    ids=lambda losses: "+".join(losses),
)
def test_every_weight_that_requires_a_gradient_gets_one(
    losses: dict[str, dict[str, object]],
) -> None:
    """Processes that share a batch wait for the gradient of each."""
    objective = distillation(**losses, delay_patches=1)
    objective(batch_of())[0].backward()
    missing = [
        name for name, w in objective.named_parameters() if w.requires_grad and w.grad is None
    ]
    assert missing == []


def test_the_teacher_has_no_part_in_weights_or_checkpoints() -> None:
    names = set(distillation(match={"weight": 1.0}).state_dict())
    ours = {name for name in names if not name.startswith("encoder.")}
    assert ours == {"target_mean", "target_deviation", "projection.weight", "projection.bias"}


def x(items: dict[str, Tensor]) -> None:
    torch.set_num_threads(1)
    objective = distillation(guidance={"weight": 0.5}, match={"edge_share": 0.5})
    objective.fit_targets([items["spectrogram"]])
    before = objective.score([items])
    optimiser = torch.optim.AdamW(objective.parameters(), lr=0.01)
    for _ in range(120):
        objective(items)[0].backward()
        optimiser.step()
        optimiser.zero_grad()
    after = objective.score([items])
    assert before["matched_edge_r2"] < 0.1
    assert after["matched_edge_r2"] > 0.5
    assert after["matched_r2"] > 0.4
    assert after["cka_student_3_teacher_2"] > before["cka_student_3_teacher_2"]


@torch.no_grad()
def test_held_out_figures_are_of_all_batches_together() -> None:
    objective = distillation(
        match={"projection": False}, next_patch={"weight": 1.0}, delay_patches=2
    )
    whole = batch_of(24)
    objective.fit_targets([whole["spectrogram"]])
    parts = [{"spectrogram": part} for part in whole["spectrogram"].split(8)]
    held = objective.scores(parts)
    made = objective.encoder(whole["spectrogram"])[:, 2:].double().numpy()
    theirs = objective.teacher.layers_of(whole["spectrogram"], PATCH)[-1]
    theirs = (
        ((theirs - objective.target_mean) / objective.target_deviation)[:, :-2].double().numpy()
    )
    spread = ((theirs - theirs.mean(axis=0)) ** 2).sum(axis=(0, 2))
    expected = 1 - ((theirs - made) ** 2).sum(axis=(0, 2)) / spread
    np.testing.assert_allclose(held.matched, expected, rtol=1e-4)
    flat = theirs.reshape(-1, 6)
    error = ((theirs - made) ** 2).sum()
    share = 1 - error / ((flat - flat.mean(axis=0)) ** 2).sum()
    assert held.matched_all == pytest.approx(share, rel=1e-4)
    assert held.cka.shape == (3, 2)
    last = whole["spectrogram"][:, 2:].reshape(24, N_PATCHES, PATCH, N_FREQS)
    again = (last[:, 3:] - last[:, 2:-1]).abs().mean()
    assert held.next_patch["next_patch_l1_of_last"] == pytest.approx(float(again), rel=1e-5)
    figures = held.figures()
    assert figures["matched_edge_r2"] == held.matched[-1]
    assert {f"cka_student_{s}_teacher_{g}" for s in (1, 2, 3) for g in (1, 2)} <= set(figures)


@torch.no_grad()
def test_a_batch_too_small_to_compare_is_left_out_and_no_teacher_leaves_the_next_patch() -> None:
    assert distillation(match={"weight": 1.0}).scores([batch_of(3)]).cka.size == 0
    alone = distillation(taught=False, guidance={"weight": 1.0}, next_patch={"weight": 1.0})
    assert set(alone.score([batch_of()])) == {
        "next_patch_l1",
        "next_patch_l1_of_zero",
        "next_patch_l1_of_last",
    }
    assert list(alone(batch_of())[1]) == ["next_patch"]


def test_items_are_whole_windows_of_good_channels() -> None:
    sessions = [session_of(numbered(4, 3, (6, 2)), bad=((1, 2),))]
    examples = WholeSpectrograms(sessions)
    assert len(examples) == 11
    rng = np.random.default_rng(0)
    drawn = examples.draw(np.array([0, 5, 10]), rng)["spectrogram"]
    assert drawn[:, 0, 0].tolist() == [0, 200, 302]
