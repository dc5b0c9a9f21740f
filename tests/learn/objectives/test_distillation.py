"""Guided distillation: each loss against numpy, what ablations leave out, held-out figures."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rtbrain.encoder import BrainBERT, BrainBERTSizes, StreamingBERT, StreamingBERTSizes
from rtbrain.learn.objectives.cka import debiased_cka, gram
from rtbrain.learn.objectives.distillation import (
    Distillation,
    Guidance,
    Match,
    NextPatch,
    WholeSpectrograms,
)
from rtbrain.learn.objectives.teacher import Teacher, layer_pairs
from tests.learn.objectives.sessions import numbered, session_of, spectrograms

N_FREQS, PATCH, N_FRAMES = 8, 3, 32  # two frames are before the first patch
N_PATCHES = N_FRAMES // PATCH
OFF = {"guidance": Guidance(0), "match": Match(0), "following": NextPatch(0)}


def distillation(
    *, guided: bool = True, n_layers: int = 3, first_patch: int = 2, **losses: object
) -> Distillation:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        guide = Teacher(BrainBERT(BrainBERTSizes(6, 12, 2, 2, N_FREQS)))
        student = StreamingBERT(StreamingBERTSizes(6, 12, 2, n_layers, PATCH, 20, N_FREQS))
        return Distillation(
            student,
            guide if guided else None,
            **(OFF | losses),  # type: ignore[arg-type]
            first_patch=first_patch,
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
    ("n_teacher", "n_target", "expected"),
    [
        (2, 4, [(0, 0), (1, 3)]),
        (6, 4, [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]),
        (3, 1, [(0, 0), (1, 0), (2, 0)]),
        (1, 4, [(0, 3)]),
    ],
)
def test_layers_are_mapped_evenly(
    n_teacher: int, n_target: int, expected: list[tuple[int, int]]
) -> None:
    assert layer_pairs(n_teacher, n_target) == expected


def test_the_guide_gives_each_layer_as_means_over_the_patches_that_end_with_the_window() -> None:
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
def test_guidance_is_the_sum_over_mapped_layers_of_what_is_not_alike(tokenwise: bool) -> None:
    objective = distillation(guidance=Guidance(2.0, tokenwise=tokenwise))
    batch = batch_of(16)
    ours = objective.encoder.layers_of(batch["spectrogram"])
    theirs = objective.guide.layers_of(batch["spectrogram"], PATCH)
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
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_token_is_held_against_what_the_guide_said_some_tokens_ago(
    delay: int, cosine: bool, mapped: bool
) -> None:
    match = Match(1.0, delay, cosine=cosine, mapped=mapped, edge_share=0.25)
    objective, batch = distillation(match=match), batch_of()
    objective.fit_targets([batch["spectrogram"]])
    said = objective.guide.layers_of(batch["spectrogram"], PATCH)[-1].double().numpy()
    flat = said.reshape(-1, 6)
    said = (said - flat.mean(axis=0)) / flat.std(axis=0, ddof=1)
    hidden = objective.encoder(batch["spectrogram"])
    made = objective.map(hidden).detach().double().numpy()
    costs = np.full((8, N_PATCHES), np.nan)
    for token in range(max(2, delay), N_PATCHES):
        a, b = made[:, token], said[:, token - delay]
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        costs[:, token] = 1 - (a * b).sum(axis=1) / norms if cosine else ((a - b) ** 2).mean(axis=1)
    expected = 0.75 * np.nanmean(costs) + 0.25 * costs[:, -1].mean()
    assert float(objective(batch)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_the_patch_that_follows_is_predicted_and_what_stands_out_weighs_more() -> None:
    objective, batch = distillation(following=NextPatch(1.0, alpha=3.0, gamma=0.5)), batch_of()
    patches = batch["spectrogram"][:, 2:].reshape(8, N_PATCHES, PATCH, N_FREQS)
    predicted = objective.encoder.predict(objective.encoder(batch["spectrogram"]))
    error = (predicted[:, 2:-1] - patches[:, 3:]).abs().detach()
    expected = error.mean() + 3 * error[patches[:, 3:].abs() > 0.5].mean()
    assert float(objective(batch)[0].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_guidance_ends_after_its_steps_and_the_guide_rests_where_nobody_asks() -> None:
    objective = distillation(guidance=Guidance(1.0, first_steps=3), following=NextPatch(1.0))
    batch = batch_of()
    told = {}
    for step in range(5):
        objective.begin_step(step)
        told[step] = list(objective(batch)[1])
    assert told == {n: ["guidance"] * (n < 3) + ["following"] for n in range(5)}

    def refuse(*_: object) -> list[Tensor]:
        raise AssertionError("the guide was asked")

    objective.guide.layers_of = refuse
    objective(batch)


@pytest.mark.parametrize(
    "losses",
    [
        {"guidance": Guidance(1.0)},
        {"match": Match(1.0)},
        {"match": Match(1.0, mapped=False)},
        {"following": NextPatch(1.0)},
        {"guidance": Guidance(1.0), "match": Match(1.0, 1), "following": NextPatch(0.5)},
    ],
    ids=lambda losses: "+".join(losses),
)
def test_every_weight_that_asks_for_a_gradient_gets_one(losses: dict[str, object]) -> None:
    """Processes that share a batch wait for the gradient of each."""
    objective = distillation(**losses)
    objective(batch_of())[0].backward()
    missing = [
        name for name, w in objective.named_parameters() if w.requires_grad and w.grad is None
    ]
    assert missing == []


def test_the_guide_has_no_part_in_weights_or_checkpoints() -> None:
    names = set(distillation(match=Match(1.0)).state_dict())
    ours = {name for name in names if not name.startswith("encoder.")}
    assert ours == {"target_mean", "target_deviation", "map.weight", "map.bias"}


def test_training_makes_the_student_say_what_the_guide_says(items: dict[str, Tensor]) -> None:
    torch.set_num_threads(1)
    objective = distillation(guidance=Guidance(0.5), match=Match(1.0, edge_share=0.5))
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
    assert after["cka_student_3_guide_2"] > before["cka_student_3_guide_2"]


@torch.no_grad()
def test_held_out_figures_are_of_all_batches_together() -> None:
    objective = distillation(match=Match(1.0, 2, mapped=False), following=NextPatch(1.0))
    whole = batch_of(24)
    objective.fit_targets([whole["spectrogram"]])
    parts = [{"spectrogram": part} for part in whole["spectrogram"].split(8)]
    held = objective.look(parts)
    made = objective.encoder(whole["spectrogram"])[:, 2:].double().numpy()
    said = objective.guide.layers_of(whole["spectrogram"], PATCH)[-1]
    said = ((said - objective.target_mean) / objective.target_deviation)[:, :-2].double().numpy()
    spread = ((said - said.mean(axis=0)) ** 2).sum(axis=(0, 2))
    expected = 1 - ((said - made) ** 2).sum(axis=(0, 2)) / spread
    np.testing.assert_allclose(held.matched, expected, rtol=1e-4)
    flat = said.reshape(-1, 6)
    error = ((said - made) ** 2).sum()
    share = 1 - error / ((flat - flat.mean(axis=0)) ** 2).sum()
    assert held.matched_all == pytest.approx(share, rel=1e-4)
    assert held.cka.shape == (3, 2)
    last = whole["spectrogram"][:, 2:].reshape(24, N_PATCHES, PATCH, N_FREQS)
    again = (last[:, 3:] - last[:, 2:-1]).abs().mean()
    assert held.following["following_l1_of_last"] == pytest.approx(float(again), rel=1e-5)
    figures = held.figures()
    assert figures["matched_edge_r2"] == held.matched[-1]
    assert {f"cka_student_{s}_guide_{g}" for s in (1, 2, 3) for g in (1, 2)} <= set(figures)


@torch.no_grad()
def test_a_batch_too_small_to_compare_is_left_out_and_no_guide_leaves_the_next_patch() -> None:
    assert distillation(match=Match(1.0)).look([batch_of(3)]).cka.size == 0
    alone = distillation(guided=False, guidance=Guidance(1.0), following=NextPatch(1.0))
    assert set(alone.score([batch_of()])) == {
        "following_l1",
        "following_l1_of_zero",
        "following_l1_of_last",
    }
    assert list(alone(batch_of())[1]) == ["following"]


def test_items_are_whole_windows_of_good_channels() -> None:
    sessions = [session_of(numbered(4, 3, (6, 2)), bad=((1, 2),))]
    examples = WholeSpectrograms(sessions)
    assert len(examples) == 11
    rng = np.random.default_rng(0)
    drawn = examples.draw(np.array([0, 5, 10]), rng)["spectrogram"]
    assert drawn[:, 0, 0].tolist() == [0, 200, 302]
