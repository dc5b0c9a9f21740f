"""A readout that follows labels: what it learns, that it may be undone, and that it is causal."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge

from rtbrain.decoder import LinearReadout, Memory, Readout
from rtbrain.decoder.online import APART_S, GRACE_S, SupervisedReadout
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import fit_readout, remember
from rtbrain.types import Embedding, Floats, Quality

LABELS = ("rest", "speech")
DELAY_S = 0.2  # from the moment that a window describes to its end


def session(n: int, *, seed: int, shift: float = 0.0, lift: float = 1.5) -> tuple[Floats, Any]:
    """Windows of states that last 2 s, of which the second raises two features."""
    rng = np.random.default_rng(seed)
    states = np.arange(n) // 8 % 2
    features = rng.normal(3, 2, (n, 6)).astype(np.float32)
    features[:, :2] += lift * (2 * states[:, np.newaxis] - 1) + shift
    return features, states


def fitted(features: Floats, targets: Any, names: Sequence[str] = LABELS) -> tuple[Readout, Memory]:
    rows = np.arange(len(features))
    labelled = Labelled(rows, targets, tuple(names), rows * APART_S)
    found = fit_readout(features, labelled, embargo_s=2.0)
    return Readout(found.readout), remember(features, labelled, found, most=10_000)


class Live:
    """Windows and markers that arrive in time, after some delay."""

    def __init__(self, texts: Sequence[str], delay_s: Callable[[int], float] = lambda n: 0) -> None:
        n_windows = range(len(texts))
        changes = [n for n in n_windows if n == 0 or texts[n] != texts[n - 1]]
        due = [(n * APART_S, texts[n], n * APART_S + delay_s(n)) for n in changes]
        self.due, self.now_s = due, 0.0

    def markers(self, timeout_s: float) -> list[tuple[float, str]]:
        came = [(at_s, text) for at_s, text, due_s in self.due if due_s <= self.now_s]
        self.due = [one for one in self.due if one[2] > self.now_s]
        return came

    def decode(self, readout: SupervisedReadout, features: Floats, first: int = 0) -> Floats:
        """Outputs of windows, then of silence until the last of them is labelled."""
        values = []
        for number, row in enumerate(features, start=first):
            moment_s = number * APART_S
            self.now_s = moment_s + DELAY_S
            values.append(readout(embedding(row, moment_s)).values)
        return np.array(values)


def embedding(features: Floats, moment_s: float, *, valid: bool = True) -> Embedding:
    quality = Quality(np.ones(1, bool), valid=valid)
    return Embedding(np.zeros((1, 1), np.float32), features, moment_s, moment_s + DELAY_S, quality)


def finish(live: Live, readout: SupervisedReadout, n: int) -> None:
    """Let the last windows be labelled: one that is not valid ends after the grace."""
    live.now_s = n * APART_S + GRACE_S + 1
    readout(embedding(np.zeros(6, np.float32), live.now_s, valid=False))


@pytest.mark.parametrize("half_life", [np.inf, 100.0])
def test_values_are_learned_as_by_a_ridge_regression_of_all_weighted_windows(
    half_life: float,
) -> None:
    rng = np.random.default_rng(1)
    old, new = (rng.normal(1, 2, (n, 6)).astype(np.float32) for n in (160, 80))
    true = rng.normal(size=6)
    of_old, of_new = ((x @ true + rng.normal(0, 0.3, len(x)))[:, np.newaxis] for x in (old, new))
    of_new += 0.4
    stage, memory = fitted(old, of_old.astype(np.float32), ["value"])
    live = Live([repr(float(value)) for value in of_new[:, 0]])
    readout = SupervisedReadout(
        stage, memory, ["value"], live.markers, prior=1.0, half_life=half_life
    )
    live.decode(readout, new)
    finish(live, readout, 80)
    assert readout.n_labelled == 80
    fade = 0.5 ** (8 * np.arange(80 // 8)[::-1].repeat(8) / half_life)
    z = np.concatenate((memory.z.astype(float), memory.standardise(new)))
    theirs = Ridge(alpha=1 / memory.c.item()).fit(
        z, np.concatenate((of_old, of_new))[:, 0], sample_weight=np.append(memory.weights, fade)
    )
    expected = theirs.coef_ / memory.scale
    np.testing.assert_allclose(readout.readout.weight[0], expected, atol=2e-3)
    bias = theirs.intercept_ - expected @ memory.mean
    assert readout.readout.bias[0] == pytest.approx(bias, abs=5e-3)
    assert np.abs(readout.readout.weight - readout.frozen.weight).max() > 5e-3


def test_classes_are_learned_nearly_as_by_a_regression_of_all_windows() -> None:
    (old, of_old), (new, of_new) = session(400, seed=2), session(800, seed=3, shift=1.0)
    stage, memory = fitted(old, of_old)
    live = Live([LABELS[state] for state in of_new])
    readout = SupervisedReadout(stage, memory, LABELS, live.markers, prior=1.0, half_life=np.inf)
    outputs = live.decode(readout, new)
    z = np.concatenate((memory.z.astype(float), memory.standardise(new)))
    theirs = LogisticRegression(C=memory.c.item(), class_weight="balanced", max_iter=1000)
    theirs.fit(z, np.append(of_old, of_new))
    logit = theirs.decision_function(memory.standardise(new)) / memory.temperature.item()
    expected = np.stack((1 - expit(logit), expit(logit)), axis=1)
    frozen, ours = (np.array([one(x) for x in new]) for one in (readout.frozen, readout.readout))
    error, before = (np.abs(one - expected).mean() for one in (ours, frozen))
    assert error < 0.03 < 0.06 < before
    right = [(one.argmax(axis=1) == of_new)[400:].mean() for one in (outputs, frozen)]
    assert right[0] > right[1] + 0.02
    assert readout.better > 0.02
    assert readout.n_rolled_back == 0


def test_decodes_do_not_depend_on_how_late_markers_are() -> None:
    (old, of_old), (new, of_new) = session(200, seed=4), session(160, seed=5, shift=2.0)
    outputs = []
    for late in (False, True):
        stage, memory = fitted(old, of_old)
        delays = np.random.default_rng(6).uniform(0.8, 0.98, 160) * GRACE_S * late
        live = Live([LABELS[state] for state in of_new], lambda n, of=delays: float(of[n]))
        outputs.append(live.decode(SupervisedReadout(stage, memory, LABELS, live.markers), new))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_without_labels_it_is_the_readout_of_the_bundle_and_after_reset_it_is_new() -> None:
    (old, of_old), (new, of_new) = session(200, seed=7), session(160, seed=8, shift=2.0)
    stage, memory = fitted(old, of_old)
    plain = np.array([stage(embedding(row, 0.0)).values for row in new])
    silent = Live(["elsewhere"] * 160)
    readout = SupervisedReadout(stage, memory, LABELS, silent.markers)
    np.testing.assert_array_equal(silent.decode(readout, new), plain)
    assert readout.n_labelled == 0
    outputs = []
    for _ in range(2):
        live = Live([LABELS[state] for state in of_new])
        readout._markers = live.markers
        readout.reset()
        outputs.append(live.decode(readout, new))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - plain).max() > 0.02


def test_what_no_longer_holds_is_rolled_back_and_said() -> None:
    (old, of_old), (new, of_new) = session(200, seed=9), session(1200, seed=10)
    told = [LABELS[1 - state if n < 600 else state] for n, state in enumerate(of_new)]
    stage, memory = fitted(old, of_old)
    live, events = Live(told), []
    readout = SupervisedReadout(
        stage,
        memory,
        LABELS,
        live.markers,
        on_event=lambda event, **of: events.append((event, of)),
        prior=0.1,
    )
    live.decode(readout, new[:600])
    assert readout.better > 0.1
    assert not events
    outputs = live.decode(readout, new[600:], first=600)
    assert {event for event, _ in events} == {"rolled_back"}
    assert "balanced accuracy" in events[0][1]["reason"]
    assert readout.n_rolled_back == len(events)
    assert (outputs.argmax(axis=1) == of_new[600:])[-200:].mean() > 0.8


def test_no_step_moves_the_outputs_far_whatever_the_markers_say() -> None:
    rng = np.random.default_rng(11)
    old = rng.normal(3, 2, (160, 6)).astype(np.float32)
    values = (old[:, :1] + rng.normal(0, 0.3, (160, 1))).astype(np.float32)
    stage, memory = fitted(old, values, ["value"])
    most = 2.9 * (values.max() - values.min()) / 2 + (values.max() + values.min()) / 2
    live = Live([repr(float(most))] * 8)
    readout = SupervisedReadout(stage, memory, ["value"], live.markers)
    live.decode(readout, old[:8])
    finish(live, readout, 8)
    moved = [readout.readout(row) - readout.frozen(row) for row in old]
    assert 0 < np.sqrt(np.square(moved).mean()) < 0.55 * values.std()


def values_of(n: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 2, (n, 6)).astype(np.float32)
    return features, (features[:, :1] + rng.normal(0, 0.3, (n, 1))).astype(np.float32)


def test_the_last_value_labels_nothing_once_its_task_is_over() -> None:
    (old, of_old), (new, of_new) = values_of(160, 17), values_of(480, 18)
    stage, memory = fitted(old, of_old, ["value"])
    live = Live([repr(float(value)) for value in of_new[:80, 0]])
    readout = SupervisedReadout(stage, memory, ["value"], live.markers)
    live.decode(readout, new)
    assert 80 <= readout.n_labelled <= 84
    moved = np.array([readout.readout(row) - readout.frozen(row) for row in new])
    assert np.sqrt(np.square(moved).mean()) < 0.2 * of_old.std()


def test_a_class_ends_after_half_a_minute_or_with_its_stream() -> None:
    (old, of_old), (new, _) = session(200, seed=19), session(400, seed=20)
    stage, memory = fitted(old, of_old)
    live = Live(["speech"] * 400)
    readout = SupervisedReadout(stage, memory, LABELS, live.markers)
    live.decode(readout, new)
    assert readout.n_labelled == 121
    readout.reset()
    live = Live(["speech"] * 400)
    readout._markers = live.markers
    live.decode(readout, new[:20])
    readout.forget_labels()
    live.decode(readout, new[20:], first=20)
    assert 15 <= readout.n_labelled <= 20


def test_values_that_cannot_be_are_ignored_and_said_once() -> None:
    (old, of_old), (new, of_new) = values_of(160, 21), values_of(320, 22)
    told = [repr(float(value)) for value in of_new[:, 0]]
    told[40], told[41] = "1e9", "-1e200"
    stage, memory = fitted(old, of_old, ["value"])
    live, events = Live(told), []
    readout = SupervisedReadout(
        stage, memory, ["value"], live.markers, on_event=lambda *of, **at: events.append((of, at))
    )
    with np.errstate(all="raise"):
        outputs = live.decode(readout, new)
    assert np.isfinite(outputs).all()
    ((event, fields),) = events
    assert event == ("label_ignored",)
    assert "1e9" in fields["reason"]
    assert "2 values out of range ignored" in readout.about
    assert readout._square < 1e5, "what a roll-back is judged by is of this world"


def test_markers_that_no_window_uses_are_not_kept_for_ever() -> None:
    (old, of_old), (new, _) = session(200, seed=23), session(8, seed=24)
    stage, memory = fitted(old, of_old)
    many = iter(range(5000))
    readout = SupervisedReadout(
        stage, memory, LABELS, lambda timeout_s: [(float(next(many)), "rest")]
    )
    for number in range(3000):
        readout(embedding(new[0], float(number), valid=False))
    assert len(readout._heard) <= 1000


def test_however_long_the_markers_mislead_the_outputs_move_only_so_far() -> None:
    rng = np.random.default_rng(25)
    (old, of_old), (new, _) = values_of(160, 26), values_of(800, 27)
    stage, memory = fitted(old, of_old, ["value"])
    high = (of_old.max() + of_old.min()) / 2 + 1.3 * np.ptp(of_old)  # 6 deviations
    live = Live([repr(float(high + one)) for one in rng.normal(size=800)])
    readout = SupervisedReadout(stage, memory, ["value"], live.markers, prior=1e-3)
    live.decode(readout, new)
    moved = [readout.readout(row) - readout.frozen(row) for row in old]
    assert np.sqrt(np.square(moved).mean()) / of_old.std() == pytest.approx(4.0, abs=0.2)


def test_nothing_is_learned_while_the_normaliser_forgets_another_session() -> None:
    (old, of_old), (new, of_new) = session(200, seed=15), session(160, seed=16, shift=2.0)
    stage, memory = fitted(old, of_old)
    live = Live([LABELS[state] for state in of_new])
    readout = SupervisedReadout(stage, memory, LABELS, live.markers, settle_s=30.0)
    live.decode(readout, new[:120])
    assert readout.readout is readout.frozen
    assert readout.n_labelled > 100
    live.decode(readout, new[120:], first=120)
    assert readout.readout is not readout.frozen


def test_windows_at_events_are_labelled_by_their_own_marker() -> None:
    (old, of_old), (new, of_new) = session(200, seed=13), session(160, seed=14, shift=2.0)
    stage, memory = fitted(old, of_old)
    told = [(3.0 * n, LABELS[state]) for n, state in enumerate(of_new)]
    now = [0.0]

    def markers(timeout_s: float) -> list[tuple[float, str]]:
        came = [one for one in told if one[0] <= now[0]]
        del told[: len(came)]
        return came

    readout = SupervisedReadout(stage, memory, LABELS, markers, event_s=1.0)
    for number, row in enumerate(new):
        now[0] = 3.0 * number + 1.0
        assert [text for _, text in readout.pull_labels(0.0)] == [LABELS[of_new[number]]]
        readout(embedding(row, now[0] - DELAY_S))
    assert readout.n_labelled == 159
    assert isinstance(readout.readout, LinearReadout)
    assert readout.better > 0.05
