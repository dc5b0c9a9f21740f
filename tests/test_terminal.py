"""Progress of long work for machines."""

import json
from typing import Any

import pytest

from rtbrain.config import FitSettings, parse_settings
from rtbrain.learn.fit.front_end.recipes import stages_of
from rtbrain.learn.fit.inputs import STAGES
from rtbrain.terminal import JsonProgress

PIECES = {words: usual for pieces in STAGES.values() for words, usual in pieces.items()}


def played(
    stages: dict[str, dict[str, float]],
    lasts_s: dict[str, float],
    capsys: pytest.CaptureFixture[str],
    recordings: int = 1,
) -> list[dict[str, Any]]:
    """Lines of work whose pieces last so long, of several recordings."""
    now = [0.0]
    progress = JsonProgress(stages, clock=lambda: now[0])
    for words, seconds in lasts_s.items():
        for number in range(1, recordings + 1):
            for step in range(1, 101):
                now[0] += seconds / recordings / 100
                progress(step, 100, f"{words}{number} of {recordings}")
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("recordings", [1, 3])
def test_progress_for_machines_names_the_stage_and_the_time_left(
    capsys: pytest.CaptureFixture[str], recordings: int
) -> None:
    """Work whose pieces last as usual: what is said to be left is what will be."""
    lasts_s = {words: 10 * usual for words, usual in PIECES.items()}
    lines = played(STAGES, lasts_s, capsys, recordings)
    assert list(dict.fromkeys(line["stage"] for line in lines)) == list(STAGES)
    for line in lines:
        whole_s = line["elapsed_s"] + line["left_s"]
        assert whole_s == pytest.approx(sum(lasts_s.values()), abs=1.0)
    assert len(lines) < 200  # a line a second, and the last of each
    assert {"done": 100, "total": 100}.items() <= lines[-1].items()


def test_the_time_left_follows_a_piece_that_takes_longer_and_forgets_one_that_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = parse_settings({"labels": {"classes": ["a", "b"]}}, FitSettings, where="test")
    stages = stages_of(settings)
    lasts_s = {"recording ": 100.0, "front ends": 25.0, "scoring": 30.0, "chance": 10.0}
    lines = played(stages, lasts_s | {"drift": 200.0}, capsys)
    assert lines[-1]["left_s"] == 0
    for line in lines:
        if line["elapsed_s"] > 265:  # half of the last piece is done: it takes 4 times the usual
            assert line["elapsed_s"] + line["left_s"] == pytest.approx(365, rel=0.15)
        elif line["stage"] in ("folds", "chance"):  # the chosen front ends took no time
            assert line["left_s"] < 100


def test_stages_that_settings_leave_out_are_not_waited_for() -> None:
    def words(**values: Any) -> set[str]:
        given = {"labels": {"classes": ["a", "b"]}} | values
        stages = stages_of(parse_settings(given, FitSettings, where="test"))
        return {one for pieces in stages.values() for one in pieces}

    always = {"recording ", "scoring", "chance", "drift"}
    assert words(front_end="recipe") == words(recipe="streaming") == always
    assert words() == always | {"front ends", "chosen front ends"}
    assert words(detect=["a"], recipe="edge") == always | {"held-out decodes", "thresholds"}
    assert words(tune="popt", recipe="edge") == always | {"tuning PopT"}
