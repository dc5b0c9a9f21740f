"""Features of all front ends at once, beside those of the stages that decode."""

from dataclasses import replace

import numpy as np
import pytest

from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings
from rtbrain.learn.fit.front_end.names import FrontEnd, candidates, parse_front_end
from rtbrain.learn.fit.front_end.passes import wide_recipe
from rtbrain.learn.fit.front_end.spectra import SharedSpectra
from rtbrain.types import Chunk, Floats
from tests.conftest import brain_like, montage_of

SFREQ_HZ, HOP = 2048.0, 64
N_SAMPLES = int(40 * SFREQ_HZ)
MONTAGE = montage_of(8, SFREQ_HZ)
LINEAR = load_settings("linear", Recipe)
PLAIN = LINEAR.model_copy(update={"signal": ()})
ALL = list(candidates(PLAIN, ["as_given", "shaft_mean", "bipolar", "laplacian"]))


@pytest.fixture(scope="module")
def data() -> Floats:
    return brain_like(8, N_SAMPLES, SFREQ_HZ)


def added(data: Floats, every: int) -> tuple[SharedSpectra, list[int]]:
    pipeline = build_feature_pipeline(wide_recipe(PLAIN, ALL), MONTAGE, whole_windows=True)
    spectra = SharedSpectra(
        MONTAGE, ALL, length_samples=2496, hop_samples=HOP, time_constant_s=60.0
    )
    stamps = np.arange(data.shape[1]) / SFREQ_HZ
    stops = []
    for number, window in enumerate(pipeline.cut(Chunk(data, stamps))):
        if window.quality.valid and number % every == 0:
            spectra.add(window)
            stops.append(window.first_sample + 2496)
    return spectra, stops


@pytest.mark.parametrize(
    "name",
    ["bands-log-0.25s-laplacian", "short-magnitude-1s-bipolar", "stft-log-0.5s-shaft_mean",
     "bands-magnitude-0.19s-as_given"],
)  # fmt: skip
def test_they_are_those_of_the_decoder_that_the_front_end_gives(data: Floats, name: str) -> None:
    spectra, stops = added(data, every=8)
    front_end = parse_front_end(name, PLAIN)
    recipe = front_end.recipe(PLAIN)
    window = recipe.window.model_copy(update={"length_s": 2496 / SFREQ_HZ})
    pipeline = build_feature_pipeline(
        recipe.model_copy(update={"window": window}), MONTAGE, whole_windows=True
    )
    stamps = np.arange(data.shape[1]) / SFREQ_HZ
    exact = {
        one.first_sample + 2496: pipeline.encode(one).population
        for one in pipeline.cut(Chunk(data, stamps))
        if one.quality.valid
    }
    got, expected = spectra.features(front_end), np.array([exact[stop] for stop in stops])
    settled = slice(len(stops) // 2, None)
    assert got.shape == expected.shape
    assert np.corrcoef(got[settled].ravel(), expected[settled].ravel())[0, 1] > 0.995
    assert np.abs(got[settled] - expected[settled]).mean() < 0.05


def test_a_masked_contact_is_unknown_by_itself_and_by_pairs_with_it_alone(data: Floats) -> None:
    broken = data.copy()
    broken[2] = np.nan
    spectra, _ = added(broken, every=100)
    given = FrontEnd("bands", "log", "0.25s", "as_given")
    by_contact = spectra.features(given).reshape(-1, 8, 16)
    assert np.isnan(by_contact).all(axis=(0, 2)).tolist() == [row == 2 for row in range(8)]
    pairs = spectra.features(replace(given, reference="bipolar"))
    assert 0 < np.isnan(pairs).mean() < 0.5


def test_windows_that_overlap_feed_the_statistics_once(data: Floats) -> None:
    often, stops = added(data, every=8)
    rarely, some = added(data, every=32)
    both = np.isin(stops, some)
    one = ALL[0]
    a, b = often.features(one)[both][5:], rarely.features(one)[5:]
    assert np.abs(a - b).mean() < 0.05
