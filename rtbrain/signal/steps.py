"""Steps of a recipe to the signal chain."""

from collections.abc import Callable, Sequence

from rtbrain.config import SignalStep, StimulationSettings
from rtbrain.errors import SettingsError
from rtbrain.marks import Mark
from rtbrain.signal.artifacts import ArtifactGuard
from rtbrain.signal.chain import Chain, ManualMask, Pick
from rtbrain.signal.filters import HighPass, NotchComb, Resample
from rtbrain.signal.periodic import PeriodicTemplate
from rtbrain.signal.quality import ChannelQuality
from rtbrain.signal.reference import (
    Bipolar,
    CommonAverage,
    Laplacian,
    PublishedLaplacian,
    ShaftMean,
)
from rtbrain.signal.stimulation import Blanking
from rtbrain.stage import SignalStage
from rtbrain.types import Montage

_REFERENCES: dict[str, Callable[[Montage], SignalStage]] = {
    "car": CommonAverage,
    "shaft_mean": ShaftMean,
    "bipolar": Bipolar,
    "laplacian": Laplacian,
}


def build_signal(
    steps: Sequence[SignalStep],
    montage: Montage,
    on_event: Callable[..., None] | None = None,
    manual_marks: Callable[[], Sequence[Mark]] | None = None,
) -> Chain:
    """Signal chain of these steps, each built for the montage of the one before.

    `on_event` is called for contacts that turn bad or good. What `manual_marks` gives is masked
    after the quality step, or first without one. Raises a MontageError where no channel is left.
    """
    if manual_marks is not None:
        after_quality = max(
            (n for n, step in enumerate(steps, 1) if step.quality is not None), default=0
        )
        first = build_signal(steps[:after_quality], montage, on_event)
        rest = build_signal(steps[after_quality:], first.montage, on_event)
        mask = ManualMask(first.montage, read_marks=manual_marks, on_event=on_event)
        return Chain(montage, [first, mask, rest])
    stages: list[SignalStage] = []
    last = montage
    for step in steps:
        stage = _signal_stage(step, last, on_event)
        if stage is None:
            continue
        before = stages[-1] if stages else None
        if step.highpass_hz is not None and isinstance(before, NotchComb):
            stages[-1] = HighPass(last, step.highpass_hz, notch=before)
        else:
            stages.append(stage)
        last = stage.montage
    return Chain(montage, stages)


def _signal_stage(
    step: SignalStep, montage: Montage, on_event: Callable[..., None] | None
) -> SignalStage | None:
    if step.quality is not None:
        quality = ChannelQuality(montage, mains_hz=step.quality.mains_hz, on_event=on_event)
        return Chain(montage, [quality, ArtifactGuard(montage, on_event=on_event)])
    if step.stimulation is not None:
        return _stimulation(step.stimulation, montage, on_event)
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
        return _REFERENCES[step.reference](montage)
    if step.resample_hz is not None and step.resample_hz != montage.sfreq_hz:
        return Resample(montage, step.resample_hz)
    return None


def _stimulation(
    settings: StimulationSettings, montage: Montage, on_event: Callable[..., None] | None
) -> Chain:
    stages: list[SignalStage] = []
    if settings.periodic_hz is not None:
        stages.append(PeriodicTemplate(montage, settings.periodic_hz, on_event=on_event))
    if settings.announced:
        if settings.before_s is None or settings.after_s is None:
            raise SettingsError(
                "stimulation: before_s and after_s are not known: fit the decoder on a recording "
                "with stimulation, which measures them, or set both"
            )
        texts, stop_texts = settings.markers
        blanking = Blanking(
            montage,
            texts=texts,
            stop_texts=stop_texts,
            max_train_s=settings.max_train_s,
            before_s=settings.before_s,
            after_s=settings.after_s,
            wait_s=settings.wait_s,
            on_event=on_event,
        )
        stages.append(blanking)
    return Chain(montage, [*stages, ArtifactGuard(montage, on_event=on_event)])
