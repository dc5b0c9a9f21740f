"""The bundle: what is written is what is read, and nothing altered is used."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtbrain.decoder import Manifest, read_bundle, write_bundle
from rtbrain.errors import BundleError
from rtbrain.types import Montage
from tests.conftest import montage_of

RECIPE = {
    "mode": "linear",
    "window": {"length_s": 1.0, "hop_s": 0.25},
    "spectrogram": {"form": "running"},
}
MANIFEST = Manifest(
    mode="linear",
    task="classification",
    labels=("rest", "speech"),
    sfreq_hz=1.0,
    recipe=RECIPE,
    encoder_state="none",
    trained_on="synthetic",
    trained_by="test",
    licence="BSD-3-Clause",
)
TENSORS = {
    "readout.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "readout.bias": np.zeros(2, np.float32),
    "normaliser.mean": np.ones(3, np.float32),
}


def written(tmp_path: Path, montage: Montage | None = None) -> Path:
    montage = montage or montage_of(3, 512.0)
    write_bundle(tmp_path / "mine", MANIFEST, montage, TENSORS, {"score": 0.5})
    return tmp_path / "mine"


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    montage = montage_of(3, 512.0)
    bundle = read_bundle(written(tmp_path, montage))
    assert bundle.montage.names == montage.names
    assert bundle.montage.kinds == montage.kinds
    assert bundle.montage.sfreq_hz == 512.0
    assert bundle.montage.space == "LIP voxels"
    np.testing.assert_array_equal(bundle.montage.positions, montage.positions)
    np.testing.assert_array_equal(bundle.part("readout")["weight"], TENSORS["readout.weight"])
    assert bundle.report == {"score": 0.5}


def test_regions_are_read_as_they_were_written_and_older_bundles_have_none(tmp_path: Path) -> None:
    regions = ("ctx-lh-insula", "", "Left-Thalamus-Proper")
    montage = replace(montage_of(3, 512.0), regions=regions)
    assert read_bundle(written(tmp_path, montage)).montage.regions == regions
    text = (tmp_path / "mine/montage.tsv").read_text()
    assert text.splitlines()[0].split("\t") == ["name", "x", "y", "z", "size", "type", "region"]
    older = written(tmp_path / "older")  # as before there were any
    assert "region" not in (older / "montage.tsv").read_text()
    assert read_bundle(older).montage.regions is None


def test_a_montage_without_positions_stays_without(tmp_path: Path) -> None:
    montage = Montage(("A1", "A2"), ("seeg", "ecog"), 100.0)
    assert read_bundle(written(tmp_path, montage)).montage.positions is None


@pytest.mark.parametrize("name", ["weights.safetensors", "montage.tsv", "report.json"])
def test_one_changed_byte_is_refused_with_both_hashes(tmp_path: Path, name: str) -> None:
    path = written(tmp_path) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} was altered.*expected SHA-256 .{{64}}, got"):
        read_bundle(path.parent)


@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "montage.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_bundle(folder)


def test_any_changed_byte_of_the_manifest_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path = written(tmp_path) / "manifest.json"
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        altered = bytearray(content)
        altered[at] ^= 1
        path.write_bytes(altered)
        with pytest.raises(BundleError, match=r"manifest.json was altered.*expected SHA-256 .*got"):
            read_bundle(path.parent)


def rewritten(path: Path, **changes: object) -> None:
    """Change a manifest and sign it anew, as another version of the program might."""
    manifest = json.loads(path.read_text()) | changes | {"sha256": "0" * 64}
    text = json.dumps(manifest, indent=2)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(text.replace("0" * 64, digest))


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "manifest.json"
    rewritten(path, format_version=9)
    with pytest.raises(BundleError, match="format_version"):
        read_bundle(path.parent)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"mode": "linear"}, "window is missing"),
        (RECIPE | {"smoothing": 1}, "unknown key smoothing; did you mean smoothing_s"),
    ],
)
def test_a_recipe_of_another_version_is_refused_when_the_bundle_is_read(
    tmp_path: Path, recipe: dict[str, object], message: str
) -> None:
    path = written(tmp_path) / "manifest.json"
    assert read_bundle(path.parent).recipe.window.hop_s == 0.25
    rewritten(path, recipe=recipe)
    with pytest.raises(BundleError, match=f"mine/manifest.json: recipe: {message}.*fit it again"):
        read_bundle(path.parent)


@pytest.mark.parametrize(
    "table",
    [
        "name\tx\ty\tz\tsize\ttype\nA1\n",
        "name\tx\ty\tz\tsize\n" + "A" * 500 + "\t0\t0\t0\tn/a\n",
        "name\tx\ty\tz\tsize\ttype\n" + "".join(f"{n}\t0\t0\t0\t1\tseeg\n" for n in range(5000)),
        "name\n" + "\r" * 3 + "\n",
        "name\tx\ty\tz\tsize\ttype\n" + "x" * 200_000 + "\t0\t0\t0\t1\tseeg\n",
        "",
    ],
)
def test_a_table_of_channels_that_is_none_is_refused(tmp_path: Path, table: str) -> None:
    path = written(tmp_path) / "manifest.json"
    (path.parent / "montage.tsv").write_text(table)
    files = json.loads(path.read_text())["files"]
    rewritten(path, files=files | {"montage.tsv": hashlib.sha256(table.encode()).hexdigest()})
    with pytest.raises(BundleError, match=r"mine: .*: fit it again"):
        read_bundle(path.parent)


@pytest.mark.parametrize("sfreq_hz", [1e12, 1e300])
def test_a_rate_that_no_amplifier_has_is_refused(tmp_path: Path, sfreq_hz: float) -> None:
    path = written(tmp_path) / "manifest.json"
    rewritten(path, sfreq_hz=sfreq_hz)
    with pytest.raises(BundleError, match="sfreq_hz"):
        read_bundle(path.parent)


def test_outputs_that_the_readout_does_not_have_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path) / "manifest.json"
    rewritten(path, labels=["rest", "speech", "song"])
    with pytest.raises(BundleError, match=r"names 3 outputs .* the readout has 2"):
        read_bundle(path.parent)
    rewritten(path, labels=["rest", "speech"], mode="edge")
    with pytest.raises(BundleError, match="says mode edge, its recipe linear"):
        read_bundle(path.parent)


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    folder = written(tmp_path)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="already exists"):
        write_bundle(folder, MANIFEST, montage_of(2, 10.0), TENSORS, {})
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_place_of_a_bundle_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match=r"manifest\.json is a file: expected a decoder"):
        read_bundle(tmp_path / "manifest.json")
