"""The stages from Spectrogram to Embedding."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.models.streaming import StreamingBERT
from rtbrain.encoder.runtimes.streaming_runtime import (
    StreamingRuntime,
    compile_streaming,
    eager_streaming,
)
from rtbrain.encoder.runtimes.window_runtime import Runtime
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.types import Embedding, Floats, Ints, Mask, Spectrogram


class EncoderStage:
    """Encoder as a stage: one window in, its embedding out, nothing remembered.

    `neural_delay_s` reaches from the moment that an embedding describes (the middle of the pooled
    frames) to the end of the window, s.
    """

    def __init__(self, runtime: Runtime, *, neural_delay_s: float) -> None:
        self.runtime = runtime
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of a window."""
        channels, population = self.runtime(item.data, item.quality.good)
        t_neural = item.t_stop - self._neural_delay_s
        return Embedding(channels, population, t_neural, item.t_stop, item.quality)

    def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
        """Embeddings of windows."""
        return [self(item) for item in items]

    def population(self, channels: Floats, good: Mask) -> Floats:
        """As that of `StreamingEncoderStage`."""
        pairs = zip(channels, good, strict=True)
        return np.stack([self.runtime.population(*pair) for pair in pairs])

    def reset(self) -> None:
        """Nothing to forget: windows are independent."""


class StreamingEncoderStage:
    """Streaming encoder as a stage: of each window, the frames that are new.

    The window's first sample shows how many frames are new, so that windows may be skipped: one
    that starts a whole number of hops after the last one, and overlaps it, adds its newest frames,
    hop by hop. In all other cases (the first window, lost samples, off the grid of hops) every
    channel restarts: its output is that of one shot over the window, and continues from there. A
    bad channel is forgotten, and restarts from its own window when it returns. The same window
    again, with more or fewer good channels, adds nothing and forgets nothing.

    After a gap a window begins with frames of NaN: its channels restart from the whole hops after
    these, and go on as if they had read them one by one. They differ from channels that never
    stopped, because attention reaches a context further back in each layer: the recipe says how
    soon that no longer matters (`Recipe.used_frames`).

    `runtime` is loaded and warm, and no other stage shares its state; `neural_delay_s` is as in
    `EncoderStage`.
    """

    def __init__(
        self, runtime: StreamingRuntime, *, hop_samples: int, neural_delay_s: float
    ) -> None:
        self._runtime = runtime
        self._hop_samples = hop_samples
        self._neural_delay_s = neural_delay_s
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._runtime.reset()
        self._first_sample: int | None = None  # of the last window
        self._lost_samples = 0
        self._known: Mask = np.zeros(self._runtime.contract.n_channels, np.bool_)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of all frames since each channel restarted."""
        runtime, good = self._runtime, item.quality.good
        shape = runtime.contract.shape
        if item.data.shape != shape:
            raise CompiledModelError(
                f"spectrogram has shape {item.data.shape}, the encoder was compiled for {shape}: "
                "compile it for this shape"
            )
        self._advance(item.data, self._n_hops(item), good)
        self._first_sample = item.first_sample
        self._lost_samples = item.quality.lost_samples
        channels, population = runtime.read(good)
        # A value that is not finite would stay in memory: restart that channel.
        self._known &= np.isfinite(channels).all(axis=1) | ~good
        t_neural = item.t_stop - self._neural_delay_s
        return Embedding(channels, population, t_neural, item.t_stop, item.quality)

    def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
        """Embedding of each window in turn; those that continue each other in one product."""
        found: list[Embedding] = []
        while len(found) < len(items):
            rest = items[len(found) :]
            hops = self._hops_ahead(rest)
            found += self._together(rest[: hops.size], hops) if hops.size > 1 else [self(rest[0])]
        return found

    def population(self, channels: Floats, good: Mask) -> Floats:
        """Embeddings of the population float32 [B, P] of B windows, from those of their channels.

        `channels` float32 [B, C, D], of which bool [B, C] are `good`.
        """
        return self._runtime.population(channels, good)

    def _hops_ahead(self, items: Sequence[Spectrogram]) -> Ints:
        """Hops up to the end of each of the next windows, as far as one product takes them."""
        contract, good = self._runtime.contract, items[0].quality.good
        hops: list[int] = []
        first = self._first_sample
        if first is not None and (self._known[good]).all():
            for item in items:
                n, off_grid = divmod(item.first_sample - first, self._hop_samples)
                if (
                    off_grid
                    or not max([0, *hops[-1:]]) < n <= self._runtime.max_hops
                    or n * contract.hop_frames > contract.n_frames
                    or item.data.shape != contract.shape
                    or item.quality.lost_samples != self._lost_samples
                    or (item.quality.good != good).any()
                ):
                    break
                hops.append(n)
        return np.asarray(hops, np.int64)

    def _together(self, items: Sequence[Spectrogram], hops: Ints) -> list[Embedding]:
        """Embeddings of windows that continue the last one, each so many hops after it."""
        last = items[-1]
        good, n_frames = last.quality.good, int(hops[-1]) * self._runtime.contract.hop_frames
        self._known &= good
        channels, population = self._runtime.advance_many(
            last.data[:, -n_frames:], self._known, hops, good
        )
        self._first_sample = last.first_sample
        self._known &= np.isfinite(channels).all(axis=(0, 2)) | ~good
        return [
            Embedding(of, one, item.t_stop - self._neural_delay_s, item.t_stop, item.quality)
            for item, of, one in zip(items, channels, population, strict=True)
        ]

    def _n_hops(self, item: Spectrogram) -> int | None:
        """Hops that the window adds; None where it does not continue the last one."""
        if self._first_sample is None or item.quality.lost_samples != self._lost_samples:
            return None
        hops, off_grid = divmod(item.first_sample - self._first_sample, self._hop_samples)
        contract = self._runtime.contract
        if off_grid or hops < 0 or hops * contract.hop_frames > contract.n_frames:
            return None
        return hops

    def _advance(self, data: Floats, n_hops: int | None, good: Mask) -> None:
        n_frames, length = data.shape[1], self._runtime.contract.hop_frames
        frames, joining = data, np.zeros_like(self._known)
        there = np.zeros(len(data), np.int64)
        if n_hops is None:
            self._runtime.reset()
            self._known[:] = False
            finite: Mask = np.asarray(np.isfinite(data).all(axis=2))  # [C, T]
            joining = good & ~finite.all(axis=1)
            there = np.where(joining, _n_newest(finite) // length, 0)
            n_hops = int(there.max())
            # What a channel is not to know stays in its memory, masked: it must be a number.
            frames = np.nan_to_num(data)
        elif n_hops:
            self._known &= good
        # Hop by hop: other lengths would each be slow once, live.
        for step in range(n_hops, 0, -1):
            start = n_frames - step * length
            known = self._known | (there >= step)
            self._runtime.advance(frames[:, start : start + length], known)
        self._known |= joining
        returned = np.flatnonzero(good & ~self._known)
        if returned.size:
            self._runtime.restart(data, returned)
            self._known |= good


class InterleavedStages:
    """Streaming stages that take turns, so that a decode may come more often than a patch.

    Each reads the patches of its own phase: with patches of 5 frames and a hop of 1, every fifth
    window. A window costs what one of the stages costs, whatever their number.
    """

    def __init__(
        self,
        first: StreamingEncoderStage,
        another: Callable[[], StreamingEncoderStage],
        n_stages: int,
        *,
        hop_samples: int,
    ) -> None:
        self._first = first
        self._another = another
        self.n_stages = n_stages
        self._hop_samples = hop_samples
        self._stages: dict[int, StreamingEncoderStage] = {}  # by turn: of a fit, one is used

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of all frames since each channel restarted, in patches that end here."""
        return self._stage(self._turn(item))(item)

    def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
        """Embedding of each window in turn; those that continue each other in one product."""
        found: list[Embedding] = []
        for turn, group in groupby(items, self._turn):
            found += self._stage(turn).many(list(group))
        return found

    def population(self, channels: Floats, good: Mask) -> Floats:
        """As that of `StreamingEncoderStage`."""
        return self._first.population(channels, good)

    def _turn(self, item: Spectrogram) -> int:
        return item.first_sample // self._hop_samples % self.n_stages

    def _stage(self, turn: int) -> StreamingEncoderStage:
        if turn not in self._stages:
            self._stages[turn] = self._another() if self._stages else self._first
        return self._stages[turn]

    def reset(self) -> None:
        """Forget everything."""
        for stage in self._stages.values():
            stage.reset()


