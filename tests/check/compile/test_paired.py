"""What compiling costs, counted: differences of embeddings, changes of scores, two at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from rtbrain.check.compile.paired import (
    PairedEncoder,
    PairedReadout,
    SpectrogramCollector,
    decisive,
    eager_reference,
    embedding_errors,
    score_changes,
)
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.encoder import BrainBERTSizes, EncoderModel, PopTSizes, random_encoder
from rtbrain.errors import RecordingError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.types import Embedding, Floats, Mask, Quality, Spectrogram

LENGTH_S = 2.0
SIZES = BrainBERTSizes(16, 32, 2, 1, 8)
POPT_SIZES = PopTSizes(16, 16, 32, 2, 1)


def test_equal_vectors_do_not_differ() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    found = embedding_errors(vectors, vectors.copy())
    assert found.cosine_p99 == pytest.approx(0, abs=1e-12)
    assert (found.largest, found.n_vectors) == (0, 50)


def test_cosines_are_of_what_is_left_of_the_shared_mean() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(400, 8))
    own -= own.mean(axis=0)
    error = rng.normal(size=own.shape) * 0.1
    shared = 100.0
    found = embedding_errors(
        (own + shared).astype(np.float32), (own + error + shared).astype(np.float32)
    )
    other = own + error
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(other, axis=1)
    expected = np.percentile(1 - (own * other).sum(axis=1) / lengths, (50, 99))
    assert (found.cosine_p50, found.cosine_p99) == pytest.approx(expected, rel=1e-3)
    assert found.largest == pytest.approx(np.abs(error).max(), rel=1e-3)


def test_an_error_that_all_vectors_share_is_seen() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    assert embedding_errors(vectors, vectors + 2).cosine_p50 > 0.1


def test_one_window_is_too_few_to_compare() -> None:
    with pytest.raises(RecordingError, match="2 or more windows"):
        embedding_errors(np.ones((1, 4), np.float32), np.ones((1, 4), np.float32))


def _decoded(seed: int, noise: float) -> tuple[Floats, Labelled]:
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(40) % 2, 10).astype(np.int64)
    logit = 2.0 * targets - 1 + rng.normal(0, noise, targets.size)
    on = 1 / (1 + np.exp(-logit))
    rows = np.arange(targets.size)
    labelled = Labelled(rows, targets, ("rest", "speech"), rows * 0.5)
    return np.stack([1 - on, on], 1).astype(np.float32), labelled


def test_scores_are_those_of_scikit_learn_and_their_fall_is_what_is_lost() -> None:
    before, labelled = _decoded(0, 0.8)
    after, _ = _decoded(1, 3.0)
    targets = labelled.targets
    found = score_changes(before, after, labelled, block_s=10.0)
    for outputs, name in ((before, "before"), (after, "after")):
        auc = roc_auc_score(targets, outputs[:, 1])
        accuracy = balanced_accuracy_score(targets, outputs.argmax(axis=1))
        assert getattr(found["auc"], name) == pytest.approx(auc)
        assert getattr(found["balanced_accuracy"], name) == pytest.approx(accuracy)
    name, change = decisive(found)
    assert name == "auc"
    assert change.fall == pytest.approx(change.before - change.after)
    assert change.low < -change.fall < change.high < 0, "a fall that large is no chance"


def test_a_decoder_that_is_the_same_changes_by_nothing_without_any_block() -> None:
    before, labelled = _decoded(2, 2.0)
    change = score_changes(before, before.copy(), labelled, block_s=10.0)["auc"]
    assert (change.fall, change.low, change.high) == (0, 0, 0)


def test_a_decoder_of_values_is_judged_by_its_correlation() -> None:
    rng = np.random.default_rng(3)
    targets = rng.normal(size=(300, 1)).astype(np.float32)
    worse = (targets + rng.normal(size=targets.shape)).astype(np.float32)
    labelled = Labelled(np.arange(300), targets, ("force",), np.arange(300.0))
    name, change = decisive(score_changes(targets, worse, labelled, block_s=10.0))
    assert name == "pearson_r"
    assert change.before == pytest.approx(1)
    assert change.after == pytest.approx(np.corrcoef(worse[:, 0], targets[:, 0])[0, 1], rel=1e-4)


class Scaled:
    """Encoder stage: the mean frame of each channel, times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.n_calls = 0

    def __call__(self, item: Spectrogram) -> Embedding:
        self.n_calls += 1
        channels = (self.factor * item.data.mean(axis=1)).astype(np.float32)
        return Embedding(channels, channels.sum(axis=0), item.t_stop, item.t_stop, item.quality)

    def reset(self) -> None:
        self.n_calls = 0


