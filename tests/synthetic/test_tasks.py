"""What of the signal follows the task, how labels lag, and what drifts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

import rtbrain
from rtbrain.errors import SettingsError
from rtbrain.synthetic.noise import RandomStream
from rtbrain.synthetic.patient import VALUE, Patient
from rtbrain.synthetic.signal import SyntheticSignal
from rtbrain.synthetic.task import TASKS
from rtbrain.types import Doubles, Floats

SFREQ_HZ = 400.0
BANDS_HZ = {"slow": (0.1, 0.5), "beta": (15.0, 28.0), "high gamma": (75.0, 110.0)}


def patient(task: str, **more: object) -> Patient:
    values = {"sfreq_hz": SFREQ_HZ, "n_channels": 24, "task": task, "difficulty": "easy"}
    return Patient(3, **values | more)  # type: ignore[arg-type]


def play(who: Patient, seconds: float, start_s: float = 0.0) -> Floats:
    first = round(start_s * who.sfreq_hz)
    return SyntheticSignal(who).samples(first, first + round(seconds * who.sfreq_hz))


def near_and_far(who: Patient) -> tuple[Floats, Floats]:
    """The contacts that answer most, and those that do not."""
    effect = sum(focus.effect(who.implant.positions_mm) for focus in who.foci)
    order = np.argsort(effect)
    return order[-4:], order[:4]


def rise_db(who: Patient, data: Floats, band_hz: tuple[float, float]) -> Doubles:
    """How far power in a band rises with the task, by Welch's method: [n_channels]."""
    length = round(0.5 * who.sfreq_hz)
    on = who.activation(0, data.shape[1]).mean(axis=0)
    powers = []
    for chosen in (on > 0.99, on < 0.01):
        starts = [i for i in range(0, on.size - length, length) if chosen[i : i + length].all()]
        pieces = np.stack([data[:, i : i + length] for i in starts], axis=1)
        freqs_hz, power = signal.welch(pieces, who.sfreq_hz, nperseg=length)
        inside = (freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1])
        powers.append(power[..., inside].mean(axis=-1))
    # Medians, since unrelated bursts and movements are rare and strong.
    return np.asarray(10 * np.log10(np.median(powers[0], axis=1) / np.median(powers[1], axis=1)))


@pytest.mark.parametrize(
    ("task", "high_gamma_db", "beta_db"),
    [("high_gamma", 9.0, 0.0), ("beta", 0.0, -6.0), ("phase", 0.0, 0.0), ("mixed", 9.0, -6.0)],
)
def test_power_changes_by_what_is_stated_in_the_tasks_band_alone(
    task: str, high_gamma_db: float, beta_db: float
) -> None:
    who = patient(task)
    near, far = near_and_far(who)
    data = play(who, 240)
    effect = np.minimum(sum(f.effect(who.implant.positions_mm) for f in who.foci), 1)
    for band, db in (("high gamma", high_gamma_db), ("beta", beta_db)):
        change = rise_db(who, data, BANDS_HZ[band])
        expected = 20 * np.log10(1 + (10 ** (db / 20) - 1) * effect)
        np.testing.assert_allclose(change[near], expected[near], atol=1.0)
        np.testing.assert_allclose(change[far], expected[far], atol=1.0)


def test_beta_comes_in_bursts_while_the_task_is_on() -> None:
    who = patient("bursts")
    near, far = near_and_far(who)
    data = play(who, 240)
    change = rise_db(who, data, BANDS_HZ["beta"])
    assert change[near].min() > 2
    assert np.abs(change[far]).max() < 1
    # A few high peaks, not a level: the envelope is further from that of noise than without.
    sos = signal.butter(4, BANDS_HZ["beta"], "bandpass", fs=SFREQ_HZ, output="sos")
    power = np.abs(signal.hilbert(signal.sosfiltfilt(sos, data[near]))) ** 2
    on = who.activation(0, data.shape[1]).mean(axis=0) > 0.99
    tail = np.quantile(power[:, on], 0.98, axis=1) / np.median(power[:, on], axis=1)
    usual = np.quantile(power[:, ~on], 0.98, axis=1) / np.median(power[:, ~on], axis=1)
    assert np.all(tail > 1.5 * usual)


