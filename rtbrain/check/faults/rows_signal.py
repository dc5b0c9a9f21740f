"""Rows of the matrix about channels that go bad: not finite, flat, saturated, swamped, all."""

import dataclasses

import numpy as np

from rtbrain.check.faults.rig import FaultCase, Finding, Rig, cut_signal, joined
from rtbrain.signal import ChannelQuality
from rtbrain.types import Decode, Floats

_BAD_ROW = 5
_FROM_S, _TO_S = 8.0, 11.0
_WHOLE_S = 30.0
_NOTICED_S = 3.0
_READMITTED_S = 12.0
_START_S = 100.0
_KINDS = ("linear", "car", "edge")


@dataclasses.dataclass(slots=True)
class _Run:
    """Results of a decoder, one entry per window."""

    decodes: list[Decode] = dataclasses.field(default_factory=list)
    channels: list[Floats] = dataclasses.field(default_factory=list)


def not_finite(rig: Rig) -> Finding:
    """Put NaN, then Inf on one channel for 3 s and compare every other channel's results.

    With the Laplacian, channels that are no neighbours must not notice; with the common average,
    it must make no difference what the bad channel holds.
    """
    return joined(_not_finite(rig, kind) for kind in _KINDS)


def _not_finite(rig: Rig, kind: str) -> Finding:
    clean = _run(rig, kind, rig.signal(_WHOLE_S))
    first, second = runs = [
        _run(rig, kind, _spoilt(rig, np.full((1, 1), bad, np.float32))) for bad in (np.nan, np.inf)
    ]
    bad_at, others = _rows(rig, kind, reach=0 if kind == "car" else 1)
    same = _equal(first, second, others)
    if kind != "car":
        same &= _equal(clean, first, others)
    during = [one for run in runs for one in run.decodes if _touched(one, _FROM_S, _TO_S)]
    masked = all(not one.quality.good[bad_at] for one in during)
    others_good = all(one.quality.good[others].all() for one in during)
    valid = [one for run in runs for one in run.decodes if one.quality.valid]
    finite = all(np.isfinite(one.values).all() for one in valid)
    back = all(run.decodes[-1].quality.good.all() for run in runs)
    return (
        f"{kind}: {len(during)} decodes meanwhile, channel "
        f"{'masked' if masked else 'NOT MASKED'}, others "
        f"{'identical to the bit' if same else 'DIFFER'}"
        f"{'' if others_good else ' and NOT ALL GOOD'}, decodes "
        f"{'finite' if finite else 'NOT FINITE'}, {'re-admitted' if back else 'NEVER BACK'}",
        same and masked and others_good and finite and back,
    )


def bad_channels(rig: Rig) -> Finding:
    """Make one channel flat, saturated, swamped by mains, unplugged for 6 s, one after another."""
    sfreq_hz = rig.montage.sfreq_hz
    t = np.arange(round(6 * sfreq_hz)) / sfreq_hz
    rng = np.random.default_rng(10)
    kinds = {
        "flat": np.zeros((1, t.size)),
        "saturated": 5000 * np.sign(np.sin(2 * np.pi * 7 * t))[None],
        "mains": 3000 * np.sin(2 * np.pi * 60 * t)[None],
        "unplugged": rng.normal(0, 4000, (1, t.size)),
    }
    return joined(_bad_channel(rig, what, bad.astype(np.float32)) for what, bad in kinds.items())


def _bad_channel(rig: Rig, what: str, bad: Floats) -> Finding:
    spoilt = _spoilt(rig, bad)
    bad_at, untouched = _rows(rig, "linear", reach=1)
    valid = [one for one in _run(rig, "linear", spoilt).decodes if one.quality.valid]
    good = np.array([one.quality.good[bad_at] for one in valid])
    changes = np.flatnonzero(np.diff(good.astype(int)))
    if len(changes) != 2 or not good[0]:
        return f"{what}: {len(changes)} changes of the channel, expected bad then good", False
    noticed_s, ended_s = (valid[at + 1].t_stop - _START_S - _FROM_S for at in changes)
    back_s = ended_s - 6
    others = all(one.quality.good[untouched].all() for one in valid)
    events = _channel_events(rig, spoilt)
    return (
        f"{what}: {', '.join(f'{event} ({reason})' for event, reason in events)}; bad "
        f"after {noticed_s:.1f} s, good again {back_s:.1f} s after its end"
        f"{'' if others else ', OTHERS ALSO BAD'}",
        noticed_s < _NOTICED_S
        and 0 < back_s < _READMITTED_S
        and others
        and [event for event, _ in events] == ["channel_bad", "channel_good"],
    )


