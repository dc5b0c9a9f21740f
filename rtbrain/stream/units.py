"""Units of voltage, as files write them."""

__all__ = ["in_microvolts"]

_MICROVOLTS = {
    **dict.fromkeys(("nanovolt", "nanovolts", "nv"), 1e-3),
    **dict.fromkeys(("microvolt", "microvolts", "uv"), 1.0),
    **dict.fromkeys(("millivolt", "millivolts", "mv"), 1e3),
    **dict.fromkeys(("volt", "volts", "v"), 1e6),
}


def in_microvolts(unit: str) -> float | None:
    """How many microvolts one of `unit` is; None where it is no unit of voltage."""
    # Both the micro sign (U+00B5) and the Greek letter mu (U+03BC) are in use.
    plain = unit.strip().replace("\u00b5", "u").replace("\u03bc", "u").lower()
    return _MICROVOLTS.get(plain)
