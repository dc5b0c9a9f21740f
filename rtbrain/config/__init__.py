"""Settings: YAML of plain values, validated before any data flow.

A `Recipe` says how signals become decodes (it travels inside a decoder bundle), a
`DecodeSettings` where live samples come from and where decodes go, a `FitSettings` how a decoder
is fitted, a `DemoSettings` what the demo shows, a `CorpusSettings` which recordings become
windows on disk, a `PretrainSettings` what is learned from them, a `DistillSettings` what a
streaming encoder learns from another. Durations are seconds, frequencies Hz. A key that is not
known is refused, with the nearest that is.
"""

from rtbrain.config.corpus import CorpusSettings, SourceSettings
from rtbrain.config.files import (
    SETTINGS_KINDS,
    find_settings,
    load_settings,
    parse_settings,
    read_settings,
    settings_kind,
)
from rtbrain.config.fit import FitSettings, LabelSettings, SplitSettings
from rtbrain.config.live import DecodeSettings, DemoSettings, OutletSettings, StreamSettings
from rtbrain.config.recipe import (
    EncoderSettings,
    PickSettings,
    Recipe,
    SignalStep,
    SpectrogramSettings,
    WindowSettings,
)
from rtbrain.config.training import DistillSettings, PretrainSettings

__all__ = [
    "SETTINGS_KINDS",
    "CorpusSettings",
    "DecodeSettings",
    "DemoSettings",
    "DistillSettings",
    "EncoderSettings",
    "FitSettings",
    "LabelSettings",
    "OutletSettings",
    "PickSettings",
    "PretrainSettings",
    "Recipe",
    "SignalStep",
    "SourceSettings",
    "SpectrogramSettings",
    "SplitSettings",
    "StreamSettings",
    "WindowSettings",
    "find_settings",
    "load_settings",
    "parse_settings",
    "read_settings",
    "settings_kind",
]
