"""Fourier inversion prediction against numpy's transform, its masks, and that it is learned."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rtbrain.config.training import NeuroBERTObjective
from rtbrain.encoder import NeuroBERT, NeuroBERTSizes, random_encoder
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.objectives.patches import FourierInversion, MaskedPatches, invert
from rtbrain.types import Floats
from tests.conftest import brain_like
from tests.learn.objectives.sessions import numbered, session_of

torch.set_num_threads(1)

SIZES = NeuroBERTSizes(32, 64, 4, 2, input_dim=16)
N_PATCHES, PATCH = 12, 16


def patches_of(n_windows: int, n_channels: int, seed: int = 0) -> Floats:
    """Standardised windows of brain-like signals, [n_windows, n_channels, T, F]."""
    length = N_PATCHES * PATCH
    signal = brain_like(n_channels, n_windows * length, 512.0, seed=seed)
    windows = signal.reshape(n_channels, n_windows, length).swapaxes(0, 1)
    windows = windows - windows.mean(axis=2, keepdims=True)
    windows /= windows.std(axis=2, keepdims=True)
    return windows.reshape(n_windows, n_channels, N_PATCHES, PATCH)


@settings(max_examples=40)
@given(n_samples=st.integers(2, 41), seed=st.integers(0, 999))
def test_inversion_equals_numpys_transform_of_the_mirrored_spectrum(n_samples, seed):
    rng = np.random.default_rng(seed)
    n_bins = n_samples // 2 + 1
    amplitude = rng.standard_normal((3, n_bins))  # below 0 too: half a turn of phase
    phase = rng.uniform(-9, 9, (3, n_bins))
    spectrum = np.zeros((3, n_samples), complex)
    for k in range(n_samples):
        if k < n_bins:
            spectrum[:, k] = amplitude[:, k] * np.exp(1j * phase[:, k])
        else:
            mirrored = n_samples - k
            spectrum[:, k] = amplitude[:, mirrored] * np.exp(-1j * phase[:, mirrored])
    spectrum[:, 0] = spectrum[:, 0].real
    if n_samples % 2 == 0:
        spectrum[:, n_samples // 2] = spectrum[:, n_samples // 2].real
    expected = np.fft.ifft(spectrum, axis=1, norm="ortho")
    assert np.abs(expected.imag).max() < 1e-12
    given_back = invert(torch.tensor(amplitude), torch.tensor(phase), n_samples)
    np.testing.assert_allclose(given_back.numpy(), expected.real, atol=1e-5)
    assert given_back.square().sum().item() == pytest.approx(
        (np.abs(spectrum) ** 2).sum(), rel=1e-4
    ), "Parseval: the error in time is the error in frequency"


class _Known(NeuroBERT):
    """Knows the answer: hidden states are the numbers of the patches."""

    def __init__(self, amplitude: Floats, phase: Floats) -> None:
        super().__init__(SIZES)
        self._answers = torch.tensor(amplitude), torch.tensor(phase)

    def forward(self, patches, mask=None):
        return torch.arange(patches.shape[0] * patches.shape[1]).reshape(*patches.shape[:2], 1)

    def amplitude_and_phase(self, hidden):
        return tuple(each[hidden[:, 0]] for each in self._answers)


def test_the_true_amplitude_and_phase_give_no_loss_and_wrong_ones_their_own():
    examples = MaskedPatches([session_of(patches_of(2, 3))], mask_share=0.3)
    batch = examples.draw(np.arange(6), np.random.default_rng(0))
    true = batch["patches"].reshape(-1, PATCH).numpy()
    spectrum = np.fft.rfft(true, axis=1, norm="ortho")
    right = FourierInversion(_Known(np.abs(spectrum), np.angle(spectrum)))
    assert right(batch)[0].item() < 1e-10
    halved = FourierInversion(_Known(np.abs(spectrum) / 2, np.angle(spectrum)))
    loss, measures = halved(batch)
    hidden = batch["mask"].reshape(-1).numpy()
    assert loss.item() == pytest.approx((true[hidden] ** 2).mean() / 4, rel=1e-5)
    assert measures["loss_over_zero"].item() == pytest.approx(0.25, rel=1e-5)
    scored = right.score([batch, batch])
    assert scored["mse"] < 1e-10
    assert scored["r2"] == pytest.approx(1)
    assert scored["mse_of_zero"] == pytest.approx((true[hidden] ** 2).mean(), rel=1e-5)


def test_visible_patches_are_not_in_the_loss_and_hidden_ones_not_in_the_input():
    objective = FourierInversion(random_encoder(SIZES, 0)).eval()
    batch = MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.3).draw(
        np.arange(4), np.random.default_rng(1)
    )
    made = objective.reconstruct(batch)
    other = batch | {"patches": batch["patches"].clone()}
    other["patches"][other["mask"]] += 3
    assert torch.equal(objective.reconstruct(other), made)
    expected = (made - batch["patches"][batch["mask"]]).square().mean()
    assert objective(batch)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_gradient_reaches_every_weight():
    objective = FourierInversion(random_encoder(SIZES, 0))
    batch = MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.3).draw(
        np.arange(4), np.random.default_rng(1)
    )
    objective(batch)[0].backward()
    for name, weight in objective.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


def test_items_are_the_good_ones_of_all_sessions_in_order():
    shape = (3, 4)
    sessions = [
        session_of(numbered(9, 2, shape), bad=((0, 1), (8, 0))),
        session_of(numbered(4, 3, shape, session=1), bad=((1, 1),)),
    ]
    examples = MaskedPatches(sessions, mask_share=0.3)
    assert len(examples) == 16 + 11
    batch = examples.draw(np.array([26, 0, 1, 15, 16, 20]), np.random.default_rng(0))
    first = batch["patches"][:, 0, 0].tolist()
    assert first == [10302, 0, 100, 801, 10000, 10102]
    assert batch["patches"].shape == (6, 3, 4)


@pytest.mark.parametrize(("share", "hidden"), [(0.3, 4), (0.01, 1), (0.99, 11), (0.5, 6)])
def test_each_item_hides_its_share_and_every_patch_is_hidden_as_often(share, hidden):
    examples = MaskedPatches([session_of(patches_of(2, 2))], mask_share=share)
    items = np.zeros(3000, np.int64)
    mask = examples.draw(items, np.random.default_rng(0))["mask"].numpy()
    assert (mask.sum(axis=1) == hidden).all()
    spread = 5 * np.sqrt(hidden / 12 * (1 - hidden / 12) / 3000)
    np.testing.assert_allclose(mask.mean(axis=0), hidden / 12, atol=spread)


def test_a_draw_depends_on_its_generator_alone():
    examples = MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.3)
    one, two = (examples.draw(np.arange(4), np.random.default_rng(5)) for _ in range(2))
    other = examples.draw(np.arange(4), np.random.default_rng(6))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["mask"], other["mask"])


def test_what_cannot_be_drawn_is_refused():
    good = patches_of(2, 2)
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ValidationError, match="mask_share"):
            NeuroBERTObjective(mask_share=share)
    with pytest.raises(SettingsError, match="none in 1 sessions"):
        MaskedPatches([session_of(good, bad=((0, 0), (0, 1), (1, 0), (1, 1)))], mask_share=0.3)
    with pytest.raises(SettingsError, match=r"two or more patches, got items of shape \(192,\)"):
        MaskedPatches([session_of(good.reshape(2, 2, -1))], mask_share=0.3)
    good[1, 0, 3, 3] = np.nan
    with pytest.raises(RecordingError, match="is not finite"):
        MaskedPatches([session_of(good)], mask_share=0.3).draw(
            np.arange(4), np.random.default_rng(0)
        )


def test_the_line_is_the_one_between_what_is_seen():
    ramp = np.arange(N_PATCHES * PATCH, dtype=np.float32).reshape(1, 1, N_PATCHES, PATCH)
    objective = FourierInversion(random_encoder(SIZES, 0)).eval()
    batch = MaskedPatches([session_of(ramp)], mask_share=0.3).draw(
        np.zeros(1, int), np.random.default_rng(3)
    )
    mask = torch.zeros_like(batch["mask"])
    mask[0, 4:6] = True
    with torch.no_grad():
        assert objective.score([batch | {"mask": mask}])["mse_of_line"] < 1e-8
        mask[0, 0] = True  # nothing is seen before it: the line is flat there
        flat = ((PATCH - np.arange(PATCH)) ** 2).mean() / 3
        scored = objective.score([batch | {"mask": mask}])["mse_of_line"]
        assert scored == pytest.approx(flat, rel=1e-6)
        assert np.isnan(objective.score([])["mse"])


def test_pictures_show_the_hidden_and_leave_the_visible_as_it_is():
    objective = FourierInversion(random_encoder(SIZES, 0)).eval()
    batch = MaskedPatches([session_of(patches_of(2, 2))], mask_share=0.3).draw(
        np.arange(4), np.random.default_rng(1)
    )
    shown = objective.pictures(batch)
    assert len(shown) == 2
    image = shown["input_target_output_0"]
    assert image.shape == (3 * PATCH + 2, N_PATCHES)
    hidden = batch["mask"][0].numpy()
    seen, true, made = image[:PATCH], image[PATCH + 1 : 2 * PATCH + 1], image[2 * PATCH + 2 :]
    assert not seen[:, hidden].any()
    assert np.array_equal(made[:, ~hidden], true[:, ~hidden])
    assert not np.allclose(made[:, hidden], true[:, hidden])


def test_a_few_windows_are_learned_by_heart():
    torch.manual_seed(0)
    objective = FourierInversion(random_encoder(SIZES, 0)).eval()
    examples = MaskedPatches([session_of(patches_of(2, 2, seed=4))], mask_share=0.3)
    batch = examples.draw(np.arange(4), np.random.default_rng(0))
    optimiser = torch.optim.Adam(objective.parameters(), 3e-3)
    for _ in range(250):
        optimiser.zero_grad()
        objective(batch)[0].backward()
        optimiser.step()
    with torch.no_grad():
        scored = objective.score([batch])
    assert scored["mse"] < 0.1 * scored["mse_of_zero"]
    assert scored["mse"] < 0.5 * scored["mse_of_line"]
