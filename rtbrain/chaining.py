"""Settings of the signal chain to its stages, each made for what the one before gives."""

from collections.abc import Callable, Sequence

from rtbrain.config import SignalStep
from rtbrain.signal import (
    BadByHand,
    Bipolar,
    Chain,
    ChannelQuality,
    CommonAverage,
    HighPass,
    Laplacian,
    NotchComb,
    Pick,
    PublishedLaplacian,
    Resample,
)
from rtbrain.stage import SignalStage
from rtbrain.types import Montage

__all__ = ["build_signal"]


def build_signal(
    steps: Sequence[SignalStep],
    montage: Montage,
    on_event: Callable[..., None] | None = None,
    hands: Callable[[], Sequence[str]] | None = None,
) -> Chain:
    """Signal chain of these steps, each made for the montage that the one before gives.

    Parameters
    ----------
    on_event : callable, optional
        Told by the quality step of contacts that go bad or good.
    hands : callable, optional
        Gives the latest marks by hand: masked behind the quality step, or first without one.

    Raises
    ------
    MontageError
        A step leaves no channel.
    """
    if hands is not None:
        behind = max((n for n, step in enumerate(steps, 1) if step.quality is not None), default=0)
        first = build_signal(steps[:behind], montage, on_event)
        rest = build_signal(steps[behind:], first.montage, on_event)
        by_hand = BadByHand(first.montage, heard=hands, on_event=on_event)
        return Chain(montage, [first, by_hand, rest])
    stages: list[SignalStage] = []
    last = montage
    for step in steps:
        stage = _signal_stage(step, last, on_event)
        if stage is not None:
            stages.append(stage)
            last = stage.montage
    return Chain(montage, stages)


def _signal_stage(
    step: SignalStep, montage: Montage, on_event: Callable[..., None] | None
) -> SignalStage | None:
    if step.quality is not None:
        return ChannelQuality(montage, mains_hz=step.quality.mains_hz, on_event=on_event)
    if step.pick is not None:
        return Pick(montage, names=step.pick.names, kinds=step.pick.kinds)
    for settings, make in (
        (step.notch, NotchComb),
        (step.published_laplacian, PublishedLaplacian),
    ):
        if settings is not None:
            return make(montage, settings.mains_hz, q=settings.q, up_to_hz=settings.up_to_hz)
    if step.highpass_hz is not None:
        return HighPass(montage, step.highpass_hz)
    if step.reference is not None:
        return _reference(step.reference, montage)
    if step.resample_hz is not None and step.resample_hz != montage.sfreq_hz:
        return Resample(montage, step.resample_hz)
    return None


def _reference(name: str, montage: Montage) -> SignalStage:
    if name == "car":
        return CommonAverage(montage)
    return Bipolar(montage) if name == "bipolar" else Laplacian(montage)
