"""From a sender's stamps to this machine's LSL clock, also where they show another clock."""

import math
import time
from collections import deque

import numpy as np

from rtbrain.stream.clock.rate import PAUSE_S, SlowMinimum
from rtbrain.types import Times

# A clock offset is wrong by at most half its round trip, and by this much more a second since,
# s/s: twice what crystals drift by.
_DRIFT = 1e-4
# A better offset moves stamps slowly, so that they stay even; one that was this far off, at once.
_SLEW = 1e-4
_JUMP_S = 0.01
# Stamps later than their arrival by more than this and what the offset leaves open are not LSL
# time; a single one may be noise.
_AHEAD_S = 0.05
_AHEAD_FOR_S = 2.0
# The first samples of a connection were made after it opened, but for those that wait for the
# rest of their chunk at the sender.
_BEHIND_S = 10.0
# How fast samples placed by arrival may be moved later, s/s: follows crystals, not a slow link.
_FOLLOW = 2e-4
# Stamps that step this often within a second of samples, or stand still for one, show no time.
_MAX_STEPS = 10
_STILL_S = 1.0
_LEAST_SAMPLES = 64
_DAY_S = 86400.0
# A marker may be announced before its moment, but no longer than the decoder waits for it.
_MARKER_AHEAD_S = 60.0
# Markers and signal this near to each other are stamped by one clock.
_SAME_CLOCK_S = 1.0


class OffsetFilter:
    """The most trustworthy of all measurements of a clock's offset.

    One is believed to within half its round trip, and less by 100 ppm of its age. Measurements
    over a congested link, whose offsets are off by up to half of their long round trips, are thus
    passed over for many minutes, while on a good link the newest counts. One that cannot be true
    together with what was believed shows that the clock was set, and is believed.

    References
    ----------
    Mills 1991, Internet time synchronization: the network time protocol, section V (clock filter),
    https://doi.org/10.1109/26.103043
    """

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._bound_s = math.inf
        self._at_s = -math.inf
        self._last: tuple[float, float] | None = None

    def bound_s(self, now_s: float) -> float:
        """How far the offset may be off, s; infinite before there is one."""
        return self._bound_s + _DRIFT * max(0.0, now_s - self._at_s)

    def add(self, offset_s: float, round_trip_s: float, now_s: float) -> bool:
        """Take a measurement, which may be the last one again; whether it is the best now."""
        again, self._last = self._last == (offset_s, round_trip_s), (offset_s, round_trip_s)
        bound_s = round_trip_s / 2
        if again or not (math.isfinite(offset_s) and 0 <= bound_s < math.inf):
            return False
        believed_s = self.bound_s(now_s)
        if bound_s >= believed_s and abs(offset_s - self.offset_s) <= bound_s + believed_s:
            return False
        self.offset_s, self._bound_s, self._at_s = offset_s, bound_s, now_s
        return True


