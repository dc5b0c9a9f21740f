"""Rows of the matrix about streams that vanish, return changed, or are two."""

from dataclasses import replace

import numpy as np

from rtbrain.check.faults.matrix import FaultCase, Finding, Rig
from rtbrain.check.faults.world import (
    START_S,
    ReceivedRun,
    SimulatedNetwork,
    SimulatedSender,
    VirtualClock,
    run_decoder,
)
from rtbrain.errors import StreamError
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Montage

_GONE_S = START_S + 8.0


_BACK_S = _GONE_S + 3.0


_END_S = _BACK_S + 8.0


_LOST_WITHIN_S = 1.5


_FOREVER = float("inf")


def vanished_in_memory(rig: Rig) -> Finding:
    """End the stream at 8 s for 3 s, once with a broken connection and once in silence."""
    said, passed = [], True
    for silent in (False, True):
        first = replace(_sender(rig, START_S, _GONE_S, "first"), silent_end=silent)
        seen = _watched(rig, "linear", [first, _sender(rig, _BACK_S, _FOREVER, "second")], _END_S)
        lost, back = seen.event("lost", _GONE_S), seen.event("recovered", _BACK_S)
        if lost is None or back is None:
            return f"lost: {lost}, recovered: {back}", False
        lost_after_s = lost[0] - _GONE_S
        numbers = np.concatenate([_truth(rig, chunk) for chunk in seen.chunks])
        missing = int((np.diff(numbers) - 1).sum())
        told = seen.windows[-1].quality.lost_samples
        wrongly_valid = len(seen.valid_between(_GONE_S + 0.05, back[0]))
        again = [
            one.t_stop for _, one in seen.decodes if one.quality.valid and one.t_stop > back[0]
        ]
        first_back = int(numbers[int(np.argmax(np.diff(numbers) > 1)) + 1])
        length = seen.windows[-1].data.shape[1]
        waited = round((min(again) - START_S) * rig.montage.sfreq_hz) - first_back + 1
        passed &= lost_after_s <= _LOST_WITHIN_S and wrongly_valid == 0
        passed &= back[1]["gap"] == told == missing > 0 and 0 <= waited - length < length
        passed &= _as_new(rig, seen, first_back)
        said.append(
            f"{'silent' if silent else 'broken'}: lost told after {lost_after_s:.2f} s, "
            f"{wrongly_valid} valid decodes meanwhile, gap {back[1]['gap']} of {missing} samples, "
            f"valid again after {waited} samples (window {length})"
        )
    return "; ".join(said), passed


def _as_new(rig: Rig, seen: ReceivedRun, first_back: int) -> bool:
    """Whether the last window is that of a decoder that saw nothing before the return."""
    after = [chunk for chunk in seen.chunks if _truth(rig, chunk)[0] >= first_back]
    fresh = rig.decoder("linear", rig.montage)
    windows = [
        window.data.copy()
        for chunk in after
        for window in fresh.cut(replace(chunk, gap=0))
        if window.quality.valid
    ]
    return bool(np.array_equal(windows[-1], seen.windows[-1].data))


def another_rate_in_memory(rig: Rig) -> Finding:
    """Let the stream return with 1000 Hz after 3 s, and with the right rate 4 s later."""
    right_s = _BACK_S + 4.0
    wrong = replace(
        _sender(rig, _BACK_S, right_s, "wrong"), montage=replace(rig.montage, sfreq_hz=1000.0)
    )
    senders = [
        _sender(rig, START_S, _GONE_S, "first"),
        wrong,
        _sender(rig, right_s + 0.5, _FOREVER, "right"),
    ]
    seen = _watched(rig, "linear", senders, right_s + 9.0)
    refused, back = seen.event("refused", _BACK_S), seen.event("recovered", right_s)
    if refused is None or back is None:
        return f"refused: {refused}, recovered: {back}", False
    why = str(refused[1].get("reason", ""))
    n_wrong = len(seen.valid_between(_GONE_S + 0.05, right_s))
    n_after = len(seen.valid_between(back[0], _FOREVER))
    received = sum(_BACK_S <= chunk.timestamps[0] < right_s for chunk in seen.chunks)
    passed = "1000 Hz" in why and "2048 Hz" in why and not n_wrong and not received and n_after > 0
    return f"refused: {why[:110]}; {n_wrong} decodes of it; {n_after} after the right one", passed


def another_order_in_memory(rig: Rig) -> Finding:
    """Let the stream return with its channels turned round, and with two more."""
    names = rig.montage.names
    said, passed = [], True
    for what, order, extra in (
        ("turned round", names[::-1], ()),
        ("two more", (*names[3:], *names[:3]), ("ECG", "Z1")),
    ):
        montage = _with(rig.montage.pick(order), extra)
        senders = [
            _sender(rig, START_S, _GONE_S, "first"),
            replace(_sender(rig, _BACK_S, _FOREVER, "second"), montage=montage),
        ]
        seen = _watched(rig, "linear", senders, _END_S)
        fresh = rig.decoder("linear", rig.montage)
        straight = fresh.decode([_straight(rig, chunk) for chunk in seen.chunks])
        pairs = [
            (one.values, two.values)
            for (_, one), two in zip(seen.decodes, straight, strict=True)
            if one.quality.valid and one.t_stop > _BACK_S
        ]
        same = bool(pairs) and all(np.array_equal(one, two) for one, two in pairs)
        passed &= same
        said.append(f"{what}: {len(pairs)} decodes {'equal' if same else 'DIFFER'}")
    return "; ".join(said), passed


