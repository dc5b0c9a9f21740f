"""What the rows work on: a synthetic patient, decoders fitted on it, and a world to stream in.

A row about streams is written once and runs in two worlds: `simulated` (the live loop on a virtual
clock) and `live` (`rtbrain decode` in a process of its own, over LSL).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from rtbrain.buffer import Windows
from rtbrain.bundling import build_decoder
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import StreamError
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.pipeline import FeaturePipeline
from rtbrain.processes import last_line
from rtbrain.stage import Stage
from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Chunk, Decode, Embedding, Floats, Ints, Montage
from rtbrain.units import to_samples

# What was observed, and whether that is what must hold.
Finding = tuple[str, bool]

_SEED, _N_CHANNELS, _SFREQ_HZ = 0, 12, 2048.0
_CALIBRATION_S = 40.0
_SMALL = {"hidden_dim": 32, "layer_dim_feedforward": 64}
SMALL_SIZES = {
    "brainbert": _SMALL | {"nhead": 2, "encoder_num_layers": 2, "input_dim": 40},
    "popt": _SMALL | {"n_head": 2, "n_layers": 2, "input_dim": 32},
}
# The patient's signal, which begins anew at its end.
SIGNAL_S = 120.0
BACK_WITHIN_S = 30.0  # longest from the return of a stream to valid decodes, or a refusal


def joined(findings: Iterable[Finding]) -> Finding:
    """Findings as one, which holds where all of them do."""
    found = list(findings)
    return "; ".join(observed for observed, _ in found), all(passed for _, passed in found)


@dataclass(frozen=True, slots=True)
class DecoderParts:
    """A decoder as the live loop runs it."""

    features: FeaturePipeline
    readout: Stage[Embedding, Decode]

    def decode(self, chunks: Sequence[Chunk]) -> list[Decode]:
        """Every decode of these chunks."""
        windows = (window for chunk in chunks for window in self.features.cut(chunk))
        return [self.readout(self.features.encode(window)) for window in windows]

    @property
    def waits_s(self) -> tuple[float, float, float]:
        """Signal before the first valid decode, that after a gap, and the hop, s."""
        windows = cast(Windows, self.features.windows)
        return windows.first_s, windows.used_s, windows.hop_s


@dataclass(frozen=True, slots=True)
class Rig:
    """What a case may use: a folder of its own, the patient, and decoders by kind.

    `signal` makes so many seconds of the patient, float32 [n_channels, n_samples], µV; kinds of
    decoders are ``linear``, ``car`` (linear, common average) and ``edge``.
    """

    folder: Path
    lsl: bool
    montage: Montage
    signal: Callable[[float], Floats]
    bundle: Callable[[str], Path]
    network: Any = None  # a `TwoHosts`, for rows between two hosts

    def require_network(self) -> Any:
        """The two hosts."""
        if self.network is None:
            raise StreamError("there are no two hosts: pass --network")
        return self.network

    def decoder(self, kind: str) -> DecoderParts:
        """New decoder of a kind."""
        return DecoderParts(*build_decoder(read_bundle(self.bundle(kind)), self.montage))


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One check of one fault, in memory or over real LSL."""

    number: int
    check: Callable[[Rig], Finding]
    lsl: bool = False
    network: bool = False  # between two hosts


def rig_maker(folder: Path, network: Any = None) -> Callable[[FaultCase], Rig]:
    """Rigs of one patient, whose signals and decoders are made when first needed."""
    patient = Patient(_SEED, n_channels=_N_CHANNELS, sfreq_hz=_SFREQ_HZ, classes=("rest", "speech"))

    signal = cache(partial(_signal, patient))
    bundle = cache(partial(_fitted, patient, folder))

    def rig(case: FaultCase) -> Rig:
        own = folder / f"row-{case.number}{'-lsl' if case.lsl else ''}-{case.check.__name__}"
        own.mkdir()
        return Rig(own, case.lsl, patient.montage, signal, bundle, network)

    return rig


