"""Sessions of synthetic patients who watch films, and what is known of the signals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal as filters

from rtbrain.learn.leaderboard.ceiling import (
    EnergyPosterior,
    contacts_auc,
    mean_energy_auc,
    quarter_levels,
)
from rtbrain.learn.leaderboard.film import (
    NOISE,
    QUANTITIES,
    QUARTERS,
    RISE_DB,
    TASKS,
    VALUES,
    WINDOW_S,
    Film,
    draw_film,
    drive,
)
from rtbrain.synthetic.noise import RandomStream
from rtbrain.synthetic.patient import BANDS_HZ, Patient
from rtbrain.synthetic.signal import SyntheticSignal
from rtbrain.types import Doubles, Floats, Ints, Mask, Montage

SFREQ_HZ = 1024.0
N_PATIENTS, N_SESSIONS = 6, 2
BEFORE_S = 0.25  # before a window, for frames whose middle lies in it
_N_CHANNELS = 51
_CONTACTS_A_FOCUS = 2
_LEAST_EFFECT = 0.75
_FIRST_SEED = 1000  # no encoder that ships was trained on these
_DAY_S = 86_400.0
_LEVELS = 200
_GAIN_DRIFT_DB = 1.0
# The ideal feature: whitened, between the band's edges and without mains.
_TAPS, _EDGE_HZ, _MAINS_HZ, _NOTCH_HZ = 1025, 2.0, 120.0, 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Participant:
    """A patient, and the contacts that are read: two at each focus of a task."""

    number: int
    patient: Patient
    contacts: Ints  # int64 [n_contacts]
    foci: Ints  # int64 [n_contacts]: the focus of each

    @property
    def montage(self) -> Montage:
        """The contacts."""
        whole = self.patient.montage
        names = tuple(whole.names[row] for row in self.contacts)
        kinds = tuple(whole.kinds[row] for row in self.contacts)
        return replace(whole, names=names, kinds=kinds, positions=None)

    def gains(self, levels: Doubles) -> Doubles:
        """Gain of high gamma at each contact for levels [5, n] of the foci: [n_contacts, n]."""
        positions_mm = self.patient.implant.positions_mm[self.contacts]
        effects = np.stack([f.effect(positions_mm) for f in self.patient.foci[: len(RISE_DB)]], 1)
        highest = 10 ** (self.patient.level.high_gamma_db / 20) - 1
        response = np.minimum(effects @ _driven(self.patient, levels), 1.0)
        return np.asarray(1 + highest * response, np.float64)

    def ideal_row(self, task: str) -> int:
        """The contact that answers most to a task."""
        return int(np.flatnonzero(self.foci == TASKS.index(task))[0])


def draw_participants(n: int = N_PATIENTS) -> list[Participant]:
    """Patients of one family whose electrodes reach the focus of every task."""
    found: list[Participant] = []
    seed = _FIRST_SEED
    while len(found) < n:
        patient = Patient(
            seed,
            n_channels=_N_CHANNELS,
            sfreq_hz=SFREQ_HZ,
            task="high_gamma",
            difficulty="hard",
            gain_drift_db=_GAIN_DRIFT_DB,
        )
        seed += 1
        positions_mm = patient.implant.positions_mm
        effects = [focus.effect(positions_mm) for focus in patient.foci[: len(RISE_DB)]]
        if min(effect.max() for effect in effects) < _LEAST_EFFECT:
            continue
        best = [np.argsort(-effect)[:_CONTACTS_A_FOCUS] for effect in effects]
        foci = np.repeat(np.arange(len(best)), _CONTACTS_A_FOCUS)
        found.append(Participant(len(found), patient, np.concatenate(best), foci))
    return found


@dataclass(frozen=True, eq=False)
class Session:
    """A film that a participant watched, and what is known of the signals."""

    participant: Participant
    number: int
    film: Film
    energies: Doubles  # float64 [5, n_events]: ideal feature, at the best contact of each task
    clean: Mask  # bool [n_events]: whether no movement is in the window
    correlation: Doubles  # float64 [n_contacts, n_contacts], of the background

    def ideal_of(self, task: str, rows: Ints) -> Doubles | None:
        """The best that the ideal feature says of events, [n_rows, n_outputs]; None of noise."""
        quantity = (QUARTERS | VALUES).get(task, task)
        if quantity == NOISE:
            return None
        energies = self.energies[TASKS.index(quantity)]
        if quantity == task:
            return np.asarray(energies[rows, np.newaxis])
        unit = energies[self.clean].mean() / self._powers(quantity)[self.clean].mean()
        posterior = self._posterior(quantity)
        made = posterior.quarters if task in QUARTERS else posterior.values
        return made(energies[rows] / unit)

    def ceiling(self, task: str, rows: Ints, labels: npt.NDArray[Any]) -> tuple[float, float]:
        """Best score of these events at one contact, and at all, NaN where that is not known."""
        quantity = (QUARTERS | VALUES).get(task, task)
        if quantity == NOISE:
            return (0.0, 0.0) if task in VALUES else (0.5, 0.5)
        powers = self._powers(quantity)[rows]
        if quantity == task:
            found = mean_energy_auc(powers[labels == 1], powers[labels == 0], ideal_dof())
            return found, self._bounds[task]
        levels = self.film.quantities[self.film.part[rows], QUANTITIES.index(quantity)]
        posterior = self._posterior(quantity)
        if task in VALUES:
            return posterior.expected_r(levels), np.nan
        return posterior.expected_auc(levels, labels), np.nan

    def _powers(self, task: str) -> Doubles:
        """True power at the best contact of a task in each window, without its unit."""
        levels = self.film.levels(self.film.times_s + WINDOW_S / 2)
        row = self.participant.ideal_row(task)
        return np.asarray(self.participant.gains(levels)[row] ** 2)

    def _posterior(self, quantity: str) -> EnergyPosterior:
        levels = np.zeros((len(RISE_DB), _LEVELS))
        levels[TASKS.index(quantity)] = (np.arange(_LEVELS) + 0.5) / _LEVELS
        row = self.participant.ideal_row(quantity)
        return EnergyPosterior(self.participant.gains(levels)[row] ** 2, ideal_dof())

    @cached_property
    def _bounds(self) -> dict[str, float]:
        """AUC of the likelihood ratio of all contacts, by task."""
        low_hz, high_hz = BANDS_HZ["high gamma"]
        dof = 2 * (high_hz - low_hz) * WINDOW_S
        silence, gains = np.zeros((len(RISE_DB), 1)), self.participant.gains
        found = {}
        for task in RISE_DB:
            row = TASKS.index(task)
            if task not in QUANTITIES:
                # Some words of a sentence fall into the time when its beginning is driven too.
                levels = silence.copy()
                levels[:2] = 1.0
                pairs = [(levels, silence)]
            else:
                pairs = []
                for high in quarter_levels()[0]:
                    for low in quarter_levels()[1]:
                        on, off = silence.copy(), silence.copy()
                        on[row], off[row] = high, low
                        pairs.append((on, off))
            areas = [
                contacts_auc(self.correlation, gains(on)[:, 0], gains(off)[:, 0], dof)
                for on, off in pairs
            ]
            found[task] = float(np.mean(areas))
        return found


def play_session(
    participant: Participant, number: int, duration_s: float, on_second: Callable[[], None]
) -> tuple[Session, Floats]:
    """Session of a participant, the second a day after the first, and its signals in microvolts.

    They are float32 [n_contacts, n_samples].
    """
    patient = participant.patient
    film = draw_film(1000 * patient.seed + number, duration_s)
    first = round(number * _DAY_S)

    def activation(first_sample: int, n_samples: int) -> Floats:
        times_s = (first_sample + np.arange(n_samples)) / SFREQ_HZ - first
        levels = np.zeros((len(patient.foci), n_samples), np.float32)
        levels[: len(RISE_DB)] = _driven(patient, film.levels(times_s))
        return levels

    synthesis = SyntheticSignal(patient, activation)
    n_blocks = round(duration_s)
    data = np.empty((participant.contacts.size, n_blocks * synthesis.block_samples), np.float32)
    moves = np.empty(data.shape[1], np.float32)
    for block in range(n_blocks):
        part = slice(block * synthesis.block_samples, (block + 1) * synthesis.block_samples)
        data[:, part] = synthesis.block(first + block)[participant.contacts]
        on_second()
        moves[part] = synthesis.movements.block(first + block)[0]
    total = np.concatenate([[0.0], np.cumsum(moves, dtype=np.float64)])
    start = np.rint((film.times_s - BEFORE_S) * SFREQ_HZ).astype(np.int64)
    stop = start + round((BEFORE_S + WINDOW_S) * SFREQ_HZ)
    read = np.ix_(participant.contacts, participant.contacts)
    correlation = synthesis.background_correlation[read].astype(np.float64)
    clean = total[stop] - total[start] < 1e-3
    energies = _ideal_energies(participant, first + film.times_s, data, film.times_s)
    return Session(participant, number, film, energies, clean, correlation), data


def _ideal_energies(
    participant: Participant, clock_s: Doubles, data: Floats, times_s: Doubles
) -> Doubles:
    """Energy of whitened high gamma in each window at each task's best contact, without drift."""
    taps, _ = _whitening()
    rows = [participant.ideal_row(task) for task in RISE_DB]
    white = filters.oaconvolve(data[rows].astype(np.float64), taps[np.newaxis], "same", axes=1)
    total = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(white**2, axis=1)], axis=1)
    start = np.rint(times_s * SFREQ_HZ).astype(np.int64)
    energy = total[:, start + round(WINDOW_S * SFREQ_HZ)] - total[:, start]
    drift_db = participant.patient.drift_db(RandomStream.GAIN, clock_s + WINDOW_S / 2)
    return np.asarray(energy / 10 ** (drift_db[participant.contacts[rows]] / 10))