class SenderClock:
    """Maps the stamps of a sender to this machine's LSL clock, over all connections to it.

    A stamp plus the clock's offset when the stream was connected, `base_s`, is what samples are
    counted by; it is as even as the sender's clock. Added to what is given out is `delta_s`, which
    follows the offset as it is known by then, slowly.

    Where stamps are not on the LSL clock (the first of a connection are older than it by 10 s, or
    stamps are later than their arrival), the offset is that of the samples that came soonest in
    the last 10 s: no sample is later than its arrival. Where they show no time at all, `usable` is
    false. `reason` then says in one line what they show; else it is empty.
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        self.base_s = self.delta_s = 0.0
        self.sender = ""  # run of the sender that it is the clock of
        self.reason = ""
        self.usable = True
        self._offset = OffsetFilter()
        self._least = SlowMinimum(_FOLLOW)
        self._placed = False  # by arrival
        self._judged = True
        self._opened_s = -math.inf
        self._delta_at_s = math.nan
        self._ahead_since_s = math.nan
        self._patience = max(_LEAST_SAMPLES, round(_STILL_S * sfreq_hz))
        self._n_still = 0
        self._last = math.nan
        self._steps: deque[int] = deque(maxlen=_MAX_STEPS)

    @property
    def shift_s(self) -> float:
        """What stamps were off by, beyond the clock's offset, s: that of their sender's clock."""
        return self.base_s + self.delta_s - self._offset.offset_s if self._placed else 0.0

    def connected(
        self, now_s: float, measured: tuple[float, float] | None = None, *, sender: str = ""
    ) -> None:
        """Note that a connection opens, to this run of a sender.

        `measured` are its clock's offset and round trip, s, by then; where there are none, those of
        the connection before go on to count.
        """
        self._opened_s, self._judged, self._n_still = now_s, False, 0
        self.sender = sender
        if measured is not None:
            self._offset = OffsetFilter()
            self.measured(measured, now_s)

    def measured(self, measured: tuple[float, float] | None, now_s: float) -> None:
        """Take an offset of the sender's clock and the round trip that it was measured by, s."""
        if measured is not None:
            self._offset.add(*measured, now_s)

    def to_base(self, stamps: Times, t_arrived: float) -> Times:
        """Stamps to count by, s."""
        if stamps.size:
            if not self._judged and math.isfinite(stamps[0]):
                made_s = t_arrived - (stamps.size - 1) / self._sfreq_hz
                self._judge_first(float(stamps[0]), made_s)
            self._look_for_standstill(stamps)
        return stamps + self.base_s

    def arrived(self, newest_s: float, t_arrived: float) -> None:
        """Note when the newest sample came, which is counted by a stamp; `delta_s` follows."""
        first = math.isnan(self._delta_at_s)
        if first:
            self._delta_at_s = self._ahead_since_s = t_arrived
        passed_s = max(0.0, t_arrived - self._delta_at_s)
        self._delta_at_s = t_arrived
        late_s = t_arrived - newest_s
        if self._placed:
            self.delta_s = self._least(late_s, t_arrived)
            return
        target_s = self._offset.offset_s - self.base_s
        error_s = target_s - self.delta_s
        if first or abs(error_s) > _JUMP_S:
            self.delta_s = target_s
        else:
            self.delta_s += min(max(error_s, -_SLEW * passed_s), _SLEW * passed_s)
        if late_s - self.delta_s > -self._ahead_s(t_arrived):
            self._ahead_since_s = t_arrived
        elif t_arrived - self._ahead_since_s > _AHEAD_FOR_S:
            self._place(f"run {self.delta_s - late_s:.3g} s ahead of the LSL clock")
            self.delta_s = self._least(late_s, t_arrived)

    def stepped(self, number: int) -> None:
        """Note that time went on from the counter at a sample, since the stamps did not."""
        self._steps.append(number)
        if len(self._steps) == _MAX_STEPS and number - self._steps[0] < self._patience:
            self.give_up("step again and again")

    def give_up(self, what: str) -> None:
        """Use the stamps no more, for what they do."""
        self.usable = False
        self.reason = (
            f"the sender's stamps {what}: they show no time; samples are counted as they come and "
            f"dated by their arrival, and only pauses of {PAUSE_S:g} s and more count as lost"
        )

    def _ahead_s(self, now_s: float) -> float:
        bound_s = self._offset.bound_s(now_s)
        return _AHEAD_S + (bound_s if math.isfinite(bound_s) else 0.0)

    def _judge_first(self, stamp: float, made_s: float) -> None:
        """Judge a connection's first stamp, whose sample was made by then at the latest."""
        self._judged = True
        local_s = stamp + self._offset.offset_s
        ahead_s, behind_s = local_s - made_s, self._opened_s - local_s
        expected_s = made_s - (stamp + self.base_s + self.delta_s)
        if ahead_s < self._ahead_s(made_s) and behind_s < _BEHIND_S:
            offset_s, self._placed, self.reason = self._offset.offset_s, False, ""
            if abs(offset_s - self.base_s - self.delta_s) <= _AHEAD_S and not math.isnan(
                self._delta_at_s
            ):
                return  # the same clock as before: what it counted goes on
        elif self._placed and -_AHEAD_S < expected_s < _BEHIND_S:
            return  # likewise
        else:
            self._place(_description(stamp, ahead_s))
            offset_s = made_s - stamp
        # The counter's time goes on, whatever this clock shows.
        self.base_s = offset_s - self.delta_s

    def _place(self, what: str) -> None:
        self._placed, self._least = True, SlowMinimum(_FOLLOW)
        self.reason = (
            f"the sender's stamps {what}: they are not LSL time; samples are dated by their arrival"
        )

    def _look_for_standstill(self, stamps: Times) -> None:
        steps = np.diff(stamps, prepend=self._last)
        moved = np.flatnonzero(np.isfinite(steps) & (steps != 0))
        self._n_still = stamps.size - int(moved[-1]) if moved.size else self._n_still + stamps.size
        self._last = float(stamps[-1])
        if self._n_still > self._patience:
            self.give_up("stand still" if math.isfinite(self._last) else "are not numbers")


class MarkerClock:
    """Dates markers on this machine's LSL clock, whatever clock their sender stamps them by.

    Stamps are LSL time unless the first of a connection is older than it by 10 s, or one lies in
    the future. Others are dated as the signal's where its `clock` shows the same, else by the
    marker that came soonest after its stamp. `reason` then says in one line what they show.
    """

    def __init__(self, signal: SenderClock | None, opened_s: float) -> None:
        self.reason = ""
        self._signal = signal
        self._opened_s = opened_s
        self._judged = self._placed = False
        self._least = SlowMinimum(_FOLLOW)

    def __call__(self, stamp: float, now_s: float) -> float:
        """Time of a marker that came now, s."""
        if not math.isfinite(stamp):
            self.reason = "the markers' stamps are not numbers: markers are dated by their arrival"
            return now_s
        old = not self._judged and self._opened_s - stamp > _BEHIND_S
        self._judged = True
        if not self._placed and (old or stamp - now_s > _MARKER_AHEAD_S):
            self._placed = True
            self.reason = (
                f"the markers' stamps {_description(stamp, stamp - now_s)}: they are not LSL time; "
                "markers are dated by their arrival, or as the signal where it shows the same clock"
            )
        if not self._placed:
            return stamp
        late_s = self._least(now_s - stamp, now_s)
        shift_s = 0.0 if self._signal is None else self._signal.shift_s
        if shift_s and abs(late_s - shift_s) < _SAME_CLOCK_S:
            return stamp + shift_s
        return min(now_s, stamp + late_s)


def _description(stamp: float, ahead_s: float) -> str:
    """What a stamp shows that is not LSL time."""
    for unit_s, unit in ((1.0, ""), (1e-3, " in ms"), (1e-6, " in µs"), (1e-9, " in ns")):
        if abs(stamp * unit_s - time.time()) < _DAY_S:
            return f"are Unix time{unit}"
    if ahead_s < 0 and 0 <= stamp < _DAY_S:
        return f"count from another start ({stamp:.3f} s, {-ahead_s:.6g} s behind the LSL clock)"
    return f"are {abs(ahead_s):.6g} s {'ahead of' if ahead_s > 0 else 'behind'} the LSL clock"
