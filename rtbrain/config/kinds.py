"""The kinds of settings there are, and which of them a file is meant to be."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rtbrain.config.base import Settings
from rtbrain.config.corpus import CorpusSettings
from rtbrain.config.distill import DistillSettings
from rtbrain.config.fit import FitSettings
from rtbrain.config.live import DecodeSettings, DemoSettings
from rtbrain.config.pretrain import PretrainSettings
from rtbrain.config.recipe import Recipe

__all__ = ["KINDS", "kind_of"]

KINDS: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "decode": DecodeSettings,
        "fit": FitSettings,
        "recipe": Recipe,
        "demo": DemoSettings,
        "corpus": CorpusSettings,
        "pretrain": PretrainSettings,
        "distill": DistillSettings,
    }
)


def kind_of(values: Mapping[str, Any]) -> str:
    """The kind that knows most of these keys, `KINDS`' first where several do."""
    return max(KINDS, key=lambda kind: len(set(values) & set(KINDS[kind].model_fields)))
