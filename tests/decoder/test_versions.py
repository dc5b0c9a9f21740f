"""Versions of a decoder: who was made from whom, and that none is ever changed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtbrain.decoder import LinearReadout, Memory, read_bundle, write_bundle
from rtbrain.decoder.versions import VersionFolder, changed, readout_hash, versions
from rtbrain.errors import BundleError
from tests.conftest import montage_of
from tests.decoder.test_bundle import written


def other_readout(value: float) -> LinearReadout:
    return LinearReadout(
        np.full((2, 3), value, np.float32), np.zeros(2, np.float32), "classification"
    )


def test_versions_of_a_session_name_their_parent_and_leave_the_bundle_as_it_was(
    tmp_path: Path,
) -> None:
    folder = written(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    bundle = read_bundle(folder)
    kept = VersionFolder(folder, bundle)
    first, second = (kept.save(other_readout(value), f"step {value:g}") for value in (1, 2))
    again = VersionFolder(first[0], read_bundle(first[0])).save(other_readout(3), "another day")
    assert [path.name for path, _ in (first, second, again)] == ["0001", "0002", "0003"]
    assert {path.parent for path, _ in (first, second, again)} == {folder / "versions"}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    latest = read_bundle(second[0])
    np.testing.assert_array_equal(latest.tensors["readout.weight"], other_readout(2).weight)
    np.testing.assert_array_equal(latest.tensors["normaliser.mean"], np.ones(3, np.float32))
    assert "score" not in latest.report, "scores are those of the readout that was fitted"
    assert latest.manifest.history[-1].readout == readout_hash(latest.tensors)
    listed = [(where, own, parent, how) for where, own, parent, how, _ in versions(folder)]
    assert listed == [
        ("mine", bundle.id, "", "fit"),
        ("mine/versions/0001", first[1], bundle.id, "online"),
        ("mine/versions/0002", second[1], first[1], "online"),
        ("mine/versions/0003", again[1], first[1], "online"),
    ]
    assert [row[1] for row in versions(second[0])] == [bundle.id, first[1], second[1]]


def test_an_altered_version_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    path, _ = VersionFolder(folder, read_bundle(folder)).save(other_readout(1), "")
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"online"', '"refit"'))
    with pytest.raises(BundleError, match="was altered"):
        versions(folder)


def test_of_a_long_session_the_newest_versions_are_kept_and_those_of_others(tmp_path: Path) -> None:
    folder = written(tmp_path)
    VersionFolder(folder, read_bundle(folder)).save(other_readout(0), "yesterday")
    kept = VersionFolder(folder, read_bundle(folder))
    for value in range(9):
        kept.save(other_readout(value), "")
    names = [f"{number:04d}" for number in (1, 6, 7, 8, 9, 10)]
    assert sorted(path.name for path in (folder / "versions").iterdir()) == names


def test_versions_are_listed_by_number_also_one_that_was_put_there(tmp_path: Path) -> None:
    folder = written(tmp_path)
    shutil.copytree(folder, folder / "versions" / "9999")
    VersionFolder(folder, read_bundle(folder)).save(other_readout(1), "")
    listed = [(where, kind) for where, _, _, kind, _ in versions(folder)]
    assert listed == [
        ("mine", "fit"),
        ("mine/versions/9999", "fit"),
        ("mine/versions/10000", "online"),
    ]


def test_a_readout_that_its_history_does_not_name_is_refused(tmp_path: Path) -> None:
    bundle = read_bundle(written(tmp_path))
    version = changed(bundle, "refit", {}, "")
    tensors = version.tensors | other_readout(7).as_tensors()
    write_bundle(tmp_path / "other", version.manifest, bundle.montage, tensors, {})
    with pytest.raises(BundleError, match="not the one that its history names"):
        versions(tmp_path / "other")


def test_a_readout_that_was_kept_keeps_its_scores(tmp_path: Path) -> None:
    bundle = read_bundle(written(tmp_path))
    bundle = replace(bundle, report=bundle.report | {"drift": {"text": "as before"}})
    kept, other = (changed(bundle, kind, {}, "", {"refit": 1}) for kind in ("kept", "refit"))
    assert kept.report == bundle.report | {"refit": 1}
    assert other.report == {"refit": 1, "drift": {"text": "as before"}}


def test_a_memory_is_read_as_it_was_written_and_thins_evenly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(5, 2, (500, 3)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[np.arange(500) % 2]
    scaling = features.mean(axis=0).astype(float), features.std(axis=0).astype(float)
    memory = Memory.of(features, targets, scaling, 0.1, most=100)
    assert memory.weights.sum() == pytest.approx(500)
    assert memory.z.shape == (100, 3)
    plain = read_bundle(written(tmp_path))
    whole = replace(plain, tensors=plain.tensors | memory.as_tensors())
    name = write_bundle(
        tmp_path / "whole", plain.manifest.model_copy(update={"sha256": "0" * 64}),
        montage_of(3, 512.0), whole.tensors, {},
    )  # fmt: skip
    found = read_bundle(tmp_path / "whole")
    assert found.id == name
    again = Memory.from_tensors(found.tensors)
    assert again is not None
    np.testing.assert_array_equal(again.z, memory.z)
    assert Memory.from_tensors(plain.tensors) is None
    # An older session, of which each window counts for less, is thinned more.
    both = memory.aged(0.25).add(features[:60], targets[:60], most=80)
    assert both.weights.sum() == pytest.approx(0.25 * 500 + 60, rel=1e-5)
    assert len(both.z) <= 80
    mean = (both.weights @ both.z.astype(float)) / both.weights.sum()
    truth = (
        125 * memory.z.astype(float).mean(axis=0) + memory.standardise(features[:60]).sum(axis=0)
    ) / 185
    np.testing.assert_allclose(mean, truth, atol=0.2)
