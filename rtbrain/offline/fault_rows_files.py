"""Rows of the matrix about files: checkpoints and bundles that are broken or hostile."""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rtbrain.decoder import read_bundle
from rtbrain.encoder import BrainBERTSizes, import_checkpoint, random_encoder
from rtbrain.errors import BundleError, CheckpointError
from rtbrain.offline.fault_matrix import Case, Finding, Rig

__all__ = ["CASES"]

_SIZES = BrainBERTSizes(
    hidden_dim=16, layer_dim_feedforward=32, nhead=2, encoder_num_layers=1, input_dim=40
)
_FLIPS_A_FILE = 40


class _MakesFolder:
    """Pickles as a call that makes a folder: proof, if it is there, that code was run."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._flag),)


def hostile_checkpoints(rig: Rig) -> Finding:
    """Import checkpoints that are cut in half, of a wrong shape, short of a tensor, with code."""
    tensors = random_encoder("brainbert", _SIZES, 0).state_dict()
    config = {"name": "masked_tf_model", "layer_activation": "gelu", **asdict(_SIZES)}
    good = {"model": dict(tensors), "model_cfg": config}
    name = next(key for key in tensors if tensors[key].ndim == 2)
    wrong = good | {"model": tensors | {name: torch.zeros(3, 5)}}
    less = good | {"model": {key: value for key, value in tensors.items() if key != name}}
    flag = rig.folder / "code-was-run"
    coded = good | {"model": tensors | {"extra": _MakesFolder(flag)}}

    whole = _saved(good, rig.folder / "good.pth")
    import_checkpoint("brainbert", whole, rig.folder / "good")
    cut = rig.folder / "cut.pth"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    attempts = {
        "truncated": (cut, ("truncated",)),
        "another shape": (_saved(wrong, rig.folder / "wrong.pth"), (name, "3", "5")),
        "a tensor missing": (_saved(less, rig.folder / "less.pth"), (name,)),
        "code in it": (_saved(coded, rig.folder / "coded.pth"), ("mkdir", "nothing was run")),
    }
    said, passed = [], True
    for what, (file, words) in attempts.items():
        message = _refusal(file, rig.folder / f"out {what}")
        fits = all(word in message for word in words) and "\n" not in message
        passed &= fits
        said.append(f"{what}: {message.replace(str(rig.folder), '')[:110]}")
    ran = flag.exists()
    return f"{'code WAS RUN; ' if ran else 'no code was run; '}{'; '.join(said)}", (
        passed and not ran
    )


def _saved(content: dict[str, Any], file: Path) -> Path:
    torch.save(content, file)
    return file


def _refusal(file: Path, out: Path) -> str:
    try:
        import_checkpoint("brainbert", file, out)
    except CheckpointError as error:
        return str(error)
    return "ACCEPTED"


def altered_bundles(rig: Rig) -> Finding:
    """Change one byte of each file of a bundle, at 40 places, and read it each time."""
    bundle = rig.bundle("linear")
    read_bundle(bundle)
    said, passed = [], True
    for file in sorted(bundle.iterdir()):
        length = file.stat().st_size
        places = sorted(
            {turn * (length - 1) // (_FLIPS_A_FILE - 1) for turn in range(_FLIPS_A_FILE)}
        )
        refused = [_altered(bundle, file.name, place, rig.folder / "altered") for place in places]
        n_named = sum(file.name in message for message in refused)
        n_hashes = sum("expected SHA-256" in m and ", got " in m for m in refused)
        passed &= n_named == n_hashes == len(places)
        said.append(
            f"{file.name}: {len(places)} changes, {n_named} refused by name, {n_hashes} with both "
            "hashes"
        )
    return "; ".join(said), passed


def _altered(bundle: Path, name: str, place: int, copy: Path) -> str:
    shutil.copytree(bundle, copy)
    content = bytearray((bundle / name).read_bytes())
    content[place] ^= 1
    (copy / name).write_bytes(content)
    try:
        read_bundle(copy)
    except BundleError as error:
        return str(error)
    finally:
        shutil.rmtree(copy)
    return "ACCEPTED"


CASES = (Case(18, hostile_checkpoints), Case(19, altered_bundles))
