"""The law of the stages, for each stage and for random chains of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.types import Chunk
from tests.signal.recording import (
    MONTAGE,
    STAGES,
    chain_of,
    cut_sizes,
    joined,
    pieces,
    same,
    segments,
)

every_stage = pytest.mark.parametrize("name", STAGES)
few = settings(max_examples=8)

# Each reference needs neighbours by label, which bipolar names no longer have: it comes last.
chains = st.tuples(
    st.lists(st.sampled_from([n for n in STAGES if n not in ("bipolar", "laplacian")]), max_size=3),
    st.sampled_from([[], ["laplacian"], ["bipolar"]]),
    st.lists(st.sampled_from(["notch", "high-pass", "down to half", "pick"]), max_size=2),
).map(lambda parts: parts[0] + parts[1] + parts[2])
# Rates below twice the mains leave nothing to notch.
chains = chains.filter(lambda names: sum(name.startswith("down") for name in names) <= 2)
# The published Laplacian leaves one contact of a shaft of three, whose mean is refused.
chains = chains.filter(lambda names: not {"published laplacian", "shaft mean"} <= set(names))


@every_stage
@given(sizes=cut_sizes(), with_nan=st.booleans())
@few
def test_a_stage_gives_the_same_whole_or_in_pieces(name, sizes, with_nan):
    recording = segments(with_nan)
    whole, cut = chain_of([name]), chain_of([name])
    wanted = joined([whole(chunk) for chunk in recording])
    got = joined([cut(piece) for chunk in recording for piece in pieces(chunk, sizes)])
    same(got, wanted)
    assert len(got) == len(recording)


@every_stage
def test_after_a_gap_a_stage_is_as_new(name):
    used = chain_of([name])
    for chunk in segments(with_nan=True):
        np.testing.assert_array_equal(used(chunk).data, chain_of([name])(chunk).data)


@given(names=chains, sizes=cut_sizes())
@settings(max_examples=25)
def test_a_chain_gives_the_same_whole_or_in_pieces(names, sizes):
    recording = segments()
    whole, cut = chain_of(names), chain_of(names)
    wanted = joined([whole(chunk) for chunk in recording])
    got = joined([cut(piece) for chunk in recording for piece in pieces(chunk, sizes)])
    same(got, wanted)
    assert all(chunk.data.shape[0] == cut.montage.n_channels for chunk in got)


@every_stage
def test_the_future_changes_nothing_already_given(name):
    past = segments()[0]
    calm, wild = chain_of([name]), chain_of([name])
    before = pieces(past, [50])
    other = [Chunk(1e4 - 3 * c.data, c.timestamps, c.first_sample) for c in before[4:]]
    given_calm = [calm(chunk) for chunk in before]
    given_wild = [wild(chunk) for chunk in before[:4] + other]
    same(given_wild[:4], given_calm[:4])
    assert not np.array_equal(given_wild[-1].data, given_calm[-1].data)


@every_stage
def test_reset_equals_new(name):
    used = chain_of([name])
    for chunk in segments(with_nan=True):
        used(chunk)
    used.reset()
    new = chain_of([name])
    again = segments(start=77)
    same([used(chunk) for chunk in again], [new(chunk) for chunk in again])


@every_stage
def test_a_stage_leaves_its_input_unchanged(name):
    stage = chain_of([name])
    for chunk in segments(with_nan=True):
        data, stamps = chunk.data.copy(), chunk.timestamps.copy()
        chunk.data.flags.writeable = False
        stage(chunk)
        np.testing.assert_array_equal(chunk.data, data)
        np.testing.assert_array_equal(chunk.timestamps, stamps)


@every_stage
def test_an_empty_chunk_gives_an_empty_chunk_of_the_stages_montage(name):
    stage = chain_of([name])
    empty = Chunk(np.empty((MONTAGE.n_channels, 0), np.float32), np.empty(0), 0)
    made = stage(empty)
    assert made.data.shape == (stage.montage.n_channels, 0)
    assert made.first_sample == 0


@every_stage
def test_a_gap_declared_by_an_empty_chunk_is_not_forgotten(name):
    first, second, _ = segments()
    plain, split = chain_of([name]), chain_of([name])
    wanted = joined([plain(first), plain(second)])
    head, tail = pieces(second, [0, 400])[:2]
    assert head.gap == 37
    assert head.n_samples == 0
    assert tail.gap == 0
    same(joined([split(first), split(head), split(tail)]), wanted)
