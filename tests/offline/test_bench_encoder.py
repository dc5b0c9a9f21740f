import pytest
import torch

from rtbrain.encoder import BRAINBERT_SIZES, POPT_SIZES, BrainBERTSizes, PopTSizes
from rtbrain.offline import bench_encoder


def test_each_line_is_compared_with_the_first_of_its_group(monkeypatch: pytest.MonkeyPatch):
    torch.set_num_threads(1)
    monkeypatch.setitem(BRAINBERT_SIZES, "large", BrainBERTSizes(24, 32, 2, 2))
    monkeypatch.setitem(POPT_SIZES, "published", PopTSizes(24, 32, 40, 2, 2))
    rows = bench_encoder.run(3)
    references = [row for row in rows if row.reference == row.name]
    assert [row.ratio for row in references] == [1.0] * 3
    assert len(rows) == 7
    for row in rows:
        assert row.median_ms > 0
        if row not in references:
            assert float(row.name.split("differs by ")[1].rstrip(")")) < 1e-5
