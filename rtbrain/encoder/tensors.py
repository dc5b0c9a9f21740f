"""The tensors of an encoder by name, as bundles and checkpoints hold them."""

from collections.abc import Mapping

import torch

from rtbrain.encoder.kinds import Encoder
from rtbrain.errors import CheckpointError
from rtbrain.types import Floats

__all__ = ["encoder_of_tensors", "refuse_foreign", "tensors_of_encoder"]


def tensors_of_encoder(prefix: str, module: Encoder) -> dict[str, Floats]:
    """Weights as arrays, each under ``prefix.name``.

    Parameters
    ----------
    prefix : str
        Put before each name, to tell the parts of a bundle apart.
    module : BrainBERT, NeuroBERT, BioFAME, StreamingBERT or PopT
        Whose weights.
    """
    return {
        f"{prefix}.{name}": tensor.detach().cpu().numpy()
        for name, tensor in module.state_dict().items()
    }


def encoder_of_tensors(module: Encoder, tensors: Mapping[str, Floats]) -> None:
    """Put these weights into a model, and the model into eval mode.

    Parameters
    ----------
    module : BrainBERT, NeuroBERT, BioFAME, StreamingBERT or PopT
        Changed in place.
    tensors : mapping of str to ndarray, float32
        Its weights, by their names without a prefix; copied.

    Raises
    ------
    CheckpointError
        One is missing, of another shape, or too many.
    """
    refuse_foreign("weights", module, {name: array.shape for name, array in tensors.items()})
    # torch.tensor copies, so that a read-only array of a mapped file will do.
    module.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
    module.eval()


def refuse_foreign(where: object, module: Encoder, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse tensors that are not exactly those of a model, naming the first that differs.

    Parameters
    ----------
    where : Path or str
        Where they come from, for the message.
    module : BrainBERT, NeuroBERT, BioFAME, StreamingBERT or PopT
        The model; its values are not read.
    shapes : mapping of str to tuple of int
        Shape of each tensor that was found.

    Raises
    ------
    CheckpointError
        One is missing, of another shape, or too many.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, shape in expected.items():
        if name not in shapes:
            raise CheckpointError(f"{where}: tensor {name} is missing, expected shape {shape}")
        if shapes[name] != shape:
            raise CheckpointError(
                f"{where}: tensor {name} has shape {shapes[name]}, its sizes say {shape}"
            )
    for name in shapes:
        if name not in expected:
            raise CheckpointError(
                f"{where}: tensor {name} of shape {shapes[name]} is not part of the model"
            )