def _signal(patient: Patient, duration_s: float) -> Floats:
    source = SyntheticSource(
        patient,
        chunk_samples=to_samples(duration_s, patient.sfreq_hz),
        start_sample=round(_CALIBRATION_S * patient.sfreq_hz),
    )
    data = next(iter(partial(source.pull, 0.0), None)).data
    data.flags.writeable = False
    return data


def _fitted(patient: Patient, folder: Path, kind: str) -> Path:
    folder /= f"bundle-{kind}"
    recipe = load_settings("edge" if kind == "edge" else "linear", Recipe)
    plain = recipe.model_dump(mode="json", exclude_unset=True)
    if kind == "edge":
        plain["encoder"] |= {"weights": "random"} | SMALL_SIZES
    if kind == "car":
        plain["signal"] = [
            {"reference": "car"} if "reference" in step else step for step in plain["signal"]
        ]
    quick_fit(parse_settings(plain, Recipe, where=kind), patient, _CALIBRATION_S, folder)
    return folder


def cut_signal(
    data: Floats, n_samples: Sequence[int], sfreq_hz: float, *, start_s: float = 100.0
) -> list[Chunk]:
    """Cut a signal into chunks of these lengths, over and over."""
    chunks, first, turn = [], 0, 0
    stamps = start_s + np.arange(data.shape[1]) / sfreq_hz
    while first < data.shape[1]:
        stop = min(first + n_samples[turn % len(n_samples)], data.shape[1])
        chunks.append(Chunk(np.ascontiguousarray(data[:, first:stop]), stamps[first:stop], first))
        first, turn = stop, turn + 1
    return chunks


@dataclass(slots=True)
class StatusListener:
    """Keeps every decode and status event of a decoder or recorder.

    ``run(stop)`` lets time pass and collects, until ``stop()`` is true.
    """

    clock: Callable[[], float]
    run: Callable[[Callable[[], bool]], None]
    decodes: list[ReceivedDecode] = field(default_factory=list)
    events: list[StatusEvent] = field(default_factory=list)

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Listen until a condition holds; False if it did not in time."""
        end_s = self.clock() + timeout_s
        self.run(lambda: condition() or self.clock() > end_s)
        return condition()

    def require(
        self, condition: Callable[[], bool], timeout_s: float, failure: str, log: Path
    ) -> None:
        """Listen until a condition holds, or raise a StreamError with the log's last line."""
        if not self.until(condition, timeout_s):
            raise StreamError(f"{failure} within {timeout_s:g} s: {last_line(log)}")

    def during(self, duration_s: float) -> None:
        """Listen for a while."""
        self.until(lambda: False, duration_s)

    def event(self, name: str, after_s: float = 0.0) -> StatusEvent | None:
        """First event of that name after a time."""
        return next((one for one in self.events if one.event == name and one.t > after_s), None)

    def valid_after(self, at_s: float) -> list[ReceivedDecode]:
        """Valid decodes of windows that end after a time."""
        return [one for one in self.decodes if one.valid and one.t_stop > at_s]


class Sender(Protocol):
    """Streams on one time base: sample n has the stamp start_s + n / rate."""

    start_s: float
    last_stamp: float
    n_left_out: int  # samples that were due while it hung

    def begin(self, montage: Montage | None = None, *, source_id: str | None = None) -> None:
        """Announce a stream, by default of the patient's channels, and send."""

    def end(self) -> float:
        """End all streams; the time at which that began, s."""

    def hang(self) -> float:
        """Send no more samples without closing the connection; the time of that, s."""


