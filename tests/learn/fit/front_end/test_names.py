"""Front ends by name, as somebody reads and writes them."""

import pytest

from rtbrain.config import Recipe, load_settings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.front_end.names import (
    candidates,
    own_front_end,
    parse_front_end,
    possible_references,
)
from tests.conftest import montage_of

LINEAR = load_settings("linear", Recipe)


def test_the_front_end_of_linear_has_a_name_and_that_name_gives_it_back() -> None:
    own = own_front_end(LINEAR)
    assert own.name == "bands-log-0.25s-laplacian"
    assert own.recipe(LINEAR) == LINEAR


def test_words_that_are_left_out_are_those_of_the_recipe_and_windows_follow_the_pooling() -> None:
    found = parse_front_end("1s-bipolar", LINEAR)
    assert found.name == "bands-log-1s-bipolar"
    recipe = found.recipe(LINEAR)
    assert [step.reference for step in recipe.signal if step.reference] == ["bipolar"]
    assert recipe.window.length_s == pytest.approx(0.25 + 31 * 0.03125)
    assert recipe.encoder.n_pooled == 32
    given = parse_front_end("short-magnitude-as_given", LINEAR).recipe(LINEAR)
    assert not any(step.reference for step in given.signal)
    assert given.window.length_s == pytest.approx(0.125 + 7 * 0.03125)
    assert not given.spectrogram.log


@pytest.mark.parametrize("wrong", ["wavelet", "bands-stft", "bands--log", "0.3s", ""])
def test_words_that_there_are_not_are_refused_and_those_that_there_are_listed(wrong: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_front_end(wrong, LINEAR)
    line = str(refused.value)
    assert "\n" not in line
    for word in ("auto", "recipe", "stft", "log", "0.25s", "laplacian"):
        if word not in wrong:
            assert word in line


def test_a_recipe_with_an_encoder_has_its_own_front_end() -> None:
    with pytest.raises(SettingsError, match="mode edge have their encoder's"):
        parse_front_end("bands", load_settings("edge", Recipe))


def test_every_form_scale_pooling_and_reference_that_labels_allow_is_a_candidate() -> None:
    shafts = montage_of(12, 2048.0)
    references = possible_references(LINEAR, shafts)
    assert references == ["as_given", "shaft_mean", "bipolar", "laplacian"]
    names = [one.name for one in candidates(LINEAR, references)]
    assert len(set(names)) == len(names) == 3 * 2 * 4 * 4
    assert own_front_end(LINEAR).name in names
    assert possible_references(LINEAR, montage_of(1, 2048.0)) == ["as_given"]


def test_at_events_the_window_is_pooled_whole_and_frames_must_fit_into_it() -> None:
    values = LINEAR.model_dump(mode="json", exclude_unset=True)
    values["window"] = {"mode": "event", "length_s": 0.2, "offset_s": 0.0}
    recipe = Recipe.model_validate(values)
    names = {one.name for one in candidates(recipe, ["bipolar"])}
    assert names == {
        f"{form}-{scale}-bipolar" for form in ("stft", "short") for scale in ("log", "magnitude")
    }
    with pytest.raises(SettingsError, match="no word '1s'"):
        parse_front_end("1s", recipe)
