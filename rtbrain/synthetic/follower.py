"""A patient who does what a cue screen says."""

from collections.abc import Callable, Iterable

import numpy as np

from rtbrain.marks import CUE_WORDS, SCREEN_MARKER
from rtbrain.synthetic.patient import Patient
from rtbrain.types import Floats

_KEPT = 16  # states, of which a block of signal needs the last


class Follower:
    """A patient who does what the cues of a screen say, and the task of its own before and after.

    Parameters
    ----------
    cues : callable
        Markers since the last call. Those of the patient's classes begin them, others of a cue
        screen end them; a cue is followed from the next second of signal on, like a reaction.
        That of the screen's own end is the last.
    """

    def __init__(self, patient: Patient, cues: Callable[[], Iterable[str]]) -> None:
        self.patient, self._cues = patient, cues
        self._starts, self._states = [0], [0]

    @property
    def following(self) -> bool:
        """Whether a cue has come."""
        return len(self._starts) > 1

    def activation(self, first_sample: int, n_samples: int) -> Floats:
        """As `Patient.activation`, of samples that follow one another."""
        classes = self.patient.classes
        for text in self._cues():
            if text in classes:
                self._change(first_sample, classes.index(text))
            elif text.startswith(SCREEN_MARKER):
                self._starts, self._states = [0], [0]
            elif self.following and text in CUE_WORDS:
                self._change(first_sample, 0)
        if not self.following:
            return self.patient.activation(first_sample, n_samples)
        # No focus changes at the last start: it lies after these samples and their delays.
        far = first_sample + n_samples + round(60 * self.patient.sfreq_hz)
        starts = np.array([*self._starts, far], np.int64)
        states = np.array([*self._states, self._states[-1]], np.int64)
        return self.patient.activation(first_sample, n_samples, (starts, states))

    def _change(self, sample: int, state: int) -> None:
        if not self.following:
            self._states = [int(self.patient.state_at(max(0, sample - 1)))]
        self._starts = [*self._starts, sample][-_KEPT:]
        self._states = [*self._states, state][-_KEPT:]
