"""The picture of a probe."""

from pathlib import Path

import numpy as np

from rtbrain.learn.probe.label_efficiency import RowName
from rtbrain.learn.probe.report import ProbeResult, draw_label_efficiency


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
