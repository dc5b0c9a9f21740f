"""How far apart training and test are, whichever front end is chosen."""

import pytest

from rtbrain.config import FitSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.front_end.recipes import embargo_s, fit_recipe


def embargo_of(given_s: float | None, **values: object) -> float:
    labels = {"classes": ["rest", "speech"]}
    settings = FitSettings.model_validate(
        {"labels": labels, "splits": {"embargo_s": given_s}, **values}
    )
    return embargo_s(settings, fit_recipe(settings))


def test_an_embargo_holds_the_longest_window_that_may_be_chosen() -> None:
    with pytest.raises(SettingsError, match=r"of 1\.21875 s, .*0\.46875 s \(--front-end recipe\)"):
        embargo_of(1.2)
    with pytest.raises(SettingsError, match=r"of 1\.21875 s, .*leave it out$"):
        embargo_of(0.4)
    with pytest.raises(SettingsError, match=r"the window of 0\.46875 s"):
        embargo_of(0.4, front_end="recipe")
    assert embargo_of(1.25) == 1.25
    assert embargo_of(0.5, front_end="recipe") == 0.5
    assert embargo_of(None) == embargo_of(None, front_end="recipe") == 6.0
