"""Settings: what is refused, and in which words."""

from pathlib import Path

import pytest
import yaml

from rtbrain.config import (
    SETTINGS_KINDS,
    DecodeSettings,
    FitSettings,
    Recipe,
    find_settings,
    load_settings,
    parse_settings,
    read_settings,
    settings_kind,
)
from rtbrain.config.detect import DetectSettings
from rtbrain.config.live import StreamSettings
from rtbrain.errors import SettingsError


@pytest.mark.parametrize("name", ["edge", "linear", "published"])
def test_ready_made_recipes_are_found_by_name_and_are_valid(name: str) -> None:
    assert load_settings(name, Recipe).mode == name


def test_the_ready_made_live_settings_are_valid() -> None:
    assert load_settings("bedside", DecodeSettings).stream.name == "rtbrain-sim"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bedside", "decode"),
        ("fit", "fit"),
        ("demo", "demo"),
        ("edge", "recipe"),
        ("corpus-compact", "corpus"),
        ("corpus-patches-compact", "corpus"),
    ],
)
def test_ready_made_settings_are_known_by_their_keys(name: str, kind: str) -> None:
    values, where = read_settings(name)
    assert settings_kind(values) == kind
    parse_settings(values, SETTINGS_KINDS[kind], where=where)


@pytest.mark.parametrize(
    "name", ["bedside", "fit", "demo", "corpus-compact", "corpus-patches-compact"]
)
def test_ready_made_settings_for_users_explain_every_line(name: str) -> None:
    lines = find_settings(name).read_text().splitlines()
    settings = [line for line in lines if line.strip() and not line.endswith(":")]
    # Of a list of recordings each speaks for itself.
    assert all("#" in line or line.lstrip().startswith('- "') for line in settings)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ("{}", "exactly one of classes, events, channel, task"),
        ("{classes: [a, b], channel: x}", "exactly one of"),
        ("{events: [go]}", "one event is one class"),
        ("{classes: [a, b], rest: true}", "rest is for events"),
        ("{classes: [a, b], threshold: 1}", "threshold is for one channel"),
    ],
)
def test_labels_that_mean_nothing_are_refused(tmp_path: Path, labels: str, part: str) -> None:
    assert part in refused(tmp_path, f"labels: {labels}\n", FitSettings)


def test_popt_is_tuned_only_where_there_is_one(tmp_path: Path) -> None:
    assert "tune popt needs" in refused(tmp_path, "tune: popt\n", FitSettings)


def refused(tmp_path: Path, text: str, model: type = Recipe) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(str(path), model)
    message = str(caught.value)
    assert "mine.yaml" in message
    assert "\n" not in message
    return message


GOOD = "mode: linear\nwindow: {length_s: 5, hop_s: 0.25}\nspectrogram: {form: running}\n"


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD.replace("hop_s", "hops"))
    assert "window.hops" in message
    assert "did you mean hop_s?" in message


def test_an_unknown_key_deep_in_a_list_names_the_nearest_known_one(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + "signal:\n - notch: {mains_hz: 50, upto_hz: 100}\n")
    assert "signal.0.notch.upto_hz" in message
    assert "did you mean up_to_hz?" in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (GOOD.replace("linear", "quadratic"), "mode"),
        (GOOD.replace("5,", "-5,"), "window.length_s"),
        (GOOD.replace("5,", ".inf,"), "window.length_s"),
        (GOOD + "signal: [{notch: {mains_hz: 55}}]\n", "signal.0.notch.mains_hz"),
        (GOOD + "signal: [{highpass_hz: 1, reference: car}]\n", "exactly one of"),
        ("- a\n- b\n", "expected keys and values"),
        ("mode: [\n", "not readable as YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not readable as YAML"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_key(
    tmp_path: Path, text: str, part: str
) -> None:
    assert part in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (GOOD.replace("5,", "five,"), "window.length_s: expected a number, got 'five'"),
        (GOOD.replace("5,", "-5,"), "window.length_s: expected a value above 0, got -5"),
        (GOOD.replace("mode: linear", ""), "mode is missing"),
        (GOOD + "signal: high\n", "signal: expected a list, got 'high'"),
        ("", "expected keys and values (key: value), got nothing"),
        ("a:\n\t- b\n", "not readable as YAML: line 2, column 1: a tab, where blanks indent"),
        ("\0", "not readable as YAML: it is not plain text"),
    ],
)
def test_what_a_library_finds_wrong_is_said_in_plain_words(
    tmp_path: Path, text: str, line: str
) -> None:
    message = refused(tmp_path, text)
    assert f"mine.yaml: {line}" in message
    assert not any(word in message for word in ("Input", "should", "Field", "token", "Errno"))


def test_a_folder_and_an_absent_file_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder: expected a YAML file"):
        read_settings(str(tmp_path))
    with pytest.raises(SettingsError, match=r"there is no file .*mine\.yaml"):
        read_settings(str(tmp_path / "mine.yaml"))


def of_bands(spectrogram: str = "", mode: str = "linear") -> str:
    window = "window: {length_s: 1.25, hop_s: 0.0625}"
    return f"mode: {mode}\n{window}\nspectrogram: {{form: bands{spectrogram}}}\n"


