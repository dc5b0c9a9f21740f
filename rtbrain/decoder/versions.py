"""Versions of a decoder: bundles that name the one that they were made from, and why."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rtbrain.decoder.bundle import Bundle, Change, read_bundle, write_bundle
from rtbrain.decoder.readout import LinearReadout
from rtbrain.errors import BundleError
from rtbrain.files import sha256

VERSIONS = "versions"
_KEPT = 5  # newest versions of one session
# What of a report is true of another readout, too: no scores, and no thresholds chosen by them.
_OF_FRONT_END = {"task", "encoder", "labels", "population", "mains", "drift"}
_OF_FRONT_END |= {"c", "temperature", "split"}


def readout_hash(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of the weights of a readout."""
    return sha256(
        b"".join(
            np.ascontiguousarray(tensors[f"readout.{name}"]).tobytes()
            for name in ("weight", "bias")
        )
    )


def changed(
    bundle: Bundle,
    kind: Literal["refit", "kept", "online"],
    tensors: Mapping[str, npt.NDArray[Any]],
    about: str,
    report: Mapping[str, Any] = {},
) -> Bundle:
    """The bundle with other arrays in place of its own, and the change in its history.

    Its report loses what describes the readout, unless that was kept, and gains `report`. Not yet
    written, it has no id.
    """
    of_both = bundle.report
    if kind != "kept":
        of_both = {key: it for key, it in of_both.items() if key in _OF_FRONT_END}
    whole = bundle.tensors | dict(tensors)
    change = Change(kind=kind, parent=bundle.id, readout=readout_hash(whole), about=about)
    manifest = bundle.manifest.model_copy(
        update={"history": (*bundle.manifest.history, change), "sha256": "0" * 64}
    )
    return replace(bundle, manifest=manifest, tensors=whole, report=of_both | dict(report), id="")


class VersionFolder:
    """Where the versions of a bundle go that a live session makes: ``BUNDLE/versions/0001``, ….

    Each is a bundle of its own, written whole or not at all; what was there is never changed, and
    of its own the newest 5 are kept.
    """

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self._bundle = bundle
        inside = folder.absolute().parent
        self._made: list[Path] = []
        self._folder = inside if inside.name == VERSIONS else folder / VERSIONS

    def save(self, readout: LinearReadout, about: str) -> tuple[Path, str]:
        """Write the bundle with another readout: its folder and its id.

        The version after this one has it as its parent. OSError or BundleError where it cannot be
        written.
        """
        bundle = self._bundle
        version = changed(bundle, "online", readout.as_tensors(), about)
        last = max((int(path.name) for path in _numbered(self._folder)), default=0)
        folder = self._folder / f"{last + 1:04d}"
        name = write_bundle(
            folder, version.manifest, version.montage, version.tensors, version.report
        )
        self._bundle = replace(version, id=name)
        self._made.append(folder)
        for old in self._made[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        del self._made[:-_KEPT]
        return folder, name


def versions(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """Every version from the fit on: where it is, its id, its parent's, its change, and about it.

    Those before the bundle are known by it alone. BundleError where one was altered.
    """
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    ids = [*(change.parent for change in manifest.history), bundle.id]
    rows = [("", ids[0], "", "fit", manifest.trained_on)]
    rows += [
        ("", own, change.parent, change.kind, change.about)
        for own, change in zip(ids[1:], manifest.history, strict=True)
    ]
    rows[-1] = (folder.name, *rows[-1][1:])
    _refuse_other_readout(folder, bundle)
    for path in _numbered(folder / VERSIONS):
        version = read_bundle(path)
        _refuse_other_readout(path, version)
        where, about = f"{folder.name}/{VERSIONS}/{path.name}", version.manifest
        change = ("", "fit", about.trained_on)  # of a bundle that was put there
        if about.history:
            last = about.history[-1]
            change = last.parent, last.kind, last.about
        rows.append((where, version.id, *change))
    return rows


def _numbered(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    return sorted(paths, key=lambda path: int(path.name))


def _refuse_other_readout(folder: Path, bundle: Bundle) -> None:
    history = bundle.manifest.history
    if history and history[-1].readout != readout_hash(bundle.tensors):
        raise BundleError(
            f"{folder.name}: its readout is not the one that its history names: it was changed "
            "elsewhere; refit it, or use another version"
        )
