"""The Population Transformer: embeddings and positions of all channels to one vector.

Legend: B batch, C channels, D features of a channel, P features of the population.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.channels import places_of
from rtbrain.encoder.models.layers import (
    DROPOUT,
    N_POSITIONS,
    PositionTable,
    PredictionHead,
    TransformerStack,
    require_sizes,
)
from rtbrain.errors import MontageError, list_words
from rtbrain.types import Ints, Montage

_LIP = ("LIP voxels", "LIP mm")
# x to the right, y anterior, z superior; with the millimetres in one unit.
_RAS = {"MNI mm": 1.0, "RAS mm": 1.0, "MNI m": 1000.0, "RAS m": 1000.0}
_CENTRE_VOXEL = 128.0
# The schematic: shafts from the lateral surface inwards, from front to back of their side at three
# heights, contacts of 16 to a line with number 1 the deepest. Bundles without positions read these
# numbers: they may not change.
_LINE, _PITCH_MM, _SURFACE_MM = 16, 3.5, 62.0
_FRONT_MM, _BACK_MM, _HEIGHTS_MM = 40.0, -50.0, (20.0, 50.0, -10.0)


@dataclass(frozen=True)
class PopTSizes:
    """Sizes of a Population Transformer, under the names that its checkpoints use.

    `input_dim` is the width D of a channel's embedding, `hidden_dim` the width P: a multiple of 8
    (four position codes, each even) and of the heads. ValueError where they do not fit.
    """

    input_dim: int
    hidden_dim: int
    layer_dim_feedforward: int
    n_head: int
    n_layers: int

    def __post_init__(self) -> None:
        require_sizes(self, multiple_of=8, heads="n_head")

    def make(self) -> "PopT":
        """Model of these sizes, with weights from torch's global generator."""
        return PopT(self)


POPT_SIZES = {
    "published": PopTSizes(768, 512, 2048, 8, 6),
    "compact": PopTSizes(64, 64, 256, 4, 2),
}


