"""Numbers every sample of a live stream, and finds which are lost, duplicated or late.

The counter is the clock that windows are cut by; the sender's time stamps only annotate it.
"""

import math

import numpy as np

from rtbrain.stream.clock.rate import ArrivalClock, ClockFit, SampleCounterReport
from rtbrain.stream.clock.recent_samples import Digests, Flatness, RecentSamples, digests
from rtbrain.stream.clock.sender_clock import SenderClock
from rtbrain.types import Chunk, Floats, Times

# Stamps this near to where the counter expects them, in samples, follow on.
_NEAR_SAMPLES = 0.5
# A jump of exact stamps is a whole number of samples, to within this and a share of its length;
# before stamps were seen to be exact for a second, to within much less.
_WHOLE_SAMPLES = 0.2
_WHOLE_AT_FIRST_SAMPLES = 0.002
_WHOLE_SHARE = 0.002
_EXACT_AFTER_S = 1.0
_EXACT_AGAIN_AFTER_S = 10.0
# Jumps of stamps up to this, or 1.5 times the largest jump seen, are the jitter of senders that
# stamp by arrival. So is a jump no longer than the even stretch before it, which may be a chunk,
# of up to 0.25 s; and one back by that, since no loss moves stamps back.
_JITTER_S = 0.1
_CHUNK_S = 0.25
_STEP_BACK_S = 0.05
_JITTER_MARGIN = 1.5
# A jump forward is a loss where the samples could be here by then, to within this.
_ARRIVAL_S = 0.25
# The least delay is known once samples came for this long; it then follows drifting clocks.
_KNOWN_AFTER_S = 1.0
_DELAY_LEAK = 5e-4
# A silence in which the sender's clock also steps lost samples where it is longer than this.
_SILENCE_S = 1.0
_USUAL_DECAY = 0.9
_REMEMBERED_S = 2.0
_SIGNIFICANT = 4.0
_BELIEVED_RATE = 0.01
# Stamps whose rate is off by this factor show no time.
_MAX_PACE, _PACE_AFTER_S = 2.0, 2.0


