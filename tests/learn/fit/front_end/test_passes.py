"""One pass for several front ends: each gets what it would get alone."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings
from rtbrain.learn.fit.features import FeatureRows, gather
from rtbrain.learn.fit.front_end.names import parse_front_end
from rtbrain.learn.fit.front_end.passes import (
    Markers,
    SharedPass,
    at_windows,
    old_recipe,
    rows_job,
)
from rtbrain.learn.fit.front_end.recipes import linear_recipe
from rtbrain.pipeline import cut_at_markers
from rtbrain.types import Chunk
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(8, SFREQ_HZ)
LINEAR = load_settings("linear", Recipe)
# At this hop both its frames and those of v0.1.0 are whole numbers apart.
RARELY = LINEAR.adapt(hop_s=0.78125)
DATA = brain_like(8, int(8 * SFREQ_HZ), SFREQ_HZ)


def pieces(length: int = 700) -> Iterator[Chunk]:
    for first in range(0, DATA.shape[1], length):
        part = DATA[:, first : first + length].copy()
        yield Chunk(part, (first + np.arange(part.shape[1])) / SFREQ_HZ, first)


def nothing(timeout_s: float) -> list[tuple[float, str]]:
    return []


def test_features_of_a_shared_pass_are_those_of_a_pass_of_its_own() -> None:
    old = old_recipe(RARELY, MONTAGE)
    plain = parse_front_end("as_given", RARELY).recipe(RARELY)
    recipes = (RARELY, old, plain)
    made = [build_feature_pipeline(one, MONTAGE, whole_windows=True) for one in recipes]
    shared = SharedPass(MONTAGE, [one.signal for one in recipes])
    jobs = [rows_job(shared.within(one, n), 2, 0.3) for n, one in enumerate(made)]
    for recipe, got in zip(recipes, shared.run(pieces(), nothing, jobs), strict=True):
        alone = build_feature_pipeline(recipe, MONTAGE, whole_windows=True)
        expected = gather(pieces(), alone, {"": alone.encoder}, every=2)
        assert got.t_stop.size > 3
        np.testing.assert_array_equal(got.t_stop, expected.t_stop)
        np.testing.assert_array_equal(got.rows[""], expected.rows[""])


def test_pulses_are_blanked_in_a_shared_pass_as_they_are_alone() -> None:
    values = RARELY.model_dump(exclude_unset=True)
    step = {"stimulation": {"texts": ["stim"], "before_s": 0.002, "after_s": 0.01}}
    recipe = Recipe.model_validate(values | {"signal": [step, *values["signal"]]})
    at = np.arange(4000, DATA.shape[1], 1500)
    chunks = [replace(chunk, data=chunk.data.copy()) for chunk in pieces()]
    for chunk in chunks:
        inside = at[(at >= chunk.first_sample) & (at < chunk.first_sample + chunk.n_samples)]
        chunk.data[:, inside - chunk.first_sample] += 3000
    announced = [(sample / SFREQ_HZ, "stim") for sample in at]

    def rows(shared: bool, *given: tuple[float, str]) -> FeatureRows:
        waiting = list(given)

        def markers(timeout_s: float) -> list[tuple[float, str]]:
            new, waiting[:] = waiting.copy(), []
            return new

        features = build_feature_pipeline(recipe, MONTAGE, whole_windows=True)
        if not shared:
            features = cut_at_markers(features, markers, 0.3)
            return gather(iter(chunks), features, {"": features.encoder}, every=2)
        one = SharedPass(MONTAGE, [recipe.signal, recipe.signal])
        jobs = [rows_job(one.within(features, 0), 2, 0.3)]
        return one.run(iter(chunks), markers, jobs)[0]

    alone, together = rows(False, *announced), rows(True, *announced)
    assert together.t_stop.size > 3
    np.testing.assert_array_equal(together.rows[""], alone.rows[""])
    assert rows(True).t_stop.size < 2  # not announced, they are artifacts


def test_the_row_of_v0_1_0_reads_the_same_stretch_in_the_same_frames() -> None:
    # At the hop of v0.1.0 it is that recipe.
    of_then = LINEAR.model_dump(mode="json", exclude_unset=True)
    of_then["spectrogram"] = {"form": "running"}
    of_then["window"] = {"length_s": 5.0, "hop_s": 0.244140625}
    then = old_recipe(Recipe.model_validate(of_then), MONTAGE)
    assert then.spectrogram.frame_s == 400 / 2048
    assert then.spectrogram.frame_hop_s == pytest.approx(50 / 2048)
    assert then.spectrogram.n_freqs == 40
    assert then.encoder.n_pooled == 10
    now = old_recipe(LINEAR, MONTAGE)
    assert now.window == LINEAR.window
    uneven = Recipe.model_validate(
        of_then | {"signal": [], "window": {"length_s": 0.5, "hop_s": 0.1}}
    )
    at_1000_hz = old_recipe(uneven, montage_of(8, 1000.0))  # where 0.1953125 s are no whole samples
    assert build_feature_pipeline(at_1000_hz, montage_of(8, 1000.0)).n_features == 6 * 40
    assert now.encoder.n_pooled == 8
    assert 7 * now.spectrogram.frame_hop_s == pytest.approx(9 * 50 / 2048, abs=0.002)
    assert [step.reference for step in now.signal if step.reference] == ["laplacian"]
    assert not now.spectrogram.log


def test_without_neighbours_v0_1_0_takes_contacts_as_they_are() -> None:
    steps = old_recipe(LINEAR, montage_of(1, SFREQ_HZ)).signal
    assert not any(step.reference for step in steps)


@pytest.mark.parametrize("name", ["linear", "edge", "streaming", "published"])
@pytest.mark.parametrize("at_event", [False, True])
def test_every_recipe_has_v0_1_0_on_its_windows(name: str, at_event: bool) -> None:
    recipe = load_settings(name, Recipe)
    if at_event:
        values = recipe.model_dump(mode="json", exclude_unset=True)
        values["window"] = {"mode": "event", "length_s": 1.0, "offset_s": 0.0}
        recipe = Recipe.model_validate(values)
    old = old_recipe(linear_recipe(recipe), MONTAGE)
    assert build_feature_pipeline(old, MONTAGE, whole_windows=True).n_features > 0
    assert old.window == recipe.window


def test_markers_reach_every_job_with_the_chunk_that_they_came_with() -> None:
    came = iter([[(0.1, "a")], [], [(0.5, "b")]])

    def job(chunks: Iterator[Chunk], markers: Markers) -> list[list[tuple[float, str]]]:
        return [markers(0.0) for _ in chunks]

    shared = SharedPass(MONTAGE, [(), ()])
    chunks = [next(pieces()), *list(pieces())[1:3]]
    found = shared.run(chunks, lambda timeout_s: next(came), [job, job])
    assert found == [[[(0.1, "a")], [], [(0.5, "b")]]] * 2


def test_a_job_that_fails_ends_the_pass_with_its_error() -> None:
    def fails(chunks: Iterator[Chunk], markers: Markers) -> None:
        next(chunks)
        raise ValueError("broken")

    shared = SharedPass(MONTAGE, [(), ()])
    with pytest.raises(ValueError, match="broken"):
        shared.run(pieces(100), nothing, [lambda chunks, markers: sum(1 for _ in chunks), fails])


def test_jobs_work_one_at_a_time() -> None:
    busy: list[int] = []
    most: list[int] = []

    def job(chunks: Iterator[Chunk], markers: Markers) -> int:
        n = 0
        for chunk in chunks:
            busy.append(1)
            np.sort(np.tile(chunk.data, 20), axis=None)  # without the lock of the interpreter
            most.append(len(busy))
            busy.pop()
            n += 1
        return n

    shared = SharedPass(MONTAGE, [(), (), ()])
    assert set(shared.run(pieces(), nothing, [job] * 3)) == {len(list(pieces()))}
    assert max(most) == 1


def test_windows_that_another_front_end_lacks_are_unknown() -> None:
    pipeline = build_feature_pipeline(RARELY, MONTAGE, whole_windows=True)
    found = gather(pieces(), pipeline, {"": pipeline.encoder})
    asked = np.concatenate(([-1.0], found.t_stop[1:]))
    rows = at_windows(found, asked, pipeline.n_features)
    assert np.isnan(rows[0]).all()
    np.testing.assert_array_equal(rows[1:], found.rows[""][1:])
