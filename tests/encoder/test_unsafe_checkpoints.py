"""Checkpoints that would run code, or lie about their tensors, stay out."""

import builtins
import io
import os
import pickle
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from rtbrain.encoder import import_checkpoint
from rtbrain.errors import CheckpointError
from tests.encoder.released import CONFIG, SIZES, Payload, released


def zipped(file: Path, data_pkl: bytes, **members: bytes) -> Path:
    """A torch zip archive around any pickle at all."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        for name, data in members.items():
            archive.writestr(f"archive/data/{name}", data)
    return file


def by_hand(body: bytes) -> bytes:
    """A dict under 'model' made by these opcodes."""
    return b"\x80\x02}X\x05\x00\x00\x00model" + body + b"s."


HOSTILE = {
    "os.system": lambda flag: Payload(os.system, f"touch {flag}"),
    "eval": lambda flag: Payload(eval, f"open({str(flag)!r}, 'w')"),
    "exec": lambda flag: Payload(exec, f"open({str(flag)!r}, 'w')"),
    "getattr": lambda flag: Payload(getattr, Path(flag), "touch"),
    "nested": lambda flag: OrderedDict(a=[{"b": Payload(os.mkdir, str(flag))}]),
    "open": lambda flag: Payload(open, str(flag), "w"),
    "import": lambda flag: Payload(builtins.__import__, "antigravity"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(tmp_path, name):
    flag = tmp_path / "ran"
    torch.save({"model": HOSTILE[name](flag), "model_cfg": CONFIG}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"wants to run \w+\.\w+.*nothing was run"):
        import_checkpoint("brainbert", tmp_path / "bad.pth", tmp_path / "out")
    assert not flag.exists()
    assert not (tmp_path / "out").exists()


OPCODES = {
    # protocol 0 and 1 ways to reach a global
    "INST": b"(X\x04\x00\x00\x00trueios\nsystem\n",
    "GLOBAL": b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
    # a dotted name that walks from an allowed module to a function
    "dotted": b"\x8c\x05torch\x8c\x0bload.__call\x93",
    "torch.load": b"ctorch\nload\n",
    "omegaconf.OmegaConf.load": b"comegaconf\nOmegaConf\n",
    # attributes set on what an allowed name stands for
    "class state": b"comegaconf.nodes\nAnyNode\n}X\x0c\x00\x00\x00__setstate__K\x01sb",
    "function state": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__call__K\x01sb",
    "slots of a class": b"comegaconf.nodes\nAnyNode\nN}X\x01\x00\x00\x00xK\x01s\x86b",
    "factory": b"ccollections\ndefaultdict\n(cos\nsystem\ntR",
    "slots of dict": b"cbuiltins\ndict\nN}X\x01\x00\x00\x00xK\x01s\x86b",
    # storages that are none
    "persistent int": b"K\x01Q",
    "persistent path": b"(X\x07\x00\x00\x00storageX\x01\x00\x00\x00xK\x00K\x00K\x00tQ",
    "tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00))tR",
    "dtype called": b"ctorch\nFloatStorage\n(tR",
    "empty stack": b"R",
    "extension": b"\x82\x01",
}


@pytest.mark.parametrize("name", OPCODES)
def test_tricks_with_single_opcodes_are_refused_in_one_line(tmp_path, name):
    file = zipped(tmp_path / "bad.pth", by_hand(OPCODES[name]))
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint("brainbert", file, tmp_path / "out")
    assert "\n" not in str(caught.value)
    # and what the allowed names stand for is as it was
    import_checkpoint("brainbert", released(tmp_path / "good.pth"), tmp_path / "out")


def stored_as(numel: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> bytes:
    """Checkpoint whose in_proj.bias is this view of a storage of 12 float32 in the file."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> Any:
            return obj.pid if isinstance(obj, Storage) else None

    class Storage:
        pid = ("storage", torch.FloatStorage, "0", "cpu", numel)

    class Bias:
        def __reduce__(self) -> Any:
            args = (Storage(), offset, shape, stride, False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, args

    out = io.BytesIO()
    bias = {"input_encoding.in_proj.bias": Bias()}
    Pickler(out, 2).dump({"model": bias, "model_cfg": CONFIG})
    return out.getvalue()


@pytest.mark.parametrize(
    ("numel", "shape", "stride", "offset", "message"),
    [
        (10**12, (12,), (1,), 0, "expected 4000000000000 bytes, the file has 48"),
        (12, (12,), (1,), 1, "reaches outside its 12 numbers"),
        (12, (12,), (2,), 0, "reaches outside its 12 numbers"),
        (12, (12,), (1, 1), 0, "reaches outside its 12 numbers"),
        (4, (12,), (0,), 0, "reaches outside its 4 numbers"),
        (-1, (12,), (1,), 0, "expected a count, got -1"),
        (12, (12,), (-1,), 11, "expected a count, got -1"),
    ],
)
def test_a_tensor_that_lies_about_its_storage_is_refused(
    tmp_path, monkeypatch, numel, shape, stride, offset, message
):
    data = stored_as(numel, shape, stride, offset)
    file = zipped(tmp_path / "lie.pth", data, **{"0": bytes(48)})
    # Only the bias is in the file: leave the look for the other tensors out.
    monkeypatch.setattr("rtbrain.encoder.folder.require_matching_tensors", lambda *_: None)
    monkeypatch.setattr("rtbrain.encoder.folder._sizes_of", lambda *_: SIZES)
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint("brainbert", file, tmp_path / "out")


def test_an_honest_view_is_read(tmp_path, monkeypatch):
    data = stored_as(12, (12,), (1,), 0)
    file = zipped(tmp_path / "honest.pth", data, **{"0": bytes(48)})
    monkeypatch.setattr("rtbrain.encoder.folder.require_matching_tensors", lambda *_: None)
    monkeypatch.setattr("rtbrain.encoder.folder._sizes_of", lambda *_: SIZES)
    import_checkpoint("brainbert", file, tmp_path / "out")


# Pairs of pairs of pairs: 2 ** 59 parts in 600 bytes.
DOUBLED = b"]q\x01" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(1, 60))
BOMBS = {
    # the C unpickler would make a list of 2 ** 31 places for this number
    "high number": b"}r\xff\xff\xff\x7f",
    "a key of tuples": b"}" + DOUBLED + b"K\x01s",
    "keys of tuples": b"}(" + DOUBLED + b"K\x01u",
    "copies of copies": b"](" + b"K\x01" * 50000 + b"eq\x01"
    b"" + b"c__builtin__\nlist\nh\x01\x85R0" * 5000,
    "a set": b"\x8f(K\x01\x90",
    "long": b"}" + b"}0" * 2**19,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_expands_is_refused_before_it_does(tmp_path, name):
    file = zipped(tmp_path / "bomb.pth", by_hand(BOMBS[name]))
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=r"pickle|found none"):
        import_checkpoint("brainbert", file, tmp_path / "out")
    assert time.monotonic() - began < 5


def test_an_archive_of_more_members_than_a_checkpoint_has_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.pth", "w") as archive:
        for number in range(20000):
            archive.writestr(f"archive/data/{number}", b"")
    with pytest.raises(CheckpointError, match="more members"):
        import_checkpoint("brainbert", tmp_path / "many.pth", tmp_path / "out")
