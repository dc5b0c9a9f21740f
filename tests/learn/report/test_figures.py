"""Pictures of a fit: the same for the same fit, another for another."""

import io

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import softmax

from rtbrain.decoder import LinearReadout
from rtbrain.learn.fit.readout import contact_weights
from rtbrain.learn.report.figures import (
    draw_confusion,
    draw_electrodes,
    draw_reliability,
    draw_roc,
    png,
)
from rtbrain.types import Floats, Montage
from tests.conftest import montage_of


def held_out(n_classes: int) -> tuple[Floats, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, n_classes, 400)
    logits = rng.normal(0, 1, (400, n_classes)) + 1.5 * np.eye(n_classes)[targets]
    outputs = softmax(logits, axis=1).astype(np.float32)
    outputs[:7] = np.nan
    return outputs, targets, ["rest", "speech", "music", "listening", "grip"][:n_classes]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_picture_is_drawn_twice_the_same(n_classes: int) -> None:
    outputs, targets, names = held_out(n_classes)
    weights = np.random.default_rng(0).random(24)

    def drawn() -> list[bytes]:
        return [
            png(draw_confusion(outputs, targets, names)),
            png(draw_roc(outputs, targets, names)),
            png(draw_reliability(outputs, targets)),
            png(draw_electrodes(montage_of(24, 1000.0), weights)),
        ]

    pictures = drawn()
    assert pictures == drawn()
    for picture in pictures:
        assert imread(io.BytesIO(picture)).std() > 0.05


def test_other_outputs_give_another_picture() -> None:
    outputs, targets, names = held_out(2)
    other = draw_roc(outputs[:, ::-1].copy(), targets, names)
    assert png(draw_roc(outputs, targets, names)) != png(other)


def test_the_weight_of_a_contact_is_of_its_own_features_and_in_their_deviations() -> None:
    weight = np.zeros((2, 12), np.float32)
    weight[:, 3:6] = [[1, 2, 2], [-1, -2, -2]]
    weight[:, 9] = 5  # the same for both classes: moves nothing
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    scale = np.ones(12)
    found = contact_weights(readout, scale, 4)
    np.testing.assert_allclose(found, [0, 3 * np.sqrt(2), 0, 0], atol=1e-6)
    np.testing.assert_allclose(contact_weights(readout, 2 * scale, 4), 2 * found)


def test_labels_that_have_no_shaft_are_drawn_too() -> None:
    names = ("ECOG_RIGHT_0-ECOG_RIGHT_1", "ECOG_RIGHT_1-ECOG_RIGHT_2", "DC", "7", "LT'3")
    montage = Montage(names, ("ecog",) * 5, 1000.0)
    assert len(png(draw_electrodes(montage, np.arange(5.0)))) > 1000