class _InputEncoding(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(input_dim, hidden_dim)
        self.positional_encoding = PositionTable(hidden_dim // 4)
        self.layer_norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, index: Tensor) -> Tensor:
        code = self.positional_encoding(index).flatten(2)  # [B, 1+C, 4, P/4] to [B, 1+C, P]
        out: Tensor = self.dropout(self.layer_norm(self.in_proj(tokens) + code))
        return out


def _left_out(good: Tensor) -> Tensor:
    """Good channels [B, C] to the tokens that are left out [B, 1 + C]; CLS never is."""
    return torch.cat((torch.zeros_like(good[:, :1]), ~good), dim=1)


class PopT(nn.Module):
    """Transformer over the channels: one token each, and a CLS token that reads them all.

    The CLS token is a vector of ones before the projection, not learned, and lies at index 0 of
    each axis, as published.

    References
    ----------
    Chau et al. 2025, Population Transformer, arXiv:2406.03044.
    """

    def __init__(self, sizes: PopTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.input_encoding = _InputEncoding(sizes.input_dim, sizes.hidden_dim)
        self.transformer_encoder = TransformerStack(
            sizes.n_layers, sizes.hidden_dim, sizes.n_head, sizes.layer_dim_feedforward
        )
        # Not read by the released objective; kept because released checkpoints hold it.
        self.spec_prediction_head = PredictionHead(sizes.hidden_dim, sizes.input_dim)
        self.cls_head = nn.Linear(sizes.hidden_dim, 1)
        self.token_cls_head = nn.Linear(sizes.hidden_dim, 1)

    def forward(
        self,
        embedding: Tensor,
        positions: Tensor,
        seq_id: Tensor | None = None,
        pad_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states and the two logits of pretraining.

        Parameters
        ----------
        embedding : Tensor, float32 [B, C, D]
        positions : Tensor, int64 [B, C, 3]
            L, I, P voxels, 0 to 4999; MontageError outside.
        seq_id : Tensor, int64 [B, C], or None
            Which of two windows a channel is taken from; None for all 0.
        pad_mask : Tensor, bool [B, 1 + C], or None
            True where a token is left out; the first is CLS.

        Returns
        -------
        hidden : Tensor, float32 [B, 1 + C, P]
            The first row is CLS.
        cls_logit, token_logit : Tensor, float32 [B, 1] and [B, C, 1]
            Whether the two windows do not follow each other, and whether a channel was replaced.
        """
        tokens = self._tokens(embedding, positions, seq_id)
        hidden: Tensor = self.transformer_encoder(tokens, pad_mask)
        return hidden, self.cls_head(hidden[:, 0]), self.token_cls_head(hidden[:, 1:])

    def population(self, embedding: Tensor, positions: Tensor, good: Tensor) -> Tensor:
        """Hidden state of CLS [B, P], with the last layer computed for CLS only.

        As `forward`, of the channels that are `good` [B, C]: the tokens of others are left out.
        """
        tokens = self._tokens(embedding, positions, None)
        return self.transformer_encoder.rows(tokens, 0, 1, _left_out(good))[:, 0]

    def codes(self, positions: Tensor) -> Tensor:
        """Tokens before any signal: positions [B, C, 3] to CLS and codes [B, 1 + C, P]."""
        encoding = self.input_encoding
        B = positions.shape[0]
        weight = encoding.in_proj.weight
        ones = torch.ones(B, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)
        index = functional.pad(positions, (0, 1))  # [B, C, 4]: sequence 0
        cls = encoding(ones, torch.zeros_like(index[:, :1]))
        return torch.cat((cls, encoding.positional_encoding(index).flatten(2)), dim=1)

    def population_of_codes(self, embedding: Tensor, codes: Tensor, good: Tensor) -> Tensor:
        """As `population`, from the `codes` [B, 1 + C, P] of the positions."""
        encoding = self.input_encoding
        channels = encoding.layer_norm(encoding.in_proj(embedding) + codes[:, 1:])
        tokens = torch.cat((codes[:, :1], channels), dim=1)
        return self.transformer_encoder.rows(tokens, 0, 1, _left_out(good))[:, 0]

    def _tokens(self, embedding: Tensor, positions: Tensor, seq_id: Tensor | None) -> Tensor:
        # Compiled, the runtime has checked them once.
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            require_positions_in_range(positions.numpy(force=True))
        B, _, D = embedding.shape
        if seq_id is None:
            seq_id = torch.zeros_like(positions[..., 0])
        index = torch.cat((positions, seq_id[..., None]), dim=-1)  # [B, C, 4]
        index = torch.cat((torch.zeros_like(index[:, :1]), index), dim=1)  # [B, 1+C, 4]
        ones = torch.ones(B, 1, D, dtype=embedding.dtype, device=embedding.device)
        tokens: Tensor = self.input_encoding(torch.cat((ones, embedding), dim=1), index)
        return tokens


def lip_positions(montage: Montage) -> Ints:
    """Contact positions as L, I, P voxels (left, inferior, posterior), 1 mm each: int64 [C, 3].

    L, I, P are taken as they are and truncated, as published. World coordinates (``"MNI mm"``,
    ``"RAS mm"``, ``"MNI m"``, ``"RAS m"``; x right, y anterior, z superior) are placed in
    FreeSurfer's conformed volume of 256 voxels of 1 mm, centred on the origin: L = 128 - x,
    I = 128 - z, P = 128 - y, rounded.

    Raises
    ------
    MontageError
        A position is missing, its space is unknown, or it falls outside the table (0 to 4999).

    References
    ----------
    Chau et al. 2025, section 3, arXiv:2406.03044.
    """
    if montage.positions is None:
        raise MontageError(
            f"the montage has no positions for its {montage.n_channels} channels "
            f"({list_words(list(montage.names))}), which the Population Transformer needs: use a "
            f"recording with positions (electrodes.tsv of BIDS, or LSL's location)"
        )
    if montage.space not in (*_LIP, *_RAS):
        raise MontageError(
            f"positions are in '{montage.space}', expected one of {', '.join((*_LIP, *_RAS))}: "
            f"if that is one of these under another name, pass --space"
        )
    unplaced = [montage.names[row] for row in np.flatnonzero(~montage.placed)]
    if unplaced:
        raise MontageError(
            f"no position for {list_words(unplaced)}: complete the electrodes table, or leave "
            f"them out"
        )
    if montage.space in _LIP:
        voxels = np.trunc(montage.positions)
    else:
        world_mm = montage.positions.astype(np.float64) * _RAS[montage.space]
        voxels = np.rint(_CENTRE_VOXEL - world_mm[:, [0, 2, 1]])
    positions = voxels.astype(np.int64)
    require_positions_in_range(positions, list(montage.names))
    return positions


def population_positions(montage: Montage) -> tuple[Ints, str]:
    """Positions int64 [C, 3] that PopT reads of any montage, and a sentence where they are made up.

    Where those of the montage cannot be read as `lip_positions`, all are of a schematic: by shaft
    and number of the labels. The sentence is empty where the positions are the montage's.
    """
    try:
        return lip_positions(montage), ""
    except MontageError as error:
        why = "no contact has a position" if montage.positions is None else str(error)
    return _schematic_positions(montage.names), (
        f"{why}: the Population Transformer takes positions from the labels, shaft and number on a "
        "schematic"
    )


def _schematic_positions(names: Sequence[str]) -> Ints:
    """Places of labels on the schematic, int64 [C, 3]; labels without one count as one shaft."""
    outermost: dict[tuple[bool, str, int], int] = {}
    found = []
    for order, place in enumerate(places_of(names)):
        shaft, number = ("", order + 1) if place is None else place[:2]
        line, along = divmod(max(number - 1, 0), _LINE)
        # Left by the customs of clinics: a prime, or an L in front.
        key = "'" in shaft or shaft[:1] in ("L", "l"), shaft, line
        outermost[key] = max(along, outermost.get(key, 0))
        found.append((key, along))
    voxels = np.empty((len(found), 3), np.int64)
    for row, (key, along) in enumerate(found):
        side = sorted(other for other in outermost if other[0] == key[0])
        nth = side.index(key)
        x_mm = _SURFACE_MM - _PITCH_MM * (outermost[key] - along)
        y_mm = _FRONT_MM + (nth + 0.5) / len(side) * (_BACK_MM - _FRONT_MM)
        z_mm = _HEIGHTS_MM[nth % len(_HEIGHTS_MM)]
        voxels[row] = np.rint(_CENTRE_VOXEL - np.array([-x_mm if key[0] else x_mm, z_mm, y_mm]))
    return voxels


def require_positions_in_range(positions: npt.NDArray[Any], names: list[str] | None = None) -> None:
    """Refuse positions that the table of position codes does not hold."""
    outside = ((positions < 0) | (positions >= N_POSITIONS)).any(axis=-1)
    if not outside.any():
        return
    channels = np.unique(np.nonzero(outside)[-1]).tolist()
    labels = [names[row] if names else f"number {row}" for row in channels]
    worst = positions[outside][0].tolist()
    raise MontageError(
        f"position of channel {list_words(labels)} is outside 0 to {N_POSITIONS - 1}, got {worst}: "
        f"check the space and the unit of the electrodes table"
    )
