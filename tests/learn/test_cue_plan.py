"""Cues that follow a stored plan are drawn again from it; others are not taken for them."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtbrain
from rtbrain.config import LabelSettings
from rtbrain.errors import SettingsError
from rtbrain.learn.cue_plan import CuePlan, ScreenPlan, stored_design
from rtbrain.learn.fit.labels import Labelled, states_from_markers
from rtbrain.learn.nulls import REDRAWN, null_targets
from rtbrain.learn.report.page import fit_page
from rtbrain.marks import BREAK, DROPPED, PAUSED, PLAN_MARKER, RESUMED, cue_blocks
from rtbrain.recording.recording import Event, Recording
from tests.conftest import brain_like, montage_of

PLAN = {"classes": ["rest", "go"], "n_per_class": 15, "duration_s": [3, 7], "seed": 5}
LABELS = LabelSettings(classes=("rest", "go"))


def cued(plan: CuePlan, first_s: float = 12.0) -> tuple[Recording, list[Event]]:
    drawn = plan.draw(np.random.default_rng(plan.seed))
    events = [replace(event, onset_s=event.onset_s + first_s) for event in drawn]
    montage = montage_of(1, 100.0)
    recording = Recording(
        montage,
        20_000,
        lambda start, stop: np.zeros((1, stop - start), np.float32),
        events=tuple(events),
    )
    return recording, events


def windows_of(events: list[Event]) -> Labelled:
    return states_from_markers(np.arange(5, 180, 0.5), events, ("rest", "go"))


def test_a_plan_in_a_marker_or_a_file_gives_other_draws_of_the_same_design(tmp_path: Path) -> None:
    recording, events = cued(CuePlan(**PLAN))
    labelled = windows_of(events)
    assert stored_design(LABELS, [recording], labelled, 0.0) is None
    marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + json.dumps(PLAN)), *events))
    path = tmp_path / "cues.json"
    path.write_text(json.dumps(PLAN))
    filed = LABELS.model_copy(update={"plan": str(path)})
    for design in (
        stored_design(LABELS, [marked], labelled, 0.0),
        stored_design(filed, [recording], labelled, 0.0),
    ):
        assert design is not None
        np.testing.assert_array_equal(design(np.random.default_rng(5)), labelled.targets)
        drawn = null_targets(labelled, embargo_s=6.0, n_permutations=60, design=design)
        assert (drawn.how, drawn.n) == (REDRAWN, 60)
        assert set(np.unique(drawn.targets)) == {0, 1}
        changes = np.count_nonzero(np.diff(drawn.targets, axis=1), axis=1)
        assert np.ptp(changes) > 0
        assert drawn.overlap < 0.25


def test_a_plan_that_one_of_two_recordings_lacks_is_not_used_and_that_is_said() -> None:
    recording, events = cued(CuePlan(**PLAN))
    marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + json.dumps(PLAN)), *events))
    notes: list[str] = []
    both = [marked, recording]
    assert stored_design(LABELS, both, windows_of(events), 0.0, notes.append) is None
    assert notes[0].startswith("no plan of cues in recording 2 of 2: labels are shifted for p")
    assert stored_design(LABELS, both[1:], windows_of(events), 0.0, notes.append) is None
    assert len(notes) == 1


def fit(markers: list[tuple[float, str]], **options: Any) -> rtbrain.FittedDecoder:
    source = brain_like(2, 27_000, 100.0), 100.0, ("A1", "A2")
    recipe = {
        "mode": "linear", "signal": [], "window": {"length_s": 1, "hop_s": 1.0},
        "encoder": {"n_pooled": 4},
        "spectrogram": {"form": "running", "frame_s": 0.4, "frame_hop_s": 0.1, "n_freqs": 20},
    }  # fmt: skip
    return rtbrain.fit(
        rtbrain.read(source, events=markers), classes=("rest", "go"), recipe=recipe,
        front_end="recipe", n_folds=3, n_permutations=9, **options,
    )  # fmt: skip


def test_a_fit_draws_the_plan_again_and_its_report_does_not_say_where_it_lay(
    tmp_path: Path,
) -> None:
    path = tmp_path / "Erika-Mustermann.json"
    path.write_text(json.dumps(PLAN))
    plan = CuePlan(**PLAN)
    _, events = cued(plan)
    fitted = fit([(event.onset_s, event.text) for event in events], plan=path)
    assert fitted.report["null_distribution"]["how"] == REDRAWN
    assert "Mustermann" not in fit_page(fitted.bundle, {}) + repr(fitted.bundle)


def test_a_fit_draws_the_plan_of_a_marker_again_after_a_pause_and_a_dropped_block() -> None:
    fitted = fit(on_screen())
    null = fitted.report["null_distribution"]
    assert (null["how"], null["n"]) == (REDRAWN, 9)
    assert any(note.startswith("2 of 30 cues are left out") for note in fitted.notes)


def test_markers_that_are_not_those_of_the_plan_are_refused(tmp_path: Path) -> None:
    recording, events = cued(CuePlan(**PLAN))
    path = tmp_path / "cues.json"
    path.write_text(json.dumps(PLAN | {"seed": 6}))
    labels = LABELS.model_copy(update={"plan": str(path)})
    with pytest.raises(SettingsError, match="does not give the 30 markers"):
        stored_design(labels, [recording], windows_of(events), 0.0)
    for broken, why in (("no json", "holds no plan"), ('{"seed": -1}', "the plan of cues")):
        marked = replace(recording, events=(Event(0.0, 0.0, PLAN_MARKER + broken), *events))
        with pytest.raises(SettingsError, match=why):
            stored_design(LABELS, [marked], windows_of(events), 0.0)


SCREEN = CuePlan(
    classes=("rest", "go"), n_per_class=15, duration_s=(3, 7), pause_s=(2, 3), settle_s=1, seed=5,
    max_alike=2,
)  # fmt: skip


def on_screen(plan: CuePlan = SCREEN, first_s: float = 12.0) -> list[tuple[float, str]]:
    """Markers of a run: the cues are paused in block 4, and block 7 is dropped after its end."""
    markers, later_s = [(first_s - 1, plan.marker())], 0.0
    for number, cue in enumerate(plan.draw(np.random.default_rng(plan.seed))):
        t = first_s + cue.onset_s + later_s
        markers.append((t, cue.text))
        if number == 4:
            markers += [(t + 2, PAUSED), (t + 62, RESUMED), (t + 62, plan.marker())]
            later_s += 65
            continue
        markers.append((t + cue.duration_s, BREAK))
        if number == 7:
            markers.append((t + cue.duration_s + 1, DROPPED))
    return markers


def test_an_order_has_as_many_of_each_and_never_more_alike_in_a_row_than_said() -> None:
    for seed in range(50):
        order = SCREEN.order(np.random.default_rng(seed))
        assert order.count("rest") == order.count("go") == 15
        assert not any(len(set(order[at : at + 3])) == 1 for at in range(28))
    cues = SCREEN.draw(np.random.default_rng(5))
    gaps_s = [b.onset_s - a.onset_s - a.duration_s for a, b in pairwise(cues)]
    assert all(2 <= gap_s <= 3 for gap_s in gaps_s)
    assert all(3 <= cue.duration_s <= 7 for cue in cues)


def test_blocks_end_with_their_cue_and_those_that_an_operator_dropped_are_left_out() -> None:
    markers = on_screen()
    blocks = cue_blocks(markers, SCREEN.classes)
    assert [n for n, block in enumerate(blocks) if block.left_out] == [4, 7]
    assert (blocks[4].left_out, blocks[7].left_out) == (PAUSED, DROPPED)
    notes: list[str] = []
    events = [Event(s, 0.0, text) for s, text in markers]
    times = np.arange(5, 400, 0.05)
    found = states_from_markers(times, events, ("rest", "go"), on_note=notes.append)
    inside = np.zeros(times.size, np.bool_)
    for block in blocks:
        begun = times >= block.start_s + SCREEN.settle_s - 1e-6
        inside |= begun & (times < block.stop_s) & (not block.left_out)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(inside))
    assert notes == ['2 of 30 cues are left out: 1 by "block dropped", 1 by "cues paused"']


def test_a_plan_is_drawn_again_after_a_pause_and_a_dropped_block_and_only_its_order() -> None:
    markers = on_screen()
    recording, _ = cued(SCREEN)
    recording = replace(recording, events=tuple(Event(s, 0.0, text) for s, text in markers))
    labelled = states_from_markers(np.arange(5, 400, 0.5), recording.events, ("rest", "go"))
    design = stored_design(LABELS, [recording], labelled, 0.0)
    assert design is not None
    np.testing.assert_array_equal(design(np.random.default_rng(SCREEN.seed)), labelled.targets)
    blocks = cue_blocks(markers, SCREEN.classes)
    of_window = np.searchsorted([one.start_s for one in blocks], labelled.t_s, side="right") - 1
    for seed in range(20):  # each is the order of the same plan, laid over the same blocks
        rng = np.random.default_rng(1000 + seed)
        order = SCREEN.order(np.random.default_rng(1000 + seed))
        expected = [("rest", "go").index(order[number]) for number in of_window]
        np.testing.assert_array_equal(design(rng), expected)


def test_a_recording_that_began_late_or_holds_two_runs_has_its_design_too() -> None:
    markers = on_screen()
    other = SCREEN.model_copy(update={"seed": 6, "n_per_class": 4})
    again = [(s + 500, text) for s, text in on_screen(other)]
    recording, _ = cued(SCREEN)
    for shown, seeds in ((markers[4:], (5,)), (markers + again, (5, 6))):
        events = tuple(Event(s, 0.0, text) for s, text in shown)
        labelled = states_from_markers(np.arange(5, 700, 0.5), events, ("rest", "go"))
        design = stored_design(LABELS, [replace(recording, events=events)], labelled, 0.0)
        assert design is not None
        if len(seeds) == 1:
            np.testing.assert_array_equal(design(np.random.default_rng(5)), labelled.targets)
        assert np.ptp([design(np.random.default_rng(n)).sum() for n in range(9)]) >= 0
        assert set(np.unique(design(np.random.default_rng(1)))) == {0, 1}


def test_marks_of_people_and_of_other_programs_are_no_cues_of_the_screen() -> None:
    markers = on_screen()
    own = [Event(s, 0.0, text, stream="rtbrain-cues") for s, text in markers]
    others = [Event(0.1 + s, 0.0, "go", stream="rtbrain-view-marks") for s in range(0, 300, 3)]
    events = (*own, *others)
    found = [
        states_from_markers(np.arange(5, 400, 0.5), one, ("rest", "go")) for one in (own, events)
    ]
    np.testing.assert_array_equal(found[0].rows, found[1].rows)
    np.testing.assert_array_equal(found[0].targets, found[1].targets)
    recording = replace(cued(SCREEN)[0], events=events)
    design = stored_design(LABELS, [recording], found[1], 0.0)
    assert design is not None
    np.testing.assert_array_equal(design(np.random.default_rng(5)), found[1].targets)


def test_markers_of_a_screen_that_do_not_fit_its_plan_are_said_and_shifted() -> None:
    markers = [(s, {"rest": "go", "go": "rest"}.get(text, text)) for s, text in on_screen()]
    recording, _ = cued(SCREEN)
    events = tuple(Event(s, 0.0, text) for s, text in markers)
    labelled = states_from_markers(np.arange(5, 400, 0.5), events, ("rest", "go"))
    notes: list[str] = []
    marked = replace(recording, events=events)
    assert stored_design(LABELS, [marked], labelled, 0.0, notes.append) is None
    assert "does not give the 30 markers" in notes[0]
    assert notes[0].endswith("labels are shifted for p")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"duration_s": (8, 8)}, "strict pace.*expected 4.8 to 11.2 s or wider"),
        ({"duration_s": (0.3, 0.9), "settle_s": 0}, "would change after 0.3 s.*can harm"),
        ({"pause_s": (0.2, 0.5)}, "pause_s: the screen would change after 0.2 s"),
        ({"max_alike": 1}, "lets two classes take turns"),
        ({"classes": ("rest", "pause")}, "'pause' is a marker of the cue screen"),
        ({"looks": {"sing": {"word": "Sing"}}}, "'sing' is none of rest, go"),
        ({"looks": {"go": {"word": "Go", "colour": "red"}}}, "colour"),
        ({"settle_s": 4.5}, "leave under 0.5 s"),
    ],
)
def test_a_plan_that_could_harm_or_tells_nothing_is_refused(
    values: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        ScreenPlan.model_validate({"classes": ("rest", "go"), "seed": 1} | values)
    usual = ScreenPlan(classes=("rest", "go"), seed=1)
    assert usual.randomness == pytest.approx(0.4)
    assert not usual.note
    assert "± 25%" in usual.model_copy(update={"duration_s": (6, 10)}).note
