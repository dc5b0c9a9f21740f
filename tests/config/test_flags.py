"""Flags made from settings, and `--set key=value`."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from rtbrain.config import SETTINGS_KINDS, FitSettings
from rtbrain.config.files import nested_settings
from rtbrain.config.flags import flag, join_names, names_of, override, replace_fields
from rtbrain.config.front_end import Settings
from rtbrain.errors import SettingsError


def test_the_help_of_a_flag_is_the_description_of_its_field() -> None:
    app = typer.Typer()

    @app.command()
    def command(
        embargo: Annotated[float | None, flag(FitSettings, "splits.embargo_s", "--embargo")] = None,
    ) -> None:
        """Print the embargo."""
        typer.echo(embargo)

    words = CliRunner().invoke(app, ["--help"]).output
    assert "Gap between training and test" in " ".join(words.split())
    assert CliRunner().invoke(app, ["--embargo", "3"]).output == "3.0\n"


def test_every_field_of_the_settings_describes_itself() -> None:
    kinds: list[type[Settings]] = list(SETTINGS_KINDS.values())
    missing = []
    for kind in kinds:  # grows meanwhile
        for name, field in kind.model_fields.items():
            if not field.description:
                missing.append(f"{kind.__name__}.{name}")
            inner = nested_settings(field.annotation)
            if inner is not None and inner not in kinds:
                kinds.append(inner)
    assert not missing


def test_overriding_reads_yaml_makes_missing_parts_and_leaves_its_input_alone() -> None:
    values = {"recipe": {"signal": [{"notch": {"mains_hz": 60}}]}, "splits": None}
    changed = override(
        values,
        ["recipe.signal.0.notch.mains_hz=50", "splits.n_folds=4", "labels.classes=[a, b]"],
    )
    assert changed == {
        "recipe": {"signal": [{"notch": {"mains_hz": 50}}]},
        "splits": {"n_folds": 4},
        "labels": {"classes": ["a", "b"]},
    }
    assert values == {"recipe": {"signal": [{"notch": {"mains_hz": 60}}]}, "splits": None}


@pytest.mark.parametrize(
    ("pair", "part"),
    [
        ("scale", "expected key=value"),
        ("=3", "expected key=value"),
        ("scale=[1", "not readable as YAML"),
        ("recipe.mode=edge", "recipe is 'linear'"),
        ("recordings.2.name=x", "a number from 0 to 1"),
    ],
)
def test_a_pair_that_cannot_be_put_in_is_refused_in_one_line(pair: str, part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        override({"recipe": "linear", "recordings": ["a", "b"]}, [pair])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_are_replaced_whole() -> None:
    assert replace_fields({"labels": {"task": "onset"}}, {"labels": {"channel": "x"}}) == {
        "labels": {"channel": "x"}
    }


@pytest.mark.parametrize("names", [("rest", "speech"), ("a, b", "c"), ('say "aah"', "d,e")])
def test_names_joined_are_read_again_whatever_is_in_them(names: tuple[str, ...]) -> None:
    assert names_of(join_names(names), "--classes") == names


def test_names_that_are_empty_or_there_twice_are_refused() -> None:
    for text in ("", "a,,b", "a,a"):
        with pytest.raises(SettingsError, match="expected names separated by commas, each once"):
            names_of(text, "--classes")
