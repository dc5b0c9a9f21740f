"""The parts of a pipeline: a Source, Stages, Sinks.

One law holds for every Stage: whole or in pieces of any size, the output is the same. A stage
is causal (the future changes no output), can be reset to new, and never
changes its input.
"""

from typing import Protocol, TypeVar

from rtbrain.types import Chunk, Montage

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class Source(Protocol):
    """Where samples come from."""

    @property
    def montage(self) -> Montage:
        """Channels and nominal rate of the chunks."""
        ...

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples: an empty chunk if none arrive within `timeout_s`, None at the end.

        Samples begin to flow at the first call, which gives nothing older. A source whose samples
        arrive one by one may wait, as long, until there are `at_least` so many.
        """
        ...

    def close(self) -> None:
        """Release the device, file or connection; safe to call twice."""
        ...


class Stage(Protocol[In_contra, Out_co]):
    """A step from samples to decodes."""

    def __call__(self, item: In_contra, /) -> Out_co:
        """Process an item: what it completes."""
        ...

    def reset(self) -> None:
        """Forget everything, as after a gap in the signal."""
        ...


class SignalStage(Stage[Chunk, Chunk], Protocol):
    """A stage from chunks to chunks that may change channels or rate."""

    @property
    def montage(self) -> Montage:
        """Channels and rate of the chunks that come out."""
        ...


class Sink(Protocol[In_contra]):
    """Where results go."""

    def push(self, item: In_contra, /) -> None:
        """Accept a result; never blocks for long."""
        ...

    def close(self) -> None:
        """Flush and release; safe to call twice."""
        ...