def test_slow_potentials_follow_the_task_by_as_many_microvolts() -> None:
    who = patient("slow")
    near, far = near_and_far(who)
    data = play(who, 240)
    course = who.activation(0, data.shape[1]).mean(axis=0)
    course -= course.mean()
    weight_uv = np.abs(data @ course) / (course @ course)
    effect = sum(focus.effect(who.implant.positions_mm) for focus in who.foci)
    np.testing.assert_allclose(np.mean(weight_uv[near] / (60 * effect[near])), 1, atol=0.25)
    assert np.abs(weight_uv - 60 * effect)[far].max() < 15
    assert np.abs(rise_db(who, data, BANDS_HZ["high gamma"])[near]).max() < 1


def test_beta_locks_between_contacts_of_different_foci() -> None:
    who = patient("phase")
    effect = np.stack([focus.effect(who.implant.positions_mm) for focus in who.foci])
    best = [int(effect[sign::2].max(axis=0).argmax()) for sign in (0, 1)]
    data = play(who, 240)[best]
    sos = signal.butter(4, BANDS_HZ["beta"], "bandpass", fs=SFREQ_HZ, output="sos")
    phase = np.angle(signal.hilbert(signal.sosfiltfilt(sos, data)))
    turn = np.exp(1j * (phase[0] - phase[1]))
    on = who.activation(0, data.shape[1]).mean(axis=0)
    assert np.abs(turn[on > 0.99].mean()) > 0.5
    assert np.abs(turn[on < 0.01].mean()) < 0.3
    # Foci have opposite signs: a common average does not remove it.
    assert np.abs(np.angle(turn[on > 0.99].mean())) > 2.5


def test_a_continuous_variable_is_a_channel_that_high_gamma_follows() -> None:
    recording = rtbrain.read(
        "synthetic:3,task=continuous,difficulty=easy,n_channels=24,duration_s=240,label_lag_s=0.5",
        sfreq_hz=SFREQ_HZ,
    )
    assert (recording.montage.names[-1], recording.montage.kinds[-1]) == (VALUE, "misc")
    assert recording.events == ()
    who = patient("continuous", label_lag_s=0.5)
    data = recording.read(0, recording.n_samples)
    value = data[-1]
    assert value.min() < 0.1
    assert value.max() > 0.9
    sos = signal.butter(4, BANDS_HZ["high gamma"], "bandpass", fs=SFREQ_HZ, output="sos")
    power = (signal.sosfiltfilt(sos, data[near_and_far(who)[0]]) ** 2).mean(axis=0)
    power = signal.sosfiltfilt(signal.butter(2, 1.0, fs=SFREQ_HZ, output="sos"), power)
    shifts = np.arange(-400, 401, 10)
    r = [np.corrcoef(np.roll(power, shift)[400:-400], value[400:-400])[0, 1] for shift in shifts]
    assert max(r) > 0.8
    # The brain is 0.5 s ahead of the channel, less the delays of its foci.
    delay_s = np.mean([focus.delay_s for focus in who.foci])
    assert abs(shifts[int(np.argmax(r))] / SFREQ_HZ - (0.5 - delay_s)) < 0.12