def exact(spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
    channels = spectrogram.mean(axis=1)
    return channels, channels.sum(axis=0)


def spectrogram(number: int, good: Mask | None = None, n_channels: int = 3) -> Spectrogram:
    data = np.random.default_rng(number).normal(size=(n_channels, 6, 4)).astype(np.float32)
    good = np.ones(n_channels, np.bool_) if good is None else good
    return Spectrogram(data, LENGTH_S + number, Quality(good))


def twin_of(after: Scaled, *, every: int = 1, most: int = 100) -> PairedEncoder:
    return PairedEncoder(Scaled(1), after, exact, length_s=LENGTH_S, most=most, every=every)


@settings(max_examples=25)
@given(st.lists(st.booleans(), min_size=3, max_size=12), st.floats(0, 0.9))
def test_each_of_two_decoders_decodes_as_if_it_were_alone(
    valid: list[bool], smoothing: float
) -> None:
    weights = LinearReadout(np.eye(2, 4, dtype=np.float32), np.zeros(2, np.float32), "regression")
    encoder = twin_of(Scaled(1.5))
    both = PairedReadout(
        Readout(weights, smoothing=smoothing), Readout(weights, smoothing=smoothing), encoder
    )
    alone = [(Scaled(factor), Readout(weights, smoothing=smoothing)) for factor in (1, 1.5)]
    for number, is_valid in enumerate(valid):
        item = spectrogram(number)
        if is_valid:
            given_items = [encoder(item), *(each(item) for each, _ in alone)]
        else:
            quality = Quality(item.quality.good, valid=False)
            nothing = np.zeros(0, np.float32)
            broken = Embedding(np.zeros((0, 0), np.float32), nothing, 0.0, 0.0, quality)
            given_items = [broken] * 3
        found = both(given_items[0])
        expected = [readout(g) for (_, readout), g in zip(alone, given_items[1:], strict=True)]
        np.testing.assert_array_equal(found.values, expected[0].values)
        np.testing.assert_array_equal(both.decodes[-1].values, expected[1].values)


def test_only_some_windows_are_compared_and_only_their_good_channels() -> None:
    encoder = twin_of(Scaled(2), every=3, most=4)
    good = np.array([True, False, True])
    for number in range(20):
        encoder(spectrogram(number, good))
    channels, population = encoder.differences()
    assert (channels.n_vectors, population.n_vectors, encoder.n_compared) == (8, 4, 4)


def test_windows_that_were_calibrated_on_are_not_decoded() -> None:
    after = Scaled(1)
    encoder = twin_of(after)
    encoder.from_s = 5.0
    valid = [encoder(spectrogram(number)).quality.valid for number in range(8)]
    assert valid == [False] * 5 + [True] * 3, "a window begins LENGTH_S before it ends"
    assert after.n_calls == encoder.n_compared == 3


def test_gathered_windows_end_in_time_and_hold_good_channels_only() -> None:
    kept = SpectrogramCollector(until_s=LENGTH_S + 6, most=3, every=2)
    for number in range(20):
        item = spectrogram(number, np.array([False, True, True]))
        item.data[0] = np.nan
        assert not kept(item).quality.valid
    assert len(kept.windows) == 3
    for number, window in zip((0, 2, 4), kept.windows, strict=True):
        np.testing.assert_array_equal(window[[1, 2]], spectrogram(number).data[[2, 1]])
        assert np.isfinite(window).all()


def test_the_eager_model_is_asked_without_a_warning_for_views_that_are_read_only() -> None:
    brainbert = random_encoder(SIZES, 0)
    model = EncoderModel(brainbert, random_encoder(POPT_SIZES, 1), n_pooled=2)
    data = np.random.default_rng(0).normal(size=(3, 12, 8)).astype(np.float32)
    data.setflags(write=False)
    channels, population = eager_reference(model, np.full((3, 3), 90), threads=1)(
        data, np.ones(3, bool)
    )
    assert (channels.shape, population.shape) == ((3, 16), (16,))
