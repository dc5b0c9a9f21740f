"""The spectrum panel shows one contact's power over its mean, and chunking changes nothing."""

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QRect, Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from rtbrain.types import Chunk, Montage
from rtbrain.view.spectra.cache import LIMITS_DB, N_ROWS, NO_DATA, SpectrumCache, band_weights
from rtbrain.view.spectra.panel import SpectraPanel, ramp_colours
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK, LIGHT, large
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(3, SFREQ_HZ)
HOP = 26  # 0.05 s
N_SAMPLES = HOP * 160
SIGNAL = brain_like(3, N_SAMPLES, SFREQ_HZ)


class Shown:
    """What a panel reads of a session."""

    def __init__(self, montage: Montage | None = MONTAGE) -> None:
        self.montage = montage
        self.bad: dict[str, str] = {}


def cache_of(sizes: list[int], row: int = 0, signal: np.ndarray = SIGNAL) -> SpectrumCache:
    cache = SpectrumCache(MONTAGE)
    cache.choose(row)
    for chunk in cut(signal, sizes, SFREQ_HZ):
        cache.take(chunk)
    return cache


def test_the_power_of_a_band_is_that_of_scipys_periodograms_of_three_sine_tapers() -> None:
    cache = cache_of([61] * 60, row=1)
    n = round(SFREQ_HZ)
    frame = SIGNAL[1, -n:].astype(np.float64)
    # scipy's spectra of a taper of its own; a 16 times finer grid than the bands need.
    at = np.arange(1, n + 1) * np.pi / (n + 1)
    spectra = []
    for order in (1, 2, 3):
        freqs, power = scipy.signal.periodogram(
            frame - frame.mean(), SFREQ_HZ, np.sin(order * at), 16 * n, detrend=False
        )
        spectra.append(power)
    mean = np.mean(spectra, axis=0)
    edges = cache.edges_hz
    wanted = [
        np.trapezoid(np.interp(grid, freqs, mean), grid) / (high - low)
        for low, high in itertools.pairwise(edges)
        for grid in [np.linspace(low, high, 400)]
    ]
    newest_db = cache._db[cache._head - 1]
    np.testing.assert_allclose(newest_db, 10 * np.log10(wanted), atol=0.35)
    assert edges[0] == pytest.approx(2)
    assert edges[-1] == pytest.approx(200)
    assert np.ptp(np.diff(np.log(edges))) < 1e-9


def test_what_is_shown_is_over_its_mean() -> None:
    signal = SIGNAL.copy()
    signal[:, N_SAMPLES // 2 :] *= 2  # 6 dB
    image = cache_of([], signal=signal).image().astype(np.int64)
    there = image[image[:, 0] != NO_DATA]
    step_db = (LIMITS_DB[1] - LIMITS_DB[0]) / 254
    rise_db = (np.median(there[-40:]) - np.median(there[:40])) * step_db
    assert rise_db == pytest.approx(6, abs=1.5)
    assert abs(np.median(there) * step_db + LIMITS_DB[0]) < 1.5


@given(sizes=st.lists(st.integers(0, 700), max_size=20), late=st.integers(0, 20))
@settings(max_examples=10)
def test_chunks_and_the_moment_of_choosing_change_nothing(sizes: list[int], late: int) -> None:
    wanted = cache_of([61] * 60, row=2)
    cache = SpectrumCache(MONTAGE)
    pieces = cut(SIGNAL, sizes, SFREQ_HZ)
    for number, chunk in enumerate(pieces):
        if number == late:
            cache.choose(2)
        cache.take(chunk)
    if late >= len(pieces):
        cache.choose(2)
    steps = cache.image().astype(np.int64) - wanted.image()
    assert np.abs(steps).max() <= 1  # of the colours: one frame or many, products of matrices round
    assert cache.t_stop == wanted.t_stop


def test_lost_samples_are_columns_without_data_and_the_rest_moves_on() -> None:
    cache = cache_of([])
    stamps = 200 + np.arange(N_SAMPLES) / SFREQ_HZ
    cache.take(Chunk(SIGNAL[:, : 25 * HOP], stamps[: 25 * HOP], 0, gap=50 * HOP))
    lost = (cache.image() == NO_DATA).all(axis=1)
    # 50 columns lost, and those that would reach across the gap until 1 s is whole again.
    across = -(-round(SFREQ_HZ) // HOP) - 1
    assert lost[-25 - 50 :].nonzero()[0].tolist() == list(range(50 + across))
    assert not lost[-25 - 50 - 100 : -25 - 50].any()
    cache.take(Chunk(SIGNAL[:, :0], stamps[:0], 0, gap=10**12))
    assert (cache.image() == NO_DATA).all()


@pytest.mark.parametrize("sfreq_hz", [100.0, 250.0, 1000.0, 30000.0])
@pytest.mark.parametrize("full", [False, True])
def test_every_rate_has_its_bands(sfreq_hz: float, full: bool) -> None:
    cache = SpectrumCache(montage_of(2, sfreq_hz))
    cache.choose(0, full)
    cache.take(cut(brain_like(2, round(3 * sfreq_hz), sfreq_hz), [], sfreq_hz)[0])
    assert (cache.image()[-20:] != NO_DATA).all()
    top_hz = sfreq_hz / 2 if full else min(200, sfreq_hz / 2)
    assert cache.edges_hz[-1] == pytest.approx(top_hz)


def test_the_weights_of_a_band_sum_to_one_and_follow_a_slope() -> None:
    freqs = np.arange(0, 300.5, 0.5)
    edges = np.geomspace(2, 200, N_ROWS + 1)
    weights = band_weights(freqs, edges)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    np.testing.assert_allclose(freqs @ weights, (edges[1:] + edges[:-1]) / 2)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0, None])
