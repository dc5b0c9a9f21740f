"""Intrinsic dimension and the picture of a probe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from rtbrain.encoder import BrainBERTSizes, random_encoder
from rtbrain.learn.probe.label_efficiency import RowName
from rtbrain.learn.probe.report import ProbeResult, draw_label_efficiency
from rtbrain.learn.probe.windows import RAW, contact_dimensions, intrinsic_dimension
from tests.learn.planted import N_FREQS, planted_session


@pytest.mark.parametrize("n_hidden", [1, 3, 12])
def test_components_are_counted_as_scikit_learn_counts_them(n_hidden: int) -> None:
    rng = np.random.default_rng(n_hidden)
    hidden = rng.standard_normal((300, n_hidden)) * np.linspace(1, 3, n_hidden)
    vectors = hidden @ rng.standard_normal((n_hidden, 30)) + 100
    vectors = (vectors + 0.05 * rng.standard_normal(vectors.shape)).astype(np.float32)
    expected = PCA(0.95, svd_solver="full").fit(vectors.astype(np.float64)).n_components_
    assert intrinsic_dimension(vectors) == expected <= n_hidden


def test_what_never_changes_has_no_dimension() -> None:
    assert intrinsic_dimension(np.full((60, 8), 3, np.float32)) == 0


def test_every_contact_is_counted_on_the_windows_where_it_is_good() -> None:
    session = planted_session("s1", n_windows=120, n_channels=3)
    session.good[100:, 0] = False
    session.good[10:, 2] = False  # too few are left to count
    session.shards[0][~session.good] = np.nan
    encoder = random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 0)
    found = contact_dimensions(session, {"it": encoder}, device=torch.device("cpu"))
    assert {name: counts.size for name, counts in found.items()} == {"it": 2, RAW: 2}
    first = session.shards[0][:100, 0]
    assert found[RAW][0] == intrinsic_dimension(first.mean(axis=1))
    with torch.no_grad():
        hidden = encoder(torch.from_numpy(first)).mean(dim=1).numpy()
    assert found["it"][0] == intrinsic_dimension(hidden)


def test_the_picture_has_one_line_per_row_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    rows = [
        RowName("one, pretrained", "", "channels"),
        RowName("one, random", "", "channels", is_random=True),
        RowName("two", "two", "channels"),
    ]
    auc = np.full((1, 2, 1, 3), np.nan)
    auc[0, :, 0, 0] = 0.3, 0.9  # of two subjects far apart; as usual; of one score
    auc[0, :, 0, 1] = 0.7, 0.72
    auc[0, 0, 0, 2] = 0.8
    scores = {row.label: np.stack((auc, auc)) for row in rows}
    provenance = {"windows": {"s1": {}, "s2": {}}, "classes": ["a", "b"]}
    result = ProbeResult(rows, scores, {}, (25, 50, 100), {}, provenance)
    for name in ("a.png", "b.png"):
        draw_label_efficiency(tmp_path / name, result)
    data = (tmp_path / "a.png").read_bytes()
    assert data[:4] == b"\x89PNG"
    assert data == (tmp_path / "b.png").read_bytes()
