"""Progress of long work for machines."""

import json

import pytest

from rtbrain.learn.fit.inputs import STAGES
from rtbrain.terminal import JsonProgress


def test_progress_for_machines_names_the_stage_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Work whose stages last as usual: what is said to be left is what will be."""
    now, began, due = [0.0], {}, {}
    progress = JsonProgress(STAGES, clock=lambda: now[0])
    n_seconds = sum(usual for usual, _ in STAGES.values()) * 10
    for name, (usual, (words, *_)) in STAGES.items():
        began[name] = now[0]
        for step in range(1, 101):
            now[0] += usual / 10
            progress(step, 100, f"{words}1 of 1")
        due[name] = now[0]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == list(STAGES)
    for line in lines:
        assert line["elapsed_s"] + line["left_s"] == pytest.approx(n_seconds, abs=1.0)
        of_stage = line["elapsed_s"] - began[line["stage"]]
        share = of_stage / (due[line["stage"]] - began[line["stage"]])
        assert line["done"] / line["total"] == pytest.approx(share, abs=0.02)
    assert len(lines) < 200  # a line a second, and the last of each stage
    assert {"done": 100, "total": 100}.items() <= lines[-1].items()
