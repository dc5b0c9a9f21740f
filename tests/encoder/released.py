"""Checkpoints in the released layout, made for the tests."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import omegaconf
import torch

from rtbrain.encoder import BrainBERTSizes, PopTSizes, random_encoder

SIZES = BrainBERTSizes(hidden_dim=12, layer_dim_feedforward=20, nhead=2, encoder_num_layers=2)
POPT = PopTSizes(input_dim=12, hidden_dim=16, layer_dim_feedforward=24, n_head=2, n_layers=1)
CONFIG = {
    "name": "masked_tf_model",
    "hidden_dim": 12,
    "layer_dim_feedforward": 20,
    "layer_activation": "gelu",
    "nhead": 2,
    "encoder_num_layers": 2,
    "input_dim": 40,
}


def released(file: Path, config: Any = None, **changed: Any) -> Path:
    """A checkpoint in the released layout; `changed` replaces tensors, None drops one."""
    state = OrderedDict(random_encoder(SIZES, 4).state_dict())
    for name, tensor in changed.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    adam = {"state": {0: {"step": 3, "exp_avg": torch.ones(5)}}, "param_groups": [{"lr": 1e-4}]}
    config = omegaconf.OmegaConf.create(CONFIG if config is None else config)
    torch.save({"model": state, "optim": adam, "scheduler": None, "model_cfg": config}, file)
    return file


class Payload:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call
