"""Frequency-maintain pretraining: what is hidden from what, any length, and that it is learned."""

import numpy as np
import pytest
import torch

from rtbrain.encoder import BioFAMESizes, random_encoder
from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch
from rtbrain.learn.objectives.patches import FrequencyMaintain, MaskedPatches
from tests.learn.objectives.sessions import session_of
from tests.learn.objectives.test_patches import patches_of

torch.set_num_threads(1)

SIZES = BioFAMESizes(32, 48, 4, 2, input_dim=16)


def made(seed: int = 0) -> FrequencyMaintain:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FrequencyMaintain(random_encoder(SIZES, seed)).eval()


def drawn(n: int = 4, seed: int = 0) -> Batch:
    return MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.5).draw(
        np.arange(n), np.random.default_rng(seed)
    )


def test_half_of_the_latents_are_hidden():
    batch = drawn()
    assert (batch["mask"].sum(1) == 6).all()
    assert batch["patches"].shape == (4, 12, 16)
    examples = MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.25)
    assert len(examples) == 4
    assert (examples.draw(np.arange(4), np.random.default_rng(0))["mask"].sum(1) == 3).all()


def test_latents_are_hidden_behind_the_encoder_not_before():
    """The decoder never sees a hidden latent; the encoder sees every patch."""
    objective, batch = made(), drawn()
    latents = objective.encoder(batch["patches"]).detach()
    first = objective.reconstruct(batch)
    for hidden, differs in ((True, False), (False, True)):
        changed = latents.clone()
        changed[batch["mask"] == hidden] += 5 * torch.randn(changed.shape[-1])
        objective.encoder.forward = lambda _, changed=changed: changed  # type: ignore[method-assign]
        again = objective.reconstruct(batch)
        assert torch.allclose(again, first, atol=1e-5) is not differs
    objective = made()
    other = batch | {"patches": batch["patches"].clone()}
    other["patches"][other["mask"]] += 3
    moved = (objective.encoder(other["patches"]) - latents).abs()[~batch["mask"]]
    assert (moved.amax(-1) > 0).all(), "what is left knows of what is gone"


def test_each_reconstruction_comes_back_at_its_own_place():
    objective, batch = made(), drawn()
    together = objective.reconstruct(batch).reshape(4, 6, 16)
    for item in range(4):
        alone = {name: values[item : item + 1] for name, values in batch.items()}
        assert torch.allclose(objective.reconstruct(alone), together[item], atol=1e-5)
    loss, measures = objective(batch)
    true = batch["patches"][batch["mask"]].reshape(4, 6, 16)
    assert loss.item() == pytest.approx((together - true).square().mean().item(), rel=1e-5)
    assert measures["loss_over_zero"].item() == pytest.approx(
        loss.item() / true.square().mean().item(), rel=1e-5
    )


def test_one_training_takes_windows_of_any_length():
    objective = made()
    for n_patches in (2, 50, 333):
        patches = torch.randn(2, n_patches, 16, generator=torch.Generator().manual_seed(0))
        mask = (torch.arange(n_patches) % 2 == 0).expand(2, n_patches)
        assert torch.isfinite(objective({"patches": patches, "mask": mask})[0])
    with pytest.raises(SettingsError, match="5001 patches, expected at most 5000"):
        objective({"patches": torch.zeros(1, 5001, 16), "mask": torch.ones(1, 5001).bool()})


def test_the_gradient_reaches_every_weight_but_the_heads_that_lose():
    objective = made()
    objective(drawn())[0].backward()
    for name, weight in objective.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


def test_a_few_windows_are_learned_by_heart():
    objective, batch = made(), drawn()
    optimiser = torch.optim.Adam(objective.parameters(), 3e-3)
    for _ in range(250):
        optimiser.zero_grad()
        objective(batch)[0].backward()
        optimiser.step()
    with torch.no_grad():
        scored = objective.score([batch])
        shown = objective.pictures(batch)
    assert scored["mse"] < 0.1 * scored["mse_of_zero"]
    assert scored["mse"] < 0.5 * scored["mse_of_line"]
    assert {image.shape for image in shown.values()} == {(50, 12)}
