"""No training window knows what a test window holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import inner_folds
from rtbrain.learn.fit.splits import (
    block_folds,
    clip_folds,
    group_folds,
    subsample,
    unsafe_random_folds,
)

LENGTH = 5  # hops a window


def labels_of(runs: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(runs)) % 2, runs).astype(np.int64)


def labelled(
    targets: np.ndarray, t_s: np.ndarray | None = None, recordings: list[str] | tuple[()] = ()
) -> Labelled:
    rows = np.arange(len(targets))
    t_s = rows.astype(float) if t_s is None else t_s
    return Labelled(rows, targets, ("rest", "speech"), t_s, recordings)


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 60), min_size=4, max_size=30),
    st.integers(2, 6),
    st.integers(0, 20),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_training_windows_share_no_sample_with_and_keep_an_embargo_from_test_windows(
    runs: list[int], n_folds: int, settling: int, n_recordings: int, random
) -> None:
    targets = labels_of(runs)
    recordings = sorted(f"r{random.randrange(n_recordings)}" for _ in targets)
    hops = np.concatenate(
        [
            np.cumsum([random.choice((1, 1, 1, 7)) for _ in range(recordings.count(name))])
            for name in dict.fromkeys(recordings)
        ]
    )
    hop_s = 0.1
    embargo = LENGTH + settling
    try:
        folds = block_folds(
            labelled(targets, hops * hop_s, recordings),
            n_folds=n_folds,
            embargo_s=embargo * hop_s,
        )
    except SettingsError:
        return
    assert len(folds) == n_folds
    np.testing.assert_array_equal(
        np.sort(np.concatenate([f.test for f in folds])), range(hops.size)
    )
    place = np.array(recordings)
    for fold in folds:
        same = place[fold.train][:, np.newaxis] == place[fold.test]
        apart = np.abs(hops[fold.train][:, np.newaxis] - hops[fold.test])
        assert np.all(apart[same] >= max(embargo, LENGTH))
        assert set(targets[fold.train]) == set(targets[fold.test]) == {0, 1}


def test_blocks_are_contiguous_and_of_equal_counts() -> None:
    targets = labels_of([23, 31, 19, 40, 27, 33])
    folds = block_folds(labelled(targets), n_folds=3, embargo_s=4)
    assert [(fold.test[0], fold.test[-1]) for fold in folds] == [(0, 57), (58, 114), (115, 172)]
    assert all(np.all(np.diff(fold.test) == 1) for fold in folds)
    assert folds[1].train.tolist() == [*range(54), *range(119, 173)]


def test_several_short_blocks_a_fold_are_dealt_where_one_would_lack_a_class() -> None:
    targets = labels_of([200, 10, 10, 10, 10])
    folds = block_folds(labelled(targets), n_folds=2, embargo_s=3)
    for fold in folds:
        assert np.count_nonzero(np.diff(fold.test) > 1) >= 1
        assert set(targets[fold.test]) == set(targets[fold.train]) == {0, 1}


def test_too_few_stretches_of_a_class_are_refused_with_their_count() -> None:
    targets = labels_of([50, 50, 50, 50, 50])
    with pytest.raises(
        SettingsError, match=r"rest 3, speech 2: record more changes, or use 2 folds"
    ):
        block_folds(labelled(targets), n_folds=5, embargo_s=2)
    with pytest.raises(SettingsError, match=r"rest 1, speech 1: record more changes$"):
        block_folds(labelled(labels_of([50, 50])), n_folds=2, embargo_s=2)
    with pytest.raises(SettingsError, match="with a gap between"):
        block_folds(labelled(targets), n_folds=2, embargo_s=500)
    with pytest.raises(SettingsError, match="2 or more"):
        block_folds(labelled(targets), n_folds=1, embargo_s=2)


def test_values_to_predict_are_split_in_equal_blocks() -> None:
    values = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    folds = block_folds(labelled(values), n_folds=4, embargo_s=5)
    assert [fold.test.size for fold in folds] == [25] * 4
    assert folds[0].train[0] == 30
    with pytest.raises(SettingsError, match="nothing to train on"):
        block_folds(labelled(values), n_folds=2, embargo_s=100)


def test_each_recording_gives_a_block_to_each_fold() -> None:
    targets = np.tile(labels_of([10] * 8), 2)
    recordings = ["a"] * 80 + ["b"] * 80
    t_s = np.tile(np.arange(80.0), 2)
    folds = block_folds(labelled(targets, t_s, recordings), n_folds=4, embargo_s=3)
    for fold in folds:
        assert fold.test.size == 40
        assert np.count_nonzero(fold.test < 80) == 20


def test_a_session_is_held_out_whole() -> None:
    groups = ["s1"] * 10 + ["s2"] * 20 + ["s3"] * 10
    folds = group_folds(groups, labelled(labels_of([5] * 8)))
    assert [fold.name for fold in folds] == ["s1", "s2", "s3"]
    assert folds[1].test.tolist() == list(range(10, 30))
    assert folds[1].train.tolist() == [*range(10), *range(30, 40)]
    with pytest.raises(SettingsError, match="one group only, s1"):
        group_folds(["s1"] * 40, labelled(labels_of([5] * 8)))
    with pytest.raises(SettingsError, match="holding out s1 leaves no speech for test"):
        group_folds(groups, labelled(labels_of([10, 10, 10, 10])))


def test_random_folds_hold_every_window_out_once_and_repeat_with_their_seed() -> None:
    folds = unsafe_random_folds(103, n_folds=5, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), range(103))
    again = unsafe_random_folds(103, n_folds=5, seed=1)
    for fold, same in zip(folds, again, strict=True):
        np.testing.assert_array_equal(fold.test, same.test)
        assert not set(fold.train) & set(fold.test)
        assert fold.train.size + fold.test.size == 103
    near = np.abs(folds[0].test[:, np.newaxis] - folds[0].train).min(axis=1)
    assert np.median(near) == 1  # what makes them unsafe


def test_thinning_keeps_the_ends_and_even_spacing() -> None:
    rows = np.arange(0, 1000, 3)
    few = subsample(rows, 50)
    assert few.size == 50
    assert (few[0], few[-1]) == (0, 999)
    assert np.ptp(np.diff(few)) <= 3
    np.testing.assert_array_equal(subsample(rows, 5000), rows)


def test_clips_of_one_class_are_held_out_whole() -> None:
    of_clips = [0, 1, 1, 0, 1, 0, 1]
    targets = np.repeat(of_clips, 10).astype(np.int64)
    clips = labelled(targets, np.arange(70.0), np.repeat(list("abcdefg"), 10).tolist())
    folds = clip_folds(clips, n_folds=5)
    assert [fold.name for fold in folds] == ["clips 1", "clips 2", "clips 3"]
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(70))
    for fold in folds:
        assert not set(fold.train // 10) & set(fold.test // 10)
        assert set(targets[fold.test]) == set(targets[fold.train]) == {0, 1}
    with pytest.raises(SettingsError, match="2 or more of each of two classes, got rest 1, "):
        clip_folds(clips.pick(np.arange(30)), n_folds=5)


def test_blocks_of_clips_are_whole_clips_also_inside_the_training_windows() -> None:
    targets = np.repeat([0, 1] * 4, 10).astype(np.int64)
    clips = labelled(targets, np.tile(np.arange(10.0), 8), np.repeat(list("abcdefgh"), 10).tolist())
    for n_folds, n_found in ((3, 3), (8, 4)):
        folds = block_folds(clips, n_folds=n_folds, embargo_s=1)
        assert len(folds) == n_found
        for fold in folds:
            assert not set(fold.train // 10) & set(fold.test // 10)
    inside = inner_folds(clips, embargo_s=1)
    assert len(inside.folds) == 4
    for train, test in inside.folds:
        assert not set(inside.rows[train] // 10) & set(inside.rows[test] // 10)
    few = clips.pick(np.arange(40))
    assert not inner_folds(few, embargo_s=1).folds, "two clips of each class are too few"
