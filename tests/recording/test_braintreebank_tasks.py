"""Labelled events against the rules, written out word by word."""

import numpy as np
import pytest

from rtbrain.errors import RecordingError, SettingsError
from rtbrain.recording.braintreebank import open_trial
from rtbrain.recording.braintreebank_tasks import TASKS, WINDOWS_S, labelled_events
from tests.recording.treebank import write_trial

RATE_HZ = 256
N_SAMPLES = 200 * RATE_HZ
ORIGIN = 5 * RATE_HZ
COLUMNS = ("is_onset", "rms", "pitch")


def film(seed=0):
    """Sentences of words with pauses of up to 12 s between them, and one word within another."""
    rng = np.random.default_rng(seed)
    words, now = [], 0.7
    while now < 160:
        for place in range(int(rng.integers(1, 6))):
            stop = now + rng.uniform(0.1, 0.5)
            loud = rng.lognormal()
            pitch = rng.normal(150, 30)
            words.append((f"w{len(words)}", now, stop, int(place == 0), loud, pitch))
            now = stop + rng.uniform(0, 0.2)
        now += rng.uniform(0.5, 12)
    words.append(("within", words[3][1] + 0.01, words[3][1] + 0.02, 0, "", ""))
    return words


@pytest.fixture
def trial(tmp_path):
    triggers = [(second, ORIGIN + second * RATE_HZ) for second in range(0, 190, 2)]
    data = np.zeros((5, N_SAMPLES), np.float32)
    opened = open_trial(write_trial(tmp_path, data, triggers, film(), columns=COLUMNS))
    yield opened
    opened.recording.close()


def seconds(samples):
    return (np.asarray(samples) - ORIGIN) / RATE_HZ


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rules", list(WINDOWS_S))
def test_labels_are_balanced_sorted_seeded_and_windows_fit(task, rules, trial):
    events = labelled_events(trial, task, rules, seed=3)
    assert (np.diff(events.samples) >= 0).all()
    assert events.labels.sum() * 2 == events.labels.size > 0
    assert events.window_s == {"published": (-2.5, 2.5), "neuroprobe": (0, 1)}[rules]
    assert (events.samples + events.window_s[0] * RATE_HZ >= 0).all()
    assert (events.samples + events.window_s[1] * RATE_HZ <= N_SAMPLES).all()
    again = labelled_events(trial, task, rules, seed=3)
    np.testing.assert_array_equal(again.samples, events.samples)
    np.testing.assert_array_equal(again.labels, events.labels)


@pytest.mark.parametrize("task", ["onset", "speech"])
@pytest.mark.parametrize("rules", list(WINDOWS_S))
def test_speech_is_words_against_seconds_without_any(task, rules, trial):
    events = labelled_events(trial, task, rules, seed=0)
    spoken = [word for word in film() if task == "speech" or word[3] == 1]
    starts = np.rint([word[1] * RATE_HZ + ORIGIN for word in spoken]).astype(int)
    assert np.isin(events.samples[events.labels == 1], starts).all()
    silent_s = seconds(events.samples[events.labels == 0])
    for at_s in silent_s:
        start_s = at_s - 0.5 if rules == "published" else at_s
        before, after = (0.0, 0.0) if rules == "published" else (2.0, 3.0)
        rounding_s = 1 / RATE_HZ
        for _, word_start_s, word_stop_s, *_ in film():
            clear = word_stop_s <= start_s - before + rounding_s
            assert clear or word_start_s >= start_s + 1 + after - rounding_s


def test_silences_are_every_half_second_of_every_pause_that_is_long_enough(tmp_path):
    words = [("a", 1.0, 1.5, 1, 1, 1), ("b", 9.5, 10.0, 1, 2, 2), ("c", 15.9, 16.0, 1, 3, 3)]
    triggers = [(second, ORIGIN + second * RATE_HZ) for second in range(0, 40, 2)]
    data = np.zeros((5, N_SAMPLES), np.float32)
    path = write_trial(tmp_path, data, triggers, words * 3, columns=COLUMNS)
    events = labelled_events(open_trial(path), "speech", "neuroprobe", seed=0)
    # 1.5 + 2 to 9.5 - 4; the second pause is shorter than 6 s; nothing before or after the words.
    silent_s = seconds(events.samples[events.labels == 0])
    assert set(silent_s) <= {3.5, 4.0, 4.5, 5.0, 5.5}
    assert silent_s.size == 3


def test_quartiles_are_by_the_share_of_words_strictly_below(trial):
    for task, column in (("volume", 4), ("pitch", 5)):
        values = np.array([word[column] for word in film()[:-1]])
        share = np.array([np.mean(values < value) for value in values])
        starts = np.rint([word[1] * RATE_HZ + ORIGIN for word in film()[:-1]]).astype(int)
        events = labelled_events(trial, task, "neuroprobe", seed=1)
        high, low = (np.sort(starts[fit]) for fit in (share > 0.75, share < 0.25))
        assert np.isin(events.samples[events.labels == 1], high).all()
        assert np.isin(events.samples[events.labels == 0], low).all()
        assert events.labels.sum() == min(high.size, low.size)


def test_what_cannot_be_asked_for_gets_one_line(trial, tmp_path):
    with pytest.raises(SettingsError, match="no Brain Treebank task 'taste': there are onset"):
        labelled_events(trial, "taste", "published", seed=0)
    with pytest.raises(SettingsError, match="no rules 'mine': there are published, neuroprobe"):
        labelled_events(trial, "onset", "mine", seed=0)
    triggers = [(0.0, 0), (2.0, 2 * RATE_HZ)]
    data = np.zeros((5, N_SAMPLES), np.float32)
    path = write_trial(tmp_path / "b", data, triggers, [("a", 3, 4, 1, "", 1)], columns=COLUMNS)
    poor = open_trial(path)
    with pytest.raises(RecordingError, match=r"onset by the neuroprobe rules: no event of label 0"):
        labelled_events(poor, "onset", "neuroprobe", seed=0)
    with pytest.raises(RecordingError, match="no word has a value"):
        labelled_events(poor, "volume", "published", seed=0)
    (tmp_path / "b/transcripts/a-film/features.csv").unlink()
    with pytest.raises(RecordingError, match="no words"):
        labelled_events(open_trial(path), "onset", "published", seed=0)
