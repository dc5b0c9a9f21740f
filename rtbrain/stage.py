"""The three parts that a pipeline is made of: a Source, Stages, Sinks.

One law holds for every Stage: whole or in pieces of any size, the output is the same. A stage
is causal (what comes later changes nothing already given), can be reset to new, and never
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

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next samples: an empty chunk if none came within `timeout_s`, None at the end.

        Samples begin to flow at the first call, so that nothing old is waiting then.
        """
        ...

    def close(self) -> None:
        """Let go of the device, file or network; safe to call twice."""
        ...


class Stage(Protocol[In_contra, Out_co]):
    """A step of the way from samples to decodes."""

    def __call__(self, item: In_contra, /) -> Out_co:
        """Take one item in, give what it made complete."""
        ...

    def reset(self) -> None:
        """Forget all that was seen, as after a gap in the signal."""
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
        """Take one result; never blocks for long."""
        ...

    def close(self) -> None:
        """Flush and let go; safe to call twice."""
        ...
