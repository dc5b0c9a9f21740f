"""Row of the matrix about a stream whose true rate is not the one that its header says."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.check.faults.live import fault_session
from rtbrain.check.faults.matrix import FaultCase, Finding, Rig
from rtbrain.check.faults.world import START_S, SimulatedNetwork, SimulatedSender, VirtualClock
from rtbrain.decoder import read_bundle
from rtbrain.live.source import rate_check
from rtbrain.stage import Source
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Decode, Montage

# The last is further off than the tolerance of 0.5 %.
_TRUE_HZ = {2046.3: "resampled", 2040.0: "resampled", 2030.0: "refused"}


_HOP_S = 0.02


_WHOLE_S = 40.0


_JUDGED_AFTER_S = 12.0  # of samples: by then a rate is either corrected or refused


_LISTENED_S = 5.0


_WITHIN_S = 60.0


# Of the hop, that the mean time between decodes may be off: a tenth of what 2046.3 Hz makes it.
_WITHIN = 1e-4


@dataclass(slots=True)
class _Seen:
    """What a session at one true rate came to: times of valid decodes, why others are not."""

    hop_s: float
    valid_s: list[float] = field(default_factory=list)
    why: str = ""
    resampled_from_hz: float = float("nan")

    def finding(self, true_hz: float) -> Finding:
        """Decodes a whole hop of true time apart; or none, and both rates named."""
        told = self.why or "nothing"
        if _TRUE_HZ[true_hz] == "refused":
            passed = not self.valid_s and f"{true_hz:.2f} Hz" in told and "2048 Hz" in told
            return f"{true_hz:g}: {len(self.valid_s)} valid decodes, invalid: {told}", passed
        hop_s = _mean_hop_s(self.valid_s, self.hop_s)
        off_hz = abs(self.resampled_from_hz - true_hz)
        passed = abs(hop_s / self.hop_s - 1) < _WITHIN and off_hz < 0.1 and not self.why
        return (
            f"{true_hz:g}: resampled from {self.resampled_from_hz:.2f} Hz, {len(self.valid_s)} "
            f"valid decodes {1000 * hop_s:.3f} ms apart (hop {1000 * self.hop_s:.3f} ms), "
            f"invalid: {told}",
            passed,
        )


def _mean_hop_s(times_s: Sequence[float], hop_s: float) -> float:
    """Mean time between decodes, s, where some may have been skipped."""
    if len(times_s) < 2:
        return float("nan")
    whole_s = times_s[-1] - times_s[0]
    n_hops = sum(round((b - a) / hop_s) for a, b in itertools.pairwise(times_s))
    return whole_s / n_hops


def another_true_rate(rig: Rig) -> Finding:
    """Announce 2048 Hz and send 2046.3, 2040 and 2030 Hz for 40 s each, to the live loop."""
    found = [_in_memory(rig, true_hz).finding(true_hz) for true_hz in _TRUE_HZ]
    return "; ".join(said for said, _ in found), all(passed for _, passed in found)


def another_true_rate_live(rig: Rig) -> Finding:
    """Announce 2048 Hz and send 2040 and 2030 Hz to `rtbrain decode`."""
    found = [_over_lsl(rig, true_hz).finding(true_hz) for true_hz in (2040.0, 2030.0)]
    return "; ".join(said for said, _ in found), all(passed for _, passed in found)


@dataclass(slots=True)
class _Passing:
    """A source on whose virtual clock a little time passes with every pull that may wait."""

    source: Source
    clock: VirtualClock

    @property
    def montage(self) -> Montage:
        return self.source.montage

    def pull(self, timeout_s: float) -> Chunk | None:
        if timeout_s > 0:
            self.clock.now_s += _HOP_S
        return self.source.pull(timeout_s)

    def close(self) -> None:
        self.source.close()


@dataclass(slots=True)
class _Sink:
    """Takes decodes, and hears of gaps and skipped windows."""

    decodes: list[Decode] = field(default_factory=list)

    def push(self, item: Decode) -> None:
        self.decodes.append(item)

    def close(self) -> None:
        """Nothing is held."""

    def lost(self, n_samples: int) -> None:
        """Nothing is lost here, or windows are invalid."""

    def skipped(self, n_windows: int) -> None:
        """Nothing is late here."""


def _in_memory(rig: Rig, true_hz: float) -> _Seen:
    bundle, montage, clock, sink = (
        read_bundle(rig.bundle("linear")),
        rig.montage,
        VirtualClock(),
        _Sink(),
    )
    recipe = bundle.recipe
    seen = _Seen(recipe.window.hop_s or recipe.window.length_s)

    def on_event(event: str, **fields: object) -> None:
        if event == "rate":
            seen.resampled_from_hz = float(str(fields["effective_rate_hz"]))

    sender = SimulatedSender(montage, START_S, float("inf"), "off", true_hz=true_hz)
    source = SupervisedSource(
        query=SimulatedNetwork(clock, montage, rig.signal(60.0), [sender]),
        requirements=StreamRequirements(montage.sfreq_hz, montage.names),
        montage=montage,
        on_event=on_event,
        clock=clock,
    )
    pipeline = build_live(
        build_decoder(bundle, montage, on_event=on_event),
        _Passing(source, clock),
        (sink,),
        sink,
        latest_only=True,
        coverage_floor=recipe.coverage_floor,
        clock=clock,
        refusal=rate_check(source),
    )
    try:
        pipeline.run(lambda: clock() > START_S + _WHOLE_S)
    finally:
        source.close()
    judged = [one for one in sink.decodes if one.t_stop > START_S + _JUDGED_AFTER_S]
    seen.valid_s = [one.t_stop for one in judged if one.quality.valid]
    seen.why = next((one.quality.reason for one in judged if not one.quality.valid), "")
    return seen


def _over_lsl(rig: Rig, true_hz: float) -> _Seen:
    with fault_session(rig, true_hz=true_hz) as live:
        ears, seen = live.ears, _Seen(live.hop_s)
        judged_s = ears.valid_after(0.0)[0].t_stop - live.window_s + _JUDGED_AFTER_S
        ears.until(lambda: ears.decodes[-1].t_stop > judged_s + _LISTENED_S, _WITHIN_S)
        seen.valid_s = [one.t_stop for one in ears.valid_after(judged_s)]
        reasons = [one.fields["reason"] for one in ears.events if one.event == "invalid"]
        seen.why = next((why for why in reasons if why.startswith("true rate")), "")
        if (told := ears.event("rate")) is not None:
            seen.resampled_from_hz = told.fields["effective_rate_hz"]
    return seen


RATE_CASES = (FaultCase(14, another_true_rate), FaultCase(14, another_true_rate_live, lsl=True))