def test_the_mains_are_found_where_they_stand_out(mains_hz: float | None) -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 20, (3, N_SAMPLES))
    if mains_hz:
        signal += 15 * np.sin(2 * np.pi * mains_hz * np.arange(N_SAMPLES) / SFREQ_HZ)
    assert cache_of([], signal=signal.astype(np.float32)).mains_hz() == mains_hz


def test_the_ramp_goes_through_its_colours_in_even_steps() -> None:
    colours = [colour.name() for colour in ramp_colours(DARK, 9)]
    assert tuple(colours[::2]) == DARK.ramp


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
    assert not panel.grab().isNull()
    shown.montage = MONTAGE
    panel.take(
        SessionUpdate(104.0, chunks=tuple(cut(SIGNAL, [61] * 9, SFREQ_HZ)), new_montage=True)
    )
    panel.draw(104.0)
    panel.choose("A2")
    shown.montage = montage_of(9, 256.0)
    panel.take(SessionUpdate(105.0, new_montage=True))
    assert panel.contact == "A2"
    panel.step(-2)
    assert panel.contact == "B1"
    panel.draw(105.0)


def inks(widget: QWidget, box: QRect) -> Counter[str]:
    image = widget.grab(box).toImage()
    pixels = itertools.product(range(image.width()), range(image.height()))
    return Counter(image.pixelColor(x, y).name() for x, y in pixels)


def test_the_panel_draws_in_every_theme_and_hatches_what_is_lost(qtbot: QtBot) -> None:
    panel = SpectraPanel(Shown(), DARK)  # type: ignore[arg-type]
    qtbot.addWidget(panel)
    panel.show()
    chosen: list[str] = []
    panel.chosen.connect(chosen.append)
    now = 100 + N_SAMPLES / SFREQ_HZ
    panel.take(SessionUpdate(now, chunks=tuple(cut(SIGNAL, [], SFREQ_HZ))))
    for theme, size in ((LIGHT, (304, 238)), (large(DARK), (420, 300))):
        panel.resize(*size)
        panel.restyle(theme)
        panel.draw(now)
        plot = panel.canvas.plot.toRect()
        strip = plot.adjusted(3 * plot.width() // 4, plot.height() // 2, -4, -plot.height() // 3)
        live = inks(panel.canvas, strip)
        assert live[theme.bg0] < 0.2 * live.total()
        panel.draw(now + 4)
        hatched = inks(panel.canvas, strip)
        assert hatched[theme.bg0] > 0.3 * hatched.total()
        assert 0 < max(hatched.values()) < hatched.total()
    panel.step(1)
    assert chosen == ["A2"]


def test_a_device_whose_stamps_are_late_is_live_all_the_same(qtbot: QtBot) -> None:
    panel = SpectraPanel(Shown(), DARK)  # type: ignore[arg-type]
    qtbot.addWidget(panel)
    panel.show()
    panel.take(SessionUpdate(1000.0, chunks=tuple(cut(SIGNAL, [], SFREQ_HZ))))
    panel.draw(1000.5)
    assert panel.canvas._old_s == 0
    panel.draw(1004.0)
    assert panel.canvas._old_s == 4


def test_a_key_shows_all_frequencies_and_back(qtbot: QtBot) -> None:
    panel = SpectraPanel(Shown(), DARK)  # type: ignore[arg-type]
    qtbot.addWidget(panel)
    with qtbot.waitActive(panel):
        panel.show()
        panel.activateWindow()
    for top_hz in (256.0, 200.0):
        qtbot.keyClick(panel, Qt.Key.Key_G)
        assert panel.cache is not None
        assert panel.cache.edges_hz[-1] == pytest.approx(top_hz)
