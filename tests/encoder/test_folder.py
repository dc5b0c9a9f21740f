"""Checkpoints: what is released comes in, what is broken or foreign stays out."""

import json
import os
import pickle
import zipfile

import omegaconf
import pytest
import torch

from rtbrain.encoder import (
    StreamingBERTSizes,
    encoder_of_tensors,
    encoder_tensors,
    import_checkpoint,
    load_encoder,
    random_encoder,
    save_encoder,
)
from rtbrain.errors import CheckpointError
from tests.encoder.released import CONFIG, POPT, SIZES, Payload, released


def test_a_released_checkpoint_comes_back_weight_for_weight(tmp_path):
    file = released(tmp_path / "large.pth")
    sha256 = import_checkpoint("brainbert", file, tmp_path / "out")
    note = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert note["source_sha256"] == sha256
    assert note["sizes"]["nhead"] == 2
    loaded = load_encoder(tmp_path / "out")
    assert not loaded.training
    expected = random_encoder(SIZES, 4).state_dict()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_nothing_of_torch_or_omegaconf_is_called_while_reading(tmp_path, monkeypatch):
    file = released(tmp_path / "large.pth")

    def called(*_: object, **__: object) -> None:
        raise AssertionError("the pickle called real code")

    monkeypatch.setattr(torch._utils, "_rebuild_tensor_v2", called)
    monkeypatch.setattr(omegaconf.DictConfig, "__setstate__", called)
    monkeypatch.setattr(torch, "load", called)
    import_checkpoint("brainbert", file, tmp_path / "out")


def test_fine_tuned_names_are_accepted_and_the_head_is_named_as_left_out(tmp_path):
    plain = random_encoder(SIZES, 4).state_dict()
    state = {f"upstream.{name}": tensor for name, tensor in plain.items()}
    state |= {"linear_out.weight": torch.ones(1, 12), "linear_out.bias": torch.ones(1)}
    torch.save({"model": state, "model_cfg": CONFIG}, tmp_path / "tuned.pth")
    import_checkpoint("brainbert", tmp_path / "tuned.pth", tmp_path / "out")
    note = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert note["left_out"] == ["linear_out.weight", "linear_out.bias"]
    assert load_encoder(tmp_path / "out").state_dict().keys() == plain.keys()


def test_half_precision_and_parameters_are_read_as_float32(tmp_path):
    weight = torch.nn.Parameter(torch.randn(12, 40))
    file = released(
        tmp_path / "half.pth",
        **{
            "input_encoding.in_proj.weight": weight,
            "input_encoding.in_proj.bias": torch.ones(12, dtype=torch.bfloat16),
            "spec_prediction_head.hidden_layer.weight": torch.arange(144.0).view(12, 12).T,
        },
    )
    import_checkpoint("brainbert", file, tmp_path / "out")
    state = load_encoder(tmp_path / "out").state_dict()
    assert torch.equal(state["input_encoding.in_proj.weight"], weight.data)
    assert torch.equal(state["input_encoding.in_proj.bias"], torch.ones(12))
    transposed = torch.arange(144.0).view(12, 12).T
    assert torch.equal(state["spec_prediction_head.hidden_layer.weight"], transposed)