@dataclass(slots=True)
class World:
    """A sender, a decoder that has begun to decode it, and what the decoder sends."""

    kind: str
    sender: Sender
    listener: StatusListener
    first_s: float  # signal that the first valid decode waits for
    used_s: float  # signal after which decodes are valid again, after a gap
    hop_s: float
    stall: Callable[[float], None]  # stops the decoder, not the sender, for some seconds
    resident_kib: Callable[[], float]  # of the decoder
    n_dropped: Callable[[], int]  # samples that its inlet dropped
    slack: int  # how far counts of samples or windows may be off
    tolerance: float  # how far decodes may differ from those made offline
    delivery_s: float  # longest time from a sample to the decode that it completes
    back_s: float = 0.0  # when the stream returned last
    # Of each time that it was decoded before: end of the first window, stamp of the last sample.
    runs: list[tuple[float, float]] = field(default_factory=list)

    def begin_again(self, montage: Montage | None = None, *, n_valid: int = 3) -> float:
        """Let the stream return, and wait for valid decodes of it; when it returned, s."""
        before = self.listener.valid_after(self.back_s)
        if before:
            self.runs.append((before[0].t_stop, self.sender.last_stamp))
        self.sender.begin(montage)
        self.back_s = self.listener.clock()
        self.listener.until(
            lambda: len(self.listener.valid_after(self.back_s)) >= n_valid, BACK_WITHIN_S
        )
        return self.back_s


def patient_samples(rig: Rig, montage: Montage, numbers: Ints) -> Floats:
    """Samples of these numbers and labels; a label that is not the patient's gets a sine."""
    signal = rig.signal(SIGNAL_S)
    numbers = numbers % signal.shape[1]
    sine = (50 * np.sin(numbers / 7)).astype(np.float32)
    rows = [
        signal[rig.montage.names.index(name), numbers] if name in rig.montage.names else sine
        for name in montage.names
    ]
    return np.stack(rows)


def offline_difference(rig: Rig, world: World, decodes: list[ReceivedDecode]) -> float:
    """Largest difference of these decodes, of the last run, from an offline decoder's.

    That decoder gets the samples of all runs, with the gaps between them, and the channels in the
    patient's order. Infinite where its windows after the last gap are not those of a new decoder;
    NaN where a decode has no counterpart.
    """
    *runs, last = [*world.runs, (decodes[0].t_stop, decodes[-1].t_stop)]
    decoder, new = rig.decoder(world.kind), rig.decoder(world.kind)
    n_first = round(world.first_s * rig.montage.sfreq_hz)
    # Of a gap alone, the new one knows nothing either: but for its first window, both wait alike.
    before = patient_samples(rig, rig.montage, np.arange(n_first))
    new.decode([Chunk(before, np.arange(n_first) / rig.montage.sfreq_hz)])
    next_sample = 0
    for run in runs:
        chunk = _chunk_of_run(rig, world, run, next_sample)
        decoder.decode([chunk])
        next_sample = chunk.first_sample + chunk.n_samples
    chunk = _chunk_of_run(rig, world, last, next_sample)
    offline: dict[int, Floats] = {}
    for window, of_new in zip(
        decoder.features.cut(chunk), new.features.cut(replace(chunk, gap=1)), strict=True
    ):
        if window.quality.valid and not np.array_equal(window.data, of_new.data, equal_nan=True):
            return np.inf
        decode = decoder.readout(decoder.features.encode(window))
        if decode.quality.valid:
            offline[round((decode.t_stop - last[0]) / world.hop_s)] = decode.values
    places = [round((one.t_stop - last[0]) / world.hop_s) for one in decodes]
    if not set(places) <= set(offline):
        return np.nan
    return max(
        float(np.abs(one.values - offline[place]).max())
        for one, place in zip(decodes, places, strict=True)
    )


def _chunk_of_run(rig: Rig, world: World, run: tuple[float, float], next_sample: int) -> Chunk:
    """Samples of a run, whose first valid window begins with the first that was received."""
    sfreq_hz, start_s = rig.montage.sfreq_hz, world.sender.start_s
    length_s = world.used_s if next_sample else world.first_s
    begin = round((run[0] - length_s - start_s) * sfreq_hz) + 1
    numbers = np.arange(begin, round((run[1] - start_s) * sfreq_hz) + 1)
    data = patient_samples(rig, rig.montage, numbers)
    gap = begin - next_sample if next_sample else 0
    return Chunk(data, start_s + numbers / sfreq_hz, begin, gap)


def with_channels(montage: Montage, extra: tuple[str, ...]) -> Montage:
    """Montage with more channels behind, without positions."""
    kinds = (*montage.kinds, *("misc" for _ in extra))
    return Montage((*montage.names, *extra), kinds, montage.sfreq_hz)
