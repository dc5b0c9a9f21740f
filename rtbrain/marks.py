"""Marks that people make: contacts to leave out, and who said so."""

from dataclasses import dataclass

# Reason of a bad channel that an operator marked, in status events and in the window; that of a
# channel which somebody else marked begins as it does.
MANUAL_MARK = "marked by "
OPERATOR_MARK = f"{MANUAL_MARK}the operator"


@dataclass(frozen=True, slots=True)
class Mark:
    """A text that somebody sent to exclude or include contacts, and who, as the sender says."""

    text: str
    source_id: str = ""
    host: str = ""
    by_operator: bool = True

    @property
    def author(self) -> tuple[str, str]:
        """Source id and host."""
        return self.source_id, self.host

    @property
    def reason(self) -> str:
        """Who marked, in words."""
        return f"{MANUAL_MARK}{self.source_id} on {self.host}" if self.host else OPERATOR_MARK


# What is wrong with samples: they were replaced, or no decode may be made of them.
BLANKED, ARTIFACT, LATE, UNSETTLED, AWAY, UNKNOWN = range(1, 7)
_REASONS = {
    ARTIFACT: "an artifact on several contacts",
    LATE: "a stimulation marker came too late to blank its pulse",
    UNSETTLED: "the template of the periodic stimulation is not known yet",
    AWAY: "what announces the stimulation was not received: its pulses may not be blanked",
    UNKNOWN: "whether stimulation is on is unknown until a marker begins or ends it",
}


def sample_flaw(worst: int, blanked: float, max_blanked: float) -> str:
    """Why samples with this highest flag and share of `BLANKED` are not valid; else empty."""
    if worst in _REASONS:
        return _REASONS[worst]
    if blanked <= max_blanked:
        return ""
    return (
        f"stimulation: {blanked:.0%} of the window is blanked, expected {max_blanked:.0%} at most"
    )