def missing_channels_in_memory(rig: Rig) -> Finding:
    """Let the stream return without 3 of 12 channels, then without 10 of them."""
    said, passed = [], True
    for kind in ("linear", "edge"):
        seen = _watched(rig, kind, _returning_without(rig, 3), _END_S)
        valid = seen.valid_between(_BACK_S, _FOREVER)
        before = seen.valid_between(START_S, _GONE_S)[-1].quality.coverage
        finite = bool(valid) and all(np.isfinite(one.values).all() for one in valid)
        coverage = valid[-1].quality.coverage if valid else float("nan")
        names = rig.decoder(kind, rig.montage).signal.montage.names
        gone = [names.index(name) for name in rig.montage.names[:3] if name in names]
        passed &= finite and before == 1 and coverage <= 1 - len(gone) / len(names)
        passed &= all(not one.quality.good[gone].any() for one in valid)
        said.append(
            f"{kind}, 3 missing: {len(valid)} valid decodes, coverage {before:.2f} to "
            f"{coverage:.2f}"
        )
    seen = _watched(rig, "linear", _returning_without(rig, 10), _BACK_S + 6.0)
    refused = seen.event("refused", _BACK_S)
    n_valid = len(seen.valid_between(_BACK_S, _FOREVER))
    told = "none" if refused is None else str(refused[1].get("reason", ""))[:110]
    said.append(f"10 missing: {n_valid} valid decodes, refusal: {told}")
    return "; ".join(said), passed and n_valid == 0 and refused is not None


def _returning_without(rig: Rig, n_missing: int) -> list[SimulatedSender]:
    montage = rig.montage.pick(rig.montage.names[n_missing:])
    second = replace(_sender(rig, _BACK_S, _FOREVER, "second"), montage=montage)
    return [_sender(rig, START_S, _GONE_S, "first"), second]


def two_streams_in_memory(rig: Rig) -> Finding:
    """Have two senders answer, at the start and after a loss."""
    clock = VirtualClock()
    twins = [
        replace(_sender(rig, START_S, _FOREVER, "one"), source_id="amplifier-1", host="ward-a"),
        replace(_sender(rig, START_S, _FOREVER, "two"), source_id="amplifier-2", host="ward-b"),
    ]
    world = SimulatedNetwork(clock, rig.montage, rig.signal(30.0), twins)
    source = SupervisedSource(
        query=world,
        requirements=StreamRequirements(rig.montage.sfreq_hz, rig.montage.names),
        montage=rig.montage,
        on_event=lambda event, **fields: None,
        clock=clock,
    )
    try:
        source.connect(1.0)
        message = "DECODED"
    except StreamError as error:
        message = str(error)
    finally:
        source.close()
    seen = _watched(
        rig,
        "linear",
        [
            _sender(rig, START_S, _GONE_S, "first"),
            *(replace(each, from_s=_BACK_S) for each in twins),
        ],
        _BACK_S + 6.0,
        accept_other_source=True,
    )
    refused = seen.event("refused", _BACK_S)
    later = "" if refused is None else str(refused[1].get("reason", ""))
    words = ("amplifier-1", "amplifier-2", "ward-a", "ward-b")
    n_valid = len(seen.valid_between(_BACK_S, _FOREVER))
    passed = all(word in text for word in words for text in (message, later)) and not n_valid
    return f"at connect: {message[:150]}; after a loss {n_valid} decodes of either", passed


def _sender(rig: Rig, from_s: float, to_s: float, uid: str) -> SimulatedSender:
    return SimulatedSender(rig.montage, from_s, to_s, uid)


def _watched(
    rig: Rig,
    kind: str,
    senders: list[SimulatedSender],
    until_s: float,
    *,
    accept_other_source: bool = False,
) -> ReceivedRun:
    world = SimulatedNetwork(VirtualClock(), rig.montage, rig.signal(30.0), senders)
    requirements = StreamRequirements(
        rig.montage.sfreq_hz, rig.montage.names, accept_other_source=accept_other_source
    )
    return run_decoder(world, rig.decoder(kind, rig.montage), requirements, until_s)


def _truth(rig: Rig, chunk: Chunk) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of a chunk's samples as the sender counts them."""
    return np.rint((chunk.timestamps - START_S) * rig.montage.sfreq_hz).astype(np.int64)


def _straight(rig: Rig, chunk: Chunk) -> Chunk:
    """The same samples as the patient's signal has them, in the original order."""
    numbers = _truth(rig, chunk)
    return replace(chunk, data=rig.signal(30.0)[:, numbers].copy())


def _with(montage: Montage, extra: tuple[str, ...]) -> Montage:
    return Montage(
        (*montage.names, *extra), (*montage.kinds, *("misc" for _ in extra)), montage.sfreq_hz
    )


def unit_in_doubt(rig: Rig) -> Finding:
    """Send volts under a header that is silent about units."""
    volts = rig.signal(30.0) * np.float32(1e-6)
    world = SimulatedNetwork(
        VirtualClock(), rig.montage, volts, [_sender(rig, START_S, _FOREVER, "volts")]
    )
    requirements = StreamRequirements(rig.montage.sfreq_hz, rig.montage.names)
    seen = run_decoder(world, rig.decoder("linear", rig.montage), requirements, START_S + 4.0)
    told = seen.event("amplitude")
    if told is None:
        return "nothing was said of the amplitude", False
    after_s, fields = told[0] - START_S, told[1]
    return (
        f"after {after_s:.1f} s: {fields['reason']}; factor {fields['factor']:g}",
        fields["factor"] == 1e6 and after_s < 3.0,
    )


STREAM_CASES = (
    FaultCase(1, vanished_in_memory),
    FaultCase(2, another_rate_in_memory),
    FaultCase(3, another_order_in_memory),
    FaultCase(4, missing_channels_in_memory),
    FaultCase(5, two_streams_in_memory),
    FaultCase(12, unit_in_doubt),
)
