"""Bad contacts in words: why, whether marked by hand, and for how long."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.texts import is_by_hand, reason_text, say
from rtbrain.view.traces.scene import bad_reason

# Whoever begins to judge the contacts reports those that are bad within this time.
_FIRST_REPORT_S = 5.0


@dataclass(frozen=True, slots=True)
class BadContact:
    """A contact that is left out, and why."""

    name: str
    reason: str  # in words, such as ``flat for 4 min``
    short: str  # such as ``flat``
    by_hand: bool

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


def contacts_checked(feeds: Sequence[StreamHealth]) -> bool:
    """Whether a decoder reports on the contacts."""
    return any(feed.kind == "status" and feed.state == "live" for feed in feeds)


class BadContacts:
    """Follows which contacts are bad and since when, where that was seen."""

    def __init__(self) -> None:
        self._since: dict[str, float | None] = {}
        self._reported_at = math.inf

    def list(
        self, names: Iterable[str], bad: Mapping[str, str], now: float, *, checked: bool = False
    ) -> list[BadContact]:
        """Bad contacts in the order of `names`; `now` in s; `checked`: somebody judges them."""
        reasons = {name: why for name in names if (why := bad_reason(name, bad))}
        # Those of the first report were bad before, for nobody knows how long.
        fresh = now if now > self._reported_at else None
        self._since = {name: self._since.get(name, fresh) for name in reasons}
        if bad:
            self._reported_at = min(self._reported_at, now)
        elif checked:
            self._reported_at = min(self._reported_at, now + _FIRST_REPORT_S)
        return [self._one(name, why, now) for name, why in reasons.items()]

    def _one(self, name: str, why: str, now: float) -> BadContact:
        short, since = reason_text(why), self._since[name]
        reason = short
        if since is not None and now - since >= 1:
            reason = say("signal.bad_for", reason=short, time=duration_text(now - since))
        return BadContact(name, reason, short, is_by_hand(why))


def duration_text(seconds: float) -> str:
    """How long, in the largest whole unit, such as ``4 min``."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{max(0, int(seconds))} s"
