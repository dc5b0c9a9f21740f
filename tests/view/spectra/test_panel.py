"""The spectra panel shows the encoder's frames, and what it shows does not depend on chunking."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from pytestqt.qtbot import QtBot

from rtbrain.spectrogram import RunningStft
from rtbrain.types import Chunk, Montage, Quality, Window
from rtbrain.view.spectra.cache import NO_DATA, POWER_DB, Z_SCORES, SpectraCache, colour_codes
from rtbrain.view.spectra.panel import SpectraPanel, decade_ticks
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 2048.0
MONTAGE = montage_of(3, SFREQ_HZ)
N_SAMPLES = 50 * 160  # a whole number of hops
SIGNAL = brain_like(3, N_SAMPLES, SFREQ_HZ)
FRAME, HOP = 400, 50


class Shown:
    """What a panel reads of a session."""

    def __init__(self, montage: Montage | None = MONTAGE) -> None:
        self.montage = montage
        self.bad: dict[str, str] = {}


def cache_of(sizes: list[int], row: int = 0) -> SpectraCache:
    cache = SpectraCache(MONTAGE)
    cache.choose(row)
    for chunk in cut(SIGNAL, sizes, SFREQ_HZ):
        cache.take(chunk, ())
    return cache


def test_the_spectrogram_is_the_encoders_to_the_step_of_the_colours() -> None:
    stft = RunningStft(3, N_SAMPLES, time_constant_frames=60 / (HOP / SFREQ_HZ))
    window = Window(SIGNAL, 0.0, 0, Quality(np.ones(3, np.bool_)))
    wanted = colour_codes(stft(window).data, Z_SCORES)
    cache = cache_of([61] * 100)
    for row in range(3):
        cache.choose(row)
        shown = cache.encoder()
        assert shown.shape == (410, 40)
        np.testing.assert_array_equal(shown[-wanted.shape[1] :], wanted[row])


def test_the_wide_spectrogram_and_the_power_are_those_of_scipy() -> None:
    cache = cache_of([61] * 100, row=1)
    wide = round(0.25 * SFREQ_HZ)
    freqs, _, density = scipy.signal.spectrogram(
        SIGNAL[1, (N_SAMPLES - wide) % HOP :].astype(np.float64),
        SFREQ_HZ,
        "hann",
        nperseg=wide,
        noverlap=wide - HOP,
        detrend="constant",
    )
    wanted = colour_codes(10 * np.log10(density.T), POWER_DB).astype(np.int64)
    shown = cache.wide()[-len(wanted) :].astype(np.int64)
    assert np.abs(shown - wanted)[1:].max() <= 1
    assert cache.wide_highest_hz == pytest.approx(freqs[-1] + freqs[1])
    got_hz, power = cache.power()
    newest = N_SAMPLES - N_SAMPLES % 1024
    hertz, expected = scipy.signal.welch(
        SIGNAL[1, newest - 8192 if newest >= 8192 else 0 : newest].astype(np.float64),
        SFREQ_HZ,
        "hann",
        nperseg=2048,
        noverlap=1024,
        detrend="constant",
    )
    np.testing.assert_allclose(got_hz, hertz)
    np.testing.assert_allclose(power, expected, rtol=1e-3)


@given(sizes=st.lists(st.integers(0, 700), max_size=20), late=st.integers(0, 20))
@settings(max_examples=10)
def test_chunks_and_the_moment_of_choosing_change_nothing(sizes: list[int], late: int) -> None:
    wanted = cache_of([61] * 100, row=2)
    cache = SpectraCache(MONTAGE)
    pieces = cut(SIGNAL, sizes, SFREQ_HZ)
    for number, chunk in enumerate(pieces):
        if number == late:
            cache.choose(2)
        cache.take(chunk, ())
    if late >= len(pieces):
        cache.choose(2)
    np.testing.assert_array_equal(cache.encoder(), wanted.encoder())
    np.testing.assert_array_equal(cache.wide(), wanted.wide())
    np.testing.assert_allclose(cache.power()[1], wanted.power()[1], rtol=1e-6)
    assert cache.t_stop == wanted.t_stop


def test_lost_samples_are_columns_without_data_and_the_rest_moves_on() -> None:
    cache = cache_of([])
    before = cache.encoder()
    stamps = 200 + np.arange(N_SAMPLES) / SFREQ_HZ
    cache.take(Chunk(SIGNAL[:, :1000], stamps[:1000], 0, gap=2000), ())
    after = cache.encoder()
    # 40 columns lost, and 8 frames that would reach across the gap until one is whole again.
    np.testing.assert_array_equal(after[:350], before[60:])
    assert (after[350:397] == NO_DATA).all()
    assert (after[397:] != NO_DATA).all()
    assert cache.power()[0].size == 0
    cache.take(Chunk(SIGNAL[:, :0], stamps[:0], 0, gap=10**12), ())
    assert (cache.encoder() == NO_DATA).all()


def test_a_bad_contact_has_no_encoder_columns_and_does_not_feed() -> None:
    cache = SpectraCache(MONTAGE)
    cache.take(cut(SIGNAL, [], SFREQ_HZ)[0], {"A1"})
    assert (cache.encoder() == NO_DATA).all()
    assert (cache.wide()[-100:] != NO_DATA).all()
    cache.choose(1)
    assert (cache.encoder()[-100:] != NO_DATA).all()


@pytest.mark.parametrize("sfreq_hz", [100.0, 256.0, 1000.0, 30000.0])
def test_other_rates_have_the_nearest_frames(sfreq_hz: float) -> None:
    cache = SpectraCache(montage_of(2, sfreq_hz))
    signal = brain_like(2, round(3 * sfreq_hz), sfreq_hz)
    cache.take(cut(signal, [], sfreq_hz)[0], ())
    assert cache.frame_s == pytest.approx(400 / 2048, rel=0.05)
    assert (cache.encoder()[-20:] != NO_DATA).all()
    freqs, power = cache.power()
    assert freqs[-1] == sfreq_hz / 2
    assert np.isfinite(power).all()


def test_frames_of_many_contacts_come_less_often() -> None:
    few, many = SpectraCache(montage_of(256, SFREQ_HZ)), SpectraCache(montage_of(257, SFREQ_HZ))
    assert many.hop_s == 2 * few.hop_s
    assert many.n_columns * many.hop_s == pytest.approx(few.n_columns * few.hop_s, abs=0.05)
    many.take(cut(brain_like(257, 3 * round(SFREQ_HZ), SFREQ_HZ), [], SFREQ_HZ)[0], ())
    assert (many.encoder()[-50:] != NO_DATA).all()


@pytest.mark.parametrize("rate_hz", [160.0, 250.0, 500.0, 512.0, 2048.0])
def test_the_axis_of_the_power_has_numbers_at_every_rate(rate_hz: float) -> None:
    shown, others = decade_ticks(rate_hz / 2)
    seen = [int(text) for at, text in shown if 0 < at < np.log10(rate_hz / 2)]
    assert len(seen) >= 2
    assert all(10**at == pytest.approx(int(text)) for at, text in shown)
    apart = np.diff(np.log10([1, *seen])) / np.log10(rate_hz / 2)
    assert apart.min() > 0.18  # of the axis: room for three digits
    assert not {at for at, _ in shown} & {at for at, _ in others}


def test_the_panel_works_before_there_is_a_signal_and_when_the_montage_changes(
    qtbot: QtBot,
) -> None:
    shown = Shown(None)
    panel = SpectraPanel(shown, DARK)  # type: ignore[arg-type]
    qtbot.addWidget(panel)
    panel.show()
    panel.draw(0.0)
    panel.step(1)
    assert panel.contact == ""
    shown.montage = MONTAGE
    panel.take(
        SessionUpdate(104.0, chunks=tuple(cut(SIGNAL, [61] * 9, SFREQ_HZ)), new_montage=True)
    )
    panel.draw(104.0)
    panel.choose("A2")
    shown.montage = montage_of(9, 512.0)
    panel.take(SessionUpdate(105.0, new_montage=True))
    assert panel.contact == "A2"
    panel.step(-2)
    assert panel.contact == "B1"
    panel.draw(105.0)


def test_the_panel_draws_side_by_side_or_in_a_column_in_every_theme(qtbot: QtBot) -> None:
    shown = Shown()
    shown.bad = {"A1": "flat"}
    panel = SpectraPanel(shown, DARK)  # type: ignore[arg-type]
    qtbot.addWidget(panel)
    panel.show()
    chosen = []
    panel.chosen.connect(chosen.append)
    for theme, size in ((LIGHT, (900, 240)), (large(DARK), (400, 800))):
        panel.resize(*size)
        panel.restyle(theme)
        panel.take(SessionUpdate(104.0, chunks=tuple(cut(SIGNAL, [], SFREQ_HZ))))
        panel.draw(104.0)
        assert not panel.grab().isNull()
    assert "flat" in panel.note.text()
    assert "ago" not in panel.note.text()
    panel.draw(111.0)
    assert panel.note.text().startswith("newest sample 7 s ago")
    panel.step(1)
    assert chosen == ["A2"]