def _driven(patient: Patient, levels: Doubles) -> Floats:
    """Activations of the tasks' foci for levels [5, n]."""
    highest_db = patient.level.high_gamma_db
    return np.stack(
        [drive(db, highest_db, level) for db, level in zip(RISE_DB.values(), levels, strict=True)]
    )


def _whitening() -> tuple[Doubles, float]:
    """Filter that whitens high gamma, and the bandwidth of white noise that it leaves, Hz."""
    low_hz, high_hz = BANDS_HZ["high gamma"]
    edges = [low_hz + _EDGE_HZ, _MAINS_HZ - _NOTCH_HZ, _MAINS_HZ + _NOTCH_HZ, high_hz - _EDGE_HZ]
    freqs_hz = np.arange(0, SFREQ_HZ / 2 + 0.5)
    inside = (freqs_hz >= edges[0]) & (freqs_hz <= edges[3])
    inside &= (freqs_hz <= edges[1]) | (freqs_hz >= edges[2])
    gain = np.where(inside, freqs_hz / low_hz, 0.0)  # the background falls as 1/f²
    taps = filters.firwin2(_TAPS, freqs_hz, gain, fs=SFREQ_HZ)
    f_hz, response = filters.freqz(taps, worN=8192, fs=SFREQ_HZ)
    density = np.abs(response / np.maximum(f_hz, 1.0)) ** 2
    return taps, float(density.sum() ** 2 / (density**2).sum() * (f_hz[1] - f_hz[0]))


def ideal_dof() -> float:
    """Degrees of freedom of the ideal feature."""
    return 2 * WINDOW_S * _whitening()[1]