def test_popt_takes_its_feed_forward_width_from_its_tensors(tmp_path):
    model = random_encoder(POPT, 0)
    config = {"name": "pt_model_custom", "n_head": 2, "n_layers": 1, "hidden_dim": 16}
    config |= {"input_dim": 12}
    torch.save({"model": model.state_dict(), "model_cfg": config}, tmp_path / "popt.pth")
    import_checkpoint("popt", tmp_path / "popt.pth", tmp_path / "out")
    assert load_encoder(tmp_path / "out").sizes == POPT


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    whole = released(tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="truncated"):
        import_checkpoint("brainbert", tmp_path / "cut.pth", tmp_path / "out")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    data = bytearray(released(tmp_path / "whole.pth").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    (tmp_path / "hurt.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        import_checkpoint("brainbert", tmp_path / "hurt.pth", tmp_path / "out")


def test_the_legacy_format_and_foreign_files_are_refused(tmp_path):
    model = {"model": {}, "model_cfg": CONFIG, "flag": Payload(os.mkdir, str(tmp_path / "ran"))}
    torch.save(model, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "text.pth").write_text("hello")
    for name in ("old.pth", "text.pth"):
        with pytest.raises(CheckpointError, match="not a torch zip checkpoint"):
            import_checkpoint("brainbert", tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"one data\.pkl inside, got 0"):
        import_checkpoint("brainbert", tmp_path / "other.zip", tmp_path / "out")
    with pytest.raises(CheckpointError, match="cannot be read"):
        import_checkpoint("brainbert", tmp_path / "absent.pth", tmp_path / "out")


def test_a_compressed_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(10**7))
    with pytest.raises(CheckpointError, match="more bytes than the file has"):
        import_checkpoint("brainbert", tmp_path / "bomb.pth", tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"transformer.layers.1.linear1.weight": torch.ones(20, 13)},
            r"transformer\.layers\.1\.linear1\.weight has shape \(20, 13\).* \(20, 12\)",
        ),
        (
            {"transformer.layers.0.norm2.bias": None},
            r"transformer\.layers\.0\.norm2\.bias is missing, expected shape \(12,\)",
        ),
        ({"adapter.weight": torch.ones(3)}, r"adapter\.weight of shape \(3,\) is not part"),
        (
            {"input_encoding.in_proj.bias": torch.full((12,), torch.nan)},
            r"input_encoding\.in_proj\.bias holds NaN",
        ),
        (
            {"input_encoding.in_proj.bias": torch.ones(12, dtype=torch.int64)},
            r"in_proj\.bias: expected floating point, got torch\.int64",
        ),
        ({"input_encoding.in_proj.bias": [1.0]}, r"holds list under 'input_encoding"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_with_its_shape(tmp_path, changed, message):
    file = released(tmp_path / "foreign.pth", **changed)
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint("brainbert", file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_dim": 10**9}, "hidden_dim is 1000000000, expected a count"),
        ({"nhead": "two"}, "nhead is 'two', expected a count"),
        ({"nhead": 5}, "multiple of nhead"),
        ({"encoder_num_layers": 999}, "more layers than there are tensors"),
        ({"encoder_num_layers": 3}, r"layers\.2\.self_attn\.in_proj_weight is missing"),
        ({"layer_activation": "relu"}, "expected 'gelu'"),
        ({"name": "pt_model_custom"}, "pass the kind that the checkpoint holds"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path, changed, message):
    file = released(tmp_path / "foreign.pth", CONFIG | changed)
    with pytest.raises(CheckpointError, match=message):
        import_checkpoint("brainbert", file, tmp_path / "out")


def test_a_checkpoint_without_model_or_settings_is_refused(tmp_path):
    for content, message in (
        ({"model_cfg": CONFIG}, "expected tensors under 'model'"),
        ({"model": {"a": torch.ones(1)}}, "expected settings under 'model_cfg'"),
        ([1, 2], "expected a dict with 'model', got list"),
    ):
        torch.save(content, tmp_path / "half.pth")
        with pytest.raises(CheckpointError, match=message):
            import_checkpoint("brainbert", tmp_path / "half.pth", tmp_path / "out")


def test_a_folder_with_content_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="already has content"):
        import_checkpoint("brainbert", released(tmp_path / "a.pth"), tmp_path / "out")
    with pytest.raises(CheckpointError, match="already has content"):
        save_encoder(random_encoder(POPT, 0), tmp_path / "out")
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_what_was_saved_loads_equal(tmp_path):
    model = random_encoder(POPT, 7)
    save_encoder(model, tmp_path / "out")
    loaded = load_encoder(tmp_path / "out")
    assert loaded.sizes == POPT
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize("sizes", [SIZES, POPT, StreamingBERTSizes(8, 16, 2, 1, 5, 4, 8)])
def test_reading_an_encoder_fills_no_table(tmp_path, monkeypatch, sizes):
    """Without memory to fill, arithmetic loads torch's compiler: seconds at each start."""
    save_encoder(random_encoder(sizes, 7), tmp_path / "out")
    for name in ("arange", "exp", "sin", "pow"):
        monkeypatch.setattr(torch, name, lambda *_, **__: pytest.fail("a table is filled"))
    load_encoder(tmp_path / "out")


def test_a_folder_that_was_altered_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="rtbrain import-checkpoint"):
        load_encoder(tmp_path)
    save_encoder(random_encoder(POPT, 7), tmp_path / "out")
    weights, note = tmp_path / "out" / "weights.safetensors", tmp_path / "out" / "encoder.json"
    whole, text = weights.read_bytes(), note.read_text()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        load_encoder(tmp_path / "out")
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_encoder(tmp_path / "out")
    weights.write_bytes(whole)
    for wrong, message in (
        ("{", "not JSON"),
        (text.replace('"format": 1', '"format": 9'), "expected format 1"),
        (text.replace('"n_head": 2', '"n_head": 3'), "sizes do not make a popt"),
        (text.replace('"n_head": 2', '"heads": 3'), "sizes do not make a popt"),
        (text.replace('"input_dim": 12', '"input_dim": 13'), r"in_proj\.weight has shape"),
    ):
        note.write_text(wrong)
        with pytest.raises(CheckpointError, match=message):
            load_encoder(tmp_path / "out")


def test_weights_travel_as_arrays_under_a_prefix():
    model = random_encoder(POPT, 7)
    arrays = encoder_tensors("popt", model)
    stripped = {name.removeprefix("popt."): array for name, array in arrays.items()}
    for array in stripped.values():
        array.setflags(write=False)
    other = encoder_of_tensors("weights", POPT, stripped)
    assert not other.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    del stripped["cls_head.bias"]
    with pytest.raises(CheckpointError, match=r"weights: tensor cls_head\.bias is missing"):
        encoder_of_tensors("weights", POPT, stripped)
