"""Pictures are written, the same for the same fit, and show what they are given."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import softmax

from rtbrain.decoder import LinearReadout
from rtbrain.learn.fit.report import (
    contact_weights,
    draw_confusion,
    draw_electrodes,
    draw_reliability,
    draw_roc,
)
from rtbrain.types import Floats, Montage
from tests.conftest import montage_of


def told(n_classes: int) -> tuple[Floats, np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, n_classes, 400)
    logits = rng.normal(0, 1, (400, n_classes)) + 1.5 * np.eye(n_classes)[targets]
    outputs = softmax(logits, axis=1).astype(np.float32)
    outputs[:7] = np.nan
    return outputs, targets, ["rest", "speech", "music", "listening", "grip"][:n_classes]


@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_picture_is_written_twice_the_same(tmp_path: Path, n_classes: int) -> None:
    outputs, targets, names = told(n_classes)
    montage = montage_of(24, 1000.0)
    weights = np.random.default_rng(0).random(24)
    drawn = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        draw_confusion(folder / "confusion.png", outputs, targets, names)
        draw_roc(folder / "roc.png", outputs, targets, names, chance=(0.41, 0.58))
        draw_reliability(folder / "reliability.png", outputs, targets)
        draw_electrodes(folder / "electrodes.png", montage, weights)
        drawn.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 4
    for name in drawn[0]:
        assert imread(tmp_path / "a" / name).std() > 0.05


def test_other_outputs_give_another_picture(tmp_path: Path) -> None:
    outputs, targets, names = told(2)
    draw_roc(tmp_path / "a.png", outputs, targets, names, chance=None)
    draw_roc(tmp_path / "b.png", outputs[:, ::-1].copy(), targets, names, chance=None)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_weight_of_a_contact_is_of_its_own_features_and_in_their_deviations() -> None:
    weight = np.zeros((2, 12), np.float32)
    weight[:, 3:6] = [[1, 2, 2], [-1, -2, -2]]
    weight[:, 9] = 5  # the same for both classes: moves nothing
    readout = LinearReadout(weight, np.zeros(2, np.float32), "classification")
    scale = np.ones(12)
    found = contact_weights(readout, scale, 4)
    np.testing.assert_allclose(found, [0, 3 * np.sqrt(2), 0, 0], atol=1e-6)
    np.testing.assert_allclose(contact_weights(readout, 2 * scale, 4), 2 * found)


def test_labels_that_have_no_shaft_are_drawn_too(tmp_path: Path) -> None:
    names = ("ECOG_RIGHT_0-ECOG_RIGHT_1", "ECOG_RIGHT_1-ECOG_RIGHT_2", "DC", "7", "LT'3")
    montage = Montage(names, ("ecog",) * 5, 1000.0)
    draw_electrodes(tmp_path / "e.png", montage, np.arange(5.0))
    assert (tmp_path / "e.png").stat().st_size > 1000