def _n_newest(finite: Mask) -> Ints:
    """How many frames of each channel are finite, from the newest back to the first NaN."""
    broken = np.pad(~finite[:, ::-1], ((0, 0), (0, 1)), constant_values=True)
    return np.asarray(broken.argmax(axis=1), np.int64)


def patch_cycle(model: EncoderModel, hop_frames: int) -> int:
    """Frames from one window to the next that ends a patch at the same phase."""
    streaming = model.channel_encoder
    patch = streaming.patch_frames if isinstance(streaming, StreamingBERT) else 1
    return math.lcm(patch, hop_frames)


def streaming_stage(
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: Ints | None,
    *,
    hop_frames: int,
    hop_samples: int,
    neural_delay_s: float,
    threads: int = 1,
    live: bool = True,
) -> StreamingEncoderStage | InterleavedStages:
    """Stage of a streaming encoder, warm; for a hop that is no whole patch, several in turn.

    Where it is not `live`, it is not compiled, and takes many windows at once.
    """
    cycle = patch_cycle(model, hop_frames)
    n_stages = cycle // hop_frames
    if n_stages > 1 and cycle > shape[1]:
        raise SettingsError(
            f"window.hop_s is {hop_frames} frames, which ends with a whole patch only every "
            f"{cycle} frames, and the window has {shape[1]}: use a hop of 1 frame or of whole "
            "patches"
        )
    form = compile_streaming if live else eager_streaming
    first = StreamingRuntime(form(model, shape, hop_frames=cycle), positions, threads=threads)

    def stage(runtime: StreamingRuntime) -> StreamingEncoderStage:
        return StreamingEncoderStage(
            runtime, hop_samples=n_stages * hop_samples, neural_delay_s=neural_delay_s
        )

    if n_stages == 1:
        return stage(first)
    return InterleavedStages(
        stage(first), lambda: stage(first.another()), n_stages, hop_samples=hop_samples
    )
