"""Channel quality on recorded sEEG and ECoG: the one dead contact is called, and no other."""

import numpy as np
import pytest

from rtbrain.recording.open import read_recording
from rtbrain.signal import ChannelQuality
from rtbrain.types import Chunk

RECORDED = {
    # AL8: 8 µV where the others of its shaft have 100 to 156, correlated by 0.09 with them.
    "seeg-hfo/sub-01/*/ieeg/*.vhdr": (1.0, {"AL8": "uncorrelated"}),
    # Its header makes the signals a million times too large.
    "ecog-gripforce/*/*/ieeg/*.vhdr": (1e-6, {}),
    "ecog-montage/*.fif": (1.0, {}),
}


@pytest.mark.shared
@pytest.mark.parametrize("pattern", RECORDED)
def test_only_the_dead_contact_of_the_recordings_is_called(pattern, shared):
    scale, bad = RECORDED[pattern]
    recording = read_recording(next((shared / "data").glob(pattern)))
    data = (recording.reader(0, recording.n_samples) * scale).astype(np.float32)
    stamps = np.arange(recording.n_samples) / recording.montage.sfreq_hz
    stage = ChannelQuality(recording.montage)
    stage(Chunk(data, stamps, 0))
    assert stage.bad == bad
