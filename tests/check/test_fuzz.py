"""The fuzzer: what it does to bytes, and that it sees every way in which reading can fail."""

import json
import re

import numpy as np
import pytest

from rtbrain.check.fuzz.mutate import mutate
from rtbrain.check.fuzz.run import MAX_BYTES, run_fuzz, try_input
from rtbrain.check.fuzz.targets import TARGETS, Target, resign
from rtbrain.decoder import read_bundle
from rtbrain.errors import SettingsError
from rtbrain.files import sha256

FILES = {"a": b"sound"}


def use(action):
    return Target(lambda folder: [FILES], lambda folder, files: action())


def refuse():
    raise SettingsError("no")


def crash():
    raise ZeroDivisionError("by zero")


def hang():
    try:
        while True:
            pass
    except Exception as error:
        raise SettingsError("caught") from error


def grow():
    np.ones(2 * MAX_BYTES, np.uint8)


@pytest.mark.parametrize(
    ("action", "accepted", "words"),
    [
        (lambda: None, True, ""),
        (refuse, False, ""),
        (crash, False, r"input 7: ZeroDivisionError: by zero \(test_fuzz.py"),
        (hang, False, "input 7: more than 0.2 s"),
        (grow, True, "input 7: 20[0-9] MiB for an input of 5 bytes"),
    ],
)
def test_an_input_is_accepted_refused_or_a_failure(tmp_path, monkeypatch, action, accepted, words):
    if action is hang:
        monkeypatch.setattr("rtbrain.check.fuzz.run.MAX_SECONDS", 0.2)
    outcome = try_input(use(action), tmp_path, FILES, 7)
    assert outcome[0] is accepted
    assert re.match(words or "$", outcome[3])


def test_the_same_seed_damages_alike_and_another_does_not():
    data = bytes(range(256)) * 4
    damaged = [mutate(data, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert damaged[0] == damaged[1] != damaged[2]
    assert damaged[0] != data


def test_empty_and_tiny_inputs_can_be_damaged():
    for seed in range(300):
        mutate(b"", np.random.default_rng(seed))
        mutate(b"7", np.random.default_rng(seed))


def test_a_damaged_folder_is_signed_anew(tmp_path):
    (sound,) = TARGETS["bundle"].make(tmp_path)
    damaged = dict(sound)
    damaged["montage.tsv"] = sound["montage.tsv"].replace(b"A4", b"B9")
    resign(damaged, sound)
    assert "B9" in read_bundle(_written(tmp_path / "signed", damaged)).montage.names
    manifest = json.loads(damaged["manifest.json"])
    assert manifest["files"]["montage.tsv"] == sha256(damaged["montage.tsv"])


def test_an_unknown_target_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match="no target 'xfd': there are xdf, edf"):
        run_fuzz(None, ["xfd"], 1)


def _written(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
