"""Front ends that a fit chooses among, by names such as ``bands-log-0.25s-laplacian``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from rtbrain.config import BandSettings, Recipe, SignalStep, load_settings, parse_settings
from rtbrain.errors import MontageError, SettingsError
from rtbrain.signal import build_signal
from rtbrain.signal.reference import contact_rows
from rtbrain.types import Montage

AUTO, OWN = "auto", "recipe"
FRAME_HOP_S = 0.03125
_POOLS = {"0.19s": 6, "0.25s": 8, "0.5s": 16, "1s": 32}  # frames
_REFERENCES = ("as_given", "shaft_mean", "bipolar", "laplacian")
_SCALES = ("log", "magnitude")
# Frames of 0.2 s as `linear` of v0.1.0 had, one short frame for all rhythms, or those of `linear`.
_FRAMES = {"stft": ((0.1953125, 5.0, 200.0),), "short": ((0.125, 8.0, 160.0),), "bands": ()}
_WORDS = {"form": tuple(_FRAMES), "scale": _SCALES, "pool": tuple(_POOLS), "reference": _REFERENCES}


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Frames, their scale, how many are pooled (all of a window at an event), the reference."""

    form: str
    scale: str
    pool: str
    reference: str

    @property
    def name(self) -> str:
        """Its words in a row."""
        return "-".join(filter(None, (self.form, self.scale, self.pool, self.reference)))

    @property
    def bands(self) -> tuple[BandSettings, ...]:
        """Bands of frequency and their frames."""
        return _bands(self.form)

    @property
    def n_pooled(self) -> int | None:
        """Newest frames that are averaged; None for all."""
        return _POOLS.get(self.pool)

    def recipe(self, recipe: Recipe) -> Recipe:
        """A linear recipe with this front end in place of its own."""
        values = recipe.model_dump(mode="json", exclude_unset=True)
        values["signal"] = referenced_steps(values.get("signal", []), self.reference)
        values["spectrogram"] = {
            "form": "bands",
            "time_constant_s": recipe.spectrogram.time_constant_s,
            "frame_hop_s": FRAME_HOP_S,
            "log": self.scale == "log",
            "bands": [band.model_dump() for band in self.bands],
        }
        longest_s = max(band.frame_s for band in self.bands)
        n_pooled = self.n_pooled
        if n_pooled is None:
            spectrogram = recipe.spectrogram.model_copy(
                update={"bands": self.bands, "frame_hop_s": FRAME_HOP_S}
            )
            n_pooled = max(1, spectrogram.count_frames(recipe.window.length_s))
        else:
            values["window"]["length_s"] = longest_s + (n_pooled - 1) * FRAME_HOP_S
        values["encoder"] = {"pool": "last", "n_pooled": n_pooled}
        return parse_settings(values, Recipe, where=f"front end {self.name}")


@cache
def _bands(form: str) -> tuple[BandSettings, ...]:
    if not _FRAMES[form]:
        return load_settings("linear", Recipe).spectrogram.bands
    keys = tuple(BandSettings.model_fields)
    return tuple(BandSettings(**dict(zip(keys, one, strict=True))) for one in _FRAMES[form])


def own_front_end(recipe: Recipe) -> FrontEnd:
    """Front end of `linear`, or of another linear recipe as far as words describe it."""
    references = [step.reference for step in recipe.signal if step.reference is not None]
    reference = references[-1] if references else "as_given"
    frames = {number: name for name, number in _POOLS.items()}
    n_pooled, spectrogram = recipe.encoder.n_pooled, recipe.spectrogram
    pool = "" if recipe.window.hop_s is None else frames.get(n_pooled, "0.25s")
    scale = "log" if spectrogram.log else "magnitude"
    fits = (form for form in _FRAMES if FrontEnd(form, scale, pool, "").bands == spectrogram.bands)
    return FrontEnd(next(fits, "bands"), scale, pool, reference)


def parse_front_end(name: str, recipe: Recipe) -> FrontEnd:
    """Front end of a name; what it leaves out is the recipe's.

    Raises a SettingsError for a recipe with an encoder, and for words that there are not.
    """
    if recipe.mode != "linear":
        raise SettingsError(
            f"front_end {name}: recipes of mode {recipe.mode} have their encoder's: leave it out"
        )
    found = own_front_end(recipe)
    # The window at an event is pooled whole.
    kinds = {kind: _WORDS[kind] for kind in _WORDS if kind != "pool" or recipe.window.hop_s}
    every = "; ".join(" ".join(words) for words in kinds.values())
    for word in name.split("-"):
        kind = next((kind for kind, words in kinds.items() if word in words), None)
        if kind is None:
            raise SettingsError(
                f"front_end {name}: no word {word!r}, or said twice: expected {AUTO}, {OWN} (the "
                f"recipe's own), or words joined by hyphens, at most one of each: {every}"
            )
        del kinds[kind]
        found = replace(found, **{kind: word})
    return found


def possible_references(recipe: Recipe, montage: Montage) -> list[str]:
    """References that the labels of the channels allow."""
    plain = recipe.model_copy(update={"signal": _steps(recipe, "as_given")})
    filtered = build_signal(plain.signal, montage).montage
    found = []
    for reference in _REFERENCES:
        try:
            build_signal(_steps(recipe, reference), montage)
        except MontageError:
            continue
        if reference == "as_given" or len(contact_rows(filtered)) > 1:
            found.append(reference)
    return found


def candidates(recipe: Recipe, references: list[str]) -> Iterator[FrontEnd]:
    """All front ends with these references that fit into the recipe's windows."""
    at_events = recipe.window.hop_s is None
    pools = ("",) if at_events else tuple(_POOLS)
    for reference, form, scale, pool in product(references, _FRAMES, _SCALES, pools):
        found = FrontEnd(form, scale, pool, reference)
        longest_s = max(band.frame_s for band in found.bands)
        if not at_events or longest_s <= recipe.window.length_s:
            yield found


def _steps(recipe: Recipe, reference: str) -> tuple[SignalStep, ...]:
    values = recipe.model_dump(mode="json", exclude_unset=True)
    values["signal"] = referenced_steps(values.get("signal", []), reference)
    return parse_settings(values, Recipe, where="front end").signal


def referenced_steps(steps: list[dict[str, object]], reference: str) -> list[dict[str, object]]:
    """Steps with this reference where theirs was, or before what changes the rate."""
    places = [n for n, step in enumerate(steps) if "reference" in step or "resample_hz" in step]
    at = min(places, default=len(steps))
    kept = [step for step in steps if "reference" not in step]
    return kept if reference == "as_given" else [*kept[:at], {"reference": reference}, *kept[at:]]