def _rows(rig: Rig, kind: str, *, reach: int) -> tuple[int, list[int]]:
    """Row of the bad channel after the front end, and those that its neighbours do not touch."""
    names = rig.decoder(kind).features.signal.montage.names
    bad_at = names.index(rig.montage.names[_BAD_ROW])
    return bad_at, [row for row in range(len(names)) if abs(row - bad_at) > reach]


def _channel_events(rig: Rig, signal: Floats) -> list[tuple[str, object]]:
    """Events of the first stage of the front end about its channels, each with a reason."""
    events: list[tuple[str, object]] = []

    def on_event(event: str, **fields: object) -> None:
        events.append((event, fields["reason"]))

    quality = ChannelQuality(rig.montage, on_event=on_event)
    for chunk in cut_signal(signal, [700], rig.montage.sfreq_hz, start_s=_START_S):
        quality(chunk)
    return events


def every_channel(rig: Rig) -> Finding:
    """Put NaN on every channel for 3 s; hold every channel flat for 8 s."""
    # A rule that measures needs a while to notice what is flat; NaN is seen at once.
    faults = (("NaN", np.nan, 3.0, 0.0), ("flat", 0.0, 8.0, _NOTICED_S))
    return joined(_every_channel(rig, kind, *fault) for kind in _KINDS for fault in faults)


def _every_channel(
    rig: Rig, kind: str, what: str, bad: float, lasts_s: float, notice_s: float
) -> Finding:
    signal = rig.signal(_WHOLE_S).copy()
    to_s = _FROM_S + lasts_s
    a, b = (round(at * rig.montage.sfreq_hz) for at in (_FROM_S, to_s))
    signal[:, a:b] = bad
    run = _run(rig, kind, signal)
    during = [one for one in run.decodes if _touched(one, _FROM_S + notice_s, to_s)]
    n_valid = sum(one.quality.valid for one in during)
    back = run.decodes[-1].quality.valid
    return (
        f"{kind} {what}: {n_valid} of {len(during)} valid meanwhile"
        f"{'' if back else ', NEVER VALID AGAIN'}",
        n_valid == 0 and len(during) > 10 and back,
    )


def _run(rig: Rig, kind: str, signal: Floats) -> _Run:
    decoder, run = rig.decoder(kind), _Run()
    for chunk in cut_signal(signal, [700], rig.montage.sfreq_hz, start_s=_START_S):
        for window in decoder.features.cut(chunk):
            embedding = decoder.features.encode(window)
            run.channels.append(embedding.channels)
            run.decodes.append(decoder.readout(embedding))
    return run


def _spoilt(rig: Rig, bad: Floats) -> Floats:
    signal = rig.signal(_WHOLE_S).copy()
    start = round(_FROM_S * rig.montage.sfreq_hz)
    length = bad.shape[1] if bad.shape[1] > 1 else round((_TO_S - _FROM_S) * rig.montage.sfreq_hz)
    signal[_BAD_ROW, start : start + length] = bad[0]
    return signal


def _touched(decode: Decode, from_s: float, to_s: float) -> bool:
    """Whether the window's end is within the fault."""
    return from_s < decode.t_stop - _START_S < to_s


def _equal(one: _Run, two: _Run, rows: list[int]) -> bool:
    """Whether the embeddings of these channels are the same, bit for bit."""
    return all(
        a.shape == b.shape and (not a.size or np.array_equal(a[rows], b[rows]))
        for a, b in zip(one.channels, two.channels, strict=True)
    )


SIGNAL_CASES = (FaultCase(9, not_finite), FaultCase(10, bad_channels), FaultCase(11, every_channel))
