"""`rtbrain embed` on files, as a user runs it; its output against the published goldens."""

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch

from rtbrain.encoder import (
    BrainBERTSizes,
    PopTSizes,
    lip_positions,
    load_encoder,
    random_encoder,
    save_encoder,
)
from rtbrain.types import Montage
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like

SFREQ_HZ = 2048
SIZES = BrainBERTSizes(24, 48, 2, 2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(random_encoder(SIZES, 4), folder)
    return folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "three.npy"
    np.save(path, brain_like(3, 5 * SFREQ_HZ + 1200, SFREQ_HZ))
    return path


def embedded(out: Path, *arguments: object) -> dict[str, np.ndarray]:
    done = rtbrain("embed", *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return dict(arrays)


def test_every_window_is_what_scipy_and_the_plain_module_give(
    tmp_path: Path, encoder: Path, recording: Path
) -> None:
    got = embedded(tmp_path / "o.npz", recording, "--sfreq", SFREQ_HZ, "--encoder", encoder)
    signal = np.load(recording)
    model = load_encoder(encoder)
    assert got["spectrogram"].shape == (3, 3, 186, 40)
    for window, start in enumerate((0, 500, 1000)):
        piece = signal[:, start : start + 5 * SFREQ_HZ]
        magnitude = np.abs(scipy.signal.stft(piece, SFREQ_HZ, nperseg=400, noverlap=350)[2])
        magnitude = magnitude[:, :40].transpose(0, 2, 1)  # [C, T, F]
        expected = (magnitude - magnitude.mean(1, keepdims=True)) / magnitude.std(1, keepdims=True)
        np.testing.assert_allclose(got["spectrogram"][window], expected[:, 10:-10], atol=1e-4)
        with torch.inference_mode():
            hidden = model(torch.from_numpy(got["spectrogram"][window])).numpy()
        np.testing.assert_allclose(got["embedding"][window], hidden[:, 88:98].mean(1), atol=1e-5)
    np.testing.assert_allclose(np.diff(got["t_stop"]), 500 / SFREQ_HZ)
    np.testing.assert_allclose(got["t_stop"] - got["t_neural"], 2.4976, atol=1e-3)


def test_filters_and_reference_come_before_the_spectrogram(tmp_path: Path, encoder: Path) -> None:
    signal = brain_like(4, 5 * SFREQ_HZ, SFREQ_HZ, seed=3)
    path = tmp_path / "four.npy"
    np.save(path, signal)
    flags = ("--sfreq", SFREQ_HZ, "--encoder", encoder)
    got = embedded(tmp_path / "o.npz", path, *flags, "--reference", "car", "--notch", "60")
    clean = signal.astype(np.float64)
    for harmonic in range(60, 361, 60):
        clean = scipy.signal.lfilter(*scipy.signal.iirnotch(harmonic, 30, SFREQ_HZ), clean)
    clean -= clean.mean(axis=0)
    np.save(path, clean.astype(np.float32))
    plain = embedded(tmp_path / "p.npz", path, *flags)
    np.testing.assert_allclose(got["spectrogram"], plain["spectrogram"], atol=2e-3)


@pytest.mark.shared
def test_goldens_come_out_of_the_command(shared: Path, tmp_path: Path) -> None:
    golden = np.load(shared / "golden" / "brainbert_stft_golden.npz")
    np.save(tmp_path / "wav.npy", golden["wav"])
    file = shared / "golden" / "brainbert_tiny.pth"
    assert rtbrain("import-checkpoint", "brainbert", file, tmp_path / "bb").returncode == 0
    flags = ("--sfreq", SFREQ_HZ, "--encoder", tmp_path / "bb", "--hidden")
    got = embedded(tmp_path / "o.npz", tmp_path / "wav.npy", *flags)
    np.testing.assert_allclose(got["spectrogram"], golden["spec"][None], atol=1e-4)
    np.testing.assert_allclose(got["hidden"], golden["hidden"][None], atol=1e-5)
    np.testing.assert_allclose(got["embedding"], golden["embedding"][None], atol=1e-5)
    superlet = np.load(shared / "golden" / "brainbert_superlet_golden.npz")
    np.save(tmp_path / "sl.npy", superlet["wav"])
    got = embedded(tmp_path / "s.npz", tmp_path / "sl.npy", *flags[:-1], "--form", "superlet")
    np.testing.assert_allclose(got["spectrogram"], superlet["spec"][None], atol=1e-4)


@pytest.mark.shared
def test_a_bids_recording_goes_through_to_the_population(shared: Path, tmp_path: Path) -> None:
    save_encoder(random_encoder(SIZES, 4), tmp_path / "bb")
    sizes = PopTSizes(24, 32, 64, 2, 2)
    save_encoder(random_encoder(sizes, 5), tmp_path / "pp")
    flags = ("--encoder", tmp_path / "bb", "--popt", tmp_path / "pp", "--scale", "1e-6")
    folder = shared / "data" / "ecog-gripforce"
    done = rtbrain("embed", folder, *flags, "--out", tmp_path / "schematic.npz")
    assert done.returncode == 0, done.stderr
    assert "pass --space" in done.stderr
    got = embedded(tmp_path / "o.npz", folder, *flags, "--space", "RAS mm")
    with np.load(tmp_path / "schematic.npz") as of_labels:
        assert np.abs(of_labels["population"] - got["population"]).max() > 1e-4
    n_windows, n_channels = got["embedding"].shape[:2]
    assert n_channels == 9
    assert "MOV_RIGHT" not in got["channels"].tolist()
    assert got["population"].shape == (n_windows, 32)
    assert np.abs(np.diff(got["population"], axis=0)).max() > 1e-4


def test_channels_are_left_out_and_kinds_are_chosen_as_in_a_fit(
    tmp_path: Path, encoder: Path
) -> None:
    np.save(tmp_path / "four.npy", brain_like(4, 5 * SFREQ_HZ, SFREQ_HZ))
    flags = ("--sfreq", SFREQ_HZ, "--encoder", encoder, "--exclude", "2")
    got = embedded(tmp_path / "o.npz", tmp_path / "four.npy", *flags, "--kinds", "3=misc,seeg")
    assert got["channels"].tolist() == ["1", "4"]


def test_a_recording_of_exactly_one_window_gives_one(tmp_path: Path, encoder: Path) -> None:
    np.save(tmp_path / "one.npy", brain_like(1, 5 * SFREQ_HZ, SFREQ_HZ)[0])
    flags = ("--sfreq", SFREQ_HZ, "--encoder", encoder)
    assert embedded(tmp_path / "o.npz", tmp_path / "one.npy", *flags)["t_stop"].shape == (1,)


@pytest.mark.parametrize("sfreq_hz", [1000, 2000, 2048])
def test_five_seconds_at_any_rate_give_one_window(
    tmp_path: Path, encoder: Path, sfreq_hz: int
) -> None:
    np.save(tmp_path / "five.npy", brain_like(2, 5 * sfreq_hz, sfreq_hz))
    flags = ("--sfreq", sfreq_hz, "--encoder", encoder)
    got = embedded(tmp_path / "o.npz", tmp_path / "five.npy", *flags)
    assert got["t_stop"].shape == (1,)
    assert got["t_stop"][0] == pytest.approx(5.0, abs=1.1 / 2048)


def test_bad_flags_and_files_get_one_line_and_write_nothing(
    tmp_path: Path, encoder: Path, recording: Path
) -> None:
    out = tmp_path / "o.npz"
    good = ("embed", recording, "--sfreq", SFREQ_HZ, "--encoder", encoder, "--out", out)
    assert "multiple of the STFT hop" in refused(*good, "--hop", 0.25)
    assert "nearest that fits is" in refused(*good, "--hop", 0.1234)
    assert "no whole window" in refused(*good, "--length", 60)
    assert "no channel" in refused(*good, "--channels", "A1,ZZ9")
    assert "reference" in refused(*good, "--reference", "median")
    assert "--nonsense" in refused(*good, "--nonsense")
    assert "sfreq" in refused("embed", recording, "--encoder", encoder, "--out", out)
    absent = tmp_path / "absent.npy"
    assert "absent.npy" in refused("embed", absent, *good[2:])
    assert "--encoder" in refused("embed", recording, "--sfreq", SFREQ_HZ, "--out", out)
    assert "encoder.json" in refused(*good[:5], tmp_path, "--out", out)
    assert "above 0" in refused(*good, "--hop", 0)
    assert "no folder" in refused(*good[:-1], tmp_path / "absent" / "o.npz")
    assert "is a folder" in refused(*good[:-1], tmp_path)
    assert not out.exists()
    out.write_text("precious")
    assert "already exists" in refused(*good)
    assert out.read_text() == "precious"


def test_nan_in_a_file_is_refused_by_channel_and_time(tmp_path: Path, encoder: Path) -> None:
    signal = brain_like(3, 6 * SFREQ_HZ, SFREQ_HZ)
    signal[1, 3 * SFREQ_HZ] = np.nan
    np.save(tmp_path / "nan.npy", signal)
    flags = ("--sfreq", SFREQ_HZ, "--encoder", encoder, "--out", tmp_path / "o.npz")
    line = refused("embed", tmp_path / "nan.npy", *flags)
    assert "nan" in line
    assert "3.000 s" in line
    assert not (tmp_path / "o.npz").exists()


def test_popt_takes_positions_from_labels_where_there_are_none(
    tmp_path: Path, encoder: Path, recording: Path
) -> None:
    save_encoder(random_encoder(PopTSizes(24, 32, 64, 2, 2), 5), tmp_path / "pp")
    flags = ("--sfreq", SFREQ_HZ, "--encoder", encoder, "--popt", tmp_path / "pp")
    done = rtbrain("embed", recording, *flags, "--out", tmp_path / "o.npz")
    assert done.returncode == 0, done.stderr
    assert "positions from the labels" in " ".join(done.stderr.split())
    assert np.isfinite(np.load(tmp_path / "o.npz")["population"]).all()
    montage = Montage(("A1",), ("seeg",), 1.0, np.array([[-40, 10, 20]], np.float32), "MNI mm")
    assert lip_positions(montage).tolist() == [[168, 108, 118]]