class SampleCounter:
    """Numbers the samples of a stream, over any number of connections to it.

    A forward jump of the stamps is a loss where its samples could have been sent and arrived by
    now: the wall clock moved on as far since the last sample, or a backlog is being read. Else it
    is a step of the sender's clock: nothing is lost, and time goes on from the counter. A jump
    back is a step too, unless the sample was delivered before (its stamp and content are known,
    and the signal is not flat: a duplicate) or belongs into a gap of the last 2 s (it came late).
    Where the clock steps in a silence of more than 1 s, the loss is estimated from arrival, to
    within a chunk.

    Losses are exact to the sample where stamps are exact: whole samples apart for the last 1 s.
    Stamps that jump by parts of samples are jitter; from then until 10 s without, only jumps of
    more than 0.1 s, 1.5 times the largest one before and the sender's chunk (up to 0.25 s) are
    losses, counted to the nearest sample of the line that is fitted to the stamps. A step forward
    of less than 0.25 s, or in a backlog, looks like a loss and is counted as one.

    `clock` maps the sender's stamps to the LSL clock. Where they show no time, samples are numbered
    as they come, and dated and missed by their arrival (`ArrivalClock`).

    However the samples are cut into calls, their numbers and counts are the same. Memory is
    bounded. `sfreq_hz` is the nominal rate.
    """

    def __init__(self, sfreq_hz: float) -> None:
        self.sfreq_hz = sfreq_hz
        self.clock = SenderClock(sfreq_hz)
        self._arrivals: ArrivalClock | None = None
        self._held: list[Floats] = []  # until it is known how many samples a pause has lost
        self._fit = ClockFit(sfreq_hz)
        self._recent = RecentSamples(_REMEMBERED_S, sfreq_hz)
        self._flatness = Flatness()
        self._next = 0
        self._received = self._delivered = self._duplicated = self._reordered = self._steps = 0
        self._shift_s = 0.0  # of the sender's clock, by its steps: time = stamp - shift
        self._last_stamp = math.nan
        self._newest_s = -math.inf
        self._n_clean = 0  # samples since the last sign of jitter
        self._jittery = False
        self._jitter_s = 0.0
        self._t_first = self._t_last = math.nan  # arrivals
        self._usual_s = 0.0  # between arrivals
        self._delay_s = math.inf  # the least

    @property
    def next_sample(self) -> int:
        """Number of the next sample, if none is lost before it."""
        return self._next

    @property
    def report(self) -> SampleCounterReport:
        """The counts so far."""
        line = self._fit.line()
        rate_hz = math.nan if line is None else line.rate_hz
        return SampleCounterReport(
            received=self._received,
            delivered=self._delivered,
            lost=self._next - self._delivered,
            duplicated=self._duplicated,
            reordered=self._reordered,
            clock_steps=self._steps,
            effective_rate_hz=rate_hz,
            drift_ppm=1e6 * (rate_hz / self.sfreq_hz - 1),
            offset_s=math.nan if line is None else line.at(0),
            uncertainty_s=math.nan if line is None else line.uncertainty_s,
            nominal_rate_hz=self.sfreq_hz,
        )

    def take(self, data: Floats, stamps: Times, t_arrived: float) -> list[Chunk]:
        """Deliver samples [n_channels, n_samples], µV, as chunks; a new one begins after each gap.

        `stamps` [n_samples] are the sender's, s; no time stamp of a chunk is later than
        `t_arrived` on the LSL clock.
        """
        clock = self.clock
        stamps = clock.to_base(stamps, t_arrived)
        if not clock.usable:
            return self._take_by_arrival(data, t_arrived)
        if not stamps.size:  # the pull that finds nothing
            return []
        now_s, t_arrived = t_arrived, t_arrived - self.clock.delta_s
        marks = digests(data)
        flat = self._flatness(stamps, marks)
        late = np.diff(stamps) * self.sfreq_hz - 1  # against the counter, samples
        jumps = [*(np.flatnonzero(~(np.abs(late) <= _NEAR_SAMPLES)) + 1).tolist(), stamps.size]
        times = np.empty(stamps.size)
        pieces: list[list[slice]] = []
        gaps: list[int] = []
        start = at_jump = 0
        while start < stamps.size:
            stamp = float(stamps[start])
            known = None if flat[start] else int(marks[start])
            gap = self._judge(stamp, known, t_arrived)
            if not self.clock.usable:  # given up just now
                break  # from this sample on, however many come in this call
            if gap is None:
                start += 1
                continue
            while jumps[at_jump] <= start:
                at_jump += 1
            run = slice(start, jumps[at_jump])
            times[run] = stamps[run] - self._shift_s
            if not math.isfinite(stamp):
                started = not math.isnan(self._last_stamp)
                times[start] = self._time_of(self._next) if started else t_arrived
            self._follow(gap, times[run], marks[run], t_arrived)
            if gap or not pieces:
                pieces.append([])
                gaps.append(gap)
            pieces[-1].append(run)
            start = run.stop
        self._received += start
        if pieces:
            self.clock.arrived(float(times[pieces[-1][-1].stop - 1]), now_s)
            self._judge_pace()
        times += self.clock.delta_s
        first = self._next - sum(gaps) - sum(run.stop - run.start for p in pieces for run in p)
        chunks = []
        for runs, gap in zip(pieces, gaps, strict=True):
            first += gap
            chunks.append(_chunk(data, np.minimum(times, now_s), runs, first, gap))
            first += chunks[-1].n_samples
        if start < stamps.size:
            chunks += self._take_by_arrival(data[:, start:], now_s)
        return chunks

    def connected(
        self, now_s: float, measured: tuple[float, float] | None = None, *, sender: str = ""
    ) -> None:
        """Note that the stream is connected to, now; as `SenderClock.connected`."""
        self.clock.connected(now_s, measured, sender=sender)
        if self._arrivals is not None:
            self._arrivals.break_off()

    def _judge_pace(self) -> None:
        if self._delivered < _PACE_AFTER_S * self.sfreq_hz:
            return
        line = self._fit.line()
        if line is None or not 1 / _MAX_PACE < line.rate_hz / self.sfreq_hz < _MAX_PACE:
            self.clock.give_up("do not run at the pace of the samples")

    def _take_by_arrival(self, data: Floats, t_arrived: float) -> list[Chunk]:
        if self._arrivals is None:
            self._arrivals, self._fit = ArrivalClock(self.sfreq_hz), ClockFit(self.sfreq_hz)
        self._received += data.shape[1]
        if data.shape[1]:
            self._held.append(data)
        n_held = sum(each.shape[1] for each in self._held)
        self._arrivals.arrived(self._next + n_held, t_arrived)
        lost = self._arrivals.resume(t_arrived)
        if lost is None or not n_held:
            return []
        data, self._held = np.concatenate(self._held, axis=1), []
        first = self._next + lost
        stamps = self._arrivals.stamps(first, n_held)
        self._fit.add(first, stamps)
        self._next = first + n_held
        self._delivered += n_held
        return [Chunk(data, np.minimum(stamps, t_arrived), first, lost)]

    def _follow(self, gap: int, times: Times, marks: Digests, t_arrived: float) -> None:
        """Note consecutive samples that are delivered."""
        first = self._next + gap
        self._fit.add(first, times)
        self._recent.add(first, times, marks)
        self._next = first + times.size
        self._delivered += times.size
        self._n_clean += times.size
        self._last_stamp = float(times[-1]) + self._shift_s
        newest_s = float(times.max())
        self._newest_s = max(self._newest_s, newest_s)
        if math.isnan(self._t_first):
            self._t_first = self._t_last = t_arrived
        passed_s = t_arrived - self._t_last
        if passed_s > 0:
            self._usual_s = max(_USUAL_DECAY * self._usual_s, passed_s)
            self._delay_s += _DELAY_LEAK * passed_s
            self._t_last = t_arrived
        self._delay_s = min(self._delay_s, t_arrived - newest_s)

    def _judge(self, stamp: float, mark: int | None, t_arrived: float) -> int | None:
        """Samples lost before this one, or None to drop it; it has no mark where it is flat."""
        if math.isnan(self._last_stamp) or not math.isfinite(stamp):
            return 0
        if abs((stamp - self._last_stamp) * self.sfreq_hz - 1) <= _NEAR_SAMPLES:
            return 0
        time_s = stamp - self._shift_s
        again = time_s <= self._newest_s + _NEAR_SAMPLES / self.sfreq_hz
        if mark is not None and again and self._recent.holds(time_s, mark):
            self._duplicated += 1
            return None
        if self._jittery and self._n_clean >= _EXACT_AGAIN_AFTER_S * self.sfreq_hz:
            self._jittery, self._jitter_s = False, 0.0
        late = (stamp - self._last_stamp) * self._rate_hz() - 1
        whole = not self._jittery and abs(late - round(late)) <= self._whole_within(late)
        if late > 0:
            return self._judge_forward(stamp, late, t_arrived, whole=whole)
        return self._judge_back(stamp, late, t_arrived, whole=whole)

    def _judge_forward(
        self, stamp: float, late: float, t_arrived: float, *, whole: bool
    ) -> int | None:
        time_s, jump_s = stamp - self._shift_s, late / self._rate_hz()
        stretch_s = min(self._n_clean / self.sfreq_hz, _CHUNK_S)
        if not whole and jump_s <= max(_JITTER_S, _JITTER_MARGIN * self._jitter_s, stretch_s):
            return self._jitter(jump_s)
        known = t_arrived - self._t_first >= _KNOWN_AFTER_S
        if time_s > t_arrived - (self._delay_s if known else 0.0) + _ARRIVAL_S:
            return self._step(stamp, t_arrived)
        if self._jittery:
            late = (time_s - self._time_of(self._next)) * self._rate_hz()
        return max(1, round(late))

    def _judge_back(
        self, stamp: float, late: float, t_arrived: float, *, whole: bool
    ) -> int | None:
        jump_s = -late / self._rate_hz()
        limit_s = _STEP_BACK_S
        if self._jittery or not self._exact:
            limit_s = max(_CHUNK_S, _JITTER_MARGIN * self._jitter_s)
        if (whole or jump_s > limit_s) and self._recent.skipped(self._next + round(late)):
            self._reordered += 1
            return None
        return self._jitter(jump_s) if jump_s <= limit_s else self._step(stamp, t_arrived)

    def _jitter(self, jump_s: float) -> int:
        self._jittery, self._n_clean = True, 0
        self._jitter_s = max(self._jitter_s, jump_s)
        return 0

    def _step(self, stamp: float, t_arrived: float) -> int:
        """Let time go on from the counter; samples lost meanwhile, judged by arrival alone."""
        self._steps += 1
        self.clock.stepped(self._next)
        gap = 0
        if t_arrived - self._t_last > max(_SILENCE_S, self._usual_s / _USUAL_DECAY):
            silent_s = t_arrived - self._delay_s - self._usual_s - self._newest_s
            gap = max(1, round(silent_s * self._rate_hz()))
        self._shift_s = stamp - self._time_of(self._next + gap)
        return gap

    @property
    def _exact(self) -> bool:
        return not self._jittery and self._n_clean >= _EXACT_AFTER_S * self.sfreq_hz

    def _whole_within(self, late: float) -> float:
        if not self._exact:
            return _WHOLE_AT_FIRST_SAMPLES
        return _WHOLE_SAMPLES + _WHOLE_SHARE * abs(late)

    def _rate_hz(self) -> float:
        """Rate to count by: the nominal one, unless the stamps are sure of another."""
        line = self._fit.line()
        if line is None:
            return self.sfreq_hz
        off_hz = abs(line.rate_hz - self.sfreq_hz)
        sure = _SIGNIFICANT * line.rate_error_hz < off_hz < _BELIEVED_RATE * self.sfreq_hz
        return line.rate_hz if sure else self.sfreq_hz

    def _time_of(self, number: int) -> float:
        """Time of a sample to come, s: by the line, or from the last sample's exact stamp."""
        line = self._fit.line()
        if self._jittery and line is not None:
            return line.at(number)
        last_s = self._last_stamp - self._shift_s
        return last_s + (number - self._next + 1) / self._rate_hz()


def _chunk(data: Floats, times: Times, runs: list[slice], first_sample: int, gap: int) -> Chunk:
    if len(runs) == 1:
        run = runs[0]
        return Chunk(np.ascontiguousarray(data[:, run]), times[run], first_sample, gap)
    pieces = np.concatenate([data[:, run] for run in runs], axis=1)
    return Chunk(pieces, np.concatenate([times[run] for run in runs]), first_sample, gap)
