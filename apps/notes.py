"""What the user should know of a recording before it is used."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbrain.stream.recording import Recording


def tell_notes(recording: "Recording", scale: float) -> None:
    """Print what had to be assumed or looks wrong, a line each, to standard error."""
    from rich.console import Console

    from rtbrain.stream.recording import amplitude_note, missing_note

    console = Console(stderr=True)
    warnings = (missing_note(recording), amplitude_note(recording, scale=scale))
    for note in (*recording.notes, *filter(None, warnings)):
        console.print(
            f"note: {note}", style="yellow", highlight=False, markup=False, soft_wrap=True
        )