@pytest.mark.parametrize("label_lag_s", [-0.8, 0.6])
def test_labels_lag_or_lead_what_the_signal_does(label_lag_s: float) -> None:
    lags = []
    for lag_s in (0.0, label_lag_s):
        who = patient("high_gamma", label_lag_s=lag_s)
        sos = signal.butter(4, BANDS_HZ["high gamma"], "bandpass", fs=SFREQ_HZ, output="sos")
        filtered = signal.sosfiltfilt(sos, play(who, 120)[near_and_far(who)[0]])
        power = np.log(filtered**2 + 1e-3).mean(axis=0)
        states = who.state_at(np.arange(power.size)) - 0.5
        correlation = signal.correlate(power - power.mean(), states, "same")
        lags.append((int(correlation.argmax()) - power.size // 2) / SFREQ_HZ)
    assert abs(lags[0] - lags[1] - label_lag_s) < 0.04


@pytest.mark.parametrize("mix_drift", [0.0, 0.3])
def test_the_class_mix_drifts_over_ten_minutes_by_what_is_stated(mix_drift: float) -> None:
    shares = []
    for seed in range(20):
        who = Patient(seed, sfreq_hz=SFREQ_HZ, mix_drift=mix_drift)
        at = who.state_at(np.arange(0, 1200 * 400, 40)).reshape(12, -1)
        shares.append((at == 1).mean(axis=1))
    expected = 0.5 - mix_drift * np.cos(2 * np.pi * (np.arange(12) + 0.5) / 12)
    np.testing.assert_allclose(np.mean(shares, axis=0), expected, atol=0.03)


def test_gains_wander_over_a_day_by_what_is_stated() -> None:
    steady, drifting = (patient("beta", n_channels=100, gain_drift_db=db) for db in (0.0, 2.0))
    sos = signal.butter(4, (5, 40), "bandpass", fs=SFREQ_HZ, output="sos")
    for hour, start_s in ((0, 0.0), (10, 36_000.0), (24, 86_400.0)):
        rms = [
            signal.sosfiltfilt(sos, play(who, 4, start_s))[:, 400:-400].std(axis=1)
            for who in (steady, drifting)
        ]
        drift_db = drifting.drift_db(RandomStream.GAIN, [start_s + 2])[:, 0]
        np.testing.assert_allclose(20 * np.log10(rms[1] / rms[0]), drift_db, atol=0.1)
        assert np.std(drift_db) > (0 if hour == 0 else 1)
    days = drifting.drift_db(RandomStream.GAIN, np.linspace(0, 10 * 86_400, 500))
    assert abs(np.std(days) - 2.0) < 0.2


def test_mains_and_noise_rise_with_the_impedance() -> None:
    steady, worse = (patient("beta", sfreq_hz=1000.0, impedance_drift_db=db) for db in (0.0, 12.0))
    rise_db = np.abs(worse.drift_db(RandomStream.IMPEDANCE, [86402.0]))[:, 0]
    found = []
    for band in ((59, 61), (455, 475)):
        power = []
        for who in (steady, worse):
            freqs_hz, density = signal.welch(play(who, 4, 86400.0), 1000, nperseg=1000)
            inside = (freqs_hz >= band[0]) & (freqs_hz <= band[1])
            power.append(density[:, inside].sum(axis=1))
        found.append(10 * np.log10(power[1] / power[0]))
    np.testing.assert_allclose(found[0], rise_db, atol=1.5)  # mains
    assert np.all(found[1] > -0.5)
    assert np.corrcoef(found[1], rise_db)[0, 1] > 0.9  # the noise floor, below it the background


@settings(max_examples=12)
@given(
    task=st.sampled_from(list(TASKS)),
    chunk=st.integers(1, 700),
    start=st.integers(0, 900),
)
def test_no_task_or_drift_depends_on_chunking(task: str, chunk: int, start: int) -> None:
    who = patient(
        task,
        n_channels=6,
        label_lag_s=0.3,
        gain_drift_db=3.0,
        impedance_drift_db=3.0,
        mix_drift=0.3,
    )
    whole = play(who, 4)
    synthesis = SyntheticSignal(who)
    stops = [*range(start + chunk, 1600, chunk), 1600]
    pieces = []
    for stop in stops:
        pieces.append(synthesis.samples(start, stop))
        start = stop
    joined = np.concatenate(pieces, axis=1)
    np.testing.assert_array_equal(joined, whole[:, -joined.shape[1] :])


@pytest.mark.parametrize(("task", "lowest_hz"), TASKS.items())
def test_every_rate_above_the_need_will_do_and_no_other(task: str, lowest_hz: float) -> None:
    assert np.isfinite(play(patient(task, sfreq_hz=lowest_hz + 1, n_channels=6), 3)).all()
    with pytest.raises(SettingsError, match=rf"above {lowest_hz:g} Hz to hold task {task}"):
        patient(task, sfreq_hz=lowest_hz)
