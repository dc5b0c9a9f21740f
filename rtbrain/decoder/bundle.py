"""A decoder bundle: the folder that carries a fitted decoder from one run to the next.

::

    BUNDLE/
      manifest.json        what it is, and the SHA-256 of each other file
      weights.safetensors  encoder, normaliser statistics, readout and its memory
      montage.tsv          the channels it was fitted on (columns of BIDS electrodes.tsv)
      report.json          its scores, with their controls
      figures/             the scores as pictures, where it has some
      report.html          the same as one page for people
      controls/            bundles of the decoders that it is compared with, where it has some
      versions/            bundles that a live session made of it, where labels adapted its readout

Every file is verified against the manifest before anything is built from it.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rtbrain.config import DetectSettings, Recipe, parse_settings
from rtbrain.errors import (
    BundleError,
    MontageError,
    SettingsError,
    StreamError,
    list_words,
    one_line,
    plain_problem,
)
from rtbrain.files import EXISTS, atomic_folder, parse_json, sha256, strict_json
from rtbrain.stream_names import MAX_SFREQ_HZ, RATE_TOLERANCE, same_rate
from rtbrain.types import Montage
from rtbrain.units import parse_position

_ZEROS = b"0" * 64
_OWN_HASH = re.compile(rb'("sha256": ")([0-9a-f]{64})(?=")')
_FILES = ("weights.safetensors", "montage.tsv", "report.json")


class Change(BaseModel):
    """How a bundle was made from another.

    `parent` is the id of that one, `readout` the SHA-256 of the readout that came of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["refit", "kept", "online"]
    parent: str
    readout: str
    about: str