def test_bands_are_three_where_none_are_named_and_any_where_they_are() -> None:
    three = parse_settings(yaml.safe_load(of_bands()), Recipe, where="test").spectrogram
    assert [list(band.bins) for band in three.bands] == [
        [*range(1, 8)],
        [*range(2, 8)],
        [*range(4, 11)],
    ]
    assert (three.frame_hop_s, three.longest_frame_s, three.n_bins) == (1 / 32, 0.5, 20)
    one = ", bands: [{frame_s: 0.25, low_hz: 70, high_hz: 150}]"
    recipe = parse_settings(yaml.safe_load(of_bands(one)), Recipe, where="test")
    assert (recipe.spectrogram.longest_frame_s, recipe.spectrogram.n_bins) == (0.25, 21)
    again = recipe.model_dump(mode="json", exclude_unset=True)
    assert parse_settings(again, Recipe, where="test") == recipe


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (of_bands(mode="edge"), "form bands is for mode linear"),
        (of_bands(mode="streaming"), "form bands is for mode linear"),
        (of_bands(", n_freqs: 40"), "does not take n_freqs"),
        (of_bands(", bands: []"), "needs one band or more"),
        (of_bands(", frame_hop_s: 0.125"), "longer than the frames of 0.0625 s"),
        (of_bands(", bands: [{frame_s: 0.1, low_hz: 2, high_hz: 4}]"), "no bin of frames of 0.1 s"),
        (of_bands(", bands: [{frame_s: 99, low_hz: 2, high_hz: 4}]"), "at most 60 s"),
        (of_bands(", bands: [{frame: 1, low_hz: 2, high_hz: 4}]"), "did you mean frame_s?"),
        (of_bands(", clip: 0"), "spectrogram.clip"),
        (GOOD.replace("running", "running, robust: true"), "form running does not take robust"),
    ],
)
def test_bands_that_cannot_work_are_refused(tmp_path: Path, text: str, part: str) -> None:
    assert part in refused(tmp_path, text)


def test_published_mode_cannot_pool_the_end(tmp_path: Path) -> None:
    text = GOOD.replace("linear", "published").replace("running", "published")
    assert "encoder.pool" in refused(tmp_path, text)


def test_a_name_that_is_no_file_lists_the_ready_made_ones() -> None:
    with pytest.raises(SettingsError, match=r"did you mean linear\?"):
        load_settings("linaer", Recipe)


def test_of_ready_made_settings_those_that_are_meant_are_listed() -> None:
    with pytest.raises(SettingsError, match=r"or one of edge, linear, published, streaming$"):
        load_settings("qqqq", Recipe)
    with pytest.raises(SettingsError, match=r"name a file, or bedside$"):
        load_settings("qqqq", DecodeSettings)


def test_live_settings_need_a_stream_to_look_for(tmp_path: Path) -> None:
    assert "at least one of" in refused(tmp_path, "stream: {timeout_s: 3}\n", DecodeSettings)


def test_thresholds_and_a_preset_are_not_set_together() -> None:
    values = {"stream": {"name": "x"}, "preset": "balanced", "detect": {"speech": {"up": 0.5}}}
    with pytest.raises(SettingsError, match="give one of preset and detect, got preset balanced"):
        parse_settings(values, DecodeSettings, where="live.yaml")


def test_a_fieldtrip_buffer_has_no_other_source_to_accept(tmp_path: Path) -> None:
    text = 'stream: {fieldtrip: "127.0.0.1:1972", accept_other_source: true}\n'
    assert "accept_other_source is for LSL streams" in refused(tmp_path, text, DecodeSettings)


def test_the_mains_frequency_of_a_recipe_changes_in_every_step_that_has_one() -> None:
    steps = load_settings("published", Recipe).adapt(mains_hz=50).signal
    chosen = [step.quality or step.notch or step.published_laplacian for step in steps]
    assert [step.mains_hz for step in chosen if step is not None] == [50, 50]


def test_the_hop_of_a_recipe_changes_alone() -> None:
    recipe = load_settings("linear", Recipe)
    adapted = recipe.adapt(hop_s=0.5)
    assert adapted.window.hop_s == 0.5
    assert adapted.model_copy(update={"window": recipe.window}) == recipe


def test_a_recipe_without_a_notch_has_no_mains_frequency_to_change() -> None:
    recipe = parse_settings(yaml.safe_load(GOOD), Recipe, where="test")
    with pytest.raises(SettingsError, match="no notch"):
        recipe.adapt(mains_hz=50)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x, x]\nstream: {name: *a}\n", "an alias"),
        ("a: &a {x: 1}\nstream: {<<: *a}\n", "an alias"),
        ("stream: &s {name: *s}\n", "an alias"),
        ("stream: " + "[" * 20000 + "]" * 20000, "inside one another"),
        ("stream: " + "{a: " * 20000 + "1" + "}" * 20000, "inside one another"),
        ("- " * 20000 + "1", "inside one another"),
        ("stream: [" + "1, " * 80_000 + "1]", "more than 2000 values"),
        ("threads: " + "9" * 5000, "a number of 5000 characters"),
        ("threads: 0x" + "f" * 5000, "a number of 5002 characters"),
        ("threads: " + "1:" * 5000 + "1", "a number of"),
        ("stream: {name: 2026-13-45}", "month"),
        ("stream: {name: " + "x" * 2**18 + "}", "longer than"),
        ("? [a, b]\n: 1\n", "unhashable|hashable|unknown key"),
    ],
)
def test_settings_that_would_take_memory_or_time_without_end_are_refused_in_a_line(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "bomb.yaml").write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings(str(tmp_path / "bomb.yaml"), DecodeSettings)
    assert len(str(caught.value)) < 400


def test_every_ready_made_file_of_settings_is_within_the_limits() -> None:
    for path in sorted(Path(find_settings("bedside")).parent.glob("*.yaml")):
        read_settings(str(path))


def test_settings_that_disagree_are_named_and_not_printed_as_a_dict() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"up": 0.3, "down": 0.6}, DetectSettings, where="detect")
    assert "got down 0.6, up 0.3" in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        parse_settings({"name": "a", "fieldtrip": "h:1"}, StreamSettings, where="stream")
    assert "{" not in str(caught.value)
