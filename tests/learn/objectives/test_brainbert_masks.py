"""Masks against a loop that was written otherwise, and against the published statistics."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.learn.objectives.brainbert import SpanMask, Spans, adaptive_mask, fixed_mask
from rtbrain.spectrogram import superlet

T, F = 186, 40


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and length of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return [(int(a), int(b - a)) for a, b in itertools.pairwise(edges)][::2]


def spectrograms(n_items: int, n_frames: int, n_freqs: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_items, n_frames, n_freqs)).astype(np.float32)


def fates(spans: Spans) -> list[str]:
    found = []
    for item in range(len(spans.inside)):
        for start, length in runs(spans.inside[item]):
            at = np.arange(start, start + length)
            zeroed, source = spans.zeroed[item, at], spans.source[item, at]
            assert zeroed.all() or not zeroed.any()
            assert (np.diff(source) == 1).all()
            assert source[0] >= 0
            assert source[-1] < spans.inside.shape[1]
            found.append("zero" if zeroed[0] else "kept" if source[0] == start else "replaced")
    return found


def corrupted_cell_by_cell(mask: SpanMask, target: np.ndarray) -> np.ndarray:
    seen = target.copy()
    for b, t, f in np.ndindex(target.shape):
        if mask.rows[b, t, f]:
            seen[b, t, f] = 0 if mask.time.zeroed[b, t] else target[b, mask.time.source[b, t], f]
    left = seen.copy()
    for b, t, f in np.ndindex(target.shape):
        if mask.freq.inside[b, f]:
            seen[b, t, f] = 0 if mask.freq.zeroed[b, f] else left[b, t, mask.freq.source[b, f]]
    return seen


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=40)
def test_spans_are_never_longer_than_allowed_and_never_touch(
    seed: int, n_items: int, n_frames: int, n_freqs: int
) -> None:
    mask = fixed_mask(np.random.default_rng(seed), n_items, n_frames, n_freqs)
    for spans, longest in ((mask.time, 5), (mask.freq, 2)):
        for row, offset in zip(spans.inside, spans.offset, strict=True):
            for start, length in runs(row):
                # Two spans that touch would make one run in which the offset begins anew.
                assert offset[start : start + length].tolist() == list(range(length))
                assert length <= longest


@pytest.mark.parametrize("make", [fixed_mask, adaptive_mask])
def test_what_is_hidden_is_inside_the_loss_and_what_is_outside_is_seen(make) -> None:
    target = spectrograms(20, 100, F)
    mask = make(np.random.default_rng(1), *target.shape)
    seen = mask.corrupt(target)
    spans = mask.rows | mask.freq.inside[:, None, :]
    np.testing.assert_array_equal(mask.loss, spans)
    np.testing.assert_array_equal(seen[~spans], target[~spans])
    assert (seen != target).any()
    assert not (seen != target)[~mask.loss].any()


@pytest.mark.parametrize("make", [fixed_mask, adaptive_mask])
def test_what_is_seen_is_what_a_loop_over_cells_gives(make) -> None:
    target = spectrograms(6, 90, F)
    before = target.copy()
    mask = make(np.random.default_rng(2), *target.shape)
    np.testing.assert_array_equal(mask.corrupt(target), corrupted_cell_by_cell(mask, target))
    np.testing.assert_array_equal(target, before)


@pytest.mark.parametrize("make", [fixed_mask, adaptive_mask])
def test_masks_depend_on_the_generator_alone(make) -> None:
    first, again, other = (make(np.random.default_rng(seed), 8, T, F) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.loss, again.loss)
    np.testing.assert_array_equal(first.time.source, again.time.source)
    assert (first.loss != other.loss).any()


def test_one_span_in_ten_is_kept_one_replaced_and_eight_are_zero() -> None:
    mask = fixed_mask(np.random.default_rng(5), 600, T, F)
    for spans in (mask.time, mask.freq):
        found = fates(spans)
        spread = 4 * np.sqrt(0.1 * 0.9 / len(found))
        # A replaced span shows itself about once in n.
        for fate, share in (("kept", 0.1), ("replaced", 0.1), ("zero", 0.8)):
            assert found.count(fate) / len(found) == pytest.approx(share, abs=spread + 1 / 40)


def test_lengths_are_uniform() -> None:
    mask = fixed_mask(np.random.default_rng(6), 600, T, F)
    for spans, longest in ((mask.time, 5), (mask.freq, 2)):
        lengths = [length for row in spans.inside for _, length in runs(row)]
        shares = np.bincount(lengths, minlength=longest + 1)[1:] / len(lengths)
        np.testing.assert_allclose(shares, 1 / longest, atol=4 / np.sqrt(len(lengths)))


def statistics(mask: SpanMask) -> dict[str, float]:
    hidden = mask.rows | mask.freq.inside[:, None, :]
    columns = mask.freq.inside
    labelled = mask.loss.all(axis=1)
    return {
        "rows": float(mask.time.inside.mean()),
        "columns": float(columns.mean()),
        "loss": float(mask.loss.mean()),
        "unmodified": float((mask.loss & ~hidden).sum() / mask.loss.sum()),
        "outside": float((columns & ~labelled).sum() / columns.sum()),
    }


def test_upstream_labels_give_the_published_statistics() -> None:
    # Over ten seeds of 2,000 items of 186 x 40: rows 12.72 +- 0.10 %, columns 6.18 +- 0.07 %,
    # loss 23.6 +- 0.2 %, unmodified 43.4 +- 0.3 %, outside 87.3 +- 0.6 %.
    mask = fixed_mask(np.random.default_rng(7), 2000, T, F, upstream_labels=True)
    published = {
        "rows": (0.128, 0.003),
        "columns": (0.060, 0.004),
        "loss": (0.236, 0.007),
        "unmodified": (0.43, 0.012),
        "outside": (0.876, 0.02),
    }
    for name, value in statistics(mask).items():
        expected, spread = published[name]
        assert value == pytest.approx(expected, abs=spread), name


def test_right_labels_leave_nothing_unmodified_and_no_column_outside() -> None:
    right = statistics(fixed_mask(np.random.default_rng(7), 400, T, F))
    assert right["unmodified"] == right["outside"] == 0
    assert right["loss"] == pytest.approx(0.181, abs=0.006)


def test_labels_do_not_change_what_is_hidden() -> None:
    right = fixed_mask(np.random.default_rng(8), 50, T, F)
    upstream = fixed_mask(np.random.default_rng(8), 50, T, F, upstream_labels=True)
    target = spectrograms(50, T, F)
    np.testing.assert_array_equal(right.corrupt(target), upstream.corrupt(target))
    assert (right.loss != upstream.loss).any()


def test_adaptive_spans_are_longer_at_low_and_wider_at_high_frequencies() -> None:
    mask = adaptive_mask(np.random.default_rng(9), 30, T, F)
    freqs_hz = np.linspace(superlet._LOWEST_HZ, superlet._HIGHEST_HZ, F)
    for bin_, f in enumerate(freqs_hz):
        half = max(1, int(200 / (25 + f)))
        lengths = {n for row in mask.rows[:, :, bin_] for _, n in runs(row)}
        assert lengths == {2 * half + 1}, f
    for row in mask.freq.inside:
        for start, n in runs(row):
            assert n == max(1, int(4.9 * freqs_hz[start] / 250))
    assert mask.rows[:, :, 0].mean() > 3 * mask.rows[:, :, -1].mean()


@given(st.integers(1, 30), st.integers(2, 12))
@settings(max_examples=30)
def test_adaptive_masks_fit_any_shape(n_frames: int, n_freqs: int) -> None:
    target = spectrograms(3, n_frames, n_freqs)
    mask = adaptive_mask(np.random.default_rng(0), *target.shape)
    assert mask.corrupt(target).shape == mask.loss.shape == target.shape
