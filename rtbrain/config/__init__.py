"""Settings: YAML of plain values, validated before any data flow.

A `Recipe` defines how signals become decodes (a decoder bundle carries it), `DecodeSettings` a
live session, `FitSettings` a fit, `DemoSettings` the demo, `CorpusSettings` a corpus of windows on
disk, `PretrainSettings` and `DistillSettings` the training of encoders. Durations are seconds,
frequencies Hz. An unknown key is refused, and the nearest known one named.
"""

from rtbrain.config.detect import DetectSettings, Preset
from rtbrain.config.files import (
    SETTINGS_KINDS,
    find_settings,
    load_settings,
    parse_settings,
    read_settings,
    settings_kind,
)
from rtbrain.config.fit import FitSettings, LabelSettings, SplitSettings
from rtbrain.config.front_end import (
    RUNNING,
    STIMULATION,
    BandSettings,
    PickSettings,
    SignalStep,
    SpectrogramSettings,
    StimulationSettings,
    WindowSettings,
)
from rtbrain.config.live import DecodeSettings, DemoSettings, OutletSettings, StreamSettings
from rtbrain.config.outputs import OscSettings, OutputSettings, SerialSettings, UdpSettings
from rtbrain.config.recipe import EncoderSettings, Recipe, require_signal_left
from rtbrain.config.training import (
    CorpusSettings,
    DistillSettings,
    PretrainSettings,
    SourceSettings,
)

__all__ = [
    "RUNNING",
    "SETTINGS_KINDS",
    "STIMULATION",
    "BandSettings",
    "CorpusSettings",
    "DecodeSettings",
    "DemoSettings",
    "DetectSettings",
    "DistillSettings",
    "EncoderSettings",
    "FitSettings",
    "LabelSettings",
    "OscSettings",
    "OutletSettings",
    "OutputSettings",
    "PickSettings",
    "Preset",
    "PretrainSettings",
    "Recipe",
    "SerialSettings",
    "SignalStep",
    "SourceSettings",
    "SpectrogramSettings",
    "SplitSettings",
    "StimulationSettings",
    "StreamSettings",
    "UdpSettings",
    "WindowSettings",
    "find_settings",
    "load_settings",
    "parse_settings",
    "read_settings",
    "require_signal_left",
    "settings_kind",
]
