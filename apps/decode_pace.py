"""Whether this machine decodes a bundle in time, told before it goes live."""

import importlib.util
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .steps import Pace, measured_pace

if TYPE_CHECKING:
    from rtbrain.config import DecodeSettings, Recipe
    from rtbrain.decoder import Readout
    from rtbrain.pipeline import Encoding

MOST_SHARE = 0.8
"""Largest share of the hop that the median step may take.

The rest is for what the step does not hold: filters and windows, samples in, decodes out, and
those steps that take longer than the median. Beyond it a decoder skips windows now and then; from
a whole hop on, always.
"""

# What else the machine does for a second slows a measurement, and nothing makes one faster than
# the decoder is: so one that is too slow is looked at again, unless no busy second explains it.
_MOST_LOOKS = 3
_HOPELESS = 4.0
_PAUSE_S = 1.0


def refuse_late(
    decoder: "tuple[Encoding, Readout]",
    recipe: "Recipe",
    settings: "DecodeSettings",
    n_channels: int,
    tell: Callable[..., None],
    allow_late: bool,
) -> None:
    """Measure a step, tell it, and refuse a decoder that would always be late.

    One that is too slow is measured again, a little later, before it is refused.

    Parameters
    ----------
    decoder : tuple
        As `rtbrain.build.build_decoder` gives it; afterwards as new.
    recipe : Recipe
        Of the decoder.
    settings : DecodeSettings
        Of the session.
    n_channels : int
        Contacts of the decoder.
    tell : callable
        Takes the events ``pace``, and ``too_slow`` where it is let through all the same.
    allow_late : bool
        Let it through.

    Raises
    ------
    SettingsError
        A step leaves no time.
    """
    from rtbrain.errors import SettingsError

    pace = _fastest_pace(decoder, recipe)
    tell("pace", **told(pace))
    if fits(pace):
        return
    runtime, precision = _runtime_of(decoder[0])
    running = f"{settings.threads} thread{'s' * (settings.threads > 1)}{runtime}"
    faster = faster_ways(recipe, settings.threads, precision)
    why = too_slow(pace, recipe, n_channels, running, faster)
    if not allow_late:
        raise SettingsError(
            f"{why}; if something else kept this machine busy, try again; --allow-late skips what "
            "it cannot decode"
        )
    tell("too_slow", why=why)


def _fastest_pace(decoder: "tuple[Encoding, Readout]", recipe: "Recipe") -> Pace:
    """Pace of the first measurement that fits, or the fastest of several."""
    fastest = measured_pace(*decoder, recipe)
    for _ in range(_MOST_LOOKS - 1):
        if fits(fastest) or fastest.step_s > _HOPELESS * (fastest.hop_s or math.inf):
            break
        time.sleep(_PAUSE_S)
        fastest = min(fastest, measured_pace(*decoder, recipe), key=lambda pace: pace.step_s)
    return fastest


def _runtime_of(encoding: "Encoding") -> tuple[str, str]:
    """What runs the encoder, for the message, and at which precision."""
    from rtbrain.encoder import EncoderStage

    if not isinstance(encoding.encoder, EncoderStage):  # no choice of either
        return "", "fp32"
    runtime = encoding.encoder.runtime
    return f", {runtime.name} {runtime.precision}", runtime.precision


def faster_ways(recipe: "Recipe", threads: int, precision: str) -> list[tuple[str, float]]:
    """Ways to run a decoder faster on this machine, and how many times at best, by its peak.

    Parameters
    ----------
    recipe : Recipe
        Of the decoder.
    threads : int
        Of the encoder, as it runs.
    precision : str
        Of the encoder, as it runs: what was admitted, maybe, and not what the settings say.
    """
    from rtbrain.encoder.contract import refuse_precision
    from rtbrain.errors import ArtefactError
    from rtbrain.offline.machine_peak import measured_peak

    if recipe.mode == "linear":  # threads and precision are the encoder's, and it has none
        return []
    n_cores = os.cpu_count() or 1
    found = [(f"threads: {n_cores}", n_cores / threads)] * (n_cores > threads)
    if recipe.mode not in ("published", "edge") or precision != "fp32":
        return found
    fp32 = measured_peak("fp32", threads=threads)
    try:
        refuse_precision("bf16")
        times = measured_peak("bf16", threads=threads) / fp32
        found.append(("precision: bf16", times))
    except ArtefactError:
        pass  # this CPU has no instructions for it
    if importlib.util.find_spec("openvino") is not None:
        times = measured_peak("int8", threads=threads) / fp32
        found.append(("int8, by rtbrain compile", times))
    return found


def fits(pace: Pace) -> bool:
    """Whether a step leaves time; decodes that come with events have no hop to keep."""
    return pace.hop_s is None or pace.step_s <= MOST_SHARE * pace.hop_s


def told(pace: Pace) -> dict[str, object]:
    """Fields of the status stream's event ``pace``."""
    fields: dict[str, object] = {"step_ms": _ms(pace.step_s), "steps": pace.n_steps}
    if pace.hop_s is not None:
        fields |= {"hop_ms": _ms(pace.hop_s), "fits": fits(pace)}
    return fields


def too_slow(
    pace: Pace, recipe: "Recipe", n_channels: int, running: str, faster: Sequence[tuple[str, float]]
) -> str:
    """One line: how late the decoder would be, and what would fit by the measured cost.

    Parameters
    ----------
    pace : Pace
        Of a decoder that does not fit.
    recipe : Recipe
        Of the decoder.
    n_channels : int
        Contacts of the decoder.
    running : str
        How it was run: threads, runtime.
    faster : sequence of (str, float)
        Ways by which this machine would run it faster, and how many times at best.
    """
    hop_s = pace.hop_s or math.inf
    over = pace.step_s / (MOST_SHARE * hop_s)
    options = [
        *_fewer_channels(n_channels, over),
        *_longer_hop(recipe, pace.step_s),
        *_other_modes(recipe),
        *(setting for setting, times in faster if times >= over),
    ]
    return (
        f"a step of this decoder takes {_ms(pace.step_s):g} ms here ({n_channels} channels, "
        f"{running}), expected at most {MOST_SHARE:.0%} of its hop of {_ms(hop_s):g} ms: "
        f"what would fit: {', or '.join(options) or 'nothing here'}"
    )


def _fewer_channels(n_channels: int, over: float) -> list[str]:
    # Costs grow at least in proportion to channels, but for a part that is the same for any
    # number: hence about.
    n_fit = math.floor(n_channels / over)
    return [f"about {n_fit} channels"] if n_fit else []


def _longer_hop(recipe: "Recipe", step_s: float) -> list[str]:
    """The shortest hop that fits, in whole frames; where a longer hop makes no longer step."""
    if recipe.mode == "streaming":
        return []
    patches = recipe.spectrogram.form == "patches"
    unit_s = recipe.spectrogram.frame_s if patches else recipe.spectrogram.frame_hop_s
    hop_s = math.ceil(step_s / MOST_SHARE / unit_s) * unit_s
    # Longer than its window, it would leave signal out.
    return [f"window.hop_s {hop_s:.12g}"] if hop_s <= recipe.window.length_s else []


def _other_modes(recipe: "Recipe") -> list[str]:
    if recipe.mode == "linear":
        return []
    return ["mode linear"] if recipe.mode == "streaming" else ["mode streaming", "mode linear"]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