class Manifest(BaseModel):
    """Description of a bundle.

    `recipe` holds front end and encoder as in the settings, `labels` one name per output, `detect`
    which of them are events, `files` the SHA-256 of each other file; `sha256` is of its own bytes,
    with zeros in its place. `neural_delay_s` is from the moment that a decode describes to its
    window's end; bundles without it describe the middle of what they read. `history` has the
    changes since the fit, oldest first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    mode: str
    task: Literal["classification", "regression"]
    labels: tuple[str, ...]
    sfreq_hz: PositiveFloat = Field(le=MAX_SFREQ_HZ)
    space: str | None = None
    recipe: dict[str, Any]
    detect: dict[str, DetectSettings] = {}
    neural_delay_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    encoder_state: Literal["none", "untrained", "pretrained"]
    trained_on: str
    trained_by: str
    licence: str
    history: tuple[Change, ...] = ()
    files: dict[str, str] = {}
    sha256: str = "0" * 64


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle in memory.

    Attributes
    ----------
    recipe : Recipe
        How samples become features.
    montage : Montage
        Channels that it was fitted on.
    tensors : dict
        Arrays by name: ``brainbert.*``, ``popt.*``, ``normaliser.*``, ``readout.*``,
        ``memory.*``.
    report : dict
        Scores with their controls.
    id : str
        SHA-256 of the manifest: names the bundle, since the manifest names every other file.
    """

    manifest: Manifest
    recipe: Recipe
    montage: Montage
    tensors: dict[str, npt.NDArray[Any]]
    report: dict[str, Any]
    id: str

    @property
    def trigger(self) -> str | None:
        """Channel whose codes cut its windows, where one was named in fitting."""
        labels = self.report.get("labels")
        trigger = labels.get("trigger") if isinstance(labels, dict) else None
        return trigger if isinstance(trigger, str) and self.recipe.window.hop_s is None else None

    def part(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """Arrays under ``prefix.``, without the prefix."""
        start = prefix + "."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def write_bundle(
    folder: Path,
    manifest: Manifest,
    montage: Montage,
    tensors: Mapping[str, npt.NDArray[Any]],
    report: Mapping[str, Any],
    *,
    pictures: Mapping[str, bytes] | None = None,
    page: str = "",
) -> str:
    """Write a bundle, whole or not at all, and return its id.

    `manifest` gets its hashes, rate and space here. `pictures` are files of ``figures/`` by name,
    and `page` is ``report.html``, for people: nothing is built from them. BundleError where the
    folder exists.
    """
    if folder.exists():
        raise BundleError(f"{folder.name} {EXISTS}: name a new folder for the decoder")
    contents = {
        "weights.safetensors": save_tensors(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        ),
        "montage.tsv": _montage_to_tsv(montage).encode(),
        "report.json": strict_json(report).encode(),
    }
    hashes = {name: sha256(content) for name, content in contents.items()}
    manifest = manifest.model_copy(
        update={"files": hashes, "space": montage.space, "sfreq_hz": montage.sfreq_hz}
    )
    unsigned = (manifest.model_dump_json(indent=2) + "\n").encode()
    contents["manifest.json"] = unsigned.replace(_ZEROS, _own_hash(unsigned).encode())
    contents |= {f"figures/{name}": picture for name, picture in (pictures or {}).items()}
    if page:
        contents["report.html"] = page.encode()
    with atomic_folder(folder) as part:
        for name, content in contents.items():
            (part / name).parent.mkdir(exist_ok=True)
            (part / name).write_bytes(content)
    return sha256(contents["manifest.json"])


def read_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle; BundleError where a file is missing, altered, or disagrees."""
    raw = _read(folder, "manifest.json")
    _verify_manifest(folder, raw)
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(
            f"{folder.name}/manifest.json: {plain_problem(error.errors()[0])}; "
            "the decoder is broken or from another version: fit it again"
        ) from error
    contents = {name: _verified(folder, name, manifest.files) for name in _FILES}
    try:
        recipe = parse_settings(
            manifest.recipe, Recipe, where=f"{folder.name}/manifest.json: recipe"
        )
    except SettingsError as error:
        raise BundleError(
            f"{error}; the decoder is broken or from another version: fit it again"
        ) from error
    try:
        tensors = load_tensors(contents["weights.safetensors"])
        report = parse_json(contents["report.json"])
        montage = _montage_from_tsv(contents["montage.tsv"].decode(), manifest)
    except (SafetensorError, ValueError, TypeError, KeyError, csv.Error, MontageError) as error:
        raise BundleError(f"{folder.name}: {' '.join(str(error).split())}: fit it again") from error
    _refuse_other_outputs(folder, manifest, recipe, tensors)
    return Bundle(manifest, recipe, montage, tensors, report, sha256(raw))


def _refuse_other_outputs(
    folder: Path, manifest: Manifest, recipe: Recipe, tensors: Mapping[str, npt.NDArray[Any]]
) -> None:
    bias = tensors.get("readout.bias")
    n_outputs = 0 if bias is None else bias.size
    if n_outputs != len(manifest.labels):
        raise BundleError(
            f"{folder.name}: manifest.json names {len(manifest.labels)} outputs "
            f"({', '.join(manifest.labels)}), the readout has {n_outputs}: fit it again"
        )
    if recipe.mode != manifest.mode:
        raise BundleError(
            f"{folder.name}: manifest.json says mode {manifest.mode}, its recipe {recipe.mode}: "
            "fit it again"
        )


def _read(folder: Path, name: str) -> bytes:
    if folder.is_file():
        raise BundleError(f"{folder.name} is a file: expected a decoder, which is a folder")
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        found = f"{folder.name}/{name}: {one_line(error)}"
        if isinstance(error, FileNotFoundError):
            found = f"{folder.name} has no {name}" if folder.is_dir() else f"no folder {folder}"
        raise BundleError(
            f"{found}: expected a decoder, a folder with manifest.json, {', '.join(_FILES)}"
        ) from error


def _own_hash(manifest: bytes) -> str:
    return sha256(_OWN_HASH.sub(b"\\g<1>" + _ZEROS, manifest))


def _verify_manifest(folder: Path, raw: bytes) -> None:
    found = _OWN_HASH.findall(raw)
    expected = found[0][1].decode() if len(found) == 1 else "none"
    _refuse_altered(folder, "manifest.json", expected, _own_hash(raw))


def _refuse_altered(folder: Path, name: str, expected: str, got: str) -> None:
    if got != expected:
        raise BundleError(
            f"{folder.name}/{name} was altered, or copied in part: use another copy of the "
            f"decoder, or fit it again (expected SHA-256 {expected}, got {got})"
        )


def _verified(folder: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    content = _read(folder, name)
    _refuse_altered(folder, name, hashes.get(name, "none"), sha256(content))
    return content


def _montage_to_tsv(montage: Montage) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    regions = None if montage.regions is None else [[one or "n/a"] for one in montage.regions]
    writer.writerow(["name", "x", "y", "z", "size", "type", *(["region"] if regions else [])])
    placed = montage.placed
    for row, (name, kind) in enumerate(zip(montage.names, montage.kinds, strict=True)):
        position = ["n/a"] * 3
        if montage.positions is not None and placed[row]:
            position = [repr(float(value)) for value in montage.positions[row]]
        writer.writerow([name, *position, "n/a", kind, *(regions[row] if regions else [])])
    return out.getvalue()


def _montage_from_tsv(text: str, manifest: Manifest) -> Montage:
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    positions = None
    if manifest.space is not None:
        positions = np.stack([parse_position([row[axis] for axis in "xyz"]) for row in rows])
    return Montage(
        tuple(row["name"] for row in rows),
        tuple(row["type"] for row in rows),
        manifest.sfreq_hz,
        positions,
        manifest.space,
        tuple(row["region"] or "" for row in rows) if rows and "region" in rows[0] else None,
    )


def require_matching(bundle: Bundle, montage: Montage) -> None:
    """Refuse (StreamError) a stream without the channels or the rate of the bundle."""
    fitted = bundle.montage
    missing = [name for name in fitted.names if name not in montage.names]
    if missing:
        raise StreamError(
            f"stream has {montage.n_channels} channels but not {list_words(missing)}: "
            f"the decoder was fitted on {fitted.n_channels}, and finds them by label; rename them "
            "at the amplifier, or refit"
        )
    if not same_rate(montage.sfreq_hz, fitted.sfreq_hz):
        raise StreamError(
            f"stream has {montage.sfreq_hz:.10g} Hz, the decoder was fitted on "
            f"{fitted.sfreq_hz:.10g}, and takes {RATE_TOLERANCE:.1%} more or less: set the "
            "amplifier to that rate, or refit"
        )
